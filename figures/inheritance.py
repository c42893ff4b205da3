"""Which feature policies use, and which their reward models, by the evidence among the policy's prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.pairs.inheritance import inheritance, inheritance_table
from figures.style import (
    COLUMN,
    DOUBLE,
    GREY,
    SPURIOUS,
    TARGET,
    Drawn,
    counted,
    in_words,
    message,
    styled,
    wrapped,
)

PANEL = ["arm", "evidence_kind", "evidence_rate"]
COLOURS = (TARGET, SPURIOUS, "#009E73", "#CC79A7")
"""Of methods; features have none here, being the axes."""
MARKS = "os^D"
SHIFT = 0.012
"""How far methods stand from each other, and pairs within them: many policies are at 0 or 1 exactly."""


def draw_inheritance(study: Study) -> Iterator[Drawn]:
    """The figure, with what it shows as a table."""
    table = inheritance_table(study)
    yield Drawn("inheritance", inheritance_figure(table), table)


@styled
def inheritance_figure(table: DataFrame) -> Figure:
    """A panel for each arm and level of evidence: a point a policy, a thin line the policies of one pair.

    The bold line is the slope within pairs, through the mean; on the dashed one policy and reward model have
    equal U.
    """
    if not len(table):
        return message(
            "Use of policy and reward model",
            "Nothing to draw: no learnt policy of a learnt reward model.",
        )
    panels = list(table.groupby(PANEL, sort=True))
    methods = sorted(set(table["method"]))
    width = COLUMN if len(panels) == 1 else DOUBLE
    rows = -(-len(panels) // 3)
    figure = Figure(figsize=(width, 0.4 + (2.2 + 0.3 * len(methods)) * rows), layout="constrained")
    wide = 60 if len(panels) == 1 else 44 if len(panels) > 2 else 66
    axes = figure.subplots(rows, min(3, len(panels)), squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    for ax, ((arm, kind, rate), part) in zip(axes.flat, panels, strict=False):
        told = f"{arm}: {kind} evidence {rate:g}" if kind != "symmetric" else f"{arm}: evidence {rate:g}"
        title = wrapped(f"{told} in prompts; slopes:", wide)
        for method, own in part.groupby("method"):
            place = methods.index(method)
            title += wrapped(_drawn(ax, own, place), wide)
        ax.set_title("\n".join(title), loc="left")
        ax.plot([0, 1], [0, 1], color=GREY, lw=0.6, ls="--", zorder=1)
        ax.set_xlim(-0.05, 1.05)
        ax.set_ylim(-0.05, 1.05)
    figure.supxlabel("U of the reward model (0 = target rule, 1 = spurious rule)", fontsize="medium")
    figure.supylabel("U of the policy", fontsize="medium")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=len(methods))
    return figure


def _drawn(ax: Axes, rows: DataFrame, place: int) -> str:
    """Points, pairs' lines and slope of one method; the slope in words."""
    colour, mark = COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)]
    look: dict[str, Any] = {"color": colour, "zorder": 3}
    blocks = rows.groupby(["task", "model", "seed_tune"])
    for number, (_, block) in enumerate(blocks):
        shift = SHIFT * (2 * place - 1 + (number - (len(blocks) - 1) / 2) / len(blocks))
        x, y = block["reward_model_U"].to_numpy(float) + shift, block["U"].to_numpy(float) - shift
        ax.plot(x, y, lw=0.4, alpha=0.5, marker=mark, ms=2.4, mew=0, **look)
    found = inheritance(rows, permutations=9_999)
    x = np.array([rows["reward_model_U"].min(), rows["reward_model_U"].max()])
    y = rows["U"].mean() + found.value * (x - rows["reward_model_U"].mean())
    ax.plot(x, y, lw=1.6, marker=mark, ms=2.4, label=rows["method"].iloc[0], **look)  # NaNs draw nothing
    words, n = in_words(found, str(rows["method"].iloc[0]))
    return f"{words}\n{counted(len(rows), 'run')}, {n}"
