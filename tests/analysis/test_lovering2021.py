"""The measures of Lovering et al. 2021 on simulated studies with a known truth."""

from __future__ import annotations

import dataclasses
import math

import pytest

from analysis import Study, claims
from analysis.lovering2021 import averaged, errors_by_evidence, evidence_required
from analysis.pairs import pairs_table
from tests.analysis.simulated_study import simulate


def of_paper(study: Study) -> Study:
    return dataclasses.replace(study, manifest={**study.manifest, "paper": "lovering2021"})


def test_errors_are_those_of_the_answers():
    study = simulate(pairs=12)
    table = errors_by_evidence(study).set_index(["task", "arm", "method", "evidence_kind", "evidence"])
    runs = study.runs[(study.runs.status == "ok") & (study.runs.control == "")]
    for key, part in runs.groupby(["task", "arm", "method", "evidence_kind", "evidence_rate"]):
        each = [
            sum(run[f"errors_{q}"] / run[f"n_{q}"] for q in ("both", "neither", "spurious_only")) / 3
            for run in part.to_dict("records")
        ]
        assert table.error[key] == pytest.approx(sum(each) / len(each))


def test_the_average_is_over_levels_and_follows_what_is_planted():
    study = of_paper(simulate(pairs=60))
    cells = pairs_table(study)
    main = cells[cells.arm == "main"]
    part = main[main.method == main.method.iloc[0]]
    found = averaged(study, part).set_index("task").y
    errors = errors_by_evidence(study)
    errors = errors[(errors.arm == "main") & (errors.method == part.method.iloc[0])]
    for task, mean in found.items():
        levels = errors[errors.task == task].error
        assert mean == pytest.approx(levels.sum() / len(levels)) and len(levels) == part.evidence.nunique()
    rows = [row for row in claims(study, permutations=99) if row.claim == "average" and row.arm == "main"]
    assert rows and all(row.estimate.value > 0.3 for row in rows if row.pairs == "all")
    assert not [row for row in claims(simulate(pairs=60), permutations=99) if row.claim == "average"]


def test_the_evidence_required_is_the_smallest_rate_that_suffices():
    study = simulate(pairs=20)
    table = evidence_required(study)
    errors = errors_by_evidence(study).set_index(["task", "arm", "method", "evidence_kind"])
    assert len(table) and set(table.arm) <= set(study.runs.arm)
    for row in table.to_dict("records"):
        part = errors.loc[[(row["task"], row["arm"], row["method"], row["evidence"])]]
        below = part[part.evidence < row["accuracy_above_0.99_from"]]
        if math.isnan(row["accuracy_above_0.99_from"]):
            assert (part.error >= 0.01).all()
        else:
            assert (below.error >= 0.01).all()
            assert (part[part.evidence == row["accuracy_above_0.99_from"]].error < 0.01).all()
        assert row["average_error"] == pytest.approx(part.error.mean())
