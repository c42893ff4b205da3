"""What each policy costs, and what goes with use, where both are known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from analysis.outputs.calibration import calibration
from analysis.stages.joined import COLUMNS, joined_table, joined_wide, run_values
from analysis.stages.joined_question import COSTS, Correlation, correlation, joined_question
from analysis.statistics.decisions import SAME, UNKNOWN
from analysis.statistics.seeds import paired
from tests.analysis.simulated_stages import POLICIES, SUMMARISE, Truth, simulated, sweeps

STUDY = simulated({**POLICIES, "ppo k1": sweeps()["ppo k1"]}, inputs=24)
RUNS = run_values(STUDY)
TABLE = joined_table(STUDY, RUNS)


def _value(policy: str, column: str):
    return TABLE[(TABLE["entry"] == policy) & (TABLE["column"] == column)].iloc[0]


def test_a_row_a_policy_and_a_column_a_cost() -> None:
    settings = {f"ppo k1 (beta {beta})" for beta in (0.01, 0.1, 1.0)}
    assert set(TABLE["entry"]) == {"sft", *POLICIES, *settings}
    assert len(TABLE) == len(COLUMNS) * TABLE["entry"].nunique()
    for policy, truth in POLICIES.items():
        for column, value, within in (("ead", truth.ead, 0.04), ("gold", truth.gold, 0.12)):
            assert _value(policy, column)["value"] == pytest.approx(value, abs=within)
    assert _value("ppo", "use")["value"] == pytest.approx(POLICIES["ppo"].use, abs=0.08)


def test_numbers_are_means_over_runs_with_their_interval() -> None:
    mine = RUNS[RUNS["entry"] == "dpo"]
    row = _value("dpo", "ead")
    assert (row["value"], row["low"], row["high"]) == pytest.approx(paired(mine["ead"])[:3])
    assert (row["runs"], row["sft_models"]) == (4, 4)


def test_the_gap_is_gold_in_distribution_less_its_mean_over_shifts() -> None:
    # Each of three axes has a level of one drop and one of two.
    truth = simulated({"ppo": Truth("ppo", 0.6, drop=0.1)}, inputs=60, samples=8)
    gaps = run_values(truth).groupby("policy")["gap"].mean()
    assert gaps["ppo"] == pytest.approx(0.15, abs=0.03)


def test_calibration_is_that_of_the_choices() -> None:
    row = RUNS[RUNS["policy"] == "ppo"].iloc[0]
    own = STUDY.choices[(STUDY.choices["key"] == row["key"]) & (STUDY.choices["shift"] == "in")]
    questions = [list(part["probability"]) for _, part in own.groupby("input")]
    measures = {m.measure: m.value for m in calibration(questions, [0] * len(questions)).measures}
    assert (row["ece"], row["brier"]) == pytest.approx((measures["ECE (top label)"], measures["Brier"]))
    by_hand = [sum((p - (i == 0)) ** 2 for i, p in enumerate(each)) for each in questions]
    assert row["brier"] == pytest.approx(np.mean(by_hand))
    assert RUNS.loc[RUNS["policy"] == "best-of-n", "ece"].isna().all()


def test_the_drop_is_from_the_peak_of_the_other_runs_on_the_way() -> None:
    """Gold rises by .1 on the way and falls by .2 from there; the end, of other prompts, takes no part."""
    study = simulated({"ppo": Truth("ppo", 0.9)}, inputs=4)
    runs = study.stages.loc[study.stages["policy"] == "ppo", "key"]
    ends = study.measures[study.measures["step"] == 5]
    last = ends[ends["key"].isin(runs)].assign(step=8)
    measures = pd.concat([study.measures, last], ignore_index=True)
    for step, gold in ((0, 0.5), (5, 0.6), (8, 0.4)):
        here = measures["key"].isin(runs) & (measures["measure"] == "gold") & (measures["step"] == step)
        measures.loc[here, "value"] = gold
    table = joined_table(dataclasses.replace(study, measures=measures))
    row = table[(table["entry"] == "ppo") & (table["column"] == "drop")].iloc[0]
    assert row["value"] == pytest.approx(0.2) and row["runs"] == 4
    assert math.isnan(_value("best-of-n", "drop")["value"]) and math.isnan(_value("sft", "drop")["value"])


def test_one_run_has_its_interval_over_inputs() -> None:
    study = simulated(seeds=1, inputs=8)
    row = joined_table(study)
    ead = row[(row["entry"] == "ppo") & (row["column"] == "ead")].iloc[0]
    assert ead["runs"] == 1 and (ead["low"], ead["high"]) == pytest.approx(
        (ead["value"] - 0.02, ead["value"] + 0.02)
    )
    gap = row[(row["entry"] == "ppo") & (row["column"] == "gap")].iloc[0]
    assert math.isnan(gap["low"])


def test_what_lacks_is_minus_and_never_a_crash() -> None:
    poor = dataclasses.replace(
        STUDY,
        choices=STUDY.choices[:0],
        measures=STUDY.measures[STUDY.measures["measure"].isin(("gold", "ead"))],
    )
    rows = joined_wide(joined_table(poor))
    assert all(row["use"] == row["ece"] == row["meteor"] == "-" and row["ead"] != "-" for row in rows)
    nothing = dataclasses.replace(poor, measures=poor.measures[:0])
    assert not len(joined_table(nothing)) and not joined_question(run_values(nothing))
    broken = STUDY.choices.assign(probability=math.nan)
    assert run_values(dataclasses.replace(STUDY, choices=broken))["ece"].isna().all()


def test_what_goes_with_use_is_found_and_its_n_are_methods() -> None:
    uses = np.linspace(0.1, 0.8, 7)
    study = simulated(
        {f"method-{i}": Truth(f"method-{i}", 0.6, use=use, ead=0.9 - use) for i, use in enumerate(uses)},
        sft=Truth("sft", 0.55, use=0.05, ead=0.85), inputs=40, tunes=2, seeds=3,
    )  # fmt: skip
    rows = {row["claim"]: row for row in joined_question(run_values(study))}
    less_varied = rows["more use, less ead"]
    assert less_varied["rho"] > 0.9 and less_varied["status"] == SAME
    assert (less_varied["methods"], less_varied["data_seeds"], less_varied["runs"]) == (8, 3, 7 * 6 + 3)
    assert all(row["p_holm"] >= row["p"] for row in rows.values() if not math.isnan(row["p"]))
    assert len(rows) == len(COSTS)


def test_swept_entries_take_no_part_in_the_question() -> None:
    assert {row["methods"] for row in joined_question(RUNS) if row["claim"] == "more use, less ead"} == {6}


def test_the_correlation_is_spearmans_within_data_seeds() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    x, y = rng.random((2, 6, 4))
    found = correlation(x, y)
    expected = spearmanr((x - x.mean(0)).ravel(), (y - y.mean(0)).ravel()).statistic
    assert found.value == pytest.approx(expected)
    shifted = correlation(x + 5 * np.arange(4), y - 3 * np.arange(4))  # what seeds share takes no part
    assert (shifted.value, shifted.p) == pytest.approx((found.value, found.p))
    turned = correlation(x, y, sign=-1)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    assert math.isnan(correlation(x[:2], y[:2]).value)
    assert math.isnan(correlation(np.ones((5, 3)), y[:5, :3]).value)


def test_runs_of_a_method_are_one_method_to_the_test() -> None:
    """Without a relation, but with methods that differ in both, p is uniform: the naive one is not."""
    from scipy.stats import spearmanr

    rng, ours, naive, trials = np.random.default_rng(1), 0, 0, 120
    for _ in range(trials):
        x, y = (rng.normal(size=(5, 1)) + 0.1 * rng.normal(size=(5, 8)) for _ in range(2))
        ours += correlation(x, y, resamples=2).p < 0.05
        naive += spearmanr(x.ravel(), y.ravel()).pvalue < 0.05
    assert ours / trials < 0.1 < naive / trials


def test_few_methods_or_a_perfect_order_have_no_interval() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.random((2, 6, 3))
    assert math.isfinite(correlation(x, y).low)
    assert math.isnan(correlation(x[:5], y[:5]).low) and math.isfinite(correlation(x[:5], y[:5]).p)
    same = correlation(x, 2 * x)
    assert same.value == pytest.approx(1) and math.isnan(same.low) and math.isnan(same.high)
    assert same.p == pytest.approx(1 / math.factorial(6))


def test_the_question_is_judged_by_the_corrected_p(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Correlation(0.5, 0.3, 0.7, 0.02, 7, 3)
    monkeypatch.setattr("analysis.stages.joined_question.correlation", lambda *args, **kwargs: known)
    rows = joined_question(RUNS)
    assert len(rows) == len(COSTS) and all(row["p"] < 0.05 < row["p_holm"] for row in rows)
    assert {row["status"] for row in rows} == {UNKNOWN}


def test_two_runs_have_no_interval_and_none_leaves_the_range_of_its_column() -> None:
    two = RUNS[RUNS["seed_data"] < 2]
    assert joined_table(STUDY, two).query("runs == 2")["low"].isna().all()
    wild = RUNS.assign(use=[0.0, 0.2] * (len(RUNS) // 2) + [0.0] * (len(RUNS) % 2), ead=0.07, brier=1.9)
    wild["kl"], wild["ead"] = wild["use"], wild["ead"] + wild["use"] / 10
    wild["brier"] += wild["use"] / 2
    table = joined_table(STUDY, wild).dropna(subset="low")
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    for column, floor, ceiling in (("use", 0, 1), ("kl", 0, math.inf), ("brier", 0, 2), ("ead", 1 / 16, 1)):
        own = table[table["column"] == column]
        assert len(own) and own["low"].min() >= floor - 1e-12 and own["high"].max() <= ceiling
    spread = paired(wild[wild["entry"] == "dpo"]["use"])
    assert spread[1] < 0  # which the table cuts off


def test_few_methods_cannot_tell() -> None:
    study = simulated({"ppo": POLICIES["ppo"], "dpo": POLICIES["dpo"]}, tasks=(SUMMARISE,), inputs=8)
    assert {row["status"] for row in joined_question(run_values(study))} <= {UNKNOWN}
