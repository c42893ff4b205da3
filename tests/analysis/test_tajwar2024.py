"""Takeaways on made-up runs whose differences are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pandas import DataFrame, Series
from scipy import stats

from analysis.papers.tajwar2024 import Takeaway, chosen_rates, paired, takeaways
from analysis.primary import signed
from analysis.records import COLUMNS, POINTS, Study, frame

EMPTY = {"str": "", "int": 0, "float": 0.0, "bool": False}


def made_up(cells: dict[tuple[str, str, int, int], float], seeds: int = 20, noise: float = 0.01) -> Study:
    """A study whose cells (problem, method, batches, reuse) have these rewards, give or take a noise."""
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.2, seeds)
    bandits, points = [], []
    for number, ((problem, method, batches, reuse), reward) in enumerate(cells.items()):
        for seed in range(seeds):
            key, value = f"{number:016x}", reward + shared[seed] + rng.normal(0, noise)
            told = {"key": key, "seed": seed, "reward": value}
            cell = {"problem": problem, "method": method, "batches": batches, "reuse": reuse, "status": "ok"}
            whole = {name: EMPTY[kind] for name, kind in COLUMNS["bandit"].items()}
            trials = {"learning_rate": 0.1, "rates": "0.1 0.2 0.3", "development": "1 0 0"}
            bandits.append(whole | told | cell | trials | {"steps": 100, "queries": 1000 // reuse})
            point = {name: EMPTY[kind] for name, kind in POINTS.items()}
            for step in (0, 50, 100):
                at = {"step": step, "queries": 10 * step // reuse, "reward": value * step / 100}
                points.append(point | told | at)
    primary = {"claim": "fewer batches a round", "problem": "sequence/R1"}
    none = DataFrame()
    return Study("made-up", {**signed(primary), "definition": {}}, none, none, none, [], none,
                 frame(bandits, COLUMNS["bandit"]), frame(points, POINTS))  # fmt: skip


BON, PPO = "online-bon-distillation", "ppo-clip"


def found(study: Study) -> dict[tuple[str, str], Takeaway]:
    return {(row.claim, row.problem): row for row in takeaways(study)}


def test_the_interval_and_p_are_those_of_a_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.1, 1, 15), rng.normal(0, 1, 15)
    mean, low, high, p, n = paired(Series(a - b))
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert (mean, p, n) == (pytest.approx((a - b).mean()), pytest.approx(expected.pvalue), 15)
    assert (low, high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert math.isnan(paired(Series([0.3]))[1])


@pytest.mark.parametrize(
    ("difference", "noise", "word"),
    [
        (0.3, 0.01, "same direction"),
        (-0.3, 0.01, "opposite"),
        (0.001, 0.01, "too small to matter"),
        (0.05, 0.5, "cannot be told"),
    ],
)
def test_each_word_has_its_difference(difference: float, noise: float, word: str) -> None:
    cells = {("sequence/R1", BON, 1, 1): 0.5 + difference, ("sequence/R1", BON, 50, 1): 0.5}
    first = takeaways(made_up(cells, noise=noise))[0]
    assert first.primary and first.n == 20 and math.isnan(first.p_holm)
    assert first.status == word
    assert first.low <= first.value <= first.high


def test_equal_queries_set_fewer_steps_of_one_pass_beside_all_steps_of_two() -> None:
    cells = {("arms/R1", BON, 1, 1): 0.8, ("arms/R1", BON, 1, 2): 0.6, ("arms/R1", BON, 1, 20): 0.3}
    rows = found(made_up(cells, noise=1e-6))
    steps = rows[f"reuse twice, {BON}", "arms/R1"]
    queries = rows[f"reuse twice, {BON}, equal queries", "arms/R1"]
    assert steps.status == "opposite" and steps.value == pytest.approx(-0.2, abs=1e-3)
    # After as many queries, one pass has half of its reward (the made-up curves are straight lines).
    study = made_up(cells, noise=1e-6)
    once = study.bandits[(study.bandits["reuse"] == 1)].set_index("seed")["reward"]
    twice = study.bandits[(study.bandits["reuse"] == 2)].set_index("seed")["reward"]
    assert queries.value == pytest.approx(float((twice - once / 2).mean()), abs=1e-3)
    assert queries.status == "same direction"
    assert rows[f"much reuse hurts, {BON}", "arms/R1"].status == "same direction"


def test_where_the_peak_is_far_is_a_difference_of_differences() -> None:
    cells = {
        (f"arms/{r}", BON, b, 1): 0.5 + gain * (b == 1)
        for r, gain in (("R1", 0.4), ("R2", 0.1))
        for b in (1, 9)
    }
    rows = found(made_up(cells))
    far = rows["fewer batches a round, far peak", "arms"]
    assert far.value == pytest.approx(0.3, abs=0.02) and far.status == "same direction"


def test_a_primary_comparison_without_runs_cannot_be_told() -> None:
    first = takeaways(made_up({("arms/R1", BON, 1, 1): 0.5}))[0]
    assert first.primary and first.n == 0 and first.status == "cannot be told"
    assert first.problem == "sequence/R1"


def test_rates_at_an_edge_of_the_trials_are_said() -> None:
    study = made_up({("arms/R1", BON, 1, 1): 0.5, ("arms/R1", PPO, 1, 1): 0.5})
    study.bandits.loc[study.bandits["method"] == PPO, "learning_rate"] = 0.2
    assert dict(zip(chosen_rates(study)["method"], chosen_rates(study)["edge"], strict=True)) == {
        BON: True,
        PPO: False,
    }
