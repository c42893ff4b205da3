"""Claims about SuperHF, from studies in which what every setting leads to is known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.papers.superhf2023 import superhf_claims
from analysis.primary import signed
from analysis.records import Study
from analysis.stages.calibrated import SCORES, calibration_table
from analysis.stages.generalisation import MEAN_DIFFERENCE, compare
from analysis.stages.preferred import preferred
from analysis.stages.stage_inputs import INPUTS, RUNS
from analysis.stages.stage_pairs import differences, end_table, gain_over_sft, points_table
from analysis.stages.stage_runs import policies_at_end
from analysis.statistics.decisions import OPPOSITE, SAME, SMALL, UNKNOWN
from tests.analysis.simulated_superhf import POLICIES, PRIMARY, TASK, Truth, simulated

ALONE = {name: given for name, given in POLICIES.items() if name in ("ppo", "rloo", "superhf", "best-of-n")}


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated()


@pytest.fixture(scope="module")
def rows(study: Study) -> list[dict[str, Any]]:
    return superhf_claims(study)


@pytest.fixture(scope="module")
def claims(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["claim"], row["measure"]): row for row in rows}


@pytest.mark.parametrize(
    ("claim", "measure", "truth", "word"),
    [
        ("superhf over ppo", "held-out", 0.2, SAME),
        ("superhf over sft", "held-out", 0.8, SAME),
        ("superhf over best-of-n", "held-out", 0.3, SAME),
        ("superhf over ppo", "meteor similarity", -0.04, OPPOSITE),
        ("answers are more alike: beta 0 over 0.35", "meteor similarity", 0.5, SAME),
        ("reward is kept: beta 0.35 over 0", "held-out", -0.6, OPPOSITE),
        ("reward rises from 24% to 74% of the run", "held-out", 0.8 * (0.74**0.5 - 0.24**0.5), SAME),
        ("superbatch of 16 over 1", "held-out", 0.7, SAME),
        ("prompts a step: 1 over 16", "held-out", 0.3, SAME),
        (
            "at the same KL, along the run: superhf over ppo",
            "held-out",
            (0.8 - 0.6 * 2.4 / 6) * 0.74**0.5,
            SAME,
        ),
        ("at the same KL, over beta: superhf over rloo", "held-out", 0.8 - 0.7 + 0.26, SAME),
        ("gold reward falls from its peak: superhf", "gold", 0.16 * (0.5**0.5 - 0.74**0.5), SMALL),
        ("the reward model rises by more than the held-out one: ppo", "learned less held-out", 0.9, SAME),
        ("the reward model rises by more than the held-out one: superhf", "learned less held-out", 0.3, SAME),
    ],
)
def test_what_was_put_in_is_found(
    claims: dict[tuple[str, str], dict[str, Any]], claim: str, measure: str, truth: float, word: str
) -> None:
    row = claims[claim, measure]
    assert row["low"] - 0.06 < truth < row["high"] + 0.06, row  # intervals of 14 rows: not all need hold it
    assert row["status"] == word and row["n"] == 10 and row["sft_models"] == 1


def test_the_primary_comparison_stands_once_and_all_others_are_corrected(rows: list[dict[str, Any]]) -> None:
    assert [row["primary"] for row in rows].index(True) == 0 and sum(row["primary"] for row in rows) == 1
    first = rows[0]
    assert (first["claim"], first["measure"], first["evidence"]) == ("superhf over ppo", "held-out", 0.1)
    assert math.isnan(first["p_holm"]) and first["paper"] == ".26 (.40)"
    same = [r for r in rows if (r["figure"], r["claim"]) == ("held-out reward", "superhf over ppo")]
    assert not same
    for row in rows[1:]:
        assert math.isnan(row["p"]) or row["p_holm"] >= row["p"]


def test_of_two_settings_the_primary_is_over_both_and_each_keeps_its_own() -> None:
    two = {name: ALONE[name] for name in ("superhf", "ppo")}
    both = simulated(two, evidence=(0.0, 0.1), tunes=3)
    own = [r for r in superhf_claims(both) if (r["claim"], r["measure"]) == ("superhf over ppo", "held-out")]
    assert [(row["primary"], row["n"]) for row in own] == [(True, 3), (False, 3), (False, 3)]
    assert math.isnan(own[0]["evidence"]) and own[0]["note"] == "mean over 2 settings, seed by seed"
    assert own[0]["value"] == pytest.approx((own[1]["value"] + own[2]["value"]) / 2)
    named = dataclasses.replace(both, manifest=signed({**PRIMARY, "evidence_rate": 0.1}))
    first = superhf_claims(named)[0]
    assert (first["evidence"], first["n"], first["value"]) == (0.1, 3, own[2]["value"])
    assert first["note"] == ""


def test_a_seed_that_lacks_a_setting_is_in_no_primary_mean() -> None:
    two = {name: ALONE[name] for name in ("superhf", "ppo")}
    both = simulated(two, evidence=(0.0, 0.1), tunes=3)
    told = both.stages
    gone = (told["policy"] == "ppo") & (told["seed_tune"] == 1) & (told["evidence_rate"] == 0.0)
    some = dataclasses.replace(both, stages=told[~gone])
    first = superhf_claims(some)[0]
    runs = policies_at_end(both)
    runs = runs[(runs["measure"] == "held-out") & (runs["seed_tune"] != 1)]
    means = runs.groupby("policy")["value"].mean()
    assert first["n"] == 2 and first["note"].endswith("1 pairs of seeds left out that lack one")
    assert first["value"] == pytest.approx(means["superhf"] - means["ppo"])


def test_against_what_has_one_draw_intervals_are_over_inputs_too(study: Study, claims: Any) -> None:
    runs = study.stages[study.stages["policy"].isin(("superhf", "sft"))]
    runs = runs[runs["stage"] == "policy"]
    rows = compare(runs, study.outputs, "superhf", "sft", score="held_out", resamples=9999)
    known = next(row for row in rows if row.statistic == MEAN_DIFFERENCE)
    row = claims["superhf over sft", "held-out"]
    assert row["over"] == INPUTS
    assert (row["value"], row["low"], row["high"]) == pytest.approx((known.value, known.low, known.high))
    over_runs = {r["claim"]: r for r in superhf_claims(dataclasses.replace(study, outputs=study.outputs[:0]))}
    without = over_runs["superhf over sft"]
    assert without["over"] == claims["superhf over ppo", "meteor similarity"]["over"] == RUNS
    assert claims["superhf over sft", "meteor similarity"]["over"] == RUNS  # the outputs do not have it
    for claim, measure in (
        ("superhf over best-of-n", "held-out"),
        ("preferred by the gold reward: superhf over sft, less .5", "win rate"),
        ("the reward model rises by more than the held-out one: ppo", "learned less held-out"),
    ):
        assert claims[claim, measure]["over"] == INPUTS


def test_at_the_same_kl_what_is_out_of_reach_is_said_and_stands_in_no_mean() -> None:
    told = {
        "superhf": [Truth("superhf", 0.8, 2.0)],
        "ppo": [Truth("ppo", 0.6, 1.0)],
        "ppo kl": [Truth("ppo", 0.3, 0.5, record={"beta": 1.0})],
    }
    study = simulated(told, tunes=4, inputs=5)
    near = study.measures["key"].isin(study.stages.query("policy == 'superhf' and seed_tune == 0")["key"])
    kl = near & (study.measures["measure"] == "kl")
    some = study.measures.assign(value=study.measures["value"].mask(kl, 0.4 * study.measures["value"]))
    for measures, n, note in (
        (some, 1, "at 0.80 nats; 3 of 4 out of reach: what remains is selected for low KL of superhf"),
        (study.measures, 0, "4 of 4 out of reach"),
    ):
        rows = superhf_claims(dataclasses.replace(study, measures=measures))
        row = next(r for r in rows if "over beta" in r["claim"] and r["measure"] == "held-out")
        assert (row["n"], row["note"], row["status"]) == (n, note, UNKNOWN)


def test_what_is_not_tuned_stands_in_all_pairs_of_its_data_seed() -> None:
    once = simulated(ALONE, seeds=2, tunes=3)
    kept = (once.stages["policy"] != "best-of-n") | (once.stages["seed_tune"] == 0)
    once = dataclasses.replace(once, stages=once.stages[kept])
    runs = end_table(points_table(once))
    for against in ("sft", "best-of-n"):
        found = differences(runs, "superhf", against, "held-out")
        turned = differences(runs, against, "superhf", "held-out")
        assert len(found) == 6 and found.to_numpy() == pytest.approx(-turned.to_numpy())
    for (data, tune), value in differences(runs, "superhf", "best-of-n", "gold").items():
        mine, other = (
            runs[(runs["policy"] == p) & (runs["seed_data"] == data) & (runs["seed_tune"] == t)]["gold"]
            for p, t in (("superhf", tune), ("best-of-n", 0))
        )
        assert value == pytest.approx(mine.item() - other.item())
    # A tuned policy of one seed is no stand-in for those of the others.
    less = once.stages[(once.stages["policy"] != "ppo") | (once.stages["seed_tune"] == 0)]
    runs = end_table(points_table(dataclasses.replace(once, stages=less)))
    assert len(differences(runs, "superhf", "ppo", "held-out")) == 2


def test_what_says_the_same_at_every_seed_of_the_tuning_is_one_run() -> None:
    study = simulated(ALONE, seeds=2, tunes=3)
    told = study.stages.set_index("key")
    of = study.measures["key"].map(told["policy"]) == "best-of-n"
    same = study.measures.assign(
        value=study.measures["value"].where(~of, study.measures["key"].map(told["seed_data"]) / 2)
    )
    runs = end_table(points_table(dataclasses.replace(study, measures=same)))
    assert (runs["policy"] == "best-of-n").sum() == 2 and (runs["policy"] == "superhf").sum() == 6
    assert len(differences(runs, "superhf", "best-of-n", "gold")) == 6
    assert (end_table(points_table(study))["policy"] == "best-of-n").sum() == 6  # these differ


def test_gains_are_over_the_sft_model_of_the_same_seed_and_setting() -> None:
    runs = end_table(points_table(simulated(ALONE, seeds=3, tunes=2, models=("a", "b"))))
    assert runs["held-out"].max() < 9  # nothing of the making of the SFT model
    gains = gain_over_sft(runs, "held-out")
    assert gains[runs["stage"] == "sft"].to_numpy() == pytest.approx(0)
    for i, run in runs.iterrows():
        start = runs[(runs["stage"] == "sft") & (runs["model"] == run["model"])].set_index("seed_data")
        assert gains[i] == pytest.approx(run["held-out"] - start["held-out"][run["seed_data"]])


def test_claims_that_a_study_has_no_runs_for_are_left_out() -> None:
    whole = simulated(ALONE, tunes=2, inputs=10)

    def names(**parts: Any) -> set[str]:
        return {row["figure"] for row in superhf_claims(dataclasses.replace(whole, **parts))}

    everything = names()
    assert everything >= {"held-out reward", "matched KL", "calibration", "Elo", "stability", "progress"}
    assert not everything & {"KL sweep", "superbatch", "accumulation"}
    assert names(choices=whole.choices[:0]) == everything - {"calibration"}
    assert names(outputs=whole.outputs[:0]) == everything - {"Elo"}
    without = whole.measures[whole.measures["measure"] != "kl"]
    assert names(measures=without) == everything - {"matched KL"}
    sft = whole.stages[whole.stages["policy"] == "sft"]
    assert names(stages=sft) == {"primary"} and names(stages=whole.stages[:0]) == {"primary"}
    failed = whole.stages.assign(status="failed")
    rows = superhf_claims(dataclasses.replace(whole, stages=failed))
    assert [(row["n"], row["status"], row["note"]) for row in rows] == [
        (0, UNKNOWN, "the primary comparison has no runs")
    ]
    nothing_named = dataclasses.replace(whole, manifest=signed({"test": "none"}))
    assert not any(row["primary"] for row in superhf_claims(nothing_named))


def test_one_run_a_policy_tells_nothing() -> None:
    rows = superhf_claims(simulated(POLICIES, tunes=1))
    assert {row["status"] for row in rows if "all settings" not in row["claim"] and row["n"] < 2} == {UNKNOWN}
    assert all(math.isnan(row["p"]) for row in rows if row["n"] == 1)


def test_unequal_samples_are_said() -> None:
    more = {**ALONE, "ppo": [dataclasses.replace(ALONE["ppo"][0], record={"completions": 3200})]}
    notes = {row["claim"]: row["note"] for row in superhf_claims(simulated(more, tunes=2))}
    assert notes["superhf over ppo"] == "tuned on 1,600 completions against 3,200"
    assert notes["superhf over rloo"] == ""


def test_a_policy_is_preferred_by_how_often_its_completions_are_better() -> None:
    study = simulated(ALONE, seeds=2, tunes=2)
    runs = end_table(points_table(study))
    over, under = (preferred(study.outputs, runs, *pair) for pair in (("ppo", "rloo"), ("rloo", "ppo")))
    assert (over + under).to_numpy() == pytest.approx(1) and len(over) == 4
    equal = study.outputs.assign(gold=0.3)
    assert preferred(equal, runs, "ppo", "sft").to_numpy() == pytest.approx(0.5)
    best = set(runs[runs["policy"] == "ppo"]["key"])
    better = equal.assign(gold=equal["key"].isin(best).astype(float))
    assert preferred(better, runs, "ppo", "sft").to_numpy() == pytest.approx(1)


def test_calibration_is_of_the_choices_in_distribution_with_the_right_one_wherever_it_stands() -> None:
    study = simulated({"superhf": [Truth("superhf", 0.5, confidence=0.6)]}, tunes=2)
    scores = calibration_table(study).set_index("key")
    for key, own in study.choices.groupby("key"):
        p = own.pivot(index="input", columns="choice", values="probability").to_numpy()
        assert scores.loc[key, "NLL"] == pytest.approx(-np.log(p[:, 0]).mean())
        assert scores.loc[key, "Brier"] == pytest.approx(((p - np.eye(3)[0]) ** 2).sum(1).mean())
        right = (p.argmax(1) == 0).mean()
        assert scores.loc[key, "ECE (top label)"] == pytest.approx(abs(right - 0.6))  # all in one bin
    mixed = study.choices.sample(frac=1, random_state=0)
    elsewhere = study.choices.assign(shift="longer-1", probability=0.5)
    again = calibration_table(dataclasses.replace(study, choices=pd.concat([mixed, elsewhere])))
    pd.testing.assert_frame_equal(again.set_index("key")[list(SCORES)], scores[list(SCORES)])
    gaps = study.choices.copy()
    gaps.loc[(gaps["input"] == 0) & (gaps["choice"] == 1), "probability"] = math.nan
    less = calibration_table(dataclasses.replace(study, choices=gaps)).set_index("key")
    assert (less["questions"] == scores["questions"] - 1).all()


def test_an_answer_of_probability_zero_is_counted_not_averaged(study: Study) -> None:
    choices, key = study.choices.copy(), study.stages[study.stages["policy"] == "superhf"]["key"].iloc[0]
    one = (choices["key"] == key) & (choices["input"] == 0)
    choices.loc[one, "probability"] = [0.0, 0.5, 0.5]
    rows = superhf_claims(dataclasses.replace(study, choices=choices))
    row = next(r for r in rows if r["measure"] == "NLL" and r["claim"].endswith("than sft"))
    assert row["n"] == 9 and row["note"].startswith("1 pairs left out") and math.isfinite(row["value"])
    assert row["task"] == TASK
