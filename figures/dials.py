"""One feature's dials: what turning them does to its bits, to its use, and to every other feature's bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.pairs.dials import (
    DIALS,
    beside_pairs,
    bits_of_models,
    dial_models,
    dialled_feature,
    trends_of_bits,
    trends_of_use,
    use_of_models,
)
from analysis.statistics.seeds import paired
from figures.style import DOUBLE, GREY, INK, SMALL, SPURIOUS, TARGET, Drawn, band, message, styled

COLOURS = {"main": SPURIOUS, "swapped": TARGET}
"""The dialled feature is the spurious one of the main arm, and the target of the swapped one."""
ROLES = {"main": "spurious", "swapped": "target"}
MARKS = {"rloo": "o", "sft": "s"}
PLACES = (-0.22, 0.0, 0.22)


def draw_dials(study: Study) -> Iterator[Drawn]:
    """The figure, and every trend as tables."""
    table, bits = dials_table(study), trends_of_bits(study)
    yield Drawn("dials", dials(study, table, bits), table)
    yield Drawn("trends_of_use", None, trends_of_use(study))
    yield Drawn("trends_of_bits", None, bits)


def dials_table(study: Study) -> DataFrame:
    """One row per panel, line and model: bits of the dialled feature, and its use by arm and method."""
    feature = dialled_feature(study)
    bits = bits_of_models(study)
    rows = bits[bits["feature"] == feature].assign(what="bits", arm="", method="").to_dict("records")
    for (arm, method, dial), part in use_of_models(study).groupby(["arm", "method", "dial"]):
        values = beside_pairs(part, "use")
        models = part.drop_duplicates("model")
        told = models.assign(value=models["model"].map(values), what="use", arm=arm, method=method, dial=dial)
        rows += told.to_dict("records")
    return DataFrame(rows, columns=["what", "arm", "method", "dial", "level", "seed", "model", "value"])


@styled
def dials(study: Study, table: DataFrame | None = None, trends: DataFrame | None = None) -> Figure:
    """Above: bits and use of the dialled feature by level, a thin line a seed of pre-training, a thick one
    their mean with its 95 % interval. Below: by how
    much each feature's bits change from a dial's lowest level to its highest."""
    table = dials_table(study) if table is None else table
    if not len(table):
        return message("One feature's dials", "Nothing to draw: no probe and no run finished.")
    shown = [dial for dial in DIALS.values() if (table["dial"] == dial).any()]
    figure = Figure(figsize=(DOUBLE, 6.6), layout="constrained")
    # Rotated names come out longer than the layout reckons.
    figure.get_layout_engine().set(rect=(0, 0.03, 1, 0.97))  # type: ignore[union-attr, call-arg]
    grid = figure.add_gridspec(3, len(shown), height_ratios=(1, 1, 1.25))
    feature, models = dialled_feature(study), dial_models(study)
    for column, dial in enumerate(shown):
        above, below = (figure.add_subplot(grid[row, column]) for row in (0, 1))
        part = table[table["dial"] == dial]
        _lines(above, part[part["what"] == "bits"], INK, "o", "")
        uses = part[part["what"] == "use"].groupby(["arm", "method"], sort=True)
        for (arm, method), rows in uses:
            told = f"{ROLES.get(str(arm), arm)}, {method}"
            _lines(below, rows, COLOURS.get(str(arm), GREY), MARKS.get(str(method), "^"), told)
        ours = models[models["dial"] == dial]
        above.set_title(f"{dial}: {len(ours)} models, {ours['seed'].nunique()} seeds", loc="left")
        for axes in (above, below):
            levels = np.sort(part["level"].unique())
            axes.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
            axes.set_ylim(-0.04, 1.04)
        below.set_xlabel(f"{dial} of {feature}")
        if column == 0:
            above.set_ylabel(f"bits a label of {feature}")
            below.set_ylabel(f"use of {feature}\nat no evidence against it")
            if len(uses):
                below.legend(title=f"{feature} is the", loc="best")
    trends = trends_of_bits(study) if trends is None else trends
    _changes(figure.add_subplot(grid[2, :]), trends, shown, feature)
    return figure


def _lines(axes: Any, rows: DataFrame, colour: str, mark: str, label: str) -> None:
    """A thin line a seed, a thick one for their mean; levels stand side by side, whatever lies between."""
    if not len(rows):
        return
    wide = rows.pivot_table(index="level", columns="seed", values="value").sort_index()
    x = range(len(wide))
    for seed in wide:
        axes.plot(x, wide[seed], color=colour, lw=0.5, alpha=0.5, label=f"_seed {seed}")
    style = "--" if mark == "s" else "-"
    ends = [paired(values)[:3] for _, values in wide.iterrows()]
    band(axes, DataFrame(ends, columns=["y", "low", "high"]).assign(x=x, n=list(wide.count(axis=1))), colour)
    axes.plot(x, wide.mean(axis=1), color=colour, lw=1.6, ls=style, marker=mark, ms=3, label=label)


def _changes(axes: Any, trends: DataFrame, shown: list[str], feature: str) -> None:
    first = trends[trends["dial"] == shown[0]].sort_values("change")
    names = [feature, *(name for name in first["feature"] if name != feature)]
    for place, dial, colour, mark in zip(PLACES, shown, (INK, GREY, TARGET), "oxd", strict=False):
        part = trends[trends["dial"] == dial].set_index("feature").reindex(names)
        x = np.arange(len(names)) + place
        spread = [part["change"] - part["low"], part["high"] - part["change"]]
        axes.errorbar(x, part["change"], spread, fmt=mark, ms=2.6, lw=0.6, color=colour, label=dial)
    axes.axhline(0, color=GREY, lw=0.5)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=SMALL)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_ylabel("change of bits a label,\nlowest level to highest")
    axes.set_title(
        f"Every probed feature, {feature} first (all intervals: 95 % over seeds of pre-training)", loc="left"
    )
    axes.legend(ncols=len(shown), loc="lower right")
