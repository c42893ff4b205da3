"""What a pair's features cost along the layers of a model, a training, a series of revisions or a tuning."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from pandas import DataFrame

from figures.style import COLUMN, GREY, INK, SPURIOUS, TARGET, Drawn, styled

Along = Literal["layer", "step"]
COLUMNS = [
    "at", "name", "model", "weights_hash", "task", "feature", "role", "bits_per_label", "bits_low",
    "bits_high", "control_low", "censored", "U", "B",
]  # fmt: skip
FURTHER = ("#009E73", "#CC79A7", "#E69F00")
"""Colours of further spurious features."""
LOGARITHMIC = 5
"""Steps are drawn on a logarithmic axis where the last is this many times the middle one."""


def draw_bits_along(along: Along, probes: DataFrame, name: str) -> Drawn:
    """The figure, with its points as a table.

    `probes`: probe records of one layer or of one model, with `at`, the place on the axis, and `name`, what
    is written there.
    """
    table = probes.reindex(columns=COLUMNS)
    return Drawn(name, bits_along(along, table), table)


@styled
def bits_along(along: Along, table: DataFrame) -> Figure:
    """Bits of each feature by layer or by step; of a tuning, below, which feature is used meanwhile."""
    tuned = bool(table["B"].notna().any())
    figure = Figure(figsize=(COLUMN, 3.7 if tuned else 2.6), layout="constrained")
    axes = figure.subplots(1 + tuned, 1, sharex=True, squeeze=False, height_ratios=[2, 1][: 1 + tuned])[:, 0]
    colours = {"target": TARGET, "spurious": SPURIOUS}
    further = [role for role in table["role"].unique() if role not in colours]
    colours |= {role: FURTHER[i % len(FURTHER)] for i, role in enumerate(further)}
    for role, colour in colours.items():
        _line(axes[0], table[table["role"] == role], f"{role}: ", colour)
    rows = table[table["role"] == "target"]
    at = rows["at"].to_numpy(float)
    hollow = " (hollow: no cheaper)" if table["censored"].any() else ""
    control = f"cheapest shuffled labels{hollow}"
    cheapest = table.groupby("at")["control_low"].min().reindex(at).to_numpy(float)
    axes[0].plot(at, cheapest, color=GREY, lw=0.8, ls=":", label=control)
    axes[0].set_ylim(0, max(1.08, float(table[["bits_per_label", "control_low"]].max().max()) + 0.03))
    axes[0].set_ylabel("bits per label\n(less is easier)")
    axes[0].set_title(str(table["task"].iloc[0]), loc="left")
    if tuned:
        looks: dict[str, dict[str, Any]] = {
            "B": {"color": GREY, "ls": "--", "label": "B: error on both and neither"},
            "U": {"color": INK, "marker": "o", "ms": 2.5, "label": "U: use, once learnt", "clip_on": False},
        }
        for column, look in looks.items():
            axes[1].plot(at, rows[column].to_numpy(float), lw=1.0, **look)
        axes[1].set_ylim(0, 1)
        axes[1].set_ylabel("0: target,\n1: spurious")
    if along == "step":
        _steps(axes[-1], rows)
    else:
        axes[-1].set_xticks(at, list(rows["name"]))
        axes[-1].set_xlabel("layer (0: the embedding; last: after the final norm)")
    figure.legend(loc="outside lower center", ncols=1 + tuned)
    return figure


def _line(ax: Axes, rows: DataFrame, role: str, colour: str) -> None:
    """A feature's bits, hollow where they are no cheaper than shuffled labels."""
    if not len(rows):
        return
    at, bits = rows["at"].to_numpy(float), rows["bits_per_label"].to_numpy(float)
    ax.plot(at, bits, color=colour, lw=1.2, label=role + str(rows["feature"].iloc[0]), zorder=3)
    if rows["bits_low"].notna().any():
        ax.fill_between(
            at, rows["bits_low"].to_numpy(float), rows["bits_high"].to_numpy(float),
            color=colour, alpha=0.2, lw=0, zorder=2,
        )  # fmt: skip
    faces = np.where(rows["censored"].astype(bool), "white", colour)
    ax.scatter(at, bits, s=9, c=list(faces), edgecolors=colour, linewidths=0.8, zorder=4, clip_on=False)


def _steps(ax: Axes, rows: DataFrame) -> None:
    at = rows["at"].to_numpy(float)
    numbered = all(name == f"{place:.0f}" for name, place in zip(rows["name"], at, strict=True))
    if not numbered and len(at) <= 12 and (at == np.arange(len(at))).all():
        ax.set_xticks(at, list(rows["name"]), rotation=30, ha="right")
        ax.set_xlabel("revision")
        return
    middle = float(np.median(at))
    if middle > 0 and at.max() > LOGARITHMIC * middle:
        ax.set_xscale("symlog", linthresh=float(at[at > 0].min()), linscale=0.4)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    ax.set_xlabel("step")
