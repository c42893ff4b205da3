"""A figure as SVG inside the page: text stays text, ids are its own, inks follow the page's colours."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from figures.report.hover import Mark, marks_of
from figures.style import GREY, INK, PALE, lay_out, style

FONTS = "'DejaVu Sans', Verdana, 'Segoe UI', sans-serif"
"""As wide as what the figure was laid out with, where that is not installed."""
INKS = {
    INK.lower(): "var(--ink)",
    "#000000": "var(--ink)",
    "#ffffff": "var(--paper)",
    "#bdbdbd": "var(--faint)",
    PALE.lower(): "var(--pale)",
}
"""Colours without a meaning, which change in the dark."""
_COLOUR = re.compile(r"(?P<what>fill|stroke): ?(?P<colour>#[0-9a-f]{6})\b")
_TAG = re.compile(r"<[^>]+>")
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_NAMED = re.compile(r'\sid="(?P<id>[^"]+)"')
_USED = re.compile(r'(?:url\(#|href="#)([^")]+)')
_ID = re.compile(r'(?P<before>\bid="|url\(#|href="#)(?P<id>[^")]+)')


@dataclass(frozen=True)
class Picture:
    """A figure on the page."""

    name: str
    svg: str
    width: float
    """Points."""
    height: float
    marks: list[Mark]


def picture(name: str, figure: Figure, prefix: str) -> Picture:
    """A figure as inline SVG, with what its marks are worth; `prefix` keeps its ids apart from others'."""
    looks: dict[Any, Any] = {"svg.fonttype": "none", "figure.dpi": 72}
    with style(), matplotlib.rc_context(looks):
        figure.set_dpi(72)
        lay_out(figure)
        figure.set_layout_engine("none")
        marks = marks_of(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", dpi=72, metadata={"Date": None, "Creator": None})
    width, height = (float(size) * 72 for size in figure.get_size_inches())
    return Picture(name, _inline(file.getvalue(), name, prefix), width, height, marks)


def _inked(found: re.Match[str]) -> str:
    """Grey text must be read, grey lines must not."""
    what, colour = found["what"], found["colour"]
    if colour == GREY.lower():
        return f"{what}:var({'--grey' if what == 'fill' else '--rule'})"
    return f"{what}:{INKS.get(colour, colour)}"


def _inline(text: str, name: str, prefix: str) -> str:
    """The drawing alone, small, with ids and colours of the page."""
    drawing = text[text.index("<g ") : text.rindex("</svg>")]
    view = re.search(r'viewBox="([^"]+)"', text)
    drawing = re.sub(r"<!--.*?-->", "", drawing, flags=re.S)
    used = set(_USED.findall(drawing))  # all other ids are names, which may be there more than once
    # matplotlib's ids hash places to the last bit, which the layout does not repeat.
    ids: dict[str, int] = {}

    def tag(found: re.Match[str]) -> str:  # what stands between tags is told, and stays as it is
        told = found[0].replace("xlink:href", "href")
        told = _NAMED.sub(lambda name: name[0] if name["id"] in used else "", told)
        told = _ID.sub(lambda x: f"{x['before']}{prefix}{ids.setdefault(x['id'], len(ids))}", told)
        told = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), told)
        return re.sub(r"'DejaVu Sans'[^;\"]*", FONTS, _COLOUR.sub(_inked, told))

    drawing = _TAG.sub(tag, drawing)
    drawing = re.sub(r"\n\s*", "\n", drawing)
    label = escape(name.replace("_", " "))
    box = view[1] if view else "0 0 1 1"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">{drawing}</svg>'
