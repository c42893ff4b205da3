"""NLI diversity against its formula, with an oracle that reads a text as a set of facts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.outputs.diversity import diversity
from analysis.outputs.nli import PAIRS, _pairs, direction, nli_diversity
from analysis.stage_schema import ACROSS, PER_INPUT
from tasks import UserError

ENTAIL, NEUTRAL, CONTRADICT = np.eye(3)
SETS = st.lists(
    st.lists(
        st.lists(st.sampled_from(["a", "-a", "b", "-b", "c"]), min_size=1, max_size=3).map(" ".join),
        min_size=2,
        max_size=5,
    ),
    min_size=2,
    max_size=4,
)


def oracle(premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
    """A subset of the facts is entailed; a fact and its negation contradict, unless it is the same text."""

    def one(premise: str, hypothesis: str) -> NDArray[np.float64]:
        told, asked = set(premise.split()), set(hypothesis.split())
        if asked <= told:
            return ENTAIL
        against = any(f"-{fact}" in told or fact.removeprefix("-") in told - asked for fact in asked)
        return CONTRADICT if against else NEUTRAL

    return np.stack([one(*pair) for pair in zip(premises, hypotheses, strict=True)])


def score(a: str, b: str) -> float:
    both = np.concatenate([oracle([a], [b]), oracle([b], [a])])
    return float((both[:, 2] - both[:, 0]).sum())


@given(SETS)
def test_it_is_the_mean_over_pairs_of_both_directions(outputs: list[list[str]]) -> None:
    def all_pairs(texts: list[str]) -> float:
        return float(np.mean([score(a, b) for a, b in combinations(texts, 2)]))

    found = {m.scope: m for m in diversity(outputs, measures=["nli"], nli=oracle, resamples=1)}
    assert found[PER_INPUT].value == pytest.approx(sum(map(all_pairs, outputs)) / len(outputs), abs=1e-9)
    assert found[ACROSS].value == pytest.approx(all_pairs([each[0] for each in outputs]), abs=1e-9)


def test_equal_texts_are_the_floor_and_contradictory_ones_the_ceiling() -> None:
    for outputs, at in (([["a b"] * 3] * 2, "floor"), ([["a", "-a"]] * 2, "ceiling")):
        found = diversity(outputs, measures=["nli"], nli=oracle)[0]
        assert found.value == getattr(found, at)
    assert (found.floor, found.ceiling) == (-2, 2)


def test_each_pair_of_different_texts_is_read_once_each_way_in_one_call() -> None:
    calls: list[list[tuple[str, str]]] = []

    def counting(premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        calls.append(list(zip(premises, hypotheses, strict=True)))
        return oracle(premises, hypotheses)

    diversity([["a", "b", "a"], ["a", "b", "c"], ["c", "a", ""]], measures=["nli"], nli=counting)
    (asked,) = calls
    assert sorted(asked) == [(a, b) for a in "abc" for b in "abc"]


def test_of_many_texts_so_many_different_pairs_are_drawn_and_their_mean_is_near() -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["a", "-a", "b", "c", "d", "e"], 2)) + f" t{i}" for i in range(150)]
    asked: list[tuple[str, str]] = []

    def counting(premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        asked.extend((a, b) for a, b in zip(premises, hypotheses, strict=True) if a != b)
        return oracle(premises, hypotheses)

    sets = np.zeros(len(texts), int)
    found = nli_diversity(texts, counting, [sets], 0)(sets, 1)[0, 0]
    assert len(asked) == 2 * PAIRS and len(set(asked)) == 2 * PAIRS
    scores = np.array([score(a, b) for a, b in combinations(texts, 2)])
    assert found == pytest.approx(scores.mean(), abs=4 * scores.std() / np.sqrt(PAIRS))


def test_pairs_drawn_of_a_large_set_are_pairs_and_all_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = _pairs(np.arange(100_000), np.random.default_rng(0))
    assert ((drawn >= 0) & (drawn < 100_000)).all() and (drawn[:, 0] < drawn[:, 1]).all()
    monkeypatch.setattr("analysis.outputs.nli.PAIRS", 44)  # all of ten but one
    times = np.zeros((10, 10))
    for seed in range(200):
        np.add.at(times, tuple(_pairs(np.arange(10), np.random.default_rng(seed)).T), 1)
    assert times[np.triu_indices(10, 1)].min() >= 180 and np.tril(times).sum() == 0


def test_the_likeliest_label_counts_by_its_probability_and_a_tie_not_at_all() -> None:
    said = np.array(
        [[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.5, 0.0, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    )
    assert direction(said).tolist() == [-0.6, 0.7, 0, 0, 0]


def test_what_is_no_nli_model_is_told() -> None:
    for array in (np.ones((2, 3)), np.full((9, 3), 0.5), np.full((4, 2), 0.5)):
        with pytest.raises(UserError, match="three probabilities"):
            diversity([["a", "b"]], nli=lambda a, b, array=array: array)  # type: ignore[misc]
