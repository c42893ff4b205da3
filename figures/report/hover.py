"""What a figure's marks are worth: every point, bar and cell with its place on the page and its values.

The axes are walked, so figures know nothing of the report. What a mark is called is its label or that of its
legend key. A label that begins with an underscore stands in no legend; the report shows what follows it,
line by line where it has as many lines as the mark has points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from numpy.typing import NDArray

from figures.report.axis_words import AxisWords, axis_words, is_shown, number

Array = NDArray[np.float64]

NAMELESS = re.compile(r"_(child\d+|nolegend_|container\d+)?")
"""Labels that matplotlib gives itself."""
GUIDE = 2
"""A line of so many points without marker and name is a guide for the eye."""
TOUCH = 0.75
"""Points of the page within which two marks are at one place."""


@dataclass(frozen=True)
class Mark:
    """One point, bar or cell."""

    x: float
    """Place on the page in points, from the left."""
    y: float
    """From the top."""
    width: float
    """Of a bar or cell, which has its upper left corner at x and y; 0 for a point."""
    height: float
    text: str
    """What it shows, a line a thing."""


@dataclass(frozen=True)
class _Span:
    """A vertical interval: on the page, in data, and its colour."""

    x: float
    bottom: float
    top: float
    low: float
    high: float
    colour: str


def marks_of(figure: Figure) -> list[Mark]:
    """Every mark of a figure that has been laid out, in the order of reading."""
    keys = _legend_keys(figure)
    found = [mark for ax in figure.get_axes() if is_shown(ax) for mark in _of_axes(ax, keys)]
    height = figure.get_figheight() * 72
    scale = 72 / figure.dpi
    placed = [
        Mark(m.x * scale, height - (m.y + m.height) * scale, m.width * scale, m.height * scale, m.text)
        for m in found
        if np.isfinite([m.x, m.y, m.width, m.height]).all()
    ]
    return list({(round(m.x, 1), round(m.y, 1), m.width, m.text): m for m in placed}.values())


def _of_axes(ax: Axes, keys: dict[tuple[str, ...], str]) -> Iterator[Mark]:
    grouped = {
        id(part): str(container.get_label())
        for container in ax.containers
        for part in container.get_children()
    }
    titles = [ax.get_title(where) for where in ("left", "center", "right")]
    title = " ".join(text.partition("\n")[0] for text in titles if text)
    spans = list(_spans(ax))
    said = _Said(ax, title, spans, {axis: axis_words(ax, axis) for axis in "xy"})
    for line in ax.lines:
        if line.get_visible() and line.get_transform() == ax.transData:
            yield from _of_line(line, said, _name(line, grouped, keys))
    for drawn in ax.collections:
        if isinstance(drawn, PathCollection) and drawn.get_visible():
            points = _filled(drawn.get_offsets())
            colour = _colour_of(drawn)
            yield from said.points(points, _name(drawn, grouped, keys), colour)
    for patch in ax.patches:
        on_data = patch.get_data_transform() == ax.transData
        if isinstance(patch, Rectangle) and patch.get_visible() and on_data:
            yield from said.bar(patch, _name(patch, grouped, keys))


def _of_line(line: Line2D, said: _Said, name: str) -> Iterator[Mark]:
    points = np.asarray(line.get_xydata(), float)
    has_marker = line.get_marker() not in ("None", "none", "", " ", None)
    is_halo = _hex(line.get_color()) == "#ffffff" and not has_marker
    if not is_halo and (has_marker or name or len(points) > GUIDE):
        yield from said.points(points, name, _hex(line.get_color()))


def _filled(points: Any) -> Array:
    filled: Array = np.ma.filled(np.ma.asarray(points, float), np.nan)
    return filled


def _hex(colour: Any) -> str:
    return to_hex(colour)


def _colour_of(drawn: Collection) -> str:
    colours = drawn.get_facecolor()
    if not len(colours):
        colours = drawn.get_edgecolor()
    return _hex(colours[0]) if len(colours) else ""


@dataclass(frozen=True)
class _Said:
    """The words of one panel."""

    ax: Axes
    title: str
    spans: list[_Span]
    axes: Mapping[str, AxisWords]

    def points(self, data: Array, name: str, colour: str) -> Iterator[Mark]:
        """A mark for each finite point of [n, 2] data coordinates."""
        if not len(data):
            return
        places = self.ax.transData.transform(data)
        names = name.split("\n") if len(name.split("\n")) == len(data) else [name] * len(data)
        for (x, y), (across, up), own in zip(data, places, names, strict=True):
            if not np.isfinite([x, y, across, up]).all():
                continue
            value = self._at("y", y, self._interval(across, up, colour))
            lines = [own, self.title, self._at("x", x), value]
            yield Mark(float(across), float(up), 0.0, 0.0, "\n".join(filter(None, lines)))

    def _at(self, axis: str, value: float, interval: str = "") -> str:
        """`name: value`; nothing of an x-axis that has neither a name nor words at its ticks."""
        name, word = self.axes[axis].name, self.axes[axis].at(value)
        if not name and (word or axis == "x"):
            return word
        return f"{name or 'value'}: {word or number(value)}{interval}"

    def _interval(self, x: float, y: float, colour: str) -> str:
        """The one interval that is drawn through a point, if it can be told from others."""
        through = [s for s in self.spans if abs(s.x - x) < TOUCH and s.bottom - TOUCH <= y <= s.top + TOUCH]
        own = [s for s in through if s.colour == colour] or through
        ends = {(number(s.low), number(s.high)) for s in own}
        if len(ends) != 1:
            return ""
        ((low, high),) = ends
        return f" [{low}, {high}]"

    def bar(self, patch: Rectangle, name: str) -> Iterator[Mark]:
        """A bar says its value, a cell with a name says the name."""
        box = patch.get_window_extent()
        x, y, width, height = patch.get_x(), patch.get_y(), patch.get_width(), patch.get_height()
        places = [self._at("x", x + width / 2), self._at("y", y + height / 2)]
        if patch.get_gid() == "cell":
            lines = [name, places[1], places[0]]
        elif y == 0 or self._is_upright(patch):
            across, up = box.x0 + box.width / 2, box.y1 if y + height >= 0 else box.y0
            interval = self._interval(across, up, to_hex(patch.get_facecolor()))
            value = f"{self.axes['y'].name or 'value'}: {number(y + height)}{interval}"
            lines = [name, self.title, places[0], value]
        else:
            value = f"{self.axes['x'].name or 'value'}: {number(x + width)}"
            lines = [name, self.title, places[1], value]
        yield Mark(box.x0, box.y0, box.width, box.height, "\n".join(filter(None, lines)))

    def _is_upright(self, patch: Rectangle) -> bool:
        """Whether bars stand up: they share their width, not their height."""
        others = [p for p in self.ax.patches if isinstance(p, Rectangle)]
        return len({round(p.get_width(), 6) for p in others}) <= len(
            {round(p.get_height(), 6) for p in others}
        )


def _spans(ax: Axes) -> Iterator[_Span]:
    """Error bars and the edges of bands."""
    for drawn in ax.collections:
        if isinstance(drawn, LineCollection):
            paths = [segment for segment in drawn.get_segments() if len(segment) == 2]
            colours = drawn.get_colors()
        elif isinstance(drawn, PolyCollection):
            paths = [part for path in drawn.get_paths() for part in _edges(np.asarray(path.vertices, float))]
            colours = drawn.get_facecolor()
        else:
            continue
        colour = _hex(colours[0]) if len(colours) else ""
        for path in paths:
            (x, low), (other, high) = np.asarray(path, float)
            if x == other and low != high and np.isfinite([x, low, high]).all():
                low, high = min(low, high), max(low, high)
                (at, one), (_, two) = ax.transData.transform([(x, low), (x, high)])
                yield _Span(float(at), float(min(one, two)), float(max(one, two)), low, high, colour)


def _edges(vertices: Array) -> Iterator[Array]:
    """A band's lower and upper end at each of its x."""
    for x in np.unique(vertices[:, 0]):
        y = vertices[vertices[:, 0] == x, 1]
        yield np.array([[x, y.min()], [x, y.max()]])


def _name(artist: Any, grouped: dict[int, str], keys: dict[tuple[str, ...], str]) -> str:
    """What a mark is called: its own label, its group's, or that of the one legend key that looks like it."""
    look = _look(artist)
    is_cell = artist.get_gid() == "cell"  # its colour is its value, and no legend key's
    key = "" if is_cell else keys.get(look) or keys.get(look[:1], "")
    for label in (str(artist.get_label()), grouped.get(id(artist), "")):
        if label and not NAMELESS.fullmatch(label):
            several = "\n" in label or not label.startswith("_")
            return label.removeprefix("_") if several else ", ".join(filter(None, [label[1:], key]))
    return key


def _look(artist: Any) -> tuple[str, ...]:
    if isinstance(artist, Line2D):
        return _hex(artist.get_color()), str(artist.get_marker()), str(artist.get_linestyle())
    if isinstance(artist, Patch):
        return (to_hex(artist.get_facecolor()),)
    return (_colour_of(artist),) if isinstance(artist, Collection) else ("",)


def _legend_keys(figure: Figure) -> dict[tuple[str, ...], str]:
    """Labels of legend keys by their looks, and by colour alone; looks of two labels are nobody's."""
    found: dict[tuple[str, ...], set[str]] = {}
    for legend in figure.findobj(Legend):
        for key, text in zip(legend.legend_handles, legend.get_texts(), strict=False):
            look = _look(key)
            for part in {look, look[:1]}:
                found.setdefault(part, set()).add(text.get_text())
    return {look: labels.pop() for look, labels in found.items() if len(labels) == 1}
