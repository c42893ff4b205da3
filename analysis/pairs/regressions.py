"""The claims as regressions, beside their permutation tests: every formula, every term, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from pandas import DataFrame, Series

from analysis.pairs.claims import COVARIATES, X, subset, within_kinds
from analysis.pairs.comparison import compares_methods
from analysis.pairs.contrasts import needed_table
from analysis.pairs.dials import dialled_feature
from analysis.pairs.inheritance import of_rewards
from analysis.pairs.pairs import CONTROLS, PAIR, lowest, pairs_table
from analysis.pairs.tables import text_table
from analysis.pairs.within_pairs import usable, within_pairs
from analysis.records import Study
from analysis.statistics.coefficient import Coefficient
from analysis.statistics.count_models import count_models
from analysis.statistics.dyadic import dyads
from analysis.statistics.dyadic_errors import family_codes
from analysis.statistics.interval_regression import interval_regression
from analysis.statistics.linear_regression import linear_regression

GIVEN = ("untrained bits", "raw bits", "third feature")
"""Covariates in the main arm, one by one and all together; see `analysis.pairs.claims.COVARIATES`."""
SETS = ("primary", "all")
COLUMNS = [
    *("claim", "arm", "method", "pairs", "fit", "formula", "term"),
    *("value", "error", "low", "high", "p", "groups", "n", "converged", "note"),
]
LEGEND = """x: relative extractability in doublings; U of learnt runs at the lowest evidence; the rest: --json
linear, interval-censored, within pairs: errors robust to shared families (and models), t with groups - 1
logistic: k of n conflict rows answered by the spurious feature; posterior mean and 95 % interval, so no p;
    priors normal around 0, sd 2 of coefficients, sd 1 of the logs of the effects' sd
GEE: rows of one family in one role go together, bias-reduced, t with groups - coefficients
within pairs, permuted: models' bits permuted, one order for all pairs that they share
n: families/features/pairs/models/seeds"""
"""What a reader of the table needs to know."""


def regressions(study: Study) -> DataFrame:
    """One row per claim, arm, method, set of pairs, fit, formula and term.

    H1a: U at the lowest evidence on relative extractability (x) and covariates, by least squares; and as
    counts of conflict rows answered by the spurious feature, with random effects of the families and pairs,
    and by GEE. H1b: U on x within pairs, over models. H2: the evidence needed on x, by intervals. U is that
    of learnt runs. n: families/features/pairs/models/seeds; p by Student's t with `groups` less one degree of
    freedom (GEE: less its coefficients), or of permuted models; a posterior has none.

    A study of one feature's dials has H1b alone, one that compares methods no pairs but the primary set.
    """
    table = _with_answers(pairs_table(study), study)
    rows: list[dict[str, Any]] = []
    if len(table):
        by_model = lowest(pairs_table(study, "model"))
        apart, one_feature = of_rewards(study), bool(dialled_feature(study))
        of_methods = compares_methods(study)
        started: set[str] = set()
        # The main arm first: at no evidence all kinds of it are one, and that is fitted once.
        groups = sorted(table.groupby(["arm", "method"]), key=lambda group: (group[0][0] != "main", group[0]))
        for (arm, method), cells in groups:
            if arm in CONTROLS or (arm, method) in apart:
                continue
            first = lowest(cells)
            again = arm == "one_sided" and method in started and first["evidence"].iloc[0] == 0
            started |= {method} if arm == "main" and first["evidence"].iloc[0] == 0 else set()
            here = by_model[(by_model["arm"] == arm) & (by_model["method"] == method)]
            levels = cells["evidence"].nunique()
            needed = needed_table(cells) if levels > 1 and not one_feature else DataFrame()
            for pairs in SETS[:1] if of_methods else SETS:
                every = arm == "main" and pairs == SETS[0] and not of_methods
                fits = [] if again or one_feature else [*_h1a(subset(first, pairs), every)]
                within = usable(subset(here, pairs))
                if len(within) or (arm == "main" and not of_methods):
                    fits.append(("H1b", within, within_pairs(within)))
                if len(needed):
                    unit = float(cells["evidence"][cells["evidence"] > 0].min())
                    fits += _h2(subset(needed, pairs), unit, every)
                about = {"claim": "", "arm": arm, "method": method, "pairs": pairs}
                for claim, used, lines in fits:
                    n = n_of(used)
                    rows += [about | {"claim": claim, **found.to_dict(), "n": n} for found in lines]
    return DataFrame(rows, columns=COLUMNS)


def regressions_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """What became of x in each fit, and the notes."""
    notes: dict[str, int] = {}
    lines = []
    for row in rows:
        if row["term"] == "x":
            mark = f"[{notes.setdefault(row['note'], len(notes) + 1)}]" if row["note"] else ""
            shown = {name: row[name] for name in COLUMNS if name not in ("term", "error", "note")}
            lines.append({**shown, "note": mark})
    return "\n".join([text_table(lines), *(f"[{i}] {note}" for note, i in notes.items()), "", LEGEND])


Fits = tuple[str, DataFrame, list[Coefficient]]
"""The claim, the rows that a fit used, and its lines."""


def n_of(rows: DataFrame) -> str:
    """n as families / features / pairs / models / seeds."""
    kind = rows["kind"] if len(rows) else Series(dtype=str)
    families = {*(kind + " " + rows["target_family"]), *(kind + " " + rows["spurious_family"])}
    features = {*rows["target"], *rows["spurious"]}
    models = {item for items in rows["models"] for item in items}
    seeds = {item for items in rows["seeds"] for item in items}
    return f"{len(families)}/{len(features)}/{len(rows[PAIR].drop_duplicates())}/{len(models)}/{len(seeds)}"


def _formulas(table: DataFrame, *, every: bool) -> Iterator[tuple[list[str], DataFrame, list[Any]]]:
    """Names of the covariates, the rows that know them, and the covariates as `dyads` has them.

    None, then each that the study knows, then all of them. Kinds of task have a level of their own each.
    """
    known = [name for name in GIVEN if table[_columns(name)].notna().all(axis=1).any()]
    choices = [[], *([name] for name in known), *([known] if len(known) > 1 else [])]
    for names in choices if every else choices[:1]:
        used = ["U", *X["bits"], *(column for name in names for column in _columns(name))]
        rows = table[np.isfinite(table[[c for c in used if c in table]].to_numpy(float)).all(axis=1)]
        covariates = [each for name in names for each in COVARIATES[name]]
        kinds = [f"kind of task: {kind}" for kind in sorted(set(rows["kind"]))[1:]]
        rows, _, covariates = within_kinds(rows, covariates)
        yield [*names, *kinds], rows, covariates


def _columns(name: str) -> list[str]:
    return [column for each in COVARIATES[name] for column in ([each] if isinstance(each, str) else each)]


def _h1a(table: DataFrame, every: bool) -> Iterator[Fits]:
    formulas = list(_formulas(table, every=every))
    for number, (names, rows, covariates) in enumerate(formulas):
        data = dyads(rows, "U", X["bits"], [*covariates, "answers"])
        answers, data = data.z[:, -1], replace(data, z=data.z[:, :-1])
        terms = ["x", *names]
        right = " ~ " + " + ".join(terms)
        yield "H1a", rows, linear_regression(data, terms, f"U{right}")
        if number in (0, len(formulas) - 1):
            yield "H1a", rows, count_models(data, answers, terms, f"logit(U){right}")


def _h2(table: DataFrame, unit: float, every: bool) -> Iterator[Fits]:
    """Without covariates and with all; `unit`: the lowest level of evidence above none."""
    formulas = list(_formulas(table.assign(U=0.0), every=every))
    for names, rows, covariates in formulas[:: max(1, len(formulas) - 1)]:
        rows = rows[rows["low"].notna()]
        columns = [
            rows[c].to_numpy(float) if isinstance(c, str) else (rows[c[0]] - rows[c[1]]).to_numpy(float)
            for c in [X["bits"], *covariates]
        ]
        low, high = (doublings(rows[end], unit) for end in ("low", "high"))
        design = np.column_stack([np.ones(len(rows)), *columns])
        terms = ["x", *names]
        formula = f"log2(1 + evidence needed / {unit:g}) ~ {' + '.join(terms)}"
        yield "H2", rows, interval_regression(low, high, design, family_codes(rows), terms, formula)


def doublings(evidence: Series, unit: float) -> Any:
    """log2(1 + evidence / unit): about doublings, and yet no evidence at all is a number, 0."""
    return np.log2(1 + evidence.to_numpy(float).clip(min=0) / unit) + np.where(evidence < 0, -np.inf, 0.0)


def _with_answers(table: DataFrame, study: Study) -> DataFrame:
    """The table with the conflict rows that the learnt runs of each cell answered."""
    keys = [*PAIR, "arm", "method", "evidence_kind", "evidence"]
    runs = study.runs[(study.runs["status"] == "ok") & study.runs["U"].notna()]
    runs = runs.rename(columns={"evidence_rate": "evidence"})
    answers = (runs["n_target_only"] + runs["n_spurious_only"]).groupby([runs[k] for k in keys]).sum()
    return table.merge(answers.rename("answers").reset_index(), on=keys, how="left") if len(table) else table
