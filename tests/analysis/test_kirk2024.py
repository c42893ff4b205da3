"""Claims of Kirk et al. 2024, from studies of stages in which what each policy is is known."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pandas import DataFrame, Series

from analysis.papers.kirk2024 import HEAD, WIN, kirk_claims, shift_groups, stage_table
from analysis.stages.stage_diversity import diversity_by_kl, diversity_table, diversity_wide
from analysis.stages.stage_inputs import INPUTS, RUNS
from analysis.stages.stage_runs import by_seed, labels, less, single, swept_entries
from analysis.statistics.decisions import OPPOSITE, SAME, SMALL, UNKNOWN
from analysis.statistics.seeds import paired
from analysis.statistics.two_level import two_level
from tests.analysis.simulated_stages import INSTRUCT, POLICIES, SUMMARISE, Truth, simulated, sweeps

STUDY = simulated({**POLICIES, **sweeps()}, inputs=24)
TABLE = stage_table(STUDY)


@pytest.fixture(scope="module")
def claims():
    return {row["claim"]: row for row in kirk_claims(STUDY)}


def test_differences_are_those_put_in(claims) -> None:
    for claim, value in (
        ("ppo below sft: ead per input", 0.5),
        ("rloo below sft: ead per input", 0.45),
        ("ppo below sft: cosine per input", 0.25),
        ("ppo below sft: ead across inputs", 0.0),
        ("ppo loses less across inputs than per input: ead", 0.5),
        ("beta 1 below 0.01, ppo k1: gold", 0.1),
        ("beta 1 below 0.01, ppo k1: ead", -0.45),
        ("beta 1 below 0.01, ppo k2: ead", 0.0),
        ("a larger beta returns more with k1 than with k2, ppo: ead", 0.45),
    ):
        row = claims[claim]
        assert row["value"] == pytest.approx(value, abs=0.06), claim
        assert row["status"] == (SMALL if value == 0 else SAME if value > 0 else OPPOSITE), claim
        assert row["n"] == row["sft_models"] == 4
    assert claims["ppo below sft: ead per input"]["primary"]
    assert sum(row["primary"] for row in claims.values()) == 1


def test_secondary_claims_are_corrected_for_their_number_and_the_primary_one_is_not(claims) -> None:
    rest = [row for row in claims.values() if not row["primary"]]
    assert all(row["p_holm"] >= row["p"] for row in rest if not math.isnan(row["p"]))
    least = min(rest, key=lambda row: row["p"])
    assert least["p_holm"] == pytest.approx(least["p"] * len(rest))
    assert all(math.isnan(row["p_holm"]) for row in claims.values() if row["primary"])


def test_an_equal_policy_is_too_small_to_matter_and_a_worse_one_opposite() -> None:
    twin, worse = Truth("ppo", 0.55), Truth("rloo", 0.35, ead=0.95)
    study = simulated({"ppo": twin, "rloo": worse}, inputs=40, noise=0.005, seeds=5)
    rows = {row["claim"]: row for row in kirk_claims(study)}
    assert rows["ppo below sft: ead per input"]["status"] == SMALL
    assert rows["rloo below sft: ead per input"]["status"] == OPPOSITE
    assert rows["rloo above sft: in"]["status"] == OPPOSITE


def test_win_rates_are_those_of_all_pairs_of_outputs() -> None:
    rows = TABLE[(TABLE["measure"] == HEAD) & (TABLE["policy"] == "ppo") & (TABLE["shift"] == "in")]
    outputs = STUDY.outputs[STUDY.outputs["shift"] == "in"].merge(
        STUDY.stages[["key", "policy", "seed_data"]]
    )
    for row in rows.to_dict("records"):
        mine = outputs[outputs["key"] == row["key"]]
        theirs = outputs[(outputs["policy"] == "sft") & (outputs["seed_data"] == row["seed_data"])]
        found = []
        for number, own in mine.groupby("input"):
            other = theirs.loc[theirs["input"] == number, "gold"].to_numpy()
            better = own["gold"].to_numpy()[:, None] - other[None]
            found.append(np.mean((better > 0) + (better == 0) / 2))
        assert row["value"] == pytest.approx(np.mean(found))
    assert not ((TABLE["measure"] == HEAD) & (TABLE["policy"] == "sft")).any()
    against = TABLE[(TABLE["measure"] == WIN) & (TABLE["policy"] == "sft") & (TABLE["shift"] == "in")]
    own = outputs[outputs["key"] == against["key"].iloc[0]]
    won = (own["gold"] > own["reference_gold"]) + (own["gold"] == own["reference_gold"]) / 2
    assert against["value"].iloc[0] == pytest.approx(won.mean())


def test_instructions_have_a_set_for_each_axis_and_no_claim_of_best_of_n_over_ppo() -> None:
    study = simulated(tasks=(INSTRUCT,), inputs=6)
    assert shift_groups(stage_table(study), INSTRUCT) == {
        "new": ["new-1", "new-2"],
        "sequential": ["sequential-1", "sequential-2"],
    }
    names = [row["claim"] for row in kirk_claims(study)]
    assert "best-of-n above sft: sequential" in names and "best-of-n above ppo: in" not in names
    assert len(names) == len(set(names))


def test_an_sft_model_stands_against_each_tuning_seed_of_its_data_seed() -> None:
    study = simulated(tunes=3, seeds=2, inputs=6)
    row = next(row for row in kirk_claims(study) if row["primary"])
    assert (row["n"], row["sft_models"]) == (6, 2)
    table = stage_table(study)
    mine, start = (by_seed(table, name, "ead") for name in ("ppo", "sft"))
    difference = less(mine, start, to_sft=True)
    for (data, tune), value in difference.items():
        assert value == pytest.approx(mine[data, tune] - start.groupby("seed_data").mean()[data])


def test_a_seed_that_lacks_a_shift_is_in_no_mean_over_shifts() -> None:
    table = TABLE[~((TABLE["shift"] == "topic-1") & (TABLE["seed_data"] == 2))]
    assert set(by_seed(table, "ppo", "gold", shifts=["topic-1", "topic-2"]).index) == {(0, 0), (1, 0), (3, 0)}
    assert not len(by_seed(table, "ppo", "no such measure"))
    assert isinstance(less(by_seed(table, "a", "b"), by_seed(table, "sft", "b"), to_sft=True), Series)


def test_entries_that_sweep_are_told_apart_by_their_settings() -> None:
    assert swept_entries(TABLE) == {"ppo k1": ["beta"], "ppo k2": ["beta"]}
    assert set(single(TABLE)["policy"]) == {"sft", *POLICIES}
    assert "ppo k1 (beta 0.1)" in set(labels(TABLE)) and "ppo" in set(labels(TABLE))


def test_what_was_not_measured_is_left_out_and_one_seed_cannot_tell() -> None:
    less_known = STUDY.measures[~STUDY.measures["measure"].isin(("nli", "cosine", "kl", "kl bound"))]
    poor = dataclasses.replace(STUDY, measures=less_known, outputs=STUDY.outputs[:0])
    names = [row["claim"] for row in kirk_claims(poor)]
    assert names and not any("nli" in name or name.startswith("best-of-n above ppo") for name in names)
    assert set(diversity_by_kl(poor)["policy"]) == {"sft"}
    alone = simulated(seeds=1, inputs=6)
    assert {row["status"] for row in kirk_claims(alone)} == {UNKNOWN}
    nothing = dataclasses.replace(STUDY, measures=STUDY.measures[:0], outputs=STUDY.outputs[:0])
    assert [row["n"] for row in kirk_claims(nothing)] == [0]  # the primary one says that it has no run


def test_failed_runs_are_in_no_number() -> None:
    stages = STUDY.stages.copy()
    gone = (stages["policy"] == "ppo") & (stages["seed_data"] == 0)
    stages.loc[gone, "status"] = "failed"
    row = next(r for r in kirk_claims(dataclasses.replace(STUDY, stages=stages)) if r["primary"])
    assert row["n"] == 3


def test_diversity_has_its_floor_and_ceiling_and_nothing_stands_twice() -> None:
    table = diversity_table(STUDY)
    own = table[(table["measure"] == "ead") & (table["scope"] == "per input") & (table["policy"] == "ppo")]
    assert len(own) == 1 and own["runs"].iloc[0] == 4
    assert own["floor"].iloc[0] == pytest.approx(1 / 16) and own["ceiling"].iloc[0] == 1
    assert own["low"].iloc[0] < own["value"].iloc[0] < own["high"].iloc[0]
    twice = dataclasses.replace(STUDY, measures=STUDY.measures.loc[STUDY.measures.index.repeat(2)])
    assert (diversity_table(twice)["runs"] == table["runs"]).all()
    wide = diversity_wide(table)
    order = ["sft", "ppo", "rloo", "best-of-n", "dpo", "superhf", "floor", "ceiling"]
    assert [row["policy"] for row in wide] == 2 * order
    assert len({tuple(row) for row in wide}) == 1  # every row has every column


def test_against_kl_best_of_n_stands_at_its_bound_and_sft_at_0() -> None:
    table = diversity_by_kl(STUDY)
    assert set(table.loc[table["bound"], "policy"]) == {"best-of-n"}
    assert (table.loc[table["policy"] == "best-of-n", "kl"] == POLICIES["best-of-n"].kl).all()
    assert (table.loc[table["policy"] == "sft", "kl"] == 0).all()


def test_two_tasks_and_levels_are_apart() -> None:
    study = simulated(tasks=(SUMMARISE, INSTRUCT), evidence=(0.0, 0.5), seeds=2, inputs=4)
    rows = [row for row in kirk_claims(study) if row["claim"] == "ppo below sft: nli per input"]
    assert {(row["task"], row["evidence"]) for row in rows} == {
        (task, rate) for task in (SUMMARISE, INSTRUCT) for rate in (0.0, 0.5)
    }
    assert all(row["n"] == 2 for row in rows)


@pytest.mark.parametrize("task", [SUMMARISE, INSTRUCT])
def test_input_by_input_each_claim_is_the_same_number(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[tuple[Series, Any]]()

    def spy(values: Series, by_input: Any) -> Any:
        asked.append((values, by_input))
        return paired(values), RUNS

    monkeypatch.setattr("analysis.papers.kirk2024.judged", spy)
    kirk_claims(simulated(tasks=(task,), tunes=2, seeds=2, inputs=6))
    known = [(values, legs) for values, legs in asked if legs]
    assert len(known) > 8
    for values, legs in known:
        found = two_level(legs, resamples=2)
        assert (found.value, found.n_seeds) == (pytest.approx(values.mean()), len(values))


def test_win_rates_over_sft_are_judged_over_inputs_too(claims) -> None:
    for claim in (
        "ppo above sft: in",
        "best-of-n above ppo: in",
        "ppo has a smaller gap than sft: all shifts",
    ):
        assert claims[claim]["over"] == INPUTS
    for claim in ("ppo below sft: ead per input", "beta 1 below 0.01, ppo k1: gold"):
        assert claims[claim]["over"] == RUNS


def test_best_of_n_counts_once_a_data_seed() -> None:
    study = simulated(tunes=3, seeds=2, inputs=6)
    told = study.stages.set_index("key")
    best = told[told["policy"] == "best-of-n"]
    first = best[best["seed_tune"] == 0].reset_index().set_index("seed_data")["key"]
    repeated = best["seed_data"].map(first)

    def same(table: DataFrame) -> DataFrame:
        kept = table[~table["key"].isin(repeated.index)]
        copies = [table[table["key"] == of].assign(key=key) for key, of in repeated.items()]
        return pd.concat([kept, *copies], ignore_index=True)

    study = dataclasses.replace(study, measures=same(study.measures), outputs=same(study.outputs))
    rows = {row["claim"]: row for row in kirk_claims(study)}
    assert rows["best-of-n above sft: ead across inputs"]["n"] == 2
    assert rows["best-of-n above ppo: in"]["n"] == 6  # against every tuning
    assert rows["ppo above sft: in"]["n"] == 6


def test_the_primary_one_subtracts_within_settings_and_wants_them_all() -> None:
    study = simulated(evidence=(0.0, 0.5), seeds=3, inputs=4)
    stages = study.stages
    gone = (stages["policy"] == "ppo") & (stages["seed_data"] == 1) & (stages["evidence_rate"] == 0.5)
    first = kirk_claims(dataclasses.replace(study, stages=stages[~gone]))[0]
    ends = stage_table(study)
    ends = ends[(ends["measure"] == "ead") & (ends["scope"] == "per input") & (ends["shift"] == "in")]
    means = ends[ends["seed_data"] != 1].groupby("policy")["value"].mean()
    assert first["primary"] and first["n"] == 2
    assert first["value"] == pytest.approx(means["sft"] - means["ppo"])
    assert first["note"] == "mean over 2 settings, seed by seed; 1 pairs of seeds left out that lack one"
