"""The main picture: does the policy use what was easy to extract?"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis import Study, pairs_table
from figures.style import (
    COLUMN,
    DOUBLE,
    GREY,
    INK,
    PALE,
    SMALL,
    TARGET,
    counted,
    message,
    nothing_ran,
    styled,
    wrapped,
)
from figures.use_table import BELOW, CORNER, NOWHERE, PANEL, SHOWN, SIDE, panel_titles, use_table

MARKERS = {"": "o", "target": ">", "spurious": "<", "both": "s", "not probed": "D", "unlearnt": "x"}
"""A triangle points to where the true x lies: a censored feature costs more than was measured."""
LEGEND = {
    "target": "target censored: true x is larger",
    "spurious": "spurious censored: true x is smaller",
    "both": "both censored: no x",
    "not probed": "not probed: no x",
    "unlearnt": "no learnt run: U not defined",
}
RELATIVE, FORMULA = "relative extractability", "log2(bits target / bits spurious)"
DIRECTIONS = "target easier  \N{LEFTWARDS ARROW}  0  \N{RIGHTWARDS ARROW}  spurious easier"


def _bars(ax: Axes, rows: DataFrame, x: str | float) -> None:
    """Per pair the interval of U, and paler the range over its runs."""
    at = rows[x] if isinstance(x, str) else DataFrame({"x": [x] * len(rows)})["x"]
    for low, high, width, colour in (
        ("U_run_low", "U_run_high", 0.4, "#BDBDBD"),
        ("U_low", "U_high", 0.7, GREY),
    ):
        ax.vlines(at.to_numpy(), rows[low].to_numpy(), rows[high].to_numpy(), colour, lw=width, zorder=2)


def _points(ax: Axes, rows: DataFrame, x: Any, y: Any, size: float = 13) -> None:
    """One marker a pair: filled in the primary set, hollow outside it."""
    for (marker, primary), part in rows.groupby(["marker", rows["excluded"] == ""]):
        chosen = rows.index.isin(part.index)
        colour: dict[str, Any] = {"facecolors": TARGET, "edgecolors": "white"}
        if not primary:
            colour = {"facecolors": "white", "edgecolors": INK}
        if marker == "unlearnt":
            colour = {"color": INK}
        drawn = ax.scatter(
            x[chosen],
            y[chosen],
            s=size * (1.6 if marker in ("target", "spurious") else 1),
            marker=MARKERS[str(marker)],
            linewidths=0.5,
            zorder=3,
            **colour,
        )
        drawn.set_gid("pairs")
        drawn.set_label("_" + "\n".join(rows.loc[chosen, "task"]))  # for the report alone
        drawn.set_clip_on(False)


def _spread(count: int) -> Any:
    """Places across a strip (0 to 1) for points that would hide each other."""
    return 0.5 + 0.27 * np.resize([0.0, 1.0, -1.0], count)


def _panel(
    figure: Figure, spec: SubplotSpec, rows: DataFrame, limit: float, strips: tuple[bool, bool]
) -> tuple[Axes, Axes]:
    """One arm and method: the plane, and where needed a strip below it and one at its side.

    Returns the plane and the axes at the bottom, which has the x-axis.
    """
    below, side = strips
    grid = spec.subgridspec(
        1 + below, 1 + side, width_ratios=[1, 0.09][: 1 + side], height_ratios=[1, 0.09][: 1 + below],
        wspace=0.04, hspace=0.05,
    )  # fmt: skip
    ax = figure.add_subplot(grid[0, 0])
    ax.set(xlim=(-limit, limit), ylim=(-0.03, 1.03), yticks=[0, 0.25, 0.5, 0.75, 1])
    ax.axhline(0.5, color=GREY, lw=0.5, ls=(0, (4, 3)), zorder=1)
    ax.axvline(0, color=GREY, lw=0.5, ls=(0, (4, 3)), zorder=1)
    plane = rows[rows["place"] == PANEL]
    _bars(ax, plane, "relative")
    _points(ax, plane, plane["relative"].to_numpy(), plane["U"].to_numpy())
    if not len(plane):
        why = "no learnt run" if rows["U"].isna().all() else "no pair has both a U and an x"
        ax.text(0.5, 0.55, why, transform=ax.transAxes, ha="center", bbox={"fc": "white", "ec": "none"})
    bottom = ax
    if side:
        strip = figure.add_subplot(grid[0, 1], sharey=ax)
        part = rows[rows["place"] == SIDE].sort_values("U")
        across = _spread(len(part))
        for place, (_, row) in zip(across, part.iterrows(), strict=True):
            _bars(strip, DataFrame([row]), float(place))
        _points(strip, part, across, part["U"].to_numpy())
        _as_strip(strip, (0, 1), None, "no x")
    if below:
        ax.tick_params(labelbottom=False)
        strip = bottom = figure.add_subplot(grid[1, 0], sharex=ax)
        part = rows[rows["place"] == BELOW].sort_values("relative")
        _points(strip, part, part["relative"].to_numpy(), _spread(len(part)), 9)
        strip.axvline(0, color=GREY, lw=0.5, ls=(0, (4, 3)), zorder=1)
        _as_strip(strip, None, (0, 1), "")
        strip.set_ylabel("no U", rotation=0, ha="right", va="center", fontsize=SMALL)
    if below and side:
        corner = figure.add_subplot(grid[1, 1])
        part = rows[rows["place"] == CORNER]
        _points(corner, part, np.linspace(0.2, 0.8, len(part)), _spread(len(part)), 9)
        _as_strip(corner, (0, 1), (0, 1), "")
    return ax, bottom


def _as_strip(
    ax: Axes, xlim: tuple[float, float] | None, ylim: tuple[float, float] | None, title: str
) -> None:
    ax.set_facecolor(PALE)
    ax.spines[:].set_visible(False)
    if xlim:
        ax.set(xlim=xlim, xticks=[])
        ax.tick_params(left=False, labelleft=False)
    if ylim:
        ax.set(ylim=ylim, yticks=[])
    ax.set_title(title, fontsize=SMALL, pad=2)


def _legend(figure: Figure, shown: DataFrame, notes: str) -> None:
    def key(marker: str, text: str, **look: Any) -> Line2D:
        return Line2D([], [], ls="", marker=MARKERS[marker], ms=3.5, mew=0.5, label=text, **look)

    full: dict[str, Any] = {"mfc": TARGET, "mec": "white"}
    hollow: dict[str, Any] = {"mfc": "white", "mec": INK}
    keys = []
    if (shown["excluded"] == "").any():
        keys.append(key("", "in the primary set", **full))
    if ((shown["excluded"] != "") & (shown["marker"] != "unlearnt")).any():
        keys.append(key("", "left out by a rule", **hollow))
    for marker, text in LEGEND.items():
        if (shown["marker"] == marker).any():
            keys.append(key(marker, text, **(hollow if marker != "unlearnt" else {"mec": INK})))
    figure.legend(
        handles=keys, loc="outside lower left", ncols=2, title=notes, alignment="left", handletextpad=0.3,
        columnspacing=1.2, labelspacing=0.35, borderaxespad=0.2,
    )  # fmt: skip


def _notes(table: DataFrame, arms: list[str]) -> str:
    notes = "Bars: 95 % Wilson interval of a pair's answers"
    notes += "; pale: range over its runs." if (table["n_learnt"] > 1).any() else "."
    gone = int((table["place"] == NOWHERE).sum())
    if gone:
        notes += f" Not drawn: {counted(gone, 'pair')} without a finished run."
    if "random_init" not in arms:
        notes += " The study has no finished random-init arm."
    return notes


@styled
def use_by_extractability(study: Study, pairs: DataFrame | None = None) -> Figure:
    """U at the lowest evidence against relative extractability, one point a pair, one panel a method.

    Rows: the main arm, and the random-init arm where the study has one; x is that of the main arm in both.
    `pairs`: the study's `pairs_table`, if at hand.
    """
    title = "Use by extractability"
    if why := nothing_ran(study):
        return message(title, why)
    pairs = pairs_table(study) if pairs is None else pairs
    table = use_table(study, pairs)
    shown = table[table["place"] != NOWHERE]
    if not len(shown):
        return message(title, "Nothing to draw: no finished run belongs to a pair.")
    if shown["relative"].isna().all() and not (shown["censored"] == "both").any():
        learnt = int(shown["U"].notna().sum())
        return message(
            title,
            f"No probe, so there is no x. The table has the U of {counted(learnt, 'pair')}.",
        )
    return _draw(table, shown, panel_titles(study, pairs))


def _draw(table: DataFrame, shown: DataFrame, titles: dict[tuple[str, str], str]) -> Figure:
    arms = [arm for arm in SHOWN if (shown["arm"] == arm).any()]
    methods = sorted(set(shown["method"]))
    most = float(shown["relative"].abs().max())
    limit = 1.08 * (most if most > 0 else 1.0)
    strips = bool(shown["place"].isin([BELOW, CORNER]).any()), bool(shown["place"].isin([SIDE, CORNER]).any())
    width = DOUBLE if len(methods) > 1 else COLUMN
    columns = int(17 * width / len(methods))
    panels = [
        (arm, method)
        for arm, method in itertools.product(arms, methods)
        if ((shown["arm"] == arm) & (shown["method"] == method)).any()
    ]
    first = dict(reversed(panels))
    lowest = {method: arm for arm, method in panels}
    labelled = set(lowest.values())  # the whole row, as a label takes height from its panel
    height = 0.6 + 2.3 * len(arms) + 0.25 * len(labelled)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.add_gridspec(len(arms), len(methods), hspace=0.06, wspace=0.05)
    for arm, method in panels:
        rows = shown[(shown["arm"] == arm) & (shown["method"] == method)]
        ax, bottom = _panel(figure, grid[arms.index(arm), methods.index(method)], rows, limit, strips)
        ax.set_title("\n".join(wrapped(titles[arm, method], columns)), loc="left")
        if method == first[arm]:
            ax.set_ylabel(f"use U at evidence {rows['evidence'].iloc[0]:g}\n0 target rule, 1 spurious rule")
        if arm in labelled:
            bottom.set_xlabel(
                ("\n" if len(methods) > 2 else ", ").join([RELATIVE, FORMULA]) + "\n" + DIRECTIONS
            )
    _legend(figure, shown, "\n".join(wrapped(_notes(table, arms), int(19 * width))))
    return figure
