"""What stands at an axis: its name, and the words at its ticks, also where another panel says them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import SubFigure
from matplotlib.ticker import FixedFormatter, FuncFormatter

NOTE = 75
"""A label below all panels that is longer is a note, not an axis' name; of an axis' own the first line is."""


def is_shown(ax: Axes) -> bool:
    return bool(ax.get_visible()) and ax.get_label() != "<colorbar>"


def _axis_name(ax: Axes, axis: str) -> str:
    """An axis' label: its own, that of a panel in line with it, or that of all panels."""
    for panel in [ax] if _words(ax, axis) else _alike(ax, axis):
        if label := str(getattr(panel, f"get_{axis}label")()):
            return _short(label)
    root: Any = ax.get_figure(root=True)
    for part in [root, *root.findobj(SubFigure)]:
        common = str(getattr(part, f"get_sup{axis}label")())
        if 0 < len(common) < NOTE:
            return _short(common)
    return ""


def _alike(ax: Axes, axis: str) -> list[Axes]:
    """The panel, those in line with it (x: its column, y: its row) with the nearest first, and then all that
    share its axis: in a grid that shares one axis each row can be of another thing."""
    shared = list((ax.get_shared_x_axes() if axis == "x" else ax.get_shared_y_axes()).get_siblings(ax))
    root: Any = ax.get_figure(root=True)
    in_line, along = (0, 1) if axis == "x" else (1, 0)

    def apart(panel: Axes, way: int) -> float:
        """Shares of the whole page, also between parts of it, between two lower left corners."""
        return float(abs(np.subtract(panel.bbox.min, ax.bbox.min)[way]) / root.bbox.size[way])

    line = [p for p in root.get_axes() if is_shown(p) and apart(p, in_line) < 0.02]
    return [ax, *sorted(line, key=lambda panel: (panel not in shared, apart(panel, along))), *shared]


def _short(label: str) -> str:
    """A label on one line; of a long one the first line."""
    return " ".join((label if len(label) < NOTE else label.partition("\n")[0]).split())


def _words(ax: Axes, axis: str) -> dict[float, str]:
    """Ticks that have been given words."""
    which = ax.xaxis if axis == "x" else ax.yaxis
    formatter = which.get_major_formatter()
    if not isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter):
        return {}
    return {float(tick): _short(str(formatter(tick, i))) for i, tick in enumerate(which.get_majorticklocs())}


@dataclass(frozen=True)
class AxisWords:
    """What stands at one axis of a panel. To find it all panels are looked at, so it is found once."""

    name: str
    words: Mapping[float, str]
    """At ticks, also if a panel in line has them; none where ticks are numbers."""
    apart: float
    """The least distance of two such ticks."""

    def at(self, value: float) -> str:
        """The word at a value's tick, or ""."""
        if not self.words:
            return ""
        nearest = min(self.words, key=lambda tick: abs(tick - value))
        return self.words[nearest] if abs(nearest - value) < 0.5 * self.apart else ""


def axis_words(ax: Axes, axis: str) -> AxisWords:
    """What stands at an axis of a panel."""
    limits = getattr(ax, f"get_{axis}lim")()
    for panel in _alike(ax, axis):
        words = _words(panel, axis) if getattr(panel, f"get_{axis}lim")() == limits else {}
        if any(words.values()):
            words = dict(sorted(words.items()))
            apart = min((b - a for a, b in pairwise(words)), default=1.0)
            return AxisWords(_axis_name(ax, axis), words, apart)
    return AxisWords(_axis_name(ax, axis), {}, 1.0)


def number(value: float) -> str:
    """A number to four digits."""
    return f"{value:.4g}"
