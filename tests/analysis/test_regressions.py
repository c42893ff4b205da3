"""The table of regressions, of simulated studies with a known truth and of those too poor to say anything."""

import dataclasses
import json
import warnings

import numpy as np
import pytest

from analysis.pairs.claims import claims
from analysis.pairs.pairs import CONTROLS
from analysis.pairs.regressions import COLUMNS, doublings, regressions, regressions_text
from analysis.pairs.within_pairs import ROBUST
from analysis.statistics.count_models import BY_SPURIOUS, BY_TARGET, MIXED
from analysis.statistics.interval_regression import CENSORED
from analysis.statistics.linear_regression import LINEAR
from proclivity.answer import as_json, plain
from proclivity.study_answers import tables_of
from tests.analysis.simulated_study import simulate


@pytest.fixture(scope="module")
def planted():
    arms = ("main", "random_init", "random_reward")
    study = simulate(
        families=14, pairs=50, dials=("a", "b", "c"), levels=(0.0, 0.1, 0.5), seeds=(0,), arms=arms
    )
    return study, regressions(study)


def of(table, fit, term="x", formula="", pairs="primary", arm="main"):
    rows = table[(table.fit == fit) & (table.term == term) & (table.pairs == pairs) & (table.arm == arm)]
    rows = rows[rows.formula.str.contains(formula, regex=False)] if formula else rows
    return rows.iloc[0]


def test_a_planted_effect_is_found_by_every_fit(planted):
    _, table = planted
    assert list(table.columns) == COLUMNS
    for fit in (LINEAR, MIXED, BY_TARGET, BY_SPURIOUS, CENSORED, ROBUST):
        row = of(table, fit)
        assert row.converged and row.low > 0, (fit, row)
        assert np.isnan(row.p) if fit == MIXED else row.p < 0.05, (fit, row)
    assert abs(of(table, LINEAR, arm="random_init").value) < 0.1
    assert not set(table.arm) & set(CONTROLS)


def test_the_slope_is_the_one_of_the_claims(planted):
    study, table = planted
    (claim,) = [
        row for row in claims(study, permutations=19)
        if (row.claim, row.arm, row.statistic, row.pairs) == ("H1a", "main", "slope", "primary")
    ]  # fmt: skip
    row = of(table, LINEAR)
    assert row.value == pytest.approx(claim.estimate.value)
    e = claim.estimate
    assert row.n == f"{e.n_families}/{e.n_features}/{e.n_pairs}/{e.n_models}/{e.n_seeds}"


def test_covariates_come_one_by_one_and_all_together(planted):
    _, table = planted
    main = table[(table.fit == LINEAR) & (table.pairs == "primary") & (table.arm == "main")]
    formulas = set(main.formula)
    given = ("untrained bits", "raw bits", "third feature")
    assert formulas == {"U ~ x", *(f"U ~ x + {name}" for name in given), f"U ~ x + {' + '.join(given)}"}
    assert set(main.term[main.formula == max(formulas, key=len)]) == {"x", *given}


def test_without_an_effect_little_is_found():
    table = regressions(simulate(families=16, pairs=60, effect=0.0, seed=3))
    assert not (table.p[table.term == "x"] < 0.01).any()
    row = of(table, MIXED)
    assert row.low < 0 < row.high


def test_evidence_is_measured_in_doublings():
    import pandas as pd

    evidence = pd.Series([-np.inf, 0.0, 0.01, 0.03, np.inf])
    assert list(doublings(evidence, 0.01)) == [-np.inf, 0.0, 1.0, 2.0, np.inf]


def poor():
    study = simulate(pairs=12)
    one = study.runs.iloc[:1]
    yield "one run", dataclasses.replace(study, runs=one), "needed"
    failed = study.runs.assign(status="failed", U=np.nan, label="")
    yield "failed runs", dataclasses.replace(study, runs=failed), "needed"
    yield "no runs", dataclasses.replace(study, runs=study.runs.iloc[:0]), ""
    yield "one level", simulate(pairs=12, levels=(0.0,)), ""
    yield "one seed", simulate(pairs=30, seeds=(0,)), ""
    yield "no probes", dataclasses.replace(study, probes=study.probes.iloc[:0]), "needed"
    yield "unlearnt", simulate(pairs=12, unlearnt=1.0), "needed"
    same = study.runs.assign(U=0.5, errors_target_only=25, errors_spurious_only=25)
    yield "one use", dataclasses.replace(study, runs=same), "the same in every pair"
    yield "a kind each", two_kinds(simulate(pairs=12)), ""


def two_kinds(study):
    moved = {name: name.replace("symbolic/", "reviews/") for name in sorted(set(study.runs.task))[::2]}
    runs, probes = (part.assign(task=part["task"].replace(moved)) for part in (study.runs, study.probes))
    return dataclasses.replace(study, runs=runs, probes=probes)


@pytest.mark.parametrize(("study", "why"), [pytest.param(s, w, id=name) for name, s, w in poor()])
def test_poor_studies_say_what_cannot_be_estimated(study, why):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = regressions(study)
    text = regressions_text(plain(table))
    assert table[table.value.isna()].note.str.startswith("cannot be estimated: ").all()
    assert (table.value.notna() | ~table.converged.astype(bool)).all()
    assert table.p[~table.converged.astype(bool)].isna().all()
    assert (table.fit != CENSORED).all() if study.runs.evidence_rate.nunique() < 2 else True
    assert why in text
    if why:
        assert why in " ".join(table.note[table.claim == "H1a"])
    assert json.loads(as_json(table)) == plain(table)


def test_both_tables_are_told_by_analyze():
    study = simulate(families=5, pairs=15, levels=(0.0,), seeds=(0,))
    brief, whole = tables_of(study), tables_of(study, everything=True)
    assert brief.data["regressions"] == whole.data["regressions"] != []
    assert "Regressions" in whole.text and "Regressions" not in brief.text
    assert brief.data["lovering"] == []
