"""Measures side by side: a panel a measure, a line a method, between the floor and the ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.measured import Measured
from figures.style import DOUBLE, GREY, PALE, TARGET, Drawn, message, styled, wrapped

COLUMNS = 4


def draw_measured(groups: Mapping[str, Sequence[Measured]], name: str) -> Drawn:
    """The figure, with the table that it shows."""
    table = measured_table(groups)
    return Drawn(name, measured(table, name), table)


def measured_table(groups: Mapping[str, Sequence[Measured]]) -> DataFrame:
    """One row a method and measure."""
    rows = [{"method": name, **asdict(row)} for name, rows in groups.items() for row in rows]
    return DataFrame(rows).astype(dict.fromkeys(["value", "low", "high", "floor", "ceiling"], float))


@styled
def measured(table: DataFrame, title: str) -> Figure:
    """Values with 95 % intervals; grey bands end at the mean floor and ceiling where a measure has both."""
    known = table[table["value"].notna() & table["value"].abs().ne(math.inf)] if len(table) else table
    if not len(known):
        return message(title.capitalize(), "Nothing to draw: no measure has a finite value.")
    methods = list(dict.fromkeys(table["method"]))
    panels = list(dict.fromkeys(zip(known["measure"], known["scope"], strict=True)))
    rows = math.ceil(len(panels) / COLUMNS)
    height = rows * (0.62 + 0.16 * len(methods))
    figure = Figure(figsize=(DOUBLE, height), layout="constrained")
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_axis_off()
    for axes, (measure, scope) in zip(grid.ravel(), panels, strict=False):
        mine = known[(known["measure"] == measure) & (known["scope"] == scope)].set_index("method")
        _panel(axes, mine, methods)
        axes.set_title("\n".join([*wrapped(measure, 24), scope]), loc="left")
        axes.locator_params(axis="x", nbins=4)
    for row in grid:
        row[0].set_yticks(range(len(methods)), [name or "all rows" for name in methods])
        row[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def _panel(axes: Any, rows: DataFrame, methods: Sequence[str]) -> None:
    floor, ceiling = rows["floor"].mean(), rows["ceiling"].mean()
    if math.isfinite(floor) and math.isfinite(ceiling):
        axes.axvspan(min(floor, ceiling), max(floor, ceiling), color=PALE, lw=0, zorder=0)
    elif math.isfinite(floor):
        axes.axvline(floor, color=GREY, lw=0.6, ls=":")
    for method, row in rows.iterrows():
        place = methods.index(str(method))
        axes.plot([row["low"], row["high"]], [place, place], color=TARGET, lw=1.0)
        axes.plot(row["value"], place, "o", color=TARGET, ms=3.5)
