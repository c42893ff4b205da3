"""What claims about SuperHF rest on: paths at the same KL, spread, fates, knees and peaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame, MultiIndex, Series

from analysis.stages.drop_from_peak import drop_from_peak
from analysis.stages.matched_kl import first_reach, matched_along, matched_swept
from analysis.stages.spread import fates, share_difference, spread_ratio
from analysis.stages.stage_pairs import points_table
from analysis.stages.sweeps import knee, knee_interval, swept
from tests.analysis.simulated_superhf import POLICIES, Truth, simulated

STEPS = st.lists(st.floats(0.01, 1), min_size=2, max_size=8)


@given(STEPS, st.data())
def test_on_a_rising_path_the_first_reach_is_interpolated(steps: list[float], data: st.DataObject) -> None:
    kl = np.cumsum([0.0, *steps])
    values = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=len(kl), max_size=len(kl))))
    at = data.draw(st.floats(0, float(kl[-1])))
    assert first_reach(kl, values, at) == pytest.approx(np.interp(at, kl, values), abs=1e-6)
    assert math.isnan(first_reach(kl, values, float(kl[-1]) + 0.1))
    assert math.isnan(first_reach(kl[1:], values[1:], float(kl[1]) / 2))


def test_a_path_that_turns_back_is_read_where_it_first_arrives() -> None:
    kl, values = np.array([0.0, 2.0, 1.0, 3.0]), np.array([0.0, 1.0, 5.0, 9.0])
    assert first_reach(kl, values, 1.0) == 0.5 and first_reach(kl, values, 2.5) == pytest.approx(8.0)


def exact(ppo_kl: float = 6.0) -> DataFrame:
    """SuperHF gains 0.4 a nat up to 2, PPO 0.1 a nat; PPO's sweep 0.2 a nat."""
    told = {
        "superhf": [Truth("superhf", 0.8, 2.0)],
        "ppo": [Truth("ppo", 0.1 * ppo_kl, ppo_kl)],
        "ppo kl": [Truth("ppo", 0.2 * kl, kl, record={"beta": 1 / kl}) for kl in (1.0, 1.5)],
    }
    return points_table(simulated(told, tunes=3, seeds=2, noise=0))


def test_at_the_same_kl_both_runs_are_read_at_the_smaller_of_their_ends() -> None:
    last = math.sqrt(37 / 50)  # of the way to the end, where the last point on the way is
    for ppo_kl, at in ((6.0, 2.0 * last), (1.0, last)):
        found = matched_along(exact(ppo_kl), "superhf", "ppo", "held-out")
        assert len(found) == 6 and found["kl"].to_numpy() == pytest.approx(at)
        assert (found["mine"] - found["theirs"]).to_numpy() == pytest.approx(0.3 * at)
        turned = matched_along(exact(ppo_kl), "ppo", "superhf", "held-out")
        assert turned["mine"].to_numpy() == pytest.approx(found["theirs"].to_numpy())


def test_over_beta_nothing_is_extrapolated() -> None:
    found = matched_swept(exact(6.0), "superhf", "ppo", "ppo kl", "held-out")
    gain = found["mine"] - found["theirs"]
    assert gain.to_numpy() == pytest.approx(0.8 - (0.3 + 0.3 * 0.5 / 4.5))  # between 1.5 and 6 nats
    assert matched_swept(exact(1.2), "superhf", "ppo", "ppo kl", "held-out")["theirs"].isna().all()
    assert not len(matched_swept(exact(), "superhf", "ppo", "no such sweep", "held-out"))


def seeded(values: np.ndarray, tunes: int) -> Series:
    index = MultiIndex.from_product(
        [range(len(values) // tunes), range(tunes)], names=["seed_data", "seed_tune"]
    )
    return Series(values, index)


def test_the_ratio_of_spreads_knows_scale_turns_round_and_forgets_data_seeds() -> None:
    rng = np.random.default_rng(0)
    mine, theirs = (seeded(rng.normal(size=12), 6) for _ in range(2))
    value, low, high, p, n = spread_ratio(mine, theirs)
    assert n == 12 and low < value < high
    assert spread_ratio(3 * mine, theirs)[0] == pytest.approx(value + math.log(3))
    back = spread_ratio(theirs, mine)
    assert back[:3] == pytest.approx((-value, -high, -low)) and back[3] == pytest.approx(p)
    shifted = mine + mine.index.get_level_values("seed_data") * 50.0
    assert spread_ratio(shifted, theirs)[:3] == pytest.approx((value, low, high))
    assert math.isnan(spread_ratio(mine[:3], theirs[:3])[0])
    assert math.isnan(spread_ratio(0 * mine, theirs)[0])


@pytest.mark.parametrize("draw", ["normal", "laplace"])
def test_the_interval_of_the_ratio_holds_the_truth_about_as_often_as_it_says(draw: str) -> None:
    rng, held, runs = np.random.default_rng(1), 0, 300
    for _ in range(runs):
        common = rng.normal(size=10)  # what a seed does to both
        mine, theirs = (seeded(common + getattr(rng, draw)(size=10), 10) for _ in range(2))
        _, low, high, *_ = spread_ratio(2 * mine, theirs)
        held += low <= math.log(2) <= high
    assert 0.88 <= held / runs <= 0.99


def test_the_interval_of_a_difference_of_shares_is_the_published_one() -> None:
    """Newcombe 1998, table II, (a): 56 of 70 and 48 of 80, method 10."""
    value, low, high, p, n = share_difference(56, 70, 48, 80)
    assert (value, n) == (pytest.approx(0.2), 150)
    assert (low, high) == (pytest.approx(0.0524, abs=5e-5), pytest.approx(0.3339, abs=5e-5))
    assert 0 < p < 0.05
    assert share_difference(10, 10, 10, 10)[1] < -0.2  # equal, and yet little is known
    assert share_difference(3, 3, 0, 0)[4] == 0


def test_what_becomes_of_a_run() -> None:
    base = {"task": "t", "evidence_rate": 0.0, "model": "m", "seed_data": 0, "empty share": 0.0}
    told = [
        ("sft", 0.0, 0.1, "ok"), ("policy", 0.3, 0.1, "ok"), ("policy", 0.05, 0.1, "ok"),
        ("policy", -0.3, 0.1, "ok"), ("policy", 0.9, 0.5, "ok"), ("policy", math.nan, math.nan, "failed"),
    ]  # fmt: skip
    runs = DataFrame(
        [
            {**base, "stage": stage, "held-out": 7 + value, "modal share": modal, "status": status}
            for stage, value, modal, status in told
        ]
    )
    found = fates(runs, "held-out", 0.1)
    assert found["fate"].tolist() == ["neither", "improved", "neither", "diverged", "improved", "diverged"]
    assert found["collapsed"].tolist() == [False, False, False, False, True, False]
    assert not len(fates(runs[1:2], "held-out", 0.1))  # without its SFT model nothing is known


@given(st.floats(0.5, 100), st.floats(-3, 3))
def test_the_knee_is_where_most_of_the_fall_is_done_on_any_scale(scale: float, shift: float) -> None:
    curve = Series({0.0: 0.6, 0.1: 0.5, 0.2: 0.16, 0.35: 0.1, 0.5: 0.11})
    assert knee(curve, 0.02) == 0.2 and knee(scale * curve + shift, 0.001) == 0.2
    assert math.isnan(knee(curve, 0.6)) and math.isnan(knee(curve[curve.index > 0], 0.02))


def test_seeds_that_disagree_widen_the_knee() -> None:
    early, late = [0.6, 0.1, 0.1, 0.1], [0.6, 0.6, 0.6, 0.1]
    rows = [
        {"seed_data": 0, "seed_tune": tune, "beta": beta, "y": value}
        for tune in range(6)
        for beta, value in zip((0.0, 0.1, 0.2, 0.4), early if tune < 5 else late, strict=True)
    ]
    value, low, high, none = knee_interval(DataFrame(rows), "beta", "y", 0.02)
    assert (value, low, none) == (0.1, 0.1, 0.0) and high == 0.4
    alike = DataFrame([row for row in rows if row["seed_tune"] < 5])
    assert knee_interval(alike, "beta", "y", 0.02)[:3] == (0.1, 0.1, 0.1)


def test_a_sweep_takes_the_default_in_only_on_equal_completions() -> None:
    points = points_table(simulated({name: POLICIES[name] for name in ("superhf", "superhf kl")}, tunes=1))
    runs = points[points["step"] == points["steps"]]
    assert sorted(swept(runs, "superhf kl", "superhf", "beta")["beta"]) == [0.0, 0.1, 0.2, 0.35, 0.5]
    more = runs.assign(completions=runs["completions"].where(runs["policy"] != "superhf", 99))
    assert 0.35 not in set(swept(more, "superhf kl", "superhf", "beta")["beta"])
    twice = runs.assign(beta=runs["beta"].where(runs["beta"] != 0.1, 0.35))
    assert set(swept(twice, "superhf kl", "superhf", "beta")["policy"]) == {"superhf kl"}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_a_known_fall_from_the_peak_is_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = np.array([0.0, 0.5, 1.0, 0.7])
    values = rng.normal(size=5)[:, None] + shape + rng.normal(scale=1e-3, size=(5, 4))
    assert drop_from_peak(curves(values), "ppo").to_numpy() == pytest.approx(0.3, abs=0.01)
    rising = drop_from_peak(curves(values[:, :3]), "ppo")
    assert rising.to_numpy() == pytest.approx(-0.5, abs=0.01)


def curves(values: np.ndarray) -> DataFrame:
    return DataFrame(
        [
            {"policy": "ppo", "seed_data": 0, "seed_tune": run, "step": step, "steps": 99, "gold": value}
            for run, row in enumerate(values)
            for step, value in enumerate(row)
        ]
    )


def test_noise_alone_is_no_fall_though_every_run_has_a_highest_point() -> None:
    rng = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(100):
        values = rng.normal(size=(6, 8))
        found.append(drop_from_peak(curves(values), "ppo").mean())
        naive.append((values.max(1) - values[:, -1]).mean())
    error = np.std(found) / math.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error and np.mean(naive) > 1
    assert not len(drop_from_peak(curves(values[:1]), "ppo"))
