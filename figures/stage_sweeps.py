"""The sweep of the KL's weight: reward and diversity against beta and against measured KL, k1 beside k2."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.papers.kirk2024 import estimator_of
from analysis.stage_schema import ACROSS, IN, PER_INPUT
from analysis.stages.stage_runs import SETTING, SFT, policies_at_end, swept_entries
from analysis.statistics.seeds import paired
from figures.stage_style import caption, legend, where
from figures.style import DOUBLE, GREY, counted, message

ROWS = (
    ("gold", PER_INPUT, "gold reward"),
    ("ead", PER_INPUT, "EAD per input"),
    ("ead", ACROSS, "EAD across inputs"),
)
COLOURS = {"k1": "#0072B2", "k2": "#D55E00"}
MARKERS = ("o", "s", "^", "v")
COLUMNS = [
    *SETTING, "entry", "method", "estimator", "beta", "measure", "scope", "value", "low", "high",
    "kl", "kl_low", "kl_high", "runs", "sft_models",
]  # fmt: skip


def sweep_table(study: Study) -> DataFrame:
    """One row a setting, swept entry, beta and measure, with the KL reached; and the SFT model's rows."""
    table = policies_at_end(study)
    swept = [entry for entry, names in swept_entries(table).items() if "beta" in names]
    table = table[table["policy"].isin([*swept, SFT]) & (table["shift"] == IN)] if swept else table[:0]
    wanted = {(measure, scope) for measure, scope, _ in ROWS}
    rows = []
    for names, runs in table.groupby([*SETTING, "policy", "method", "kl_place", "beta"], dropna=False):
        kl, kl_low, kl_high, *_ = paired(runs.loc[runs["measure"] == "kl", "value"])
        told = dict(zip([*SETTING, "entry", "method", "kl_place", "beta"], names, strict=True))
        told |= {"estimator": estimator_of(told["kl_place"]), "kl_low": kl_low, "kl_high": kl_high}
        for (measure, scope), part in runs.groupby(["measure", "scope"]):
            if (measure, scope) in wanted:
                value, low, high, _, n = paired(part["value"])
                here = {
                    "measure": measure,
                    "scope": scope,
                    "value": value,
                    "low": low,
                    "high": high,
                    "runs": n,
                }
                reached = 0.0 if told["entry"] == SFT else kl
                rows.append(told | here | {"kl": reached, "sft_models": part["seed_data"].nunique()})
    return DataFrame(rows, columns=COLUMNS)


def kl_sweep(table: DataFrame) -> tuple[Figure, DataFrame]:
    """Figures 11 to 13: a row a measure; against beta on the left, against the KL reached on the right."""
    shown = [row for row in ROWS if (table[["measure", "scope"]] == list(row[:2])).all(axis=1).any()]
    entries = list(dict.fromkeys(table.loc[table["entry"] != SFT, "entry"]))
    if not entries or not shown:
        return message("Sweep of the KL's weight", "Nothing to draw: no entry sweeps beta."), table
    figure = Figure(figsize=(DOUBLE, 0.8 + 1.5 * len(shown)), layout="constrained")
    grid = figure.subplots(len(shown), 2, squeeze=False, sharey="row", sharex="col")
    for line, (measure, scope, label) in zip(grid, shown, strict=True):
        rows = table[(table["measure"] == measure) & (table["scope"] == scope)]
        for i, entry in enumerate(entries):
            mine = rows[rows["entry"] == entry].sort_values("beta")
            beside = mine.assign(beta=mine["beta"] * 1.05**i)  # so that intervals can be told apart
            _line(line[0], beside, "beta", entry, MARKERS[i % len(MARKERS)])
            _line(line[1], mine, "kl", entry, MARKERS[i % len(MARKERS)])
        start = rows[rows["entry"] == SFT]["value"].mean()
        line[0].axhline(start, color=GREY, lw=0.7, ls="--")
        line[1].plot([0], [start], "o", ms=4, color=GREY, label=SFT)
        line[0].set_ylabel(label)
        reached = float(rows["kl"].max())
        if reached > 0:  # an interval of few runs may be far wider
            line[1].set_xlim(-0.05 * reached, 1.15 * reached)
    betas = table["beta"].dropna()
    least = float(betas[betas > 0].min())
    if betas.max() > 5 * least:
        told = {"linthresh": least, "linscale": 0.5} if betas.min() == 0 else {}
        grid[-1, 0].set_xscale("symlog" if told else "log", **told)
    grid[-1, 0].set_xlabel("beta, the KL's weight in the reward")
    grid[-1, 1].set_xlabel("KL(policy || SFT) at the end, nats")
    legend(figure, grid[0, 1])
    names = next(iter(table.groupby(SETTING)))[0]
    of = table[table["entry"] != SFT]
    fewest, most = int(of["runs"].min()), int(of["runs"].max())
    runs = f"{fewest} to {most} runs" if fewest < most else counted(most, "run")
    text = f"{where(names, table)}. {runs} a point, on {counted(of['sft_models'].max(), 'SFT model')}"
    caption(figure, f"{text}; 95 % intervals over runs; points side by side have one beta. Dashes: SFT")
    return figure, table


def _line(axes: Axes, rows: DataFrame, x: str, entry: str, marker: str) -> None:
    if not len(rows):
        return
    colour = COLOURS.get(str(rows["estimator"].iloc[0]), "#009E73")
    axes.plot(rows[x], rows["value"], marker=marker, ms=3.5, lw=1.0, color=colour, label=entry)
    known = rows[np.isfinite(rows["low"])]
    axes.vlines(known[x], known["low"], known["high"], color=colour, lw=0.7)
    if x == "kl":
        axes.hlines(rows["value"], rows["kl_low"], rows["kl_high"], color=colour, lw=0.5)
