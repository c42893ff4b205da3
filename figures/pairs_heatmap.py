"""Which pairs of families were run, and which of the two features the policy used."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from pandas import DataFrame, concat

from analysis import Study, pairs_table, primary_claim
from analysis.pairs.pairs import lowest
from figures.style import (
    CELLS,
    COLUMN,
    DOUBLE,
    GREY,
    INK,
    PALE,
    counted,
    message,
    nothing_ran,
    styled,
    wrapped,
)

COLUMNS = [
    "arm", "method", "evidence", "target_family", "spurious_family", "U", "shown", "n_pairs", "n_primary",
    "n_learnt_runs", "n_runs", "target_bits", "spurious_bits", "reasons",
]  # fmt: skip
NOTHING = "#B0B0B0"
BY_RULE = "left out by a rule"
PRIMARY, LEFT_OUT, NO_USE = "primary", "left out", "no U"
"""What a cell shows: its primary pairs; pairs that a rule leaves out; pairs without a learnt run."""


def _family_bits(table: DataFrame) -> DataFrame:
    """Per family the geometric mean and the range of its features' bits per label, in either role."""
    parts = [
        DataFrame({"family": table[f"{role}_family"], "x": table[f"x_{role}"]})
        for role in ("target", "spurious")
    ]
    bits = concat(parts).groupby("family")["x"].agg(["mean", "min", "max"])
    return np.exp2(bits)


def _at_lowest(pairs: DataFrame, method: str) -> DataFrame:
    return lowest(pairs[(pairs["arm"] == "main") & (pairs["method"] == method)])


def heatmap_table(study: Study, method: str, pairs: DataFrame | None = None) -> DataFrame:
    """One row per ordered pair of families that was run in the main arm: U at the lowest evidence.

    U is the mean over the cell's primary pairs; without any over the pairs that a rule leaves out; NaN where
    no run was learnt. `reasons` names the rules; bits are the families' means, per label.
    `pairs`: the study's `pairs_table`, if at hand.
    """
    table = _at_lowest(pairs_table(study) if pairs is None else pairs, method)
    if not len(table):
        return DataFrame(columns=COLUMNS)
    bits = _family_bits(table)["mean"]
    rows: list[dict[str, Any]] = []
    for (target, spurious), cell in table.groupby(["target_family", "spurious_family"]):
        primary = cell[cell["excluded"] == ""]
        chosen = primary if len(primary) else cell
        U = float(chosen["U"].mean())
        rows.append(
            {"arm": "main", "method": method, "evidence": cell["evidence"].iloc[0]}
            | {"target_family": target, "spurious_family": spurious, "U": U}
            | {"shown": PRIMARY if len(primary) else NO_USE if math.isnan(U) else LEFT_OUT}
            | {"n_pairs": len(cell), "n_primary": len(primary)}
            | {"n_learnt_runs": int(chosen["n_learnt"].sum()), "n_runs": int(cell["n_runs"].sum())}
            | {"target_bits": bits[target], "spurious_bits": bits[spurious]}
            | {"reasons": "; ".join(sorted({r for r in cell["excluded"] if r}))}
        )
    return DataFrame(rows, columns=COLUMNS)


def _cells(ax: Axes, table: DataFrame, place: dict[str, int]) -> None:
    for cell in table.to_dict("records"):
        corner = (place[cell["spurious_family"]] - 0.5, place[cell["target_family"]] - 0.5)
        look: dict[str, Any] = {"facecolor": CELLS(cell["U"]), "edgecolor": "white"}
        if cell["shown"] == LEFT_OUT:
            look |= {"hatch": "//////", "edgecolor": INK}
        if cell["shown"] == NO_USE:
            look |= {"facecolor": NOTHING}
        box = Rectangle(corner, 1, 1, linewidth=0.0 if cell["shown"] == LEFT_OUT else 0.3, **look)
        box.set_gid("cell")
        box.set_label(f"_{_in_words(cell)}")
        ax.add_patch(box)


def _in_words(cell: dict[str, Any]) -> str:
    """What a cell shows, of the pairs that it is the mean of."""
    if cell["shown"] == NO_USE:
        return f"{NO_USE} of {counted(cell['n_pairs'], 'pair')}: nothing learnt"
    is_primary = cell["shown"] == PRIMARY
    many = counted(cell["n_primary"] if is_primary else cell["n_pairs"], "pair")
    return f"U = {cell['U']:.3g} of {many}, {PRIMARY if is_primary else BY_RULE}"


def _grid(ax: Axes, families: list[str]) -> None:
    count = len(families)
    ax.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5), aspect="equal", facecolor=PALE)
    ax.set_xticks(range(count), families, rotation=90)
    ax.set_yticks(range(count), families)
    ax.tick_params(length=0, pad=2)
    ax.set_xticks(np.arange(0.5, count - 1), minor=True)
    ax.set_yticks(np.arange(0.5, count - 1), minor=True)
    ax.grid(which="minor", color="white", lw=0.5)
    ax.tick_params(which="minor", length=0)
    ax.set_axisbelow(True)
    ax.spines[:].set_visible(False)
    ax.plot([-0.5, count - 0.5], [-0.5, count - 0.5], color=GREY, lw=0.6)
    ax.set(xlabel="family of the spurious feature", ylabel="family of the target feature")


def _margin(ax: Axes, bits: DataFrame) -> None:
    """Bits per label of each row's family, with the range over its pairs."""
    y = np.arange(len(bits))
    ax.hlines(y, bits["min"], bits["max"], GREY, lw=0.7)
    ax.plot(bits["mean"], y, "o", color=INK, ms=2.2)
    ax.axvline(1, color=GREY, lw=0.5, ls=(0, (4, 3)))
    ax.set(xlim=(0, max(1.05, float(np.nan_to_num(bits["max"].max())) * 1.02)), xticks=[0, 0.5, 1])
    ax.set_xlabel("bits per label")
    ax.tick_params(which="both", left=False, labelleft=False)
    ax.spines["left"].set_visible(False)


def _legend(figure: Figure, table: DataFrame, *, probed: bool) -> None:
    count = table["shown"].value_counts()
    keys = [Patch(fc=PALE, ec="white", label="not run")]
    if count.get(LEFT_OUT, 0):
        keys.append(Patch(fc=CELLS(0.5), ec=INK, hatch="//////", lw=0, label=BY_RULE))
    if count.get(NO_USE, 0):
        keys.append(Patch(fc=NOTHING, label="run, but nothing learnt: no U"))
    notes = "No pair has an order (not probed, or both censored); families in alphabetical order."
    if probed:
        notes = (
            "Families from few bits to many: below the diagonal the spurious feature costs fewer bits. "
            "Right: a family's mean bits per label and their range over its pairs."
        )
    figure.legend(
        handles=keys, loc="outside lower left", ncols=3, alignment="left", columnspacing=1.2,
        title="\n".join(wrapped(notes, int(19 * figure.get_figwidth()))), borderaxespad=0.2,
    )  # fmt: skip


def _draw(table: DataFrame, pairs: DataFrame, method: str) -> Figure:
    bits = _family_bits(_at_lowest(pairs, method))
    bits = bits.sort_index().sort_values("mean", kind="stable", na_position="last")
    families = [str(f) for f in bits.index]
    probed = bool(bits["mean"].notna().any())
    side = max(0.155 * len(families), 1.0)
    width = min(DOUBLE, max(COLUMN, side + 2.3))
    figure = Figure(figsize=(width, min(side, width - 2.3) + 2.2), layout="constrained")
    if probed:
        axes = list(figure.subplots(1, 2, sharey=True, width_ratios=[side, 0.7]))
        _margin(axes[1], bits)
    else:
        axes = [figure.add_subplot()]
    _grid(axes[0], families)
    _cells(axes[0], table, {family: i for i, family in enumerate(families)})
    scale = ScalarMappable(Normalize(0, 1), CELLS)
    bar = figure.colorbar(scale, ax=axes, location="bottom", shrink=0.5, aspect=30, pad=0.02)
    bar.set_label("use U: 0 = target rule, 1 = spurious rule")
    figure.suptitle(
        f"{method}, U at evidence {table['evidence'].iloc[0]:g}: {counted(table['n_pairs'].sum(), 'pair')}, "
        f"{table['n_primary'].sum()} in the primary set",
        x=0.01,
        ha="left",
    )
    _legend(figure, table, probed=probed)
    return figure


@styled
def pairs_heatmap(study: Study, method: str | None = None, pairs: DataFrame | None = None) -> Figure:
    """Families by families, coloured by U at the lowest evidence; by default the primary test's method.

    Families are ordered by their bits, cheapest first, so below the diagonal the spurious feature is the
    cheaper one.
    """
    method = method or primary_claim(study)["method"]
    title = "Pairs"
    if why := nothing_ran(study):
        return message(title, why)
    pairs = pairs_table(study) if pairs is None else pairs
    table = heatmap_table(study, method, pairs)
    if not len(table):
        return message(title, f"Nothing to draw: no run of the main arm used the method {method!r}.")
    return _draw(table, pairs, method)
