"""Lovering et al. 2021's own analysis: F-scores averaged over evidence rates and their rank correlation with
relative MDL, the controlled set; and the correlation with the evidence required, which their code left out.

Theirs are the outcome and the test: rows count as independent, without a correction. Beside it stands the
permutation of families, on the same pairs averaged by family. What differs: sections weigh as many rows as a
study asks for; their MDL is that of fine-tuning the whole classifier, bits and nats added, here it is bits of
the study's probe unless all pairs have the paper's (`compat="lovering2021"`); their F-score was the mean
over both labels in the code of the time and plain accuracy in the later one, so both are here, and label 1's.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from scipy.stats import spearmanr

from analysis.pairs.claims import within_kinds
from analysis.pairs.evidence_needed import ordinal_scores
from analysis.pairs.lovering2021 import KIND, PAPER, is_of_paper
from analysis.pairs.pairs import CONTROLS, PAIR, lowest, pairs_table, primary_bits
from analysis.records import Study
from analysis.statistics.association import spearman
from analysis.statistics.decisions import ALPHA
from analysis.statistics.estimate import Estimate, estimate

ENOUGH = 0.99
"""The F-score above which the evidence suffices."""
CONTROLLED = 0.9
"""Both probes are more accurate than this in the controlled set."""
TOYS = "symbolic"
"""The kind of task that their correlations leave out."""
SCORES = {"F": "mean F", "F of label 1": "mean F of label 1", "accuracy": "mean accuracy"}
"""How an F-score may be read (F: mean over both labels), and what its average over the rates is called."""
PUBLISHED = "BERT .79*, RoBERTa .83*, T5 .57*, GPT-2 .73*, GloVe .14 (the authors' project page)"
"""Spearman of mean F and MDL(s) / MDL(t); * p < .05."""
LEGEND = """x: above 0 when the target is easier; F: on both, neither and spurious_only, mean over the rates
rho_rows, p_rows, star: as published, rows taken for independent; rho to p: over families, permuted
published: at other sizes, on other models, by another MDL; controlled: both probes above 0.9"""
"""What a reader of the table needs to know."""
PERMUTATIONS = 9_999
_CELL = [*PAIR, "arm", "method"]
NEVER_LAST = f"smallest rate with F > {ENOUGH}, never last"
COLUMNS = [
    *("arm", "method", "outcome", "pairs", "x", "rho_rows", "p_rows", "star", "rows"),
    *("rho", "low", "high", "p", "n", "published", "note"),
]


def f_scores(runs: DataFrame) -> DataFrame:
    """The scores of each run on `both`, `neither` and `spurious_only`, NaN if one has no rows."""
    n = {q: runs[f"n_{q}"].astype(float) for q in ("both", "neither", "spurious_only")}
    wrong = {q: runs[f"errors_{q}"].astype(float).where(n[q] > 0) for q in n}
    misses, alarms = wrong["both"], wrong["neither"] + wrong["spurious_only"]
    hits, rest = n["both"] - misses, n["neither"] + n["spurious_only"] - alarms
    of_one, of_zero = (2 * right / (2 * right + misses + alarms) for right in (hits, rest))
    accuracy = (hits + rest) / sum(n.values())
    return DataFrame({"F": (of_one + of_zero) / 2, "F of label 1": of_one, "accuracy": accuracy})


def scores_by_rate(study: Study) -> DataFrame:
    """Scores of each pair, arm and method at each rate of one-sided evidence: means over finished runs."""
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["control"] == "")]
    runs = runs[(runs["evidence_kind"] == KIND) & ~runs["arm"].isin(CONTROLS)]
    scored = runs[[*_CELL, "evidence_rate"]].join(f_scores(runs))
    return scored.groupby([*_CELL, "evidence_rate"])[list(SCORES)].mean().reset_index()


def outcomes(study: Study) -> DataFrame:
    """One row per pair, arm and method of several rates: averages, the smallest rate that suffices, and bits.

    NaN where a rate has no finished run. x_target and x_spurious are minus the log2 of what a feature costs,
    so that their difference is the log of MDL(s) / MDL(t): above 0 when the target is the easier one.
    """
    scores = scores_by_rate(study)
    rates = scores.groupby(["arm", "method"])["evidence_rate"].transform("nunique")
    scores = scores[rates > 1].assign(rates=rates)
    if not len(scores):
        return DataFrame(columns=[*_CELL, *SCORES, "required", "x_target", "x_spurious"])
    table = lowest(pairs_table(study))
    groups = scores.groupby(_CELL)
    found = groups[list(SCORES)].mean().where(groups["F"].count() == groups["rates"].first(), np.nan)
    enough = scores[scores["F"] > ENOUGH].groupby(_CELL)["evidence_rate"].min()
    found["required"] = enough.reindex(found.index).where(found["F"].notna())
    rows = table[table["evidence_kind"] == KIND].merge(found.reset_index(), on=_CELL)
    return _with_costs(rows, study)


def _with_costs(rows: DataFrame, study: Study) -> DataFrame:
    """The rows with minus log2 of both features' MDL or bits, and the less accurate probe's accuracy."""
    probes = primary_bits(study)
    probes = probes[(probes["input"] == "model") & (probes["init"] == "pretrained")]
    accuracy = probes.groupby(["task", "role"])["accuracy"].mean().unstack("role")
    paper = study.probes[(study.probes["compat"] == PAPER) & (study.probes["status"] == "ok")]
    mdl = paper.groupby(["task", "role"])["compat_mdl"].mean().unstack("role")
    least = accuracy.reindex(columns=["target", "spurious"]).min(axis=1, skipna=False)
    known = {role: rows["task"].map(mdl[role]) for role in mdl if role in ("target", "spurious")}
    whole = len(known) == 2 and all(cost.notna().all() for cost in known.values())
    costs = {role: np.log2(known[role]) if whole else rows[f"x_{role}"] for role in ("target", "spurious")}
    return rows.assign(
        x="MDL of the paper" if whole else "bits of the probe",
        least_accurate=rows["task"].map(least),
        **{f"x_{role}": -cost for role, cost in costs.items()},
    )


def lovering_table(study: Study, *, permutations: int = PERMUTATIONS, seed: int = 0) -> DataFrame:
    """Their correlations and ours, one row per arm, method, outcome and set of pairs.

    `rho_rows`, `p_rows`, `star`: Spearman with rows as independent, as published. `rho`, `low`, `high`, `p`:
    over pairs of families, see `analysis.statistics.estimate`; within the kinds of task where there are
    several.
    """
    run = partial(estimate, permutations=permutations, seed=seed)
    lines = []
    for (arm, method), pairs in outcomes(study).groupby(["arm", "method"]):
        language = pairs[pairs["kind"] != TOYS]
        sets = {"all": pairs, "language": language} if 0 < len(language) < len(pairs) else {"all": pairs}
        usual = "language" if "language" in sets else "all"
        sets["controlled"] = sets[usual][sets[usual]["least_accurate"] > CONTROLLED]
        for name, rows in sets.items():
            for outcome, table in _outcomes(rows):
                published = (
                    PUBLISHED if (name, outcome) == (usual, SCORES["F"]) and is_of_paper(study) else ""
                )
                about = {"arm": arm, "method": method, "outcome": outcome, "pairs": name}
                about["x"] = f"{pairs['x'].iloc[0]}, log spurious / target"
                lines.append(about | _both_ways(table, run) | {"published": published})
    return DataFrame(lines, columns=COLUMNS)


def _outcomes(rows: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    for score, name in SCORES.items():
        yield name, rows.assign(y=rows[score])
    reach = rows[rows["required"].notna()]
    yield f"as their code: mean F where it exceeds {ENOUGH}", reach.assign(y=reach["F"])
    yield f"smallest rate with F > {ENOUGH}, of pairs that reach it", reach.assign(y=reach["required"])
    whole = rows[rows["F"].notna()]
    never = whole["required"].isna()
    last = Series(ordinal_scores(whole["required"].mask(never, 1.0), whole["required"].mask(never, math.inf)))
    yield NEVER_LAST, whole.assign(y=last.to_numpy(float))


def _both_ways(table: DataFrame, run: partial[Estimate]) -> dict[str, Any]:
    """Spearman of y and the log ratio, with rows as independent, and with families as the unit."""
    rows = table[np.isfinite(table[["y", "x_target", "x_spurious"]].to_numpy(float)).all(axis=1)]
    x, y = rows["x_target"] - rows["x_spurious"], rows["y"]
    rho = p = math.nan
    if len(rows) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0:
        rho, p = (float(v) for v in spearmanr(x, y))
    if rows["kind"].nunique() > 1:
        within, statistic, covariates = within_kinds(rows, [])
        found = run(within, statistic, covariates=covariates)
    else:
        found = run(rows, spearman)
    n = f"{found.n_families}/{found.n_features}/{found.n_pairs}/{found.n_models}/{found.n_seeds}"
    theirs: dict[str, Any] = {
        "rho_rows": rho,
        "p_rows": p,
        "star": "*" if p < ALPHA else "",
        "rows": len(rows),
    }
    ours = {"rho": found.value, "low": found.low, "high": found.high, "p": found.p}
    return theirs | ours | {"n": n, "note": found.note}
