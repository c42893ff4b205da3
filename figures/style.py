"""One look for every figure: sizes, colours, words for numbers, and how a figure reaches the disk."""

from __future__ import annotations

import hashlib
import math
import os
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from pandas import DataFrame, Series

from analysis import Estimate, Study
from analysis.pairs.pairs import CONTROLS
from figures.tables import write_tables

COLUMN, DOUBLE = 3.4, 7.0
"""Width of a figure in inches: one column of a paper, or both."""
FONT, SMALL = 7.0, 6.0
"""Points; SMALL is for tick labels and notes."""
DPI = 200

TARGET, SPURIOUS = "#0072B2", "#D55E00"
"""Blue belongs to the target feature, vermilion to the spurious one (Okabe and Ito's palette)."""
INK, GREY, PALE = "#222222", "#8C8C8C", "#EDEDED"
LINES = LinearSegmentedColormap.from_list("lines", [TARGET, "#A8A8A8", SPURIOUS])
"""Target to spurious for thin lines: the middle can be seen on white."""
CELLS = LinearSegmentedColormap.from_list("cells", ["#00517F", TARGET, "#FBF3D5", SPURIOUS, "#9A3F00"])
"""Target to spurious for areas: pale yellow in the middle, which is no grey of a missing cell."""

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": False,
    "figure.titlesize": FONT,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "xtick.major.size": 2.0,
    "ytick.major.size": 2.0,
    "hatch.linewidth": 0.4,
    "hatch.color": INK,
    "figure.facecolor": "white",
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,  # text stays text
}
RELATIVE = "relative extractability, log2(bits target / bits spurious)"
ARMS = {"main": "", "random_init": "random-init policy", "one_sided": "one-sided evidence"}
"""How an arm is called in a title; the main arm needs no words."""

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under the common style and leave the caller's matplotlib as it was."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with style():
            return draw(*args, **kwargs)

    return drawn


def style() -> AbstractContextManager[None]:
    """The common style, from matplotlib's defaults whatever the caller's settings are."""
    # No backend is chosen: figures are made without pyplot.
    settings: dict[Any, Any] = dict(matplotlib.rcParamsDefault)
    settings = {name: value for name, value in settings.items() if not name.startswith("backend")}
    return matplotlib.rc_context(settings | STYLE)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` characters; line breaks in the text stay."""
    return [part for line in text.split("\n") for part in textwrap.wrap(line, width) or [""]]


def message(title: str, text: str) -> Figure:
    """A figure that says in words why there is nothing to see."""
    lines = textwrap.fill(text, 58)
    figure = Figure(figsize=(COLUMN, 0.6 + 0.13 * (lines.count("\n") + 1)))
    figure.text(0.03, 0.92, title, va="top", weight="bold")
    figure.text(0.03, 0.92 - 0.25 / figure.get_figheight(), lines, va="top")
    return figure


def nothing_ran(study: Study, arm: str = "main") -> str:
    """Why an arm has no finished run, or ""."""
    runs = study.runs[study.runs["arm"] == arm]
    if (runs["status"] == "ok").any():
        return ""
    if not len(study.runs):
        return "Nothing to draw: the study has no run yet."
    if not len(runs):
        others = ", ".join(sorted(set(study.runs["arm"])))
        controls = " (controls)" if set(study.runs["arm"]) <= set(CONTROLS) else ""
        return f"Nothing to draw: the study has no run in its {arm} arm, only in {others}{controls}."
    why = next((str(e) for e in runs["error"] if e), "no reason recorded")
    return (
        f"Nothing to draw: {counted(len(runs), 'run')} of the {arm} arm, none finished. The first one: {why}"
    )


def diverging(values: Series, floor: float = 1.0) -> tuple[Normalize, bool]:
    """Colours symmetric around 0, at least to `floor`, and whether the largest values lie beyond them.

    One pair far out would leave all others the colour of 0, so the scale ends at the 90 % quantile.
    """
    sizes = values.abs().dropna()
    end = max(floor, float(sizes.quantile(0.9))) if len(sizes) else floor
    return Normalize(-end, end), bool((sizes > end).any())


def counted(count: int, noun: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def number(value: float, digits: int = 2) -> str:
    """A number as a title says it."""
    text = f"{value:.{digits}f}"
    return text.replace("-0." + "0" * digits, "0." + "0" * digits) if float(text) == 0 else text


def p_value(p: float) -> str:
    """`p = 0.03`, `p < 0.001`."""
    if p < 0.001:
        return "p < 0.001"
    return f"p = {number(p, 3 if p < 0.0095 else 2)}"


def in_words(found: Estimate, symbol: str = "rho") -> tuple[str, str]:
    """An estimate as two lines: the value with interval and p, and the n it stands on."""
    families = "1 family" if found.n_families == 1 else f"{found.n_families} families"
    n = " / ".join([families, counted(found.n_features, "feature"), counted(found.n_pairs, "pair")])
    if math.isnan(found.value):
        return found.note or "no estimate", n
    value = f"{symbol} = {number(found.value)}"
    if not math.isnan(found.low):
        value += f" [{number(found.low)}, {number(found.high)}]"
    if not math.isnan(found.p):
        value += f", {p_value(found.p)}"
    return value + (f" ({found.note})" if found.note else ""), n


def band(axes: Axes, table: DataFrame, colour: Any) -> None:
    """Intervals along a line; where all of several are equal, and have none, it has no width."""
    equal = table["low"].isna() & (table["n"] > 1)
    low, high = (table[end].mask(equal, table["y"]) for end in ("low", "high"))
    axes.fill_between(table["x"], low, high, color=colour, alpha=0.15, lw=0)


def publish(path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file so that it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        write(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


@dataclass(frozen=True)
class Drawn:
    """A figure by name with what it shows, or a table that has no figure."""

    name: str
    figure: Figure | None
    table: DataFrame
    title: str = ""
    """What the table is of; its name in words where this is empty."""
    legend: str = ""
    """What stands below it, beside what its columns mean."""

    def __post_init__(self) -> None:
        # It names files, and methods and tasks that anybody may have named are in it.
        plain = re.sub(r"[^A-Za-z0-9_.+-]", "-", self.name)
        if plain != self.name:  # two names never become one
            plain += "-" + hashlib.sha256(self.name.encode("utf-8", "surrogatepass")).hexdigest()[:4]
        object.__setattr__(self, "name", plain)


def lay_out(figure: Figure) -> None:
    """Place everything once. What stands between two dollars is a formula, unless it is none: then a name."""
    try:
        figure.draw_without_rendering()
    except ValueError:
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math("mathdefault" in text.get_text())  # the powers along an axis
        figure.draw_without_rendering()


def save(drawings: Iterable[Drawn], out: Path, about: str = "") -> list[Path]:
    """Each figure as PNG and PDF, and what it shows as `tables/<name>.csv`, `.md` and `.tex`; their paths.

    `about` says in every caption what the study stands on.
    """
    return [path for drawn in drawings for path in _save(drawn, out, about)]


def _save(drawn: Drawn, out: Path, about: str) -> Iterator[Path]:
    if (figure := drawn.figure) is not None:
        with style():
            lay_out(figure)
            figure.set_layout_engine("none")  # laid out once is enough
            yield publish(out / f"{drawn.name}.png", lambda path: figure.savefig(path, dpi=DPI, format="png"))
            yield publish(
                out / f"{drawn.name}.pdf",
                lambda path: figure.savefig(path, format="pdf", metadata={"CreationDate": None}),
            )
    title = drawn.title or drawn.name.replace("_", " ")
    caption = f"{title[:1].upper()}{title[1:]}: {counted(len(drawn.table), 'row')}"
    told = f"{caption}. {about}." if about else f"{caption}."
    yield from write_tables(drawn.table, out / "tables", drawn.name, publish, told, drawn.legend)
