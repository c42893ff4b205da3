"""The scatter of Lovering et al. 2021: error averaged over the evidence against relative extractability."""

from __future__ import annotations

import math

from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study, pairs_table
from analysis.pairs.lovering2021 import KIND, SECTIONS, averaged
from analysis.use import wilson
from figures.stage_style import caption
from figures.style import COLUMN, INK, RELATIVE, SPURIOUS, TARGET, counted, message, styled

COLOURS = (TARGET, SPURIOUS, INK)
COLUMNS = [
    *("task", "method", "kind", "relative", "average_error", "low", "high", "levels", "runs", "left_out")
]


def average_table(study: Study) -> DataFrame:
    """One row a pair and method under one-sided evidence: average error and relative extractability.

    low and high are the means of Wilson's limits over sections and levels, which is wider than an interval of
    the mean would be.
    """
    table, rows = pairs_table(study), []
    table = table[table["evidence_kind"] == KIND]
    for method, cells in table.groupby("method") if len(table) else ():
        for cell in averaged(study, cells).to_dict("records"):
            told = {name: cell[name] for name in ("task", "method", "kind", "relative")}
            told |= {"average_error": cell["y"], "left_out": cell["excluded"]}
            rows.append(told | _limits(study, cell["task"], str(method)))
    return DataFrame(rows, columns=COLUMNS)


def _limits(study: Study, task: str, method: str) -> dict[str, float]:
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["control"] == "")]
    runs = runs[(runs["task"] == task) & (runs["method"] == method) & (runs["evidence_kind"] == KIND)]
    names = [f"{what}_{q}" for q in SECTIONS for what in ("errors", "n")]
    counts = runs.groupby("evidence_rate")[names].sum().to_dict("records")
    ends = [wilson(int(row[f"errors_{q}"]), int(row[f"n_{q}"])) for row in counts for q in SECTIONS]
    low, high = (sum(end[i] for end in ends) / len(ends) if ends else math.nan for i in (0, 1))
    return {"low": low, "high": high, "levels": len(counts), "runs": len(runs)}


@styled
def average_by_extractability(table: DataFrame) -> Figure:
    """A point a pair, open where a rule leaves it out of the primary set."""
    known = table.dropna(subset=["average_error", "relative"])
    if not len(known):
        return message("Average error", "Nothing to draw: no pair with runs at all levels and an order.")
    figure = Figure(figsize=(COLUMN, 3.0), layout="constrained")
    axes = figure.subplots()
    for colour, (kind, part) in zip(COLOURS, known.groupby("kind"), strict=False):
        for left_out, points in part.groupby(part["left_out"] != ""):
            face = "white" if left_out else colour
            axes.vlines(points["relative"], points["low"], points["high"], color=colour, lw=0.5)
            told = f"{kind}, left out by a rule" if left_out else kind
            axes.plot(
                points["relative"], points["average_error"], "o", ms=3.5, color=colour, mfc=face, label=told
            )
    axes.axvline(0, color=INK, lw=0.5, ls="--")
    axes.set_ylim(bottom=-0.02)
    axes.set_xlabel(RELATIVE.replace(", ", "\n"))
    axes.set_ylabel("error on both, neither and spurious_only,\nmean over the levels of evidence")
    axes.legend(loc="best")
    levels = int(known["levels"].max())
    n = f"{counted(len(known), 'pair')}, {counted(int(known['runs'].sum()), 'run')}, {levels} levels"
    methods = ", ".join(sorted(set(known["method"])))
    caption(figure, f"{methods}: {n}. Bars: mean 95 % Wilson limits of\nsections and levels, which is wide")
    return figure
