"""Do policies that use the spurious feature more also generalise worse, hack more and say less varied things?

Within a model, task and level of evidence: Spearman's correlation, over cells of a method and a data seed,
of use and a cost. Runs of one method are one method: tuning seeds are averaged, swept entries left out. From
both columns the mean of the data seed is taken, since seeds differ in inputs and in the SFT model.

p, two-sided: use is permuted among methods, all data seeds of a method together; exact up to 7 methods. The
interval draws methods and data seeds anew, crossed; where methods are fewer than 6, or rho is 1 or -1, draws
of them say too little and there is none. Statuses go by p after Holm's correction. It is an association of
methods, not what use does: methods differ in all else too. Gold reward is not asked about, since answers of
the spurious rule to conflict prompts lack it by construction; the gap is of the same completions as use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations as all_orders
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from scipy.stats import rankdata

from analysis.stages.stage_runs import SETTING
from analysis.statistics.decisions import holm, status

ASKED = """Do policies that use the spurious feature more also generalise worse, hack more and vary less?
Spearman's rho over methods x data seeds, each seed's mean taken off; above 0: worse with more use
p: use permuted among methods, all seeds of one together; interval: methods and data seeds drawn anew
an association of so many methods, not an effect of use; secondary: p_holm, over these rows, judges
with fewer than 6 methods, or rho 1 or -1, there is no interval: cannot be told
gap and use are read from the same completions"""
SMALLEST = 0.2
"""Smallest correlation of interest, set before any run: below it use tells 4 % of what ranks tell."""
COSTS = {
    "gap": 1, "drop": 1, "meteor": 1, "modal share": 1, "ead": -1, "entropy": -1, "ece": 1, "brier": 1,
}  # fmt: skip
"""Columns of the joined table and the sign that makes more of them worse."""
EXACT, DRAWN, RESAMPLES = 7, 5000, 2000
FEWEST = 3
"""Methods; with fewer there is no correlation to speak of."""
FOR_INTERVAL = 6
"""Methods; with fewer, draws of them repeat a few values of rho."""
Cells = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Of two columns over cells [methods, data seeds]."""

    value: float
    low: float
    high: float
    p: float
    methods: int
    seeds: int


def joined_question(runs: DataFrame) -> list[dict[str, Any]]:
    """A row a model, task, level of evidence and cost, from `analysis.stages.joined.run_values`; above 0:
    worse."""
    rows = []
    for names, part in runs[~runs["swept"]].groupby(SETTING):
        for cost, sign in COSTS.items():
            found = correlation(*_cells(part, "use", cost), sign=sign)
            if found.methods < FEWEST:
                continue
            worse = "more" if sign > 0 else "less"
            rows.append(
                dict(zip(SETTING, names, strict=True))
                | {"claim": f"more use, {worse} {cost}", "rho": found.value, "low": found.low}
                | {"high": found.high, "p": found.p, "p_holm": math.nan, "methods": found.methods}
                | {"data_seeds": found.seeds, "runs": int(part[["use", cost]].dropna().shape[0])}
                | {"status": ""}
            )
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
        row["status"] = status(row["low"], row["high"], adjusted, smallest=SMALLEST)
    return rows


def _cells(part: DataFrame, one: str, other: str) -> tuple[Cells, Cells]:
    """Both columns as [methods, data seeds]: methods that have both, data seeds that all of these have."""
    both = part.dropna(subset=[one, other]).groupby(["policy", "seed_data"])[[one, other]].mean()
    x, y = (both[name].unstack("seed_data").dropna(axis="columns").to_numpy() for name in (one, other))
    return x, y


def correlation(
    x: Cells, y: Cells, *, sign: int = 1, seed: int = 0, resamples: int = RESAMPLES
) -> Correlation:
    """Spearman's correlation of x and y [methods, data seeds], less each seed's mean, times a sign."""
    methods, seeds = x.shape
    if methods < FEWEST or not seeds:
        return Correlation(math.nan, math.nan, math.nan, math.nan, methods if seeds else 0, seeds)
    rng = np.random.default_rng(seed)
    value = float(sign * _spearman(x[None], y[None])[0])
    if math.isnan(value):
        return Correlation(math.nan, math.nan, math.nan, math.nan, methods, seeds)
    if methods <= EXACT:
        orders = np.array(list(all_orders(range(methods))))
    else:
        orders = np.argsort(rng.random((DRAWN, methods)), axis=1)
    drawn = np.abs(_spearman(x[orders], np.broadcast_to(y, (len(orders), *y.shape))))
    as_far = int((drawn >= abs(value) - 1e-9).sum())
    p = as_far / len(orders) if methods <= EXACT else (1 + as_far) / (1 + len(orders))
    if methods < FOR_INTERVAL or abs(value) > 1 - 1e-9:
        return Correlation(value, math.nan, math.nan, p, methods, seeds)
    rows = rng.integers(methods, size=(resamples, methods))[:, :, None]
    columns = rng.integers(seeds, size=(resamples, seeds))[:, None, :]
    again = sign * _spearman(x[rows, columns], y[rows, columns])
    low, high = np.nanquantile(again, [0.025, 0.975])
    return Correlation(value, float(low), float(high), p, methods, seeds)


def _spearman(x: Cells, y: Cells) -> Cells:
    """[n] of cells [n, methods, data seeds]: the mean of each data seed off, ranks over all cells."""

    def ranks(cells: Cells) -> Cells:
        off = cells - cells.mean(axis=1, keepdims=True)
        rank = rankdata(np.round(off, 12).reshape(len(cells), -1), axis=1)
        return np.asarray(rank - rank.mean(axis=1, keepdims=True))

    a, b = ranks(x), ranks(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1)))
