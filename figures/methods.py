"""Methods side by side: how much they use the spurious feature, and how use follows extractability."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis import Study, claims
from analysis.pairs.comparison import BASELINE, EPISODES, RATE, REWARD, method_columns
from figures.style import DOUBLE, GREY, INK, SPURIOUS, TARGET, Drawn, message, nothing_ran, styled

PANELS = (
    ("use", "mean", "use U, mean over pairs"),
    ("use", "slope", "slope of U on extractability"),
    ("methods", "mean", f"U less that of {BASELINE}"),
    ("methods", "slope", f"slope less that of {BASELINE}"),
)
WAYS = {EPISODES: (-0.25, "full"), RATE: (0.0, "pale"), REWARD: (0.25, "open")}
"""Ways to compare: where on a method's line they stand, and how their marks are filled."""


def draw_methods(study: Study) -> Iterator[Drawn]:
    """The figure, with what it shows as a table."""
    table = compared_table(study)
    yield Drawn("methods", methods(study, table), table)


def compared_table(study: Study) -> DataFrame:
    """One row per method, statistic, level of evidence and way to compare."""
    rows = [row.to_dict() for row in claims(study) if row.claim in ("use", "methods")]
    names = ["claim", "method", "statistic", "pairs", "given", "value", "low", "high", "p", "n_pairs"]
    table = DataFrame(rows, columns=[*names, "n_families", "status"])
    return table.astype(dict.fromkeys(["value", "low", "high", "p"], float))


@styled
def methods(study: Study, table: DataFrame | None = None) -> Figure:
    """A line a method, in the order of the table of methods: means and slopes, and their differences from
    supervised tuning; 95 % intervals over families."""
    if why := nothing_ran(study):
        return message("Methods on the same pairs", why)
    table = compared_table(study) if table is None else table
    columns = method_columns(study).sort_values(["on-policy", "negative gradient", "reward's role"])
    levels = list(dict.fromkeys(table["pairs"]))
    figure = Figure(figsize=(DOUBLE, 0.7 + 0.3 * len(columns) * len(levels)), layout="constrained")
    # Long names come out longer than the layout reckons.
    figure.get_layout_engine().set(rect=(0.02, 0, 0.98, 1))  # type: ignore[union-attr, call-arg]
    grid = figure.subplots(len(levels), len(PANELS), sharey=True, sharex="col", squeeze=False)
    for level, axes_row in zip(levels, grid, strict=True):
        for axes, (claim, statistic, label) in zip(axes_row, PANELS, strict=True):
            part = table[(table["pairs"] == level) & (table["claim"] == claim)]
            _panel(axes, part[part["statistic"] == statistic].set_index("method"), columns)
            axes.axvline(0.5 if (claim, statistic) == ("use", "mean") else 0, color=GREY, lw=0.5)
            if level == levels[-1]:
                axes.set_xlabel(label)
        n = table[table["pairs"] == level]["n_pairs"]
        pairs = f"{n.max()}" if n.min() == n.max() else f"{n.min()} to {n.max()}"
        of = table[table["pairs"] == level]["n_families"]
        families = f"{of.max()}" if of.min() == of.max() else f"{of.min()} to {of.max()}"
        axes_row[0].set_title(f"{_level(level)}: {pairs} pairs, {families} families", loc="left")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4)
    return figure


def _level(pairs: str) -> str:
    return pairs.partition(", ")[2] or "no evidence"


def _panel(axes: Any, part: DataFrame, columns: DataFrame) -> None:
    for place, (method, of) in enumerate(columns.iterrows()):
        colour = SPURIOUS if of["on-policy"] else TARGET
        mark = "v" if of["negative gradient"] else "o"
        for at, (shift, filled) in WAYS.items():
            rows = part[part["given"] == at]
            if method not in rows.index:
                continue
            row = rows.loc[method]
            spread = [[row["value"] - row["low"]], [row["high"] - row["value"]]]
            axes.errorbar(
                row["value"], place + shift, xerr=spread, fmt=mark, ms=3, lw=0.7, color=colour,
                mfc={"full": colour, "pale": (colour, 0.4), "open": "white"}[filled], mew=0.7,
            )  # fmt: skip
    axes.set_yticks(range(len(columns)), columns.index)
    axes.set_ylim(len(columns) - 0.5, -0.5)


def _legend() -> list[Line2D]:
    def line(mark: str, colour: str, face: Any, label: str) -> Line2D:
        return Line2D([], [], ls="", marker=mark, ms=3.5, color=colour, mfc=face, label=label)

    return [
        line("s", SPURIOUS, SPURIOUS, "on-policy"),
        line("s", TARGET, TARGET, "off-policy"),
        line("v", INK, INK, "pushes answers down"),
        line("o", INK, INK, "does not"),
        line("D", INK, INK, f"full: {EPISODES}"),
        line("D", INK, (INK, 0.4), f"pale: {RATE}"),
        line("D", INK, "white", f"open: {REWARD}"),
        Line2D([], [], color=INK, lw=0.7, label="95 % interval over families"),
    ]
