import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from analysis.pairs.evidence_needed import evidence_needed, isotonic, ordinal_scores
from analysis.statistics.decisions import equivalence, holm, status

LEVELS = [0.0, 0.01, 0.1, 0.5]
uses = st.lists(st.integers(0, 10).map(lambda k: k / 10), min_size=4, max_size=4)


@settings(deadline=None)
@given(uses, st.lists(st.integers(1, 3), min_size=4, max_size=4))
def test_isotonic_fit_is_the_best_of_all_non_increasing_step_functions(U, runs):
    """Brute force: the optimum averages blocks of neighbours, so try every way to cut into blocks."""
    U, w = np.array(U), np.array(runs, float)
    best = math.inf
    for cuts in itertools.product([False, True], repeat=3):
        block = np.cumsum([0, *cuts])
        fit = np.array([np.average(U[block == b], weights=w[block == b]) for b in block])
        if (np.diff(fit) <= 1e-12).all():
            best = min(best, float((w * (U - fit) ** 2).sum()))
    fit = isotonic(LEVELS, U, w)
    assert (np.diff(fit) <= 1e-12).all()
    assert (w * (U - fit) ** 2).sum() == pytest.approx(best, abs=1e-9)


@given(uses)
def test_the_crossing_brackets_where_the_fit_falls_to_a_half(U):
    need, fit = evidence_needed(LEVELS, U), isotonic(LEVELS, U)
    enough = [level for level, value in zip(LEVELS, fit, strict=True) if value <= 0.5 + 1e-12]
    short = [level for level, value in zip(LEVELS, fit, strict=True) if value > 0.5 + 1e-12]
    assert need.low == (max(short) if short else -math.inf)
    assert need.high == (min(enough) if enough else math.inf)
    assert need.censored == ("" if short and enough else "right" if short else "left")


def test_the_order_of_levels_and_levels_without_a_learnt_run():
    assert evidence_needed([0.5, 0.0, 0.1], [0.0, 1.0, 0.9]) == evidence_needed(
        [0.0, 0.1, 0.5], [1.0, 0.9, 0.0]
    )
    hole = evidence_needed(LEVELS, [1.0, math.nan, 0.2, 0.0])
    assert (hole.low, hole.high) == (0.0, 0.1)
    assert math.isnan(evidence_needed(LEVELS, [math.nan] * 4).low)
    single = evidence_needed([0.0], [0.9])
    assert (single.low, single.high, single.censored) == (0.0, math.inf, "right")


def test_scores_are_ranks_where_intervals_do_not_overlap_and_silent_where_they_do():
    low = np.array([-math.inf, 0.0, 0.1, 0.5])
    high = np.array([0.0, 0.1, 0.5, math.inf])
    assert list(ordinal_scores(low, high)) == [-1.0, -1 / 3, 1 / 3, 1.0]
    wide = ordinal_scores([-math.inf, 0.0, 0.0], [0.0, 0.5, 0.1])
    assert wide[1] == wide[2] == 0.5 and wide[0] == -1.0
    unknown = ordinal_scores([math.nan, 0.0, 0.1], [math.nan, 0.1, 0.5])
    assert math.isnan(unknown[0]) and list(unknown[1:]) == [-1.0, 1.0]


intervals = st.tuples(st.floats(-1, 1), st.floats(0, 1)).map(lambda t: (t[0], t[0] + t[1]))


@given(intervals, st.floats(0, 1), st.floats(0.01, 0.5))
def test_status_mirrors_and_is_exclusive(interval, p, smallest):
    low, high = interval
    mirror = {"same direction": "opposite", "opposite": "same direction"}
    word = status(low, high, p, smallest=smallest)
    assert status(-high, -low, p, smallest=smallest) == mirror.get(word, word)
    assert (word == "too small to matter") == (-smallest <= low and high <= smallest)
    if low <= 0 <= high or p >= 0.05:
        assert word in ("too small to matter", "cannot be told")


def test_no_interval_no_verdict():
    assert status(math.nan, math.nan, 0.0, smallest=1.0) == "cannot be told"
    assert equivalence(math.nan, math.nan) == "cannot be told"


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.45, 0.58, "too small to matter"),
        (0.41, 0.61, "cannot be told"),
        (0.62, 0.8, "cannot be told"),
        (0.1, 0.9, "cannot be told"),
    ],
)
def test_equivalence_asks_for_the_whole_interval(low, high, word):
    assert equivalence(low, high) == word


@settings(max_examples=15, deadline=None)  # statsmodels collects garbage at every call, 0.2 s
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_statsmodels_and_ignores_what_is_no_test(p):
    expected = list(multipletests(p, method="holm")[1])
    assert holm(p) == pytest.approx(expected)
    with_hole = holm([math.nan, *p])
    assert math.isnan(with_hole[0]) and with_hole[1:] == pytest.approx(expected)
