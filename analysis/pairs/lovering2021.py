"""What Lovering et al. 2021 measured of a pair: its error averaged over the evidence, and the evidence after
which hardly any error is left.

Theirs is the F-score on `both`, `neither` and `spurious_only` (they had no `target_only` rows), averaged over
the rates, and the smallest rate at which it exceeds 0.99; accuracy takes its place here. Beside the smallest
rate stands the interval of evidence in which U falls to 0.5, which knows both quadrants in conflict.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr).
"""

from __future__ import annotations

import math

from pandas import DataFrame, Series

from analysis.pairs.contrasts import needed_table
from analysis.pairs.pairs import PAIR, lowest, pairs_table
from analysis.records import Study

PAPER = "lovering2021"
LEFT = 0.01
"""Error below which the evidence suffices."""
SECTIONS = ("both", "neither", "spurious_only")
"""The quadrants of their test rows, which weigh alike."""
KIND = "one_sided"
"""The paper's evidence; under any other, tuning has `target_only` rows too, which these measures miss."""
_CELL = [*PAIR, "arm", "method", "evidence_kind"]


def is_of_paper(study: Study) -> bool:
    return bool(study.manifest.get("paper") == PAPER)


def errors_by_evidence(study: Study) -> DataFrame:
    """Mean error over the three sections, and on `spurious_only`, per pair, arm, method and level.

    Over all finished runs under one-sided evidence, learnt or not, as in the paper; controls are left out.
    """
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["control"] == "")]
    runs = runs[runs["evidence_kind"] == KIND]
    rates = DataFrame({q: runs[f"errors_{q}"] / runs[f"n_{q}"].where(runs[f"n_{q}"] > 0) for q in SECTIONS})
    table = runs[[*_CELL, "evidence_rate"]].assign(
        error=rates.mean(axis=1, skipna=False), spurious_only=rates["spurious_only"]
    )
    mean = table.groupby([*_CELL, "evidence_rate"])[["error", "spurious_only"]].mean()
    return mean.reset_index().rename(columns={"evidence_rate": "evidence"})


def averaged(study: Study, cells: DataFrame) -> DataFrame:
    """The pairs of one arm and method at their lowest evidence; y is the error averaged over the levels.

    NaN where a level has no finished run: the easy levels alone would make a smaller average.
    """
    whole = _averages(errors_by_evidence(study), cells["evidence"].nunique())
    first = lowest(cells)
    keys = first[_CELL].itertuples(index=False, name=None)
    return first.assign(y=[whole.get(key, math.nan) for key in keys])


def _averages(errors: DataFrame, levels: int) -> Series:
    """The error of each pair averaged over the levels; NaN where a level has no finished run."""
    groups = errors.groupby(_CELL)["error"]
    return groups.mean().where(groups.count() == levels)


def evidence_required(study: Study) -> DataFrame:
    """One row per pair, arm and method with several levels: the smallest rate that suffices, U's interval.

    What is the paper's is NaN under other evidence than its own, and where a level has no finished run.
    """
    errors, rows = errors_by_evidence(study), []
    table = pairs_table(study)
    for (arm, method, kind), cells in table.groupby(["arm", "method", "evidence_kind"]):
        if cells["evidence"].nunique() < 2 or not (cells["n_ok"] > 0).any():
            continue
        ours = needed_table(cells)
        part = errors[
            (errors["arm"] == arm) & (errors["method"] == method) & (errors["evidence_kind"] == kind)
        ]
        average = _averages(part, cells["evidence"].nunique()).droplevel(_CELL[1:])
        enough = part[(part["error"] < LEFT) & part["task"].isin(average.dropna().index)]
        smallest: Series = enough.groupby("task")["evidence"].min()
        for row in ours.sort_values("task").to_dict("records"):
            rows.append(
                {"arm": arm, "method": method, "evidence": kind, "task": row["task"]}
                | {"relative": row["relative"], "average_error": average.get(row["task"], math.nan)}
                | {"accuracy_above_0.99_from": smallest.get(row["task"], math.nan)}
                | {"U_falls_to_0.5_above": row["low"], "and_by": row["high"], "left_out": row["excluded"]}
            )
    columns = [
        *("arm", "method", "evidence", "task", "relative", "average_error", "accuracy_above_0.99_from"),
        *("U_falls_to_0.5_above", "and_by", "left_out"),
    ]
    return DataFrame(rows, columns=columns)
