"""Reliability: how often answers were right against how probable they were said to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.outputs.calibration import Calibration
from figures.style import DOUBLE, GREY, INK, PALE, SPURIOUS, TARGET, Drawn, message, styled

COLOURS = (TARGET, SPURIOUS, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
"""Okabe and Ito's palette; methods beyond these begin anew with another mark."""
MARKS = ("o", "s", "^", "D")


def draw_reliability(groups: Mapping[str, Calibration]) -> Drawn:
    """The figure, with the reliability tables that it shows."""
    table = reliability_table(groups)
    return Drawn("reliability", reliability(table), table)


def reliability_table(groups: Mapping[str, Calibration]) -> DataFrame:
    """One row a method and bin."""
    rows = [{"method": name, **asdict(row)} for name, found in groups.items() for row in found.reliability]
    return DataFrame(rows).astype(dict.fromkeys(["confidence", "right", "right_low", "right_high"], float))


@styled
def reliability(table: DataFrame) -> Figure:
    """A column for the top label and one for all classes: the share right by confidence with 95 % intervals
    and the diagonal of a calibrated model, below it the number of probabilities a bin."""
    full = table[table["n"] > 0] if len(table) else table
    if not len(full):
        return message("Reliability", "Nothing to draw: no bin holds a probability.")
    kinds = list(dict.fromkeys(full["of"]))
    methods = list(dict.fromkeys(full["method"]))
    figure = Figure(figsize=(DOUBLE * (0.55 if len(kinds) == 1 else 1), 3.6), layout="constrained")
    grid = figure.subplots(2, len(kinds), sharex=True, squeeze=False, height_ratios=(3, 1))
    for column, kind in enumerate(kinds):
        above, below = grid[:, column]
        above.plot([0, 1], [0, 1], color=GREY, lw=0.7, ls="--")
        for place, method in enumerate(methods):
            rows = full[(full["of"] == kind) & (full["method"] == method)]
            _line(above, below, rows, place, len(methods), method)
        above.set(xlim=(0, 1), ylim=(-0.02, 1.02), title="")
        above.set_title(kind, loc="left")
        below.set_yscale("log")
        below.set_ylim(bottom=0.7)
        below.set_xlabel("mean probability of the bin")
    grid[0, 0].set_ylabel("share right")
    grid[1, 0].set_ylabel("probabilities\na bin")
    if len(methods) > 1:
        handles, labels = grid[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(methods), 5))
    return figure


def _line(above: Any, below: Any, rows: DataFrame, place: int, of: int, method: str) -> None:
    """The points of one method, and its bars beside those of the others."""
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[place // len(COLOURS) % len(MARKS)]
    spread: Sequence[Any] = [rows["right"] - rows["right_low"], rows["right_high"] - rows["right"]]
    above.errorbar(
        rows["confidence"], rows["right"], yerr=[part.clip(lower=0) for part in spread],
        fmt=mark + "-", ms=3, lw=0.8, elinewidth=0.6, color=colour, label=method,
    )  # fmt: skip
    width = (rows["high"] - rows["low"]) * 0.9 / of
    left = rows["low"] + (rows["high"] - rows["low"]) * 0.05 + width * place
    below.bar(left, rows["n"], width=width, align="edge", color=colour, edgecolor=PALE, lw=0.2)
