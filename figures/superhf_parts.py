"""What the figures of SuperHF share: a row of panels for each setting, dots of runs, lines over a setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame, Series

from analysis.papers.superhf_claim import HELD, METEOR
from analysis.stages.stage_runs import SETTING
from analysis.statistics.seeds import paired
from figures.stage_style import looks_of
from figures.style import DOUBLE, INK, counted, message

LABELS = {
    HELD: "held-out reward, sd of SFT",
    METEOR: "METEOR similarity\n(exact + stem)",
    "learned": "learned reward, sd of SFT",
    "gold": "gold reward",
}
COLUMNS = [*SETTING, "panel", "line", "x", "y", "low", "high", "n"]
Part = tuple[str, DataFrame, dict[str, Any]]
"""A setting in words, its measured points, and its columns of a table."""
Shown = tuple[Figure, DataFrame]
INTERVALS = "means and 95 % t intervals over runs"
MOVED_NOTE = "Points on the way are of one completion a prompt, moved to begin at the SFT model."


def rows_of_panels(parts: Sequence[Part], columns: int, height: float, **shared: Any) -> tuple[Figure, Any]:
    """A figure with a row of panels for each setting, which the first panel names where there are several."""
    figure = Figure(figsize=(DOUBLE, 0.6 + height * len(parts)), layout="constrained")
    # Names of methods come out wider than the layout reckons.
    figure.get_layout_engine().set(w_pad=0.06, rect=(0.01, 0, 0.99, 1))  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(parts), columns, squeeze=False, **shared)
    for axes, (title, _, _) in zip(grid[:, 0], parts, strict=True):
        axes.set_title(title, loc="left", weight="bold")
    return figure, grid


def with_runs(parts: Sequence[Part], has: Callable[[DataFrame], bool]) -> list[Part]:
    """The settings of which the runs are some that a figure can show."""
    return [part for part in parts if has(part[1])]


def nothing(title: str, why: str) -> Shown:
    return message(title, f"Nothing to draw: {why}."), table_of([])


def table_of(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] = COLUMNS) -> DataFrame:
    return DataFrame(list(rows), columns=list(columns))


def dots(axes: Axes, values: Mapping[str, Series], told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A line for each policy: its runs, their mean and its interval; what was drawn, as rows."""
    rows, looks = [], looks_of(values)
    for place, (name, runs) in enumerate(values.items()):
        runs = runs.dropna()
        if not len(runs):
            continue
        mean, low, high, _, n = paired(runs)
        colour, mark = looks[name]
        spread = np.linspace(-0.22, 0.22, len(runs)) if len(runs) > 1 else np.array([0.22])
        axes.plot(runs, place + spread, ".", color=colour, ms=2.5, alpha=0.6, mew=0)
        error = None if math.isnan(low) else [[mean - low], [high - mean]]
        axes.errorbar(mean, place, xerr=error, fmt=mark, color=colour, ms=4, lw=1.2, mec=INK, mew=0.5)
        rows.append({**told, "line": name, "x": mean, "low": low, "high": high, "n": n})
    # The interval of two runs can be so wide that it would hide all others: it leaves the panel.
    told_of = [x for row in rows for x in (row["x"], *((row["low"], row["high"]) if row["n"] > 2 else ()))]
    known = [*told_of, *(x for runs in values.values() for x in runs.dropna())]
    if known:
        room = 0.06 * (max(known) - min(known)) or 0.05
        axes.set_xlim(min(known) - room, max(known) + room)
    names = [f"{name} ({len(runs.dropna())})" for name, runs in values.items()]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    return rows


def seeds_in(runs: DataFrame) -> str:
    """`10 runs on 1 SFT model`, of one entry and one of its settings at most."""
    many = runs.groupby("policy")[["seed_data", "seed_tune"]].apply(lambda own: len(own.drop_duplicates()))
    least, most = int(many.min()), int(many.max())
    told = counted(most, "run") if least == most else f"{least} to {most} runs"
    return f"{told} a point on {counted(runs['seed_data'].nunique(), 'SFT model')}"


def log_ticks(axes: Axes, values: Iterable[float]) -> None:
    """A logarithmic axis with a tick at each value."""
    ticks = sorted(set(values))
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
