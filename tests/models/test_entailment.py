"""An NLI model by its folder: labels by their names, pairs in any order and company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from models.entailment import nli_of
from tasks import UserError
from tests.models.conftest import WORDS, word_tokenizer

PREMISES = ["amber birch", "coral", "amber coral delta a b c d e f", "birch"]
HYPOTHESES = ["birch", "coral delta", "amber", "b a"]


def saved(folder: Path, labels: list[str]) -> str:
    tokenizer = word_tokenizer(WORDS)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12, pad_token_id=0,
        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = BertForSequenceClassification(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(8)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_columns_are_told_by_the_names_of_the_labels(tmp_path: Path) -> None:
    one = nli_of(saved(tmp_path / "one", ["CONTRADICTION", "NEUTRAL", "ENTAILMENT"]))(PREMISES, HYPOTHESES)
    other = nli_of(saved(tmp_path / "other", ["entailment", "contradiction", "neutral"]))(
        PREMISES, HYPOTHESES
    )
    raw = one[:, [2, 1, 0]]  # by number of the label, of the same weights
    assert other == pytest.approx(raw[:, [0, 2, 1]], abs=1e-6)
    assert one.sum(axis=1) == pytest.approx(np.ones(4))
    assert np.ptp(one, axis=0).max() > 0.05  # the model tells pairs apart


def test_padding_batches_and_order_play_no_part(tmp_path: Path) -> None:
    name = saved(tmp_path / "m", ["contradiction", "neutral", "entailment"])
    alone = nli_of(name, batch_size=1)(PREMISES, HYPOTHESES)
    assert nli_of(name)(PREMISES[::-1], HYPOTHESES[::-1])[::-1] == pytest.approx(alone, abs=1e-5)
    assert not np.allclose(nli_of(name)(HYPOTHESES, PREMISES), alone, atol=1e-3)


def test_it_is_the_models_own_answer_to_a_pair(tmp_path: Path) -> None:
    name = saved(tmp_path / "m", ["contradiction", "neutral", "entailment"])
    model = BertForSequenceClassification.from_pretrained(name)
    ids = word_tokenizer(WORDS)("amber birch birch", return_tensors="pt")["input_ids"]
    expected = model.eval()(input_ids=ids).logits.softmax(-1)[0].detach().numpy()
    assert nli_of(name)(["amber birch"], ["birch"])[0] == pytest.approx(expected[[2, 1, 0]], abs=1e-5)


@pytest.mark.parametrize("labels", [["LABEL_0", "LABEL_1", "LABEL_2"], ["entailment", "not_entailment"]])
def test_a_classifier_of_something_else_is_told(tmp_path: Path, labels: list[str]) -> None:
    with pytest.raises(
        UserError, match=r"is no NLI model: its labels are .*entailment, neutral and contradiction"
    ):
        nli_of(saved(tmp_path / "m", labels))


def test_a_folder_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load model") as error:
        nli_of(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)
