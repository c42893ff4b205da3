"""Claims on problems of length, from studies whose differences are known."""

from __future__ import annotations

import math

import pytest
from pandas import Series
from scipy import stats

from analysis.papers.lengths import (
    MIN,
    MODE,
    ONLINE,
    chosen_rates,
    comparisons,
    differences,
    length_claims,
    results_table,
    run_table,
)
from analysis.statistics.decisions import OPPOSITE, SAME, SMALL, UNKNOWN
from analysis.statistics.seeds import paired
from tests.analysis.simulated_lengths import record, simulated, study_of


def test_differences_are_those_put_in_although_seeds_differ_more() -> None:
    claims = {(row["claim"], row["statistic"]): row for row in length_claims(simulated())}
    best = "on-policy DPO is best: online-dpo over {}, {}"
    for other, problem, value, word in (
        ("dpo", "skew-length", 4.0, SAME),
        ("dpo", "min-length", 0.0, SMALL),
        ("ppo", "min-length", 4.0, SAME),
        ("dpo", "mode-length", 0.1, SMALL),
    ):
        named = best.format(other, problem)
        row = claims.get((named, "end")) or claims["online-dpo over dpo, skew-length", "end"]
        assert row["value"] == pytest.approx(value, abs=0.4) and row["low"] < value < row["high"]
        assert row["status"] == word and row["n"] == 6
        assert claims[named, "along"]["value"] == pytest.approx(row["value"])
    worse = next(row for (name, _), row in claims.items() if name.startswith("off-policy DPO is worse"))
    assert worse["value"] == pytest.approx(4.0, abs=0.5)
    primary = [row for row in length_claims(simulated()) if row["primary"]]
    assert len(primary) == 1 and primary[0]["claim"] == "online-dpo over dpo, skew-length"
    assert primary[0]["paper"] == "10" and math.isnan(primary[0]["p_holm"])


def test_every_comparison_is_a_difference() -> None:
    """So that what all methods share, on a problem and seed, falls out."""
    for comparison in comparisons():
        for problem in {problem for problem, _ in comparison.terms}:
            assert sum(sign for (where, _), sign in comparison.terms.items() if where == problem) == 0
    assert len({comparison.name for comparison in comparisons()}) == len(comparisons())
    assert all(online.startswith("online-") for online in ONLINE)


def test_the_interval_is_that_of_the_t_test() -> None:
    values = Series([0.3, 1.2, -0.4, 0.9, 2.0])
    mean, low, high, p, _ = paired(values)
    theirs = stats.ttest_1samp(values, 0)
    assert (mean, p) == pytest.approx((values.mean(), theirs.pvalue))
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert math.isnan(paired(Series([1.0]))[1]) and paired(Series([1.0]))[0] == 1.0


def test_a_seed_that_lacks_a_run_is_in_no_difference() -> None:
    rows = [record(MIN, "dpo", seed, step, -3.0) for seed in (0, 1) for step in (0, 8)]
    rows += [record(MIN, "ppo", seed, step, -1.0) for seed in (1, 2) for step in (0, 8)]
    found = differences(run_table(study_of(rows)), {(MIN, "ppo"): 1, (MIN, "dpo"): -1}, "end")
    assert found.to_dict() == {1: 2.0}


def test_one_seed_cannot_tell_and_an_opposite_is_told() -> None:
    assert {row["status"] for row in length_claims(simulated(seeds=1))} == {UNKNOWN}
    turned = simulated()
    turned.texts["reward"] *= -1
    assert next(row["status"] for row in length_claims(turned) if row["primary"]) == OPPOSITE


def test_failed_runs_are_left_out() -> None:
    rows = [record(MIN, "dpo", 0, step, -3.0) for step in (0, 8)]
    rows.append(record(MIN, "ppo", 0, 0, math.nan, status="failed"))
    assert list(results_table(study_of(rows))["method"]) == ["dpo"]


def test_the_rate_is_that_of_the_highest_learned_reward_and_of_equals_the_smallest() -> None:
    learned = {"dpo": {1e-4: 0.2, 3e-4: 1.0, 1e-3: 0.7}, "ppo": {1e-4: 0.995, 3e-4: 1.0, 1e-3: 0.9}}
    rows = [
        record(task, method, 0, 8, -1.0, learning_rate=rate, reward_learned=value + shift)
        for method, rates in learned.items()
        for rate, value in rates.items()
        for task, shift in ((MIN, 0.1), (MODE, -0.1))
    ]
    assert chosen_rates(study_of(rows)) == {"dpo": 3e-4, "ppo": 1e-4}
