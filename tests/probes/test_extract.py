"""Representations are those of the unpadded prompt, for every model family, padding side and batch size."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from probes import answer_site, extract, representations
from tasks.errors import UserError

WORDS = [*"abcdefgh", "?", "<unk>"]
PROMPTS = ["a b ?", "c d e f g h ?", "?", "h g ?", "a a a a ?", "b ?", "c d e f g a ?"]
SPECIAL = {"bos_token_id": 0, "eos_token_id": 0, "vocab_size": len(WORDS)}
CONFIGS = {
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=12, **SPECIAL),
    "gpt_neox": GPTNeoXConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        **SPECIAL,
    ),
    "llama": LlamaConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=12,
        **SPECIAL,
    ),
}
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
CONFIGS |= {
    "bert": BertConfig(max_position_embeddings=12, num_labels=2, **SIZE, **SPECIAL),
    "roberta": RobertaConfig(max_position_embeddings=22, pad_token_id=9, num_labels=2, **SIZE, **SPECIAL),
    "t5": T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=3, num_decoder_layers=2, num_heads=2,
        decoder_start_token_id=0, **SPECIAL,
    ),
}  # fmt: skip
KINDS = dict.fromkeys(("bert", "roberta"), AutoModelForSequenceClassification) | {"t5": AutoModelForSeq2SeqLM}


@pytest.fixture(scope="module", params=list(CONFIGS))
def saved(request, tmp_path_factory):
    """A random model (dropout and all) and a tokenizer without pad token, through the disk and back."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    kind = KINDS.get(request.param, AutoModelForCausalLM)
    model = kind.from_config(CONFIGS[request.param])
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", model_max_length=12)
    tokenizer.save_pretrained(folder)
    return kind.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def read(model, tokenizer, prompt):
    """Logits and states [places, width] of a prompt alone: an encoder's, a decoder's, a causal model's."""
    inputs = {"input_ids": tokenizer(prompt, return_tensors="pt")["input_ids"]}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.zeros((1, 1), dtype=torch.long)
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True)


ANSWER_AT = {"bert": 0, "roberta": 0, "t5": 0}
"""The place that an answer is read from; a causal model's is the last."""


@pytest.mark.parametrize("held", [1, 40, 300])
def test_no_more_states_are_held_than_may_be_and_every_row_is_in_one_batch(monkeypatch, held):
    monkeypatch.setattr(extract, "HELD", held)
    lengths = list(np.random.default_rng(0).integers(1, 20, size=53))
    order = np.argsort(lengths, kind="stable")
    batches = list(extract._batches(order, lengths, 3, 16))
    np.testing.assert_array_equal(np.concatenate(batches), order)
    for rows in batches:
        assert len(rows) <= 16
        assert len(rows) == 1 or 3 * len(rows) * max(lengths[i] for i in rows) <= held


@pytest.mark.parametrize("batch_size", [1, 3, 256])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_every_layer_is_that_of_the_prompt_alone(saved, batch_size, padding_side):
    model, tokenizer = saved
    tokenizer.padding_side = padding_side
    found = representations(model, tokenizer, PROMPTS, [0, 1, 2, -1], batch_size)
    assert list(found) == [0, 1, 2, -1]
    for i, prompt in enumerate(PROMPTS):
        out, place = read(model, tokenizer, prompt), ANSWER_AT.get(model.config.model_type, -1)
        states = out.decoder_hidden_states if model.config.is_encoder_decoder else out.hidden_states
        for layer in found:
            assert found[layer].dtype == np.float32 and found[layer].shape == (len(PROMPTS), 16)
            np.testing.assert_allclose(found[layer][i], states[layer][0, place], atol=1e-5)


@pytest.mark.parametrize("site", ["first", "last", "mean", 1, -2])
def test_other_sites_are_those_of_the_prompt_alone(saved, site):
    """An encoder-decoder's are its encoder's, of three layers here where the decoder has two."""
    model, tokenizer = saved
    prompts = [prompt for prompt in PROMPTS if len(prompt) > 1]
    depth = 3 if model.config.is_encoder_decoder else 2
    found = representations(model, tokenizer, prompts, [1, depth, -1], 3, site)
    np.testing.assert_array_equal(found[depth], found[-1])
    for i, prompt in enumerate(prompts):
        out = read(model, tokenizer, prompt)
        states = out.encoder_hidden_states if model.config.is_encoder_decoder else out.hidden_states
        for layer, rows in found.items():
            place = {"first": 0, "last": -1}.get(site, site)
            expected = states[layer][0].mean(0) if site == "mean" else states[layer][0, place]
            np.testing.assert_allclose(rows[i], expected, atol=1e-5)


def test_an_encoder_that_pools_is_read_where_it_pools():
    """What its classifier reads, through its head."""
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=len(WORDS), classifier_pooling="mean", num_labels=2, pad_token_id=9, cls_token_id=0,
        sep_token_id=0, bos_token_id=0, eos_token_id=0, attn_implementation="eager", **SIZE,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config).eval()
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>")
    assert answer_site(model) == "prompt_mean"
    (final,) = map(torch.from_numpy, representations(model, tokenizer, PROMPTS).values())
    for state, prompt in zip(final, PROMPTS, strict=True):
        expected = read(model, tokenizer, prompt).logits[0]
        torch.testing.assert_close(
            model.classifier(model.head(state[None]))[0].detach(), expected, atol=1e-4, rtol=1e-4
        )


def test_a_site_that_is_none_is_named(saved):
    with pytest.raises(UserError, match="site 1 is no place of every prompt; the shortest has 1 tokens"):
        representations(*saved, PROMPTS, site=1)
    with pytest.raises(UserError, match="unknown site 'end'"):
        representations(*saved, PROMPTS, site="end")


def test_the_final_layer_is_what_the_output_matrix_reads(saved):
    model, tokenizer = saved
    (final,) = map(torch.from_numpy, representations(model, tokenizer, PROMPTS).values())
    heads = {
        "bert": lambda states: model.classifier(model.bert.pooler(states[:, None])),
        "roberta": lambda states: model.classifier(states[:, None]),
        "t5": lambda states: model.lm_head(states * 16**-0.5),
    }
    with torch.no_grad():
        logits = heads.get(model.config.model_type, model.get_output_embeddings())(final)
    for row, prompt in zip(logits, PROMPTS, strict=True):
        truth = read(model, tokenizer, prompt).logits[0]
        torch.testing.assert_close(row, truth if truth.ndim == 1 else truth[-1], atol=1e-5, rtol=1e-5)


def test_a_model_in_training_is_read_without_dropout_and_goes_on_training(saved):
    model, tokenizer = saved
    quiet = representations(model, tokenizer, PROMPTS)[-1]
    model.train()
    np.testing.assert_array_equal(representations(model, tokenizer, PROMPTS)[-1], quiet)
    assert model.training
    model.eval()


def test_all_means_every_layer_once(saved):
    assert list(representations(*saved, PROMPTS, "all")) == [0, 1, -1]


@pytest.mark.parametrize(
    ("prompts", "layers", "message"),
    [
        (PROMPTS, [3], r"layer 3 is out of range; valid: -1 .* and 0 .* to 2"),
        (PROMPTS, [-2], "layer -2 is out of range"),
        (PROMPTS, "first", "'first' name no layer"),
        ([], "last", "no prompts"),
        (["a", "a zebra ?"], "last", "does not know every word of the prompt 'a zebra \\?'"),
        (["a", ""], "last", "prompt 1 is an empty prompt"),
        (["a", "b " * 13], "last", "prompt 1 has 13 tokens; the model takes at most 12"),
    ],
)
def test_mistakes_are_named(saved, prompts, layers, message):
    if "takes at most" in message and saved[0].config.model_type == "t5":
        pytest.skip("T5 takes any number of tokens")
    with pytest.raises(UserError, match=message):
        representations(*saved, prompts, layers)
