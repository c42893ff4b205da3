"""The measures of Lovering et al. 2021 on simulated studies with a known truth."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from analysis import Study, claims
from analysis.pairs.lovering2021 import averaged, errors_by_evidence, evidence_required
from analysis.pairs.pairs import pairs_table
from tests.analysis.simulated_study import simulate


def one_sided(**options: Any) -> Study:
    """A study of the paper: its arms `main` and `one_sided`, the second under evidence of its own kind."""
    study = simulate(**{"arms": ("main", "one_sided")} | options)
    runs = study.runs.copy()
    runs.loc[runs.arm == "one_sided", "evidence_kind"] = "one_sided"
    return dataclasses.replace(study, runs=runs, manifest={**study.manifest, "paper": "lovering2021"})


def test_errors_are_those_of_the_answers():
    study = one_sided(pairs=12)
    table = errors_by_evidence(study).set_index(["task", "arm", "method", "evidence_kind", "evidence"])
    runs = study.runs[(study.runs.status == "ok") & (study.runs.evidence_kind == "one_sided")]
    assert len(table)
    for key, part in runs.groupby(["task", "arm", "method", "evidence_kind", "evidence_rate"]):
        each = [
            sum(run[f"errors_{q}"] / run[f"n_{q}"] for q in ("both", "neither", "spurious_only")) / 3
            for run in part.to_dict("records")
        ]
        assert table.error[key] == pytest.approx(sum(each) / len(each))


def test_the_average_is_over_levels_and_follows_what_is_planted():
    study = one_sided(pairs=60)
    cells = pairs_table(study)
    main = cells[cells.arm == "one_sided"]
    part = main[main.method == main.method.iloc[0]]
    found = averaged(study, part).set_index("task").y
    errors = errors_by_evidence(study)
    errors = errors[(errors.arm == "one_sided") & (errors.method == part.method.iloc[0])]
    for task, mean in found.items():
        levels = errors[errors.task == task].error
        assert mean == pytest.approx(levels.sum() / len(levels)) and len(levels) == part.evidence.nunique()
    rows = [row for row in claims(study, permutations=99) if row.claim == "average"]
    assert {row.arm for row in rows} == {"one_sided"}
    assert rows and all(row.estimate.value > 0.3 for row in rows if row.pairs == "all")
    assert not [row for row in claims(simulate(pairs=60), permutations=99) if row.claim == "average"]


def test_the_evidence_required_is_the_smallest_rate_that_suffices():
    study = one_sided(pairs=20)
    table = evidence_required(study)
    errors = errors_by_evidence(study).set_index(["task", "arm", "method", "evidence_kind"])
    assert len(table) and set(table.arm) <= set(study.runs.arm)
    assert table[table.arm == "main"].average_error.isna().all()
    for row in table[table.arm == "one_sided"].to_dict("records"):
        part = errors.loc[[(row["task"], row["arm"], row["method"], row["evidence"])]]
        below = part[part.evidence < row["accuracy_above_0.99_from"]]
        if math.isnan(row["accuracy_above_0.99_from"]):
            assert (part.error >= 0.01).all()
        else:
            assert (below.error >= 0.01).all()
            assert (part[part.evidence == row["accuracy_above_0.99_from"]].error < 0.01).all()
        assert row["average_error"] == pytest.approx(part.error.mean())


def test_a_pair_that_lacks_a_level_has_no_average_and_keeps_its_row():
    study = one_sided(pairs=12)
    task = study.runs.task.iloc[0]
    lost = (study.runs.task == task) & (study.runs.evidence_rate == 0) & (study.runs.arm == "one_sided")
    runs = study.runs.assign(status=study.runs.status.where(~lost, "failed"))
    poorer = dataclasses.replace(study, runs=runs)
    before, after = (evidence_required(one).set_index(["arm", "task"]) for one in (study, poorer))
    key = ("one_sided", task)
    assert set(after.index) == set(before.index)
    assert math.isfinite(before.average_error[key]) and math.isnan(after.average_error[key])
    assert math.isnan(after["accuracy_above_0.99_from"][key])
    rest = [other for other in before.index if other != key]
    assert after.loc[rest].average_error.equals(before.loc[rest].average_error)
    cells = pairs_table(poorer)
    y = averaged(poorer, cells[cells.arm == "one_sided"]).set_index("task").y
    assert y.isna().sum() == 1
