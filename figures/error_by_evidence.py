"""How the four quadrants' errors change with the evidence against the spurious feature."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from pandas import DataFrame

from analysis import Study, estimate, mean, pairs_table
from analysis.pairs.pairs import PAIR
from figures.style import (
    ARMS,
    DOUBLE,
    FONT,
    INK,
    LINES,
    SPURIOUS,
    counted,
    diverging,
    message,
    nothing_ran,
    styled,
)

QUADRANTS = ("spurious_only", "target_only", "both", "neither")
SHOWN = ("main", "one_sided")
ROW = ["arm", "method", "evidence_kind"]
Look = Callable[[float], dict[str, Any]]
UNKNOWN: dict[str, Any] = {"color": "#777777", "ls": (0, (3, 1.5))}
"""How a pair without relative extractability is drawn: no colour, and dashed."""
COLUMNS = [
    *ROW, "evidence", "quadrant", "line", *PAIR, "relative", "error", "low", "high", "n_runs", "n_ok",
    "n_learnt", "n_families", "n_pairs", "excluded", "primary",
]  # fmt: skip


def _rates(study: Study) -> DataFrame:
    """Error per run and quadrant, averaged to pairs: over learnt runs, or all finished ones without any."""
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["task"] != "")]
    keys = [*PAIR, *ROW, "evidence_rate"]
    learnt = runs["U"].notna()
    counted = learnt | ~learnt.groupby([runs[k] for k in keys]).transform("any")
    rates = {q: runs[f"errors_{q}"] / runs[f"n_{q}"].where(runs[f"n_{q}"] > 0) for q in QUADRANTS}
    table = runs[keys].assign(**rates)[counted]
    return (
        table.groupby(keys)[list(QUADRANTS)]
        .mean()
        .reset_index()
        .rename(columns={"evidence_rate": "evidence"})
    )


def error_table(study: Study, pairs: DataFrame | None = None) -> DataFrame:
    """One row per point: a pair's error on one quadrant (`line` "pair"), or the mean over them ("mean").

    A pair's error is over its learnt runs; in a cell with no learnt run over all finished ones, and then it
    is not `primary`. The mean is over the primary pairs that are learnt at that level, families weighing
    alike, with its 95 % interval over families (NaN when there are too few of them).
    `pairs`: the study's `pairs_table`, if at hand.
    """
    cells = pairs_table(study) if pairs is None else pairs
    cells = cells[cells["arm"].isin(SHOWN)]
    if not len(cells) or not (cells["n_ok"] > 0).any():
        return DataFrame(columns=COLUMNS)
    wide = cells[cells["n_ok"] > 0].merge(_rates(study), on=[*PAIR, *ROW, "evidence"], validate="1:1")
    # A pair has one colour: what is known at its lowest level.
    wide["relative"] = wide.sort_values("evidence").groupby([*PAIR, *ROW])["relative"].transform("first")
    wide["primary"] = (wide["excluded"] == "") & (wide["n_learnt"] > 0)
    rows: list[dict[str, Any]] = []
    for quadrant in QUADRANTS:
        for cell in wide.to_dict("records"):
            values = {str(k): v for k, v in cell.items()}
            rows.append(values | {"line": "pair", "quadrant": quadrant, "error": cell[quadrant]})
        for key, part in wide[wide["primary"]].groupby([*ROW, "evidence"]):
            found = estimate(part, mean, y=quadrant, x=None)
            rows.append(
                dict(zip([*ROW, "evidence"], key, strict=True))
                | {"line": "mean", "quadrant": quadrant, "error": found.value, "primary": True}
                | {"low": float(np.clip(found.low, 0, 1)), "high": float(np.clip(found.high, 0, 1))}
                | {"n_families": found.n_families, "n_pairs": found.n_pairs}
            )
    order = [*ROW, "quadrant", "line", "task", "evidence"]
    table = DataFrame(rows, columns=COLUMNS).sort_values(order, kind="stable").reset_index(drop=True)
    counts = ("n_families", "n_pairs", "n_runs", "n_ok", "n_learnt")
    return table.astype(dict.fromkeys(counts, "Int64"))


def _lines(
    ax: Axes, rows: DataFrame, position: dict[float, float], look_of: Callable[[float], dict[str, Any]]
) -> None:
    """One thin line a pair; the levels at which it is in the primary set are drawn in full strength."""
    pairs = rows[rows["line"] == "pair"]
    single = len(position) == 1
    order = pairs.groupby("task")["relative"].first().rank(method="first", na_option="bottom")
    for task, line in pairs.groupby("task"):
        shift = 0.5 * (order[task] - (len(order) + 1) / 2) / max(1, len(order)) if single else 0.0
        x = line["evidence"].map(position).to_numpy(float) + shift
        y = line["error"].to_numpy(float)
        look = look_of(float(line["relative"].iloc[0])) | {"marker": "o", "ms": 1.3, "mew": 0}
        look["label"] = f"_{task}"  # for the report alone
        kept = line["primary"].to_numpy(bool)
        if not kept.all():
            ax.plot(x, y, lw=0.4, alpha=0.22, zorder=2, gid="pair", **look)
        if kept.any():
            gid = "pair" if kept.all() else "primary levels"
            ax.plot(x, np.where(kept, y, np.nan), lw=0.6, alpha=0.85, zorder=3, gid=gid, **look)
    average = rows[rows["line"] == "mean"]
    at = average["evidence"].map(position).to_numpy(float)
    low, high = (average[end].to_numpy(float) for end in ("low", "high"))
    y = average["error"].to_numpy(float)
    if single:
        ax.vlines(at, low, high, INK, lw=1.0, zorder=5)
    else:
        ax.fill_between(at, low, high, color=INK, alpha=0.16, lw=0, zorder=4)
    ax.plot(at, y, color="white", lw=2.4, zorder=5)
    ax.plot(at, y, color=INK, lw=1.5, marker="o", ms=2.5, zorder=6)


def _title(rows: DataFrame, key: tuple[str, str, str]) -> str:
    pairs = rows[rows["line"] == "pair"]
    kept = pairs[pairs["primary"]]
    families = len({*kept["target_family"], *kept["spurious_family"]})
    arm, method, kind = key
    words = ARMS[arm] if kind.startswith("one_sided") or arm != "main" else f"{kind} evidence"
    text = f"{method}, {words}: {counted(kept['task'].nunique(), 'primary pair')} of {families} families"
    others = pairs["task"].nunique() - kept["task"].nunique()
    text += f", {counted(others, 'other pair')} faint" if others else ""
    average = rows[rows["line"] == "mean"]
    return text + ("; too few families for an interval" if average["low"].isna().any() else "")


def _foot(foot: SubFigure, norm: Normalize, pairs: DataFrame, *, beyond: bool) -> None:
    """Colour bar at the right, what the lines are at the left."""
    bar = foot.add_axes((0.58, 0.74, 0.4, 0.13))
    colours = foot.colorbar(
        ScalarMappable(norm, LINES), cax=bar, orientation="horizontal", extend="both" if beyond else "neither"
    )
    colours.outline.set_visible(False)
    bar.set_xlabel("relative extractability (bits ratio, log2):\nabove 0 the spurious feature is easier")
    keys = [
        Line2D(
            [],
            [],
            color=INK,
            lw=1.5,
            marker="o",
            ms=2.5,
            label="mean of the primary pairs, 95 % interval over families",
        ),
        Line2D([], [], color=SPURIOUS, lw=0.6, label="a primary pair, its learnt runs"),
    ]
    if not pairs["primary"].all():
        keys.append(
            Line2D(
                [], [], color=SPURIOUS, lw=0.6, alpha=0.3, label="a pair left out by a rule, or not learnt"
            )
        )
    if pairs["relative"].isna().any():
        keys.append(Line2D([], [], lw=0.6, label="relative extractability not known", **UNKNOWN))
    foot.legend(handles=keys, loc="upper left", labelspacing=0.3, borderaxespad=0.2)


@styled
def error_by_evidence(study: Study, pairs: DataFrame | None = None) -> Figure:
    """Error on each quadrant against evidence: a thin line a pair, a bold mean with its interval.

    One row of panels per method of the main arm, and of the one-sided arm where it has several levels.
    """
    title = "Error by evidence"
    if why := nothing_ran(study):
        return message(title, why)
    table = error_table(study, pairs)
    lines = table[table["line"] == "pair"]
    if not len(lines):
        return message(title, "Nothing to draw: no finished run belongs to a pair.")
    keys = []
    for key, part in lines.groupby(ROW):
        if key[0] == "main" or part["evidence"].nunique() > 1:
            keys.append(key)
    norm, beyond = diverging(lines.drop_duplicates("task")["relative"])
    heights = [1.45] * (len(keys) - 1) + [1.6, 0.6]
    figure = Figure(figsize=(DOUBLE, sum(heights)), layout="constrained")
    *groups, foot = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]

    def look(relative: float) -> dict[str, Any]:
        return UNKNOWN if math.isnan(relative) else {"color": LINES(norm(relative))}

    groups[-1].supxlabel("evidence: share of tuning rows in which the features disagree", fontsize=FONT)
    for key, group in zip(keys, groups, strict=True):
        rows = table[(table[ROW] == list(key)).all(axis=1)]
        levels = sorted(set(rows["evidence"]))
        position = {level: float(at) for at, level in enumerate(levels)}
        axes = group.subplots(1, len(QUADRANTS), sharey=True)
        group.suptitle(_title(rows, key), x=0.01, ha="left")
        for ax, quadrant in zip(axes, QUADRANTS, strict=True):
            _lines(ax, rows[rows["quadrant"] == quadrant], position, look)
            ax.set(ylim=(-0.02, 1.02), yticks=[0, 0.25, 0.5, 0.75, 1], xlim=(-0.35, len(levels) - 0.65))
            ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
            ax.set_title(quadrant, pad=3)
        axes[0].set_ylabel("error")
    _foot(foot, norm, lines, beyond=beyond)
    return figure
