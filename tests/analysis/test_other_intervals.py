"""Intervals of the primary test by other ways."""

import math

from analysis.pairs.claims import claims
from analysis.pairs.other_intervals import DEFAULT, other_intervals
from analysis.statistics.association import spearman
from analysis.statistics.estimate import dyadic_jackknife, node_bootstrap
from tests.analysis.simulated_study import simulate


def test_they_are_of_the_primary_test_s_own_pairs():
    row = claims(simulate(families=12, pairs=40, levels=(0.0,)), permutations=199)[0]
    ways = {way["interval by"]: (way["low"], way["high"]) for way in other_intervals(row)}
    data = row.estimate.data
    assert ways.pop(DEFAULT) == (row.estimate.low, row.estimate.high)
    assert list(ways.values()) == [dyadic_jackknife(data, spearman), node_bootstrap(data, spearman)]
    assert all(low < row.estimate.value < high for low, high in ways.values())


def test_too_few_pairs_have_none_and_what_is_no_correlation_has_no_row():
    rows = claims(simulate(families=3, pairs=3, levels=(0.0,)), permutations=19)
    assert all(math.isnan(way["low"]) for way in other_intervals(rows[0]))
    assert [other_intervals(row) for row in rows if row.statistic in ("slope", "auc")] == [[], []]
    assert rows[0].statistic == "spearman"
