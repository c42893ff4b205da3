"""Where a question lies among what a prediction was fitted on: its nearest rows, and what is outside."""

from __future__ import annotations

from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.prediction.prediction import Fit, strength
from analysis.prediction.rows import NO_COUNTER_EXAMPLES

OTHER = 0.5
"""What another method or kind of evidence counts in a distance, in standard deviations of x."""


def nearest(rows: DataFrame, asked: dict[str, Any], n: int = 5) -> DataFrame:
    """The rows nearest in x and s, in standard deviations of each, in method and in kind of evidence."""
    s = strength(rows["evidence"])
    far = np.abs(rows["relative"] - asked["relative"]) / max(float(rows["relative"].std(ddof=0)), 1e-9)
    far += np.abs(s - strength(asked["evidence"])) / max(float(s.std()), 1e-9)
    for name in ("method", "evidence_kind"):
        far += OTHER * (rows[name] != asked[name])
    columns = ["task", "model", "method", "evidence", "evidence_kind", "relative", "U"]
    return rows.assign(far=far).sort_values(["far", "task", "model"]).head(n)[columns].reset_index(drop=True)


def outside(fit: Fit, rows: DataFrame, asked: DataFrame) -> list[str]:
    """In what a question (one row) lies outside the rows that were fitted on; nothing: it lies among them."""
    one: dict[str, Any] = asked.iloc[0].to_dict()
    told = []
    x, evidence = rows["relative"], rows["evidence"]
    if not x.min() <= one["relative"] <= x.max():
        told.append(
            f"relative extractability {one['relative']:.2f} is outside {x.min():.2f} to {x.max():.2f}"
        )
    if not evidence.min() <= one["evidence"] <= evidence.max():
        told.append(f"evidence {one['evidence']:g} is outside {evidence.min():g} to {evidence.max():g}")
    seen = {"kind": "kind of task", "base": "model family", "method": "method"}
    seen |= {"evidence_kind": "kind of evidence"}
    for column, name in seen.items():
        known = sorted(set(rows[column]))
        if one[column] not in known and one[column] != NO_COUNTER_EXAMPLES:
            what = one[column] or "none was told"
            told.append(f"{name} never seen: {what} (seen: {', '.join(known)})")
    if not told and float(fit.leverage(asked)[0]) > float(fit.leverage(rows).max()):
        told.append("its relative extractability and evidence never went together: farther out than any row")
    return told
