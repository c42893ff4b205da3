"""Cosine diversity against all pairs; how often an encoder is asked."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.outputs.diversity import diversity
from analysis.outputs.embedding import cosine_diversity, hashed_ngrams
from analysis.stage_schema import ACROSS, PER_INPUT
from tasks import UserError

SETS = st.lists(st.lists(st.sampled_from([*"abcdef"]), min_size=2, max_size=6), min_size=2, max_size=5)


def vectors(texts: list[str]) -> NDArray[np.float64]:
    """A fixed vector a text, of any length and sign."""
    return np.stack([np.random.default_rng(ord(t[0])).normal(size=5) * (1 + ord(t[0])) for t in texts])


@given(SETS)
def test_it_is_one_less_the_mean_cosine_of_all_pairs(outputs: list[list[str]]) -> None:
    def all_pairs(texts: list[str]) -> float:
        cosines = [
            float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for a, b in combinations(vectors(texts), 2)
        ]
        return 1 - sum(cosines) / len(cosines)

    found = {m.scope: m for m in diversity(outputs, measures=["cosine"], encode=vectors, resamples=1)}
    expected = sum(map(all_pairs, outputs)) / len(outputs)
    assert found[PER_INPUT].value == pytest.approx(expected, abs=1e-9)
    assert found[ACROSS].value == pytest.approx(all_pairs([each[0] for each in outputs]), abs=1e-9)


def test_each_different_text_is_encoded_once_for_both_scopes_and_all_intervals() -> None:
    asked: list[str] = []

    def counting(texts: list[str]) -> NDArray[np.float64]:
        asked.extend(texts)
        return vectors(texts)

    letters = [chr(200 + i) for i in range(90)]
    outputs = [[*letters[6 * i : 6 * i + 6], letters[0], " "] for i in range(15)]
    diversity(outputs, encode=counting)
    assert sorted(asked) == sorted(letters)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, sets = list("abcdefgh"), np.array([0, 0, 1, 1, -1, 0, 1, 1])
    whole = cosine_diversity(texts, vectors)(sets, 2)
    monkeypatch.setattr("analysis.outputs.embedding.HELD", 10)
    assert cosine_diversity(texts, vectors)(sets, 2) == pytest.approx(whole, abs=1e-12)


def test_vectors_at_right_angles_are_the_ceiling_and_equal_ones_the_floor() -> None:
    def axes(texts: list[str]) -> NDArray[np.float64]:
        return np.eye(len(texts))

    for outputs, at in (([list("abcd")] * 3, "ceiling"), ([["a"] * 4] * 3, "floor")):
        found = diversity(outputs, measures=["cosine"], encode=axes)[0]
        assert found.value == pytest.approx(getattr(found, at), abs=1e-12)


@pytest.mark.parametrize(
    ("array", "said"),
    [(np.ones(2), "one row a text"), (np.array([[1.0], [0.0]]), "'b'"), (np.array([[1.0], [np.nan]]), "'b'")],
)
def test_what_is_no_encoding_is_told(array: NDArray[np.float64], said: str) -> None:
    with pytest.raises(UserError, match=said):
        diversity([["a", "b"]], encode=lambda texts: array)


def test_hashed_ngrams_are_cosines_of_counts_of_up_to_three_words() -> None:
    a, b, c = hashed_ngrams(["x y z", "x y w", "p q r"], width=2**16)
    # x, y and x-y of the six n-grams of each are shared; x y z has none of p q r's.
    assert float(a @ b) == pytest.approx(3 / 6, abs=1e-6)
    assert float(a @ c) == 0
    assert float(a @ a) == pytest.approx(1, abs=1e-6)
