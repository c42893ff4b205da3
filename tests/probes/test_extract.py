"""Representations are those of the unpadded prompt, for every model family, padding side and batch size."""

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from probes import representations
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


@pytest.fixture(scope="module", params=list(CONFIGS))
def saved(request, tmp_path_factory):
    """A random model (dropout and all) and a tokenizer without pad token, through the disk and back."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param])
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("batch_size", [1, 3, 256])
@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_every_layer_is_that_of_the_prompt_alone(saved, batch_size, padding_side):
    model, tokenizer = saved
    tokenizer.padding_side = padding_side
    found = representations(model, tokenizer, PROMPTS, [0, 1, 2, -1], batch_size)
    assert list(found) == [0, 1, 2, -1]
    for i, prompt in enumerate(PROMPTS):
        with torch.no_grad():
            out = model(**tokenizer(prompt, return_tensors="pt"), output_hidden_states=True)
        for layer in found:
            assert found[layer].dtype == np.float32 and found[layer].shape == (len(PROMPTS), 16)
            np.testing.assert_allclose(found[layer][i], out.hidden_states[layer][0, -1], atol=1e-5)


def test_the_final_layer_is_what_the_output_matrix_reads(saved):
    model, tokenizer = saved
    (final,) = representations(model, tokenizer, PROMPTS).values()
    with torch.no_grad():
        logits = model.get_output_embeddings()(torch.from_numpy(final))
        for row, prompt in zip(logits, PROMPTS, strict=True):
            truth = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1]
            torch.testing.assert_close(row, truth, atol=1e-5, rtol=1e-5)


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
    with pytest.raises(UserError, match=message):
        representations(*saved, prompts, layers)
