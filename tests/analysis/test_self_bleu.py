"""Self-BLEU against sacrebleu itself, each text against all others of its set."""

from __future__ import annotations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from analysis.outputs.self_bleu import self_bleu

TEXTS = st.lists(
    st.lists(st.sampled_from(["a", "b", "cat", "it's", "U.S.", "1,000.5", "x-y", "&quot;", "<skipped>", "!"]),
             min_size=1, max_size=9).map(" ".join),
    min_size=2, max_size=6,
)  # fmt: skip


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_it_is_sacrebleu_of_each_text_against_the_others(outputs: list[list[str]]) -> None:
    texts = [text for each in outputs for text in each]
    sets = np.repeat(np.arange(len(outputs)), [len(each) for each in outputs])
    expected = [
        np.mean([sacrebleu.sentence_bleu(t, each[:i] + each[i + 1 :]).score for i, t in enumerate(each)])
        for each in outputs
    ]
    assert self_bleu(texts)(sets, len(outputs))[0].tolist() == pytest.approx(expected, abs=1e-9)


@given(TEXTS, st.data())
def test_of_a_part_of_a_set_it_is_that_part_alone(texts: list[str], data: st.DataObject) -> None:
    keep = np.array([data.draw(st.booleans()) for _ in texts])
    part = [text for text, kept in zip(texts, keep, strict=True) if kept]
    found = self_bleu(texts)(np.where(keep, 0, -1), 1)
    if len(part) < 2:
        assert np.isnan(found[0, 0])
    else:
        assert found[:, 0].tolist() == self_bleu(part)(np.zeros(len(part), int), 1)[:, 0].tolist()


def test_floor_and_ceiling_are_those_of_copies_and_of_texts_that_share_nothing() -> None:
    same, apart = ["a b c d e"] * 3, ["a b c d", "e f g h", "i j k"]
    value, floor, _ = self_bleu(same)(np.zeros(3, int), 1)[:, 0]
    assert value == floor == pytest.approx(100)
    value, _, ceiling = self_bleu(apart)(np.zeros(3, int), 1)[:, 0]
    assert value == ceiling == 0
