"""The figure of Lovering et al. 2021: how error falls with one-sided evidence, beside what features cost."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study, pairs_table
from analysis.pairs.lovering2021 import errors_by_evidence, evidence_required
from analysis.pairs.pairs import lowest
from analysis.use import wilson
from figures.lovering_average import average_by_extractability, average_table
from figures.style import DOUBLE, GREY, LINES, RELATIVE, SMALL, Drawn, diverging, message, styled

ARM = "one_sided"
ZERO = 0.5
"""Where no evidence stands on the logarithmic axis, as a share of the smallest rate above it."""


def draw_lovering2021(study: Study) -> Iterator[Drawn]:
    """The figure, with what it shows and the evidence that each pair requires as tables."""
    table = bars_and_lines_table(study)
    yield Drawn("bars_and_lines", bars_and_lines(study, table), table)
    yield Drawn("evidence_required", None, evidence_required(study))
    means = average_table(study)
    yield Drawn("average_by_extractability", average_by_extractability(means), means)


def bars_and_lines_table(study: Study) -> DataFrame:
    """One row per pair and level of one-sided evidence, with the pair's relative extractability."""
    errors = errors_by_evidence(study)
    cells = lowest(pairs_table(study))
    known = cells[cells["arm"] == ARM].to_dict("records")
    relative = {(cell["task"], cell["method"]): cell["relative"] for cell in known}
    errors = errors[errors["arm"] == ARM]
    keys = errors[["task", "method"]].itertuples(index=False, name=None)
    errors = errors.assign(relative=[relative.get(key, math.nan) for key in keys]).reset_index(drop=True)
    return _with_intervals(study, errors)


def _with_intervals(study: Study, errors: DataFrame) -> DataFrame:
    """Wilson's interval of the wrong answers on `spurious_only`, of all runs of a pair, method and level."""
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["arm"] == ARM)]
    names = ["errors_spurious_only", "n_spurious_only"]
    counts = runs.groupby(["task", "method", "evidence_rate"])[names].sum()
    keys = errors[["task", "method", "evidence"]].itertuples(index=False, name=None)
    told = [(int(k), int(n)) for k, n in (counts.loc[key] for key in keys)]
    ends = [wilson(k, n) for k, n in told]
    return errors.assign(
        low=[low for low, _ in ends], high=[high for _, high in ends], n=[n for _, n in told]
    )


@styled
def bars_and_lines(study: Study, table: DataFrame | None = None) -> Figure:
    """Left: relative extractability of each pair. Right, in its colour: its error on `spurious_only`.

    The error is over all finished runs. Of a pair whose features are both censored no colour is known.
    """
    table = bars_and_lines_table(study) if table is None else table
    if not len(table):
        return message(
            "Error by one-sided evidence", "Nothing to draw: no run of the one_sided arm finished."
        )
    tasks = table.groupby("task")["relative"].first().sort_values(na_position="first")
    norm, _ = diverging(tasks)
    levels = np.sort(table["evidence"].unique())
    floor = ZERO * min([level for level in levels if level > 0], default=1.0)
    figure = Figure(figsize=(DOUBLE, 1.3 + 0.16 * len(tasks)), layout="constrained")
    # Names of pairs come out wider than the layout reckons.
    figure.get_layout_engine().set(w_pad=0.12, rect=(0.02, 0, 0.98, 1))  # type: ignore[union-attr, call-arg]
    bars, lines = figure.subplots(1, 2)
    for place, (task, relative) in enumerate(tasks.items()):
        known = not math.isnan(relative)
        colour = LINES(norm(relative)) if known else GREY
        bars.barh(place, relative if known else 0.0, color=colour, height=0.7)
        if not known:
            bars.text(0, place, " both censored: no order", va="center", fontsize=SMALL, color=GREY)
        for _, line in table[table["task"] == task].sort_values("evidence").groupby("method"):
            x = line["evidence"].clip(lower=floor)
            lines.vlines(x, line["low"], line["high"], color=colour, lw=0.4, alpha=0.7)
            lines.plot(
                x, line["spurious_only"], color=colour, lw=0.9, marker=".", ms=3, alpha=0.9, label=f"_{task}"
            )
    bars.axvline(0, color=GREY, lw=0.6, ls="--")
    bars.set_yticks(range(len(tasks)), [str(task) for task in tasks.index], fontsize=SMALL)
    bars.set_ylim(-0.7, len(tasks) - 0.3)
    bars.set_xlabel(RELATIVE.replace(", ", "\n"))
    told = "Which feature is easier (right: the spurious one)\n"
    bars.set_title(told + "one probe a feature and model: no interval", loc="left")
    lines.set_xscale("log")
    lines.set_xticks([max(level, floor) for level in levels], [f"{level:g}" for level in levels])
    lines.minorticks_off()
    lines.set_ylim(-0.03, 1.03)
    lines.set_xlabel(
        "one-sided evidence: share of spurious_only\nrows in tuning (0 is drawn at half of the least)"
    )
    lines.set_ylabel("error on spurious_only")
    runs = study.runs[(study.runs["arm"] == ARM) & (study.runs["status"] == "ok")]
    told = f"One line a pair: {len(tasks)} pairs, {len(runs)} runs\n"
    lines.set_title(told + "bars: 95 % Wilson intervals of answers", loc="left")
    return figure
