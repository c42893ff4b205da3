"""Over-optimisation: gold and proxy reward along the tuning, a panel a method, with where gold peaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.outputs.over_optimisation import OverOptimisation, Point
from figures.style import DOUBLE, GREY, SPURIOUS, TARGET, Drawn, styled, wrapped

COLUMNS = 3


def draw_over_optimisation(groups: Mapping[str, OverOptimisation]) -> Drawn:
    """The figure, with the curves that it shows."""
    rows = [{"method": name, **asdict(point)} for name, found in groups.items() for point in found.points]
    return Drawn("over_optimisation", over_optimisation_curves(groups), DataFrame(rows))


@styled
def over_optimisation_curves(groups: Mapping[str, OverOptimisation]) -> Figure:
    """Gold (left axis) and proxy (right axis), which have scales of their own; bands are 95 % intervals."""
    columns = min(COLUMNS, len(groups))
    rows = math.ceil(len(groups) / columns)
    figure = Figure(figsize=(DOUBLE * max(columns, 1.5) / COLUMNS, 2.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    for axes, (method, found) in zip(grid, groups.items(), strict=False):
        _panel(axes, method, found)
    return figure


def _panel(axes: Any, method: str, found: OverOptimisation) -> None:
    by_kl = all(point.kl is not None for point in found.points)
    at = [_place(point, by_kl) for point in found.points]
    other = axes.twinx()
    for side, name, colour in ((axes, "gold", TARGET), (other, "proxy", SPURIOUS)):
        low, high = ([getattr(point, f"{name}_{end}") for point in found.points] for end in ("low", "high"))
        side.plot(at, [getattr(point, name) for point in found.points], ".-", color=colour, lw=1.0, ms=4)
        side.fill_between(at, low, high, color=colour, alpha=0.2, lw=0)
        side.set_ylabel(f"{name} reward", color=colour)
        side.tick_params(axis="y", labelcolor=colour)
    other.spines["right"].set_visible(True)
    axes.axvline(at[found.peak], color=GREY, lw=0.6, ls="--")
    axes.set_xlabel("KL to the reference, nats" if by_kl else "step")
    axes.set_title("\n".join([*([method] if method else []), *wrapped(found.status, 36)]), loc="left")


def _place(point: Point, by_kl: bool) -> float:
    place = point.kl if by_kl else point.step
    return math.nan if place is None else place
