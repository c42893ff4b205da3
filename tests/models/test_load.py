"""Models by name: what can be loaded comes back as it was, what cannot is answered in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForMaskedLM,
    BertLMHeadModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from models import LanguageModel, load, score_answers
from models.language_model import weights_hash
from tasks.errors import UserError

WORDS = [*"abcdefghij", "?", "amber", "birch", "coral", "delta"]
PROMPTS, ANSWERS = ["a b c ?", "d ?"], ["amber", "birch"]


@pytest.fixture
def folder(random_model: Any, tmp_path: Path) -> Path:
    lm = random_model("gpt2")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def refusal(name: str | Path, **options: Any) -> str:
    with pytest.raises(UserError) as error:
        load(str(name), **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("shape", ["gpt2", "gpt_neox", "llama", "gemma2", "t5", "bart", "bert", "roberta"])
def test_a_folder_comes_back_as_it_was_saved(random_model: Any, tmp_path: Path, shape: str) -> None:
    lm = random_model(shape)
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    assert (again.name, again.init, again.model.training) == (str(tmp_path), "pretrained", False)
    assert again.weights_hash == weights_hash(lm.model)
    assert torch.equal(score_answers(again, PROMPTS, ANSWERS), score_answers(lm, PROMPTS, ANSWERS))


def test_the_weights_hash_is_of_the_weights_alone(folder: Path) -> None:
    lm = load(str(folder))
    assert load(str(folder)).weights_hash == lm.weights_hash
    lm.model.eval().requires_grad_(False)
    assert weights_hash(lm.model) == lm.weights_hash
    lm.model.transformer.h[1].mlp.c_fc.bias[3] += 1e-6
    assert weights_hash(lm.model) != lm.weights_hash


def test_an_embedded_model_answers_its_own_words(tiny: LanguageModel) -> None:
    scores = score_answers(tiny, ["a b c d e f g h ?"], ["amber", "haven"])
    assert scores.shape == (1, 2)
    assert scores.isfinite().all()


def test_random_weights_keep_the_architecture_and_are_the_same_each_time(folder: Path) -> None:
    state = torch.get_rng_state()
    trained, one, two = load(str(folder)), load(str(folder), init="random"), load(str(folder), init="random")
    assert torch.equal(torch.get_rng_state(), state)
    assert one.weights_hash == two.weights_hash != trained.weights_hash
    assert one.model.config.to_dict() == trained.model.config.to_dict()
    assert one.tokenizer.get_vocab() == trained.tokenizer.get_vocab()


def test_random_weights_of_an_embedded_model_follow_its_seed(tiny: LanguageModel) -> None:
    one = load(tiny.name, init="random")
    other = load(tiny.name + ",seed=1", init="random")
    assert one.weights_hash not in (tiny.weights_hash, other.weights_hash)


def test_names_of_nothing() -> None:
    assert "'nobody/nothing'" in refusal("nobody/nothing")
    assert "embedded/symbols is needed" in refusal("nobody/nothing")
    assert "did you mean 'embedded/symbols'" in refusal("embedded/symbls")


@pytest.mark.parametrize("damage", ["half", "junk", "empty"])
def test_corrupt_weights(folder: Path, damage: str) -> None:
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes({"half": whole[: len(whole) // 2], "junk": b"hello" * 100, "empty": b""}[damage])
    assert "weights are corrupt" in refusal(folder)


def test_missing_weights_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.1.attn.c_attn.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert "lack transformer.h.1.attn.c_attn.weight" in refusal(folder)


def test_a_missing_tokenizer_is_not_made_up(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    assert "no tokenizer" in refusal(folder)
    assert "no tokenizer" in refusal(folder, init="random")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layer": 1}, "config.json has no place for transformer.h.1.attn.c_attn.weight"),
        ({"n_layer": 3}, "its weights lack transformer.h.2"),
        ({"n_embd": 32}, "config.json gives another size to"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    folder: Path, change: dict[str, int], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    capfd.readouterr()
    assert message in refusal(folder)
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_with_words_beyond_the_embedding_is_refused(random_model: Any, folder: Path) -> None:
    random_model("gpt2", words=[*WORDS, "more"]).tokenizer.save_pretrained(folder)
    for init in ("pretrained", "random"):
        assert "has 19 tokens and its embedding only 18" in refusal(folder, init=init)


BERT = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "hidden_size": 16}


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_an_encoder_without_a_head_gives_every_answer_the_same_probability(
    random_model: Any, tmp_path: Path, init: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A masked language model has another head, and its body is read as it is."""
    masked = BertForMaskedLM(BertConfig(vocab_size=18, **BERT))
    masked.save_pretrained(tmp_path)
    random_model("gpt2").tokenizer.save_pretrained(tmp_path)
    capfd.readouterr()
    lm, again = load(str(tmp_path), init=init), load(str(tmp_path), init=init)
    assert capfd.readouterr() == ("", "") and lm.weights_hash == again.weights_hash
    half = torch.full((2, 2), 0.5).log()
    torch.testing.assert_close(score_answers(lm, PROMPTS, ANSWERS), half)
    body = {k: v for k, v in lm.model.state_dict().items() if k.startswith("bert.e")}
    same = [torch.equal(v, masked.state_dict()[k]) for k, v in body.items()]
    assert len(same) > 10 and (all(same) if init == "pretrained" else not all(same))


@pytest.mark.parametrize("labels", [1, 3])
def test_a_head_of_other_labels_is_laid_aside(random_model: Any, tmp_path: Path, labels: int) -> None:
    RobertaForSequenceClassification(
        RobertaConfig(vocab_size=18, num_labels=labels, pad_token_id=0, **BERT)
    ).save_pretrained(tmp_path)
    random_model("gpt2").tokenizer.save_pretrained(tmp_path)
    scores = score_answers(load(str(tmp_path)), PROMPTS, ANSWERS)
    torch.testing.assert_close(scores, torch.full((2, 2), 0.5).log())


def test_an_encoder_counts_its_places_from_its_padding(random_model: Any, tmp_path: Path) -> None:
    """Of 12 places RoBERTa with padding 0 has 11, whatever its tokenizer says."""
    config = RobertaConfig(vocab_size=18, pad_token_id=0, max_position_embeddings=12, **BERT)
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    random_model("gpt2").tokenizer.save_pretrained(tmp_path)
    lm = load(str(tmp_path))
    assert score_answers(lm, ["a " * 11], ANSWERS).isfinite().all()
    with pytest.raises(UserError, match="prompt 0 has 12 tokens; the model takes at most 11"):
        score_answers(lm, ["a " * 12], ANSWERS)


def test_an_encoder_decoder_says_how_answers_begin(random_model: Any, tmp_path: Path) -> None:
    lm = random_model("t5")
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for config_of_one in (
        {**config, "decoder_start_token_id": None},
        {k: v for k, v in config.items() if "start" not in k},
    ):
        (tmp_path / "config.json").write_text(json.dumps(config_of_one))
        (tmp_path / "generation_config.json").unlink(missing_ok=True)
        assert "no decoder_start_token_id" in refusal(tmp_path)


def test_an_encoder_lacks_nothing_of_its_body(random_model: Any, tmp_path: Path) -> None:
    BertForMaskedLM(BertConfig(vocab_size=18, **BERT)).save_pretrained(tmp_path)
    random_model("gpt2").tokenizer.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["bert.encoder.layer.0.output.dense.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert "lack bert.encoder.layer.0.output.dense.weight" in refusal(tmp_path)


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_what_reads_ahead_is_no_causal_model(
    random_model: Any, tmp_path: Path, init: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an encoder did whose configuration says that it is a decoder."""
    BertLMHeadModel(BertConfig(vocab_size=18, **BERT)).save_pretrained(tmp_path)
    random_model("gpt2").tokenizer.save_pretrained(tmp_path)
    monkeypatch.setattr("models.language_model.kind_of", lambda config: AutoModelForCausalLM)
    assert "no causal model" in refusal(tmp_path, init=init)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_broken_descriptions(folder: Path, name: str) -> None:
    (folder / name).write_text("{")
    assert str(folder) in refusal(folder)


def test_pickled_weights_are_refused(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert "safetensors" in refusal(folder)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path)
