"""Text classifiers by name: probabilities of one label, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from models import sentiment_scores
from tasks import Evidence, get_task, include, registry
from tasks.english import sentiment
from tasks.english.review_words import QUALITIES, VERDICTS
from tasks.errors import UserError

WORDS = [word for words in (*QUALITIES, *VERDICTS) for word in words]
TEXTS = ["superb", "the plot was dull and i hated it", "", "zyzzyva " * 7, "i loved it"]
OWN = """
from dataclasses import replace
from models import sentiment_scores
from tasks import get_task, task

@task("mine/dollar-vs-hash-bert")
def own():
    pair = get_task("reviews/dollar-vs-hash:answers=sentiment")
    answers = replace(pair.answers, positive=sentiment_scores({folder!r}))
    return replace(pair, name="mine/dollar-vs-hash-bert", answers=answers)
"""
NAMES = {0: "NEGATIVE", 1: "POSITIVE"}


def tokenizer_of(pad: str | None) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *WORDS])}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token=pad, eos_token="<eos>", unk_token="<unk>", model_max_length=16
    )


def bert(**options: Any) -> BertConfig:
    size: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    size |= {"intermediate_size": 16, "max_position_embeddings": 16, "vocab_size": len(WORDS) + 3}
    return BertConfig(**size, **options)


def saved(folder: Path, shape: str = "bert", **options: Any) -> str:
    """A classifier of random weights, wide enough that it tells texts apart."""
    torch.manual_seed(0)
    if shape == "bert":
        model: Any = BertForSequenceClassification(bert(**options))
    else:
        size: dict[str, Any] = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
        size |= {"bos_token_id": 1, "eos_token_id": 1}
        model = GPT2ForSequenceClassification(GPT2Config(vocab_size=len(WORDS) + 3, **size, **options))
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)
    tokenizer_of("<pad>" if shape == "bert" else None).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("shape", ["bert", "gpt2"])
def test_scores_are_the_model_s_probabilities_and_depend_on_no_other_text(shape: str, tmp_path: Path) -> None:
    scores = sentiment_scores(saved(tmp_path, shape, id2label=NAMES), batch_size=2)
    together = scores(TEXTS)
    assert together == pytest.approx([scores([text])[0] for text in TEXTS], abs=1e-6)
    assert together[2] == 0.5
    assert len({round(p, 4) for p in together}) == len(TEXTS)
    for text, p in zip(TEXTS, together, strict=True):
        if text:
            ids = torch.tensor([scores.tokenizer(text)["input_ids"]])
            alone = scores.model(ids).logits.detach().softmax(-1)[0, 1]
            assert p == pytest.approx(float(alone), abs=1e-6)
    assert scores([]) == []


def test_two_labels_share_one_and_are_known_by_name_whatever_the_case(tmp_path: Path) -> None:
    folder = saved(tmp_path, id2label={0: "nothate", 1: "hate"})
    one, other = (sentiment_scores(folder, label)(TEXTS) for label in ("NotHate", "hate"))
    assert [p + q for p, q in zip(one, other, strict=True)] == pytest.approx([1.0] * len(TEXTS))


def test_a_text_that_is_too_long_is_cut(tmp_path: Path) -> None:
    scores = sentiment_scores(saved(tmp_path, id2label=NAMES))
    assert scores(["superb " * 16 + "dull"]) == scores(["superb " * 16])


def test_a_classifier_trained_on_continuations_rewards_those_of_a_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rng = saved(tmp_path, id2label=NAMES), np.random.default_rng(0)
    model, tokenizer = BertForSequenceClassification.from_pretrained(folder), tokenizer_of("<pad>")
    labels = torch.arange(64) % 2
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        texts = [sentiment.write(label, rng) for label in labels.tolist()]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        optimiser.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimiser.step()
    model.save_pretrained(folder)

    monkeypatch.setattr(registry, "_OWN", {})
    path = tmp_path / "own.py"
    path.write_text(OWN.format(folder=folder))
    include(path)
    task = get_task("mine/dollar-vs-hash-bert")
    rows = task.preferences(Evidence(), 200, rng)
    columns = {"prompts": rows["prompt"], "label": rows["label"]}
    assert np.mean(task.reward(completions=rows["chosen"], **columns)) > 0.98
    assert np.mean(task.reward(completions=rows["rejected"], **columns)) < 0.02
    read = np.array([task.answers.read(said) for said in rows["chosen"]])
    assert np.mean(read == rows["label"]) > 0.98


def refusal(folder: str | Path, *arguments: str) -> str:
    with pytest.raises(UserError) as error:
        sentiment_scores(str(folder), *arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_classifier_of_that_label_is_answered_in_one_line(tmp_path: Path) -> None:
    assert "cannot load model 'no/such-model'" in refusal("no/such-model")
    folder = saved(tmp_path / "good", id2label=NAMES)
    assert f"unknown label of {folder} 'POSITIV'; did you mean 'POSITIVE'" in refusal(folder, "POSITIV")
    headless = tmp_path / "headless"
    BertModel(bert()).save_pretrained(headless)
    tokenizer_of("<pad>").save_pretrained(headless)
    assert "its weights lack classifier.bias, classifier.weight" in refusal(headless)
    one = saved(tmp_path / "one", num_labels=1)
    assert "a classifier of two labels or more is needed; this one has 1" in refusal(one)
    many = saved(tmp_path / "many", id2label=NAMES, problem_type="multi_label_classification")
    assert "its labels do not exclude each other" in refusal(many)
