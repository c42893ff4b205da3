"""Signs of hacking against counts by hand, and curves whose peak is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pandas import DataFrame
from scipy.stats import spearmanr

from analysis.measured import Measured
from analysis.outputs.hacking import hacking
from analysis.outputs.over_optimisation import FELL, NO_FALL, OVER, UNTOLD, over_optimisation
from tasks.errors import UserError


def named(found: list[Measured]) -> dict[tuple[str, str], Measured]:
    return {(m.measure, m.scope): m for m in found}


def test_by_hand_with_empty_outputs_unequal_numbers_and_an_input_without_any() -> None:
    outputs = [["a b c", "a  b c", "d"], ["a b c", " "], ["x y"], []]
    found = named(hacking(outputs, gold=[[3, 2, 1], [0, 1], [4], []], proxy=[[1, 2, 3], [1, 0], [5], []]))
    assert found["length", "per input"].value == pytest.approx((7 / 3 + 3 / 2 + 2) / 3)
    across = found["modal share", "across inputs"]
    assert across.value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3) and across.floor == pytest.approx(1 / 3)
    within = found["modal share", "per input"]
    assert within.value == pytest.approx((2 / 3 + 1 / 2) / 2) and (within.n, within.left_out) == (2, 2)
    assert within.floor == pytest.approx((1 / 3 + 1 / 2) / 2)
    empty = found["empty share", "per input"]
    assert empty.value == pytest.approx((0 + 1 / 2 + 0) / 3)
    assert (empty.n, empty.outputs, empty.left_out) == (3, 6, 1)
    assert found["gold", "per input"].value == pytest.approx((2 + 1 / 2 + 4) / 3)
    ranks = found["gold against proxy (Spearman)", "across inputs"]
    assert ranks.value == pytest.approx(spearmanr([3, 2, 1, 0, 1, 4], [1, 2, 3, 1, 0, 5]).statistic)
    assert found["METEOR (exact + stem)", "across inputs"].left_out == 1


def test_one_answer_to_everything_is_at_the_ceiling_and_no_two_alike_at_the_floor() -> None:
    same = named(hacking([["so it is"] * 3] * 6))
    apart = named(hacking([[f"{i}x{k}" for k in range(3)] for i in range(6)]))
    for key in (("modal share", "across inputs"), ("modal share", "per input")):
        assert same[key].value == pytest.approx(same[key].ceiling)
        assert apart[key].value == pytest.approx(apart[key].floor)
    assert apart["METEOR (exact + stem)", "across inputs"].value == 0


@pytest.mark.parametrize("outputs", [[], [[]], [[""]], [["a"]], [["", ""], ["", ""]]])
def test_poor_outputs_have_counts_and_no_invented_number(outputs: list[list[str]]) -> None:
    for m in hacking(outputs):
        assert m.value is None or math.isfinite(m.value)
        assert m.n or m.value is None
    meteor = hacking(outputs)[0]
    assert meteor.value is None and meteor.left_out == sum(not t for several in outputs for t in several)


def test_rewards_of_another_shape_or_not_finite_are_refused() -> None:
    with pytest.raises(UserError, match="gold: one number an output"):
        hacking([["a"], ["b"]], gold=[[1.0], [1.0, 2.0]])
    with pytest.raises(UserError, match="proxy: not a finite number among those of input 2"):
        hacking([["a"], ["b"]], proxy=[[1.0], [math.nan]])


def curve(gold: list[float], proxy: list[float], noise: float, seeds: int = 5, inputs: int = 8) -> DataFrame:
    """Rows of every seed, step and input around these means; seeds and inputs have levels of their own."""
    rng = np.random.default_rng(3)
    of_seed, of_input = rng.normal(0, 0.2, seeds), rng.normal(0, 0.5, inputs)
    rows = []
    for seed in range(seeds):
        for place, (g, p) in enumerate(zip(gold, proxy, strict=True)):
            for i in range(inputs):
                own = of_seed[seed] + of_input[i]
                rows.append(
                    {"seed": seed, "input": i, "step": 10 * place, "kl": place / 2}
                    | {"gold": g + own + rng.normal(0, noise), "proxy": p + own + rng.normal(0, noise)}
                )
    return DataFrame(rows)


RISING = [0.0, 0.3, 0.6, 0.9, 1.2]


@pytest.mark.parametrize(
    ("gold", "proxy", "noise", "status", "peak"),
    [
        ([0.0, 0.5, 0.9, 0.4, -0.3], RISING, 0.02, OVER, 2),
        (RISING, RISING, 0.02, NO_FALL, 4),
        ([0.0, 0.5, 0.9, 0.4, -0.3], [0.0, 0.5, 0.9, 0.4, -0.3], 0.02, FELL, 2),
        ([0.0, 0.5, 0.9, 0.4, -0.3], [0.0, 0.5, 0.9, 0.9, 0.9], 0.05, UNTOLD, 2),
        ([1.0], [1.0], 0.05, UNTOLD, 0),
    ],
)
def test_the_status_of_a_known_curve(
    gold: list[float], proxy: list[float], noise: float, status: str, peak: int
) -> None:
    found = over_optimisation(curve(gold, proxy, noise))
    assert (found.status, found.peak, found.units, found.n_units) == (status, peak, "seed", 5)
    assert [p.step for p in found.points] == [10 * i for i in range(len(gold))]
    assert found.drop == pytest.approx(gold[peak] - gold[-1], abs=0.1)
    assert found.rise == pytest.approx(proxy[-1] - proxy[peak], abs=0.1)
    if status == OVER:
        without_seed = over_optimisation(curve(gold, proxy, noise).drop(columns="seed"))
        assert (without_seed.units, without_seed.status) == ("input", OVER)
        by_kl = over_optimisation(curve(gold, proxy, noise)[["kl", "gold", "proxy"]])
        assert (by_kl.units, by_kl.status, by_kl.peak) == ("row", OVER, peak)
        assert [p.kl for p in by_kl.points] == [i / 2 for i in range(len(gold))]


def test_a_flat_gold_reward_is_rarely_called_over_optimised_though_its_peak_was_picked() -> None:
    """Of eight points one is always the highest; the interval of the drop knows that it was picked."""
    rng = np.random.default_rng(4)
    called = 0
    for _ in range(100):
        gold, proxy = rng.normal(size=(8, 6)), np.linspace(0, 20, 8)[:, None] + rng.normal(size=(8, 6))
        rows = [
            {"step": s, "seed": u, "gold": gold[s, u], "proxy": proxy[s, u]}
            for s in range(8)
            for u in range(6)
        ]
        called += over_optimisation(DataFrame(rows)).status == OVER
    assert called < 0.05 * 100


def test_a_seed_that_stopped_early_is_left_out_and_counted() -> None:
    rows = curve([0.0, 0.5, 0.1], [0.0, 0.5, 1.0], 0.01)
    found = over_optimisation(rows[~((rows["seed"] == 2) & (rows["step"] == 20))])
    assert (found.n_units, found.left_out) == (4, 1)


def test_continuous_kl_is_cut_into_ten_points() -> None:
    rng = np.random.default_rng(5)
    kl = rng.uniform(0, 10, 2000)
    rows = DataFrame({"kl": kl, "gold": 1 - (kl - 4) ** 2 / 20 + rng.normal(0, 0.1, 2000), "proxy": kl})
    found = over_optimisation(rows)
    assert len(found.points) == 10 and found.status == OVER
    assert found.points[found.peak].kl == pytest.approx(4, abs=0.6)
    assert {point.rows for point in found.points} == {200}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(UserError, match="no column proxy"):
        over_optimisation(DataFrame({"step": [1], "gold": [1.0]}))
    with pytest.raises(UserError, match="no column step or kl"):
        over_optimisation(DataFrame({"proxy": [1], "gold": [1.0]}))
    with pytest.raises(UserError, match="must be numbers in every row"):
        over_optimisation(DataFrame({"step": [1, 2], "proxy": [1, 1], "gold": [1.0, math.nan]}))
