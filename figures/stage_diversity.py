"""Diversity by policy, between its floor and its ceiling, and against the KL to the SFT model."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from analysis.stage_schema import ACROSS, PER_INPUT
from analysis.stages.stage_diversity import PANELS
from analysis.stages.stage_runs import SETTING, policies_of
from analysis.statistics.seeds import paired
from figures.stage_style import caption, count_note, legend, looks_of, where
from figures.style import DOUBLE, GREY, SMALL, message, number

NAMES = {
    "ead": "EAD",
    "ead (kirk2024)": "EAD as published",
    "distinct-n": "distinct n-grams",
    "cosine": "embedding cosine distance",
    "nli": "NLI diversity",
    "self-bleu": "self-BLEU (less: more varied)",
    "entropy": "entropy given the input, nats",
    "marginal entropy": "marginal entropy, nats",
    "information": "information, nats",
}
EXACT = (("entropy", PER_INPUT), ("marginal entropy", ACROSS), ("information", ACROSS))
COUNTED = ("ead", "ead (kirk2024)", "distinct-n", "self-bleu", "cosine", "nli", "unique share")


def diversity_bars(table: DataFrame, scope: str) -> tuple[Figure, DataFrame]:
    """Figures 5 and 6: a panel a measure, a bar a policy; dashes are floor and ceiling."""
    table = table[(table["scope"] == scope) & table["measure"].isin(PANELS)].reset_index(drop=True)
    groups = list(table.groupby(SETTING))
    if not groups:
        return message(f"Diversity {scope}", "Nothing to draw: no measure of diversity."), table
    looks = looks_of(policies_of(table))
    figure = Figure(figsize=(DOUBLE, 0.6 + 1.9 * len(groups)), layout="constrained")
    grid = figure.subplots(len(groups), len(PANELS), squeeze=False)
    for line, (names, part) in zip(grid, groups, strict=True):
        for axes, measure in zip(line, PANELS, strict=True):
            _bars(axes, part[part["measure"] == measure].set_index("policy"), looks)
            axes.set_title(
                NAMES[measure] if axes is not line[0] else f"{where(names, table)}: {NAMES[measure]}"
            )
            axes.title.set_ha("left")
            axes.title.set_x(0)
        line[0].set_ylabel(f"diversity {scope}")
    largest = table.sort_values("runs").iloc[-1]
    told = count_note(largest["runs"], largest["sft_models"], largest["inputs"])
    edges = "Dashes: floor (identical outputs) and ceiling (nothing shared), printed below; bars begin at 0"
    intervals = "95 % intervals over runs, of one run over its inputs"
    caption(figure, f"{edges} or at a lower floor.\n{told}; {intervals}")
    return figure, table


def _bars(axes: Axes, rows: DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    if not len(rows):
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes, color=GREY)
        axes.set_axis_off()
        return
    base = min(0.0, float(rows[["floor", "value"]].min().min()))
    for place, policy in enumerate(looks):
        if policy not in rows.index:
            continue
        row = rows.loc[policy]
        axes.bar(place, row["value"] - base, bottom=base, color=looks[policy][0], width=0.75)
        if not np.isnan(row["low"]):
            axes.vlines(place, row["low"], row["high"], color="black", lw=0.8)
        for edge in ("floor", "ceiling"):
            axes.hlines(row[edge], place - 0.45, place + 0.45, color="black", lw=0.7, ls=(0, (2, 1.5)))
    axes.set_xticks(range(len(looks)), list(looks), rotation=40, ha="right", rotation_mode="anchor")
    axes.set_xlabel(f"floor {_range(rows['floor'])}, ceiling {_range(rows['ceiling'])}", fontsize=SMALL)


def _range(values: Series) -> str:
    low, high = number(float(values.min())), number(float(values.max()))
    return low if low == high else f"{low} to {high}"


def against_kl(table: DataFrame, panels: Sequence[tuple[str, str]]) -> tuple[Figure, DataFrame]:
    """A panel a measure: dots are runs, markers the means of each policy or setting of it."""
    table = table.merge(DataFrame(panels, columns=["measure", "scope"]), on=["measure", "scope"])
    there = set(table[["measure", "scope"]].itertuples(index=False, name=None))
    shown = [panel for panel in panels if panel in there]
    if not shown:
        return message("Diversity against KL", "Nothing to draw: no such measure, or no KL."), table[:0]
    wide = min(len(shown), 4)
    high = ceil(len(shown) / wide)
    looks = looks_of(policies_of(table))
    figure = Figure(figsize=(DOUBLE, 0.8 + 1.7 * high), layout="constrained")
    grid = figure.subplots(high, wide, squeeze=False)
    for axes, (measure, scope) in zip(grid.flat, shown, strict=False):
        rows = table[(table["measure"] == measure) & (table["scope"] == scope)]
        _points(axes, rows, looks)
        axes.set_title(f"{NAMES.get(measure, measure)}\n{scope}", loc="left")
        axes.set_xlabel("KL(policy || SFT), nats")
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    legend(figure, grid[0, 0], columns=8)
    names = next(iter(table.groupby(SETTING)))[0]
    told = f"{where(names, table)}. Dots: runs ({table['key'].nunique()}); markers: means of a policy"
    told += " or setting, with 95 % intervals over runs"
    bound = "; hollow: its largest possible KL, log N - (N - 1)/N" if table["bound"].any() else ""
    caption(figure, told + bound)
    return figure, table


def _points(axes: Axes, rows: DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    for policy, (colour, marker) in looks.items():
        mine = rows[rows["policy"] == policy]
        if not len(mine):
            continue
        axes.plot(mine["kl"], mine["value"], ".", ms=2, color=colour, alpha=0.6)
        for _, runs in mine.groupby("entry"):
            _, low, high, *_ = paired(runs["value"])
            axes.vlines(runs["kl"].mean(), low, high, color=colour, lw=0.7)
        means = mine.groupby("entry")[["kl", "value"]].mean().sort_values("kl")
        face = "white" if mine["bound"].any() else colour
        axes.plot(
            means["kl"], means["value"], marker=marker, ms=4, lw=0.7, color=colour, mfc=face, label=policy
        )  # fmt: skip
