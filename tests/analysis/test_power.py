"""Stated power is what the test does on simulated studies; it grows with the effect and with families."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binom

from analysis.pairs.claims import claims
from analysis.pairs.power import power, power_of, power_of_pairs, rejected
from analysis.statistics.association import slope, spearman
from analysis.statistics.dyadic import dyads
from analysis.statistics.permutation import dyadic_permutation
from benchmarks.known_truth import dyadic_table
from tests.analysis.simulated_study import simulate


def design(families=14, pairs=40, seed=0):
    return dyads(dyadic_table(np.random.default_rng(seed), families, pairs))


def test_power_grows_with_the_effect_and_is_the_size_without_one():
    hits = rejected(design(), spearman, simulations=600)
    found = [hits(effect) for effect in (0.0, 0.3, 0.6, 0.9)]
    assert found == sorted(found) and found[-1] > 0.95 * 600 > found[1] > found[0]
    assert found[0] <= binom.ppf(0.9999, 600, 0.05)
    assert [hits(-effect) for effect in (0.3, 0.9)] == pytest.approx(found[1::2], abs=60), "two-sided"


def test_power_grows_with_families_and_what_is_detectable_falls():
    few, many = (power([design(families, 3 * families)], spearman, simulations=400) for families in (7, 28))
    assert many.low > few.high and many.detectable < few.detectable
    assert (few.families, few.pairs) == (7, 21)


@pytest.mark.parametrize("statistic", [spearman, slope])
def test_the_test_itself_rejects_as_often_as_stated(statistic):
    """Outcomes planted here, one by one, in the same design with the observed values of U."""
    data, rng, runs, effect = design(10, 30), np.random.default_rng(1), 250, 0.5
    data = dataclasses.replace(data, y=np.round(data.y, 1))
    stated = rejected(data, statistic, simulations=2000)(effect) / 2000
    x, found = (data.x - data.x.mean()) / data.x.std(), 0
    for i in range(runs):
        a, b = rng.normal(size=(2, 10))
        own = (a[data.target] + b[data.spurious] + 0.5 * rng.normal(size=len(x))) / 1.5
        order = np.argsort(np.argsort(effect * x + np.sqrt(1 - effect**2) * own))
        again = dataclasses.replace(data, y=np.sort(data.y)[order])
        found += dyadic_permutation(again, statistic, permutations=299, seed=i).p <= 0.05
    assert 0.1 < stated < 0.9
    assert abs(found / runs - stated) < 4 * np.sqrt(stated * (1 - stated) / runs)


def test_what_is_detectable_has_power_of_80_per_cent():
    found = power([design()], spearman)
    hits = rejected(design(), spearman, simulations=1000)
    assert hits(found.detectable) >= 800 > hits(found.detectable - 0.02)
    assert found.low <= hits(0.7) / 1000 <= found.high


def test_the_primary_test_of_a_study_has_a_power_and_too_few_families_have_none():
    rows = claims(simulate(pairs=30), permutations=99)
    found = power_of(rows[0])
    assert found is not None and found.families == rows[0].estimate.n_families
    assert power_of(claims(simulate(pairs=3), permutations=99)[0]) is None
    control = next(
        row
        for row in claims(simulate(arms=("main", "random_reward")), permutations=99)
        if row.claim == "control"
    )
    assert power_of(control) is None, "it permutes no families"


def test_before_a_run_power_is_that_of_the_pairs_drawn():
    pairs = dyadic_table(np.random.default_rng(0), 20, 60)[["target_family", "spurious_family"]]
    whole, part = power_of_pairs(pairs), power_of_pairs(pairs[:15])
    assert whole.pairs == 60 and part is not None and whole.power > part.high
    assert power_of_pairs(pairs[:4]) is None
