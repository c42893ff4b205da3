"""Inheritance of use: a planted slope is found, whatever pairs make easy, and none where there is none."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.pairs.claims import claims
from analysis.pairs.inheritance import centred, inheritance, inheritance_table, of_rewards
from analysis.pairs.tables import claims_text
from analysis.primary import signed
from analysis.statistics.decisions import SAME, UNKNOWN
from tests.analysis.simulated_study import simulate

LEVELS = (0.0, 0.05, 0.2, 0.5)
PRIMARY = {"claim": "inherits", "arm": "main", "method": "rloo", "statistic": "slope", "pairs": "learnable"}


def tuned_on_rewards(slope, *, pairs=14, own=0.3, noise=0.06, seed=0, **options):
    """Policies whose U is slope * U of the reward model + what the pair makes of both, and reward models."""
    plain = simulate(families=12, pairs=pairs, levels=LEVELS, seeds=(0,), seed=seed, **options)
    rng = np.random.default_rng(seed)
    runs = plain.runs
    tasks = sorted(set(runs.task))
    pull = dict(zip(tasks, rng.uniform(-1, 1, len(tasks)), strict=True))
    of_pair = runs.task.map(pull)
    judge = (
        0.5 + 0.2 * of_pair - 0.6 * (runs.evidence_rate - 0.2) + noise * rng.normal(size=len(runs))
    ).clip(0, 1)
    U = 0.5 + own * of_pair + slope * (judge - judge.groupby(runs.task).transform("mean"))
    U = U + noise * rng.normal(size=len(runs))
    keys = [f"m{i}" for i in range(len(runs))]
    policies = runs.assign(
        reward_model=keys, reward_model_U=judge, U=U.where(runs.U.notna()), evidence_rate=0.5
    )
    judges = runs.assign(key=keys, method="bradley-terry", half=1, U=judge)
    manifest = plain.manifest | signed(PRIMARY)
    return dataclasses.replace(
        plain, runs=pd.concat([policies, judges], ignore_index=True), manifest=manifest
    )


@pytest.mark.parametrize("slope", [0.9, -0.7])
def test_a_planted_slope_is_recovered_within_its_interval(slope):
    study = tuned_on_rewards(slope)
    first, *rest = claims(study, permutations=999)
    assert first.primary and (first.claim, first.arm, first.method) == ("inherits", "main", "rloo")
    found = first.estimate
    assert found.low < slope < found.high and found.high - found.low < 0.6 and found.p < 0.01
    assert (first.status == SAME) == (slope > 0)
    assert found.n_pairs == inheritance_table(study).task.nunique() <= 14 and found.n_seeds == 1
    text = claims_text([first, *rest], everything=False)
    assert "inherits" in text and "evidence 0.5" in text and "permuted among the policies of a pair" in text
    assert {row.claim for row in rest} == set()  # what is tuned on rewards has no claim of its own beside it
    assert of_rewards(study) == {("main", "rloo"), ("main", "bradley-terry")}


def test_no_inheritance_cannot_be_told_although_pairs_move_both():
    """Between pairs the two uses go together; within them they do not, and that alone is asked."""
    study = tuned_on_rewards(0.0)
    rows = inheritance_table(study)
    assert np.corrcoef(rows.reward_model_U, rows.U)[0, 1] > 0.3
    (first, *_) = claims(study, permutations=999)
    assert first.status == UNKNOWN and first.estimate.low < 0 < first.estimate.high


def test_p_is_uniform_without_inheritance():
    """Of 60 tables without any, about 3 have p below 0.05: more than 9 has a chance below 0.002."""
    rows, rng = inheritance_table(tuned_on_rewards(0.0)), np.random.default_rng(0)
    p = [inheritance(rows.assign(U=rng.random(len(rows))), permutations=199).p for _ in range(60)]
    assert sum(value <= 0.05 for value in p) <= 9 and np.mean(p) == pytest.approx(0.5, abs=0.15)


def test_the_slope_is_that_of_least_squares_with_an_intercept_a_pair():
    rows = inheritance_table(tuned_on_rewards(0.6))
    dummies = pd.get_dummies(rows.task, dtype=float).to_numpy()
    design = np.column_stack([rows.reward_model_U, dummies])
    least_squares = np.linalg.lstsq(design, rows.U.to_numpy(), rcond=None)[0][0]
    assert rows.groupby(["target_family", "spurious_family"]).task.nunique().max() == 1
    assert inheritance(rows, permutations=9).value == pytest.approx(least_squares)
    moved = rows.assign(U=rows.U + rows.task.map(dict(zip(sorted(set(rows.task)), range(99), strict=False))))
    assert inheritance(moved, permutations=9).value == pytest.approx(least_squares)


def test_unlearnt_runs_and_pairs_that_rules_leave_out_take_no_part():
    study = tuned_on_rewards(0.9, pairs=20)
    rows = inheritance_table(study)
    out = set(study.runs[study.runs.third_accuracy > 0.65].task)
    assert out and not out & set(rows.task)
    gone = rows.reward_model.iloc[0]
    for column in ("U", "reward_model_U"):
        runs = study.runs.assign(**{column: study.runs[column].mask(study.runs.reward_model == gone)})
        assert len(inheritance_table(dataclasses.replace(study, runs=runs))) == len(rows) - 1


def test_too_little_to_tell_is_said_in_words():
    rows = inheritance_table(tuned_on_rewards(0.9))
    one = rows[rows.task == rows.task.iloc[0]]
    assert inheritance(one, permutations=9).note.startswith("no interval: 2 families and 1 pairs")
    alone = one[:1]
    assert len(centred(alone)) == 0
    for few in (alone, rows[:0], one.assign(reward_model_U=0.5)):
        found = inheritance(few, permutations=9)
        assert np.isnan(found.value) and np.isnan(found.p) and found.note.startswith("no estimate: no two")
