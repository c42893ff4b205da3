"""Predictions beside what happened, on rows that the prediction never saw."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.prediction.scores import score, share
from analysis.prediction.splits import UNSEEN
from figures.style import COLUMN, DOUBLE, GREY, LINES, SMALL, Drawn, counted, message, styled

EDGES = np.linspace(0, 1, 11)
SHOWN = (UNSEEN[0], UNSEEN[1])


def draw_predicted(held_out: DataFrame) -> Drawn:
    """The figure, with the rows that it shows."""
    table = predicted_table(held_out)
    return Drawn("predicted", predicted(table), table)


def predicted_table(held_out: DataFrame) -> DataFrame:
    """One row a held-out prediction of unseen families, and one a bin of them, its interval over families."""
    columns = ["split", "task", "method", "evidence", "relative", "U_expected", "low", "high", "U"]
    found = held_out[held_out["split"].isin(SHOWN)]
    points = found[columns].assign(of="row", n=1)
    return pd.concat([points, *(_bins(part, split) for split, part in found.groupby("split"))])


def _bins(part: DataFrame, split: str) -> DataFrame:
    """Mean U in ten bins of expected U."""
    rows = []
    place = np.minimum((part["U_expected"].to_numpy() * 10).astype(int), 9)
    for k in np.unique(place):
        inside = part[place == k]
        mean = score(inside, share, inside["U"].to_numpy(float))
        ends = np.clip((mean.low, mean.high), 0, 1)
        told = {"split": split, "of": "bin", "n": len(inside), "U_expected": inside["U_expected"].mean()}
        rows.append({**told, "U": mean.value, "low": ends[0], "high": ends[1]})
    return DataFrame(rows)


@styled
def predicted(table: DataFrame) -> Figure:
    """A column for a family unseen in both roles and one for both unseen: mean U by expected U, over rows."""
    splits = [split for split in SHOWN if (table["split"] == split).any()] if len(table) else []
    if not splits:
        return message("Predicted and observed use", "Nothing to draw: no family could be left out.")
    width = DOUBLE if len(splits) > 1 else COLUMN
    figure = Figure(figsize=(width, 3.3), layout="constrained")
    axes = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    rng = np.random.default_rng(0)
    for at, split in zip(axes, splits, strict=True):
        part = table[table["split"] == split]
        rows, bins = part[part["of"] == "row"], part[part["of"] == "bin"]
        at.plot([0, 1], [0, 1], color=GREY, lw=0.7, ls="--", zorder=1)
        # U is mostly near 0 or 1: moved a little, or thousands of rows would be two lines.
        moved = rows["U"] + rng.uniform(-0.03, 0.03, len(rows))
        colours = LINES(np.clip(rows["relative"] / 4 + 0.5, 0, 1))
        at.scatter(rows["U_expected"], moved, s=3, c=colours, alpha=0.35, lw=0, zorder=2)
        spread = [(bins["U"] - bins["low"]).clip(lower=0), (bins["high"] - bins["U"]).clip(lower=0)]
        at.errorbar(
            bins["U_expected"], bins["U"], yerr=np.nan_to_num(spread), fmt="ko-", ms=3, lw=0.8,
            elinewidth=0.7, zorder=3,
        )  # fmt: skip
        n = f"{counted(rows['task'].nunique(), 'pair')}, {len(rows)} predictions"
        at.set_title(f"{split}\n{n}", loc="left")
        at.set(xlim=(-0.02, 1.02), ylim=(-0.05, 1.05), xlabel="expected U, fitted without it")
    axes[0].set_ylabel("U of the tuned policy")
    colour = "colour: blue, the target is easier; vermilion, the spurious feature"
    told = "black: mean U in tenths of expected U, 95 % over families; points are moved by up to 0.03"
    figure.supxlabel(f"{told}\n{colour}", fontsize=SMALL)
    return figure
