"""EAD and distinct-n against their formulas, written out for one set at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.outputs.diversity import KIRK, diversity, vocabulary_of
from analysis.outputs.ngrams import ORDERS, ead
from analysis.stage_schema import ACROSS, PER_INPUT

WORDS = st.lists(st.sampled_from("abc"), min_size=1, max_size=7).map(" ".join)
SETS = st.lists(st.lists(WORDS, min_size=2, max_size=5), min_size=2, max_size=4)


def value_of(
    outputs: Sequence[Sequence[str]], measure: str, scope: str = PER_INPUT, **options: object
) -> float:
    (found,) = [m for m in diversity(outputs, measures=[measure], resamples=1, **options) if m.scope == scope]  # type: ignore[arg-type]
    assert found.value is not None
    return found.value


def grams(texts: Sequence[Sequence[str]], n: int) -> list[tuple[str, ...]]:
    return [tuple(text[i : i + n]) for text in texts for i in range(len(text) - n + 1)]


def by_hand(outputs: Sequence[str], measure: str, vocabulary: int) -> float:
    """The formula for one set, n-gram by n-gram."""
    texts, values = [text.split() for text in outputs], []
    for n in ORDERS:
        found = grams(texts, n)
        if found:
            possible = vocabulary**n
            expected = possible * (1 - (1 - 1 / possible) ** len(found)) if measure == "ead" else len(found)
            values.append(len(set(found)) / expected)
    return sum(values) / len(values)


@pytest.mark.parametrize(("draws", "vocabulary"), [(1, 2), (3, 2), (4, 3), (6, 2)])
def test_a_uniform_draw_has_an_expected_ead_of_exactly_one(draws: int, vocabulary: int) -> None:
    sequences = np.stack(np.meshgrid(*[range(vocabulary)] * draws), -1).reshape(-1, draws)
    different = np.array([len(set(row)) for row in sequences.tolist()])
    assert ead(different, np.full(len(different), draws), vocabulary).mean() == pytest.approx(1, abs=1e-12)


def test_ead_of_sets_small_enough_to_count() -> None:
    # a b, a a: unigrams a b of 4, V = 2; bigrams ab aa of 2, 4 possible ones; no longer ones.
    expected = (2 / (2 * (1 - (1 / 2) ** 4)) + 2 / (4 * (1 - (3 / 4) ** 2))) / 2
    assert value_of([["a b", "a a"]], "ead") == pytest.approx(expected, abs=1e-12)
    assert value_of([["a", "a"]], "ead") == pytest.approx(1.0, abs=1e-12)  # of one word there is one n-gram


def test_outputs_that_use_every_word_there_is_are_on_the_ceiling_of_ead() -> None:
    found = diversity([["a", "b", "a", "b", "b"]], measures=["ead"], vocabulary=2)[0]
    assert found.value == found.ceiling == pytest.approx(1 / (1 - 0.5**5))


@settings(max_examples=50)
@given(SETS)
def test_ead_and_distinct_n_are_their_formulas(outputs: list[list[str]]) -> None:
    v = vocabulary_of(outputs)
    for measure in ("ead", "distinct-n"):
        each = np.mean([by_hand(texts, measure, v) for texts in outputs])
        assert value_of(outputs, measure) == pytest.approx(each, abs=1e-9)
        across = by_hand([texts[0] for texts in outputs], measure, v)
        assert value_of(outputs, measure, ACROSS) == pytest.approx(across, abs=1e-9)


def test_distinct_of_one_length_is_its_share_and_inputs_too_short_for_it_are_left_out() -> None:
    outputs = [["a b a", "b a"], ["a", "b"]]
    (per_input, _) = diversity(outputs, measures=["distinct-2"], resamples=1)
    assert (per_input.value, per_input.n, per_input.outputs, per_input.left_out) == (2 / 3, 1, 2, 2)


@settings(max_examples=50)
@given(SETS)
def test_the_published_ead_has_its_own_words_vocabulary_and_zeros(outputs: list[list[str]]) -> None:
    def published(texts: Sequence[str]) -> float:
        total = 0.0
        for n in range(1, 6):
            found = grams([text.replace(".", "").replace("\n", "").split() for text in texts], n)
            if found:
                total += len(set(found)) / (50257 * (1 - ((50257 - 1) / 50257) ** len(found)))
        return total / 5

    written = [[text.replace("b", "b.\nc .") for text in texts] for texts in outputs] + [["", ""]]
    found = {m.scope: m for m in diversity(written, compat="kirk2024", resamples=1) if m.measure == KIRK}
    per_input = np.mean([published(texts) for texts in written])
    assert found[PER_INPUT].value == pytest.approx(per_input, rel=1e-6)
    assert found[ACROSS].value == pytest.approx(published([texts[0] for texts in written]), rel=1e-6)
    assert found[PER_INPUT].left_out == 0 and found[PER_INPUT].n == len(written)


def test_the_published_ead_of_long_texts_leaves_its_range_and_ours_does_not() -> None:
    rng = np.random.default_rng(0)
    texts = [[" ".join(rng.choice(list("abcdefghij"), 500)) for _ in range(16)]]
    assert value_of(texts, "ead") == pytest.approx(1, abs=0.02)  # drawn uniformly
    assert value_of(texts, "ead (kirk2024)") < 0.8


@settings(max_examples=50)
@given(SETS)
def test_no_set_is_below_its_floor_or_above_its_ceiling(outputs: list[list[str]]) -> None:
    for measure in diversity(outputs, compat="kirk2024", resamples=1):
        if measure.floor is not None and measure.ceiling is not None and measure.value is not None:
            least, most = sorted([measure.floor, measure.ceiling])
            assert least - 1e-9 <= measure.value <= most + 1e-9, measure


def test_distinct_n_is_ead_without_a_bound_on_words() -> None:
    assert ead(np.array([3]), np.array([7]), math.inf) == pytest.approx(3 / 7)
    assert ead(np.array([3]), np.array([7]), 1e9) == pytest.approx(3 / 7, rel=1e-6)
    assert np.isnan(ead(np.array([0]), np.array([0]), 5.0)).all()
