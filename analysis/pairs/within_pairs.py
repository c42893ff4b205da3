"""H1b over models: within a pair, do models in which the spurious feature is the easier one use it more?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from analysis.pairs.pairs import PAIR
from analysis.statistics.association import TINY, Array
from analysis.statistics.coefficient import Coefficient, line, no_fit
from analysis.statistics.dyadic import FEWEST_FAMILIES
from analysis.statistics.dyadic_errors import Codes, dyadic_errors, family_codes
from analysis.statistics.permutation import FEWEST_ORDERS

ROBUST = "within pairs"
PERMUTED = "within pairs, permuted"
FORMULA = "U ~ x + pair"
PERMUTATIONS = 9_999
FEWEST_MODELS = 5
_CHUNK = 2**22
"""Values that are held at once."""


@dataclass(frozen=True)
class Cells:
    """One row per pair and model."""

    pair: Codes
    model: Codes
    target: Codes
    spurious: Codes
    x: Array
    y: Array


def usable(table: DataFrame) -> DataFrame:
    """Rows of a table of pairs by model that have a U and an order, of pairs with two of them or more."""
    rows = table[np.isfinite(table[["relative", "U"]].to_numpy(float)).all(axis=1)]
    return rows[rows.groupby(PAIR)["U"].transform("size") > 1] if len(rows) else rows


def _cells(rows: DataFrame) -> Cells:
    models = rows["model"] + " " + rows["weights_hash"]
    pair = rows.groupby(PAIR).ngroup().to_numpy(np.intp)
    model = np.unique(models, return_inverse=True)[1]
    return Cells(
        pair, model, *family_codes(rows), rows["relative"].to_numpy(float), rows["U"].to_numpy(float)
    )


def within_slope(x: Array, y: Array, pair: Codes, weights: Array) -> Array:
    """[m] slope of y on x, both less their means over the pair, for each row of weights [m, n] of 0 and 1."""
    of_pair = np.eye(int(pair.max()) + 1)[pair]
    count = np.maximum(weights @ of_pair, 1)
    dx, dy = (v - ((weights * v) @ of_pair / count)[:, pair] for v in (x, y))
    square = (weights * dx**2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(square > TINY, (weights * dx * dy).sum(1) / square, np.nan))


def within_pairs(rows: DataFrame, *, permutations: int = PERMUTATIONS, seed: int = 0) -> list[Coefficient]:
    """The slope of U on relative extractability over models, with pairs' own effects taken off; two lines.

    Errors allow for pairs that share a family and for rows of one model; t with as many degrees of freedom as
    there are families, or models if they are fewer, less one. For the other p models are permuted, one order
    for all pairs that they share, so that a model that uses spurious features all round counts once.

    Args:
        rows: see `usable`.
    """
    if not len(rows):
        why = "no pair has a U and an order in two models"
        return [no_fit(fit, FORMULA, "x", why) for fit in (ROBUST, PERMUTED)]
    cells = _cells(rows)
    families = len(np.unique(np.concatenate([cells.target, cells.spurious])))
    models = int(cells.model.max()) + 1
    value = float(within_slope(cells.x, cells.y, cells.pair, np.ones((1, len(cells.y))))[0])
    if math.isnan(value):
        why = "relative extractability is the same in all models of every pair"
        return [no_fit(fit, FORMULA, "x", why, models) for fit in (ROBUST, PERMUTED)]
    return [_robust(cells, value, families, models), _permuted(cells, value, models, permutations, seed)]


def _robust(cells: Cells, value: float, families: int, models: int) -> Coefficient:
    if families < FEWEST_FAMILIES or models < 3:
        why = f"no errors: {families} families and {models} models, {FEWEST_FAMILIES} and 3 are needed"
        return Coefficient(ROBUST, FORMULA, "x", value, groups=min(families, models), note=why)
    errors = dyadic_errors(
        lambda out: within_slope(cells.x, cells.y, cells.pair, 1 - out)[:, None],
        cells.target, cells.spurious, cells.model,
    )  # fmt: skip
    low, high = errors.interval(np.array([value]))
    p = errors.p(np.array([value]))[0]
    groups = errors.freedom + 1
    return line(ROBUST, FORMULA, "x", value, errors.error[0], (low[0], high[0]), p, groups, errors.note)


def _permuted(cells: Cells, value: float, models: int, permutations: int, seed: int) -> Coefficient:
    sets = _sharing(cells)
    orders = math.prod(math.factorial(int(size)) for size in np.bincount(sets))
    if models < FEWEST_MODELS or orders < FEWEST_ORDERS:
        why = (
            f"no p-value: {orders} orders of the {models} models among pairs that they share, "
            f"{FEWEST_ORDERS} are needed; see H1b between dials"
        )
        return Coefficient(PERMUTED, FORMULA, "x", value, groups=models, note=why)
    drawn = _slopes(cells, sets, permutations, seed)
    drawn = drawn[~np.isnan(drawn)]
    p = (1 + int((np.abs(drawn) >= abs(value) * (1 - 1e-9)).sum())) / (1 + len(drawn))
    missing = models * (int(cells.pair.max()) + 1) - len(cells.y)
    note = f"{missing} pairs of a model have no value: permuted ones fall out with them" if missing else ""
    return Coefficient(PERMUTED, FORMULA, "x", value, p=p, groups=models, note=note)


def _sharing(cells: Cells) -> Codes:
    """[models] which set each model is in: those that have pairs in common, by any way round."""
    models, pairs = int(cells.model.max()) + 1, int(cells.pair.max()) + 1
    links = coo_array(
        (np.ones(len(cells.y)), (cells.model, models + cells.pair)), shape=(models + pairs, models + pairs)
    )
    number = connected_components(links, directed=False)[1][:models]
    return np.asarray(np.unique(number, return_inverse=True)[1], dtype=np.intp)


def _slopes(cells: Cells, sets: Codes, permutations: int, seed: int) -> Array:
    """Slopes when models' x is permuted within the sets; a cell whose x is nowhere known takes no part."""
    shape = (int(cells.model.max()) + 1, int(cells.pair.max()) + 1)
    x, y = np.full(shape, np.nan), np.full(shape, np.nan)
    x[cells.model, cells.pair], y[cells.model, cells.pair] = cells.x, cells.y
    rng, places = np.random.default_rng(seed), np.argsort(sets, kind="stable")
    found = []
    size = max(1, _CHUNK // x.size)
    for start in range(0, permutations, size):
        many = min(size, permutations - start)
        orders = np.empty((many, len(sets)), dtype=np.intp)
        orders[:, places] = np.argsort(rng.random((many, len(sets))) + sets, axis=1)
        moved = x[orders]
        here = ~np.isnan(moved + y)
        count = np.maximum(here.sum(1, keepdims=True), 1)
        dx, dy = (np.where(here, v, 0.0) for v in (moved, np.broadcast_to(y, moved.shape)))
        dx, dy = (np.where(here, v - v.sum(1, keepdims=True) / count, 0.0) for v in (dx, dy))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((dx * dy).sum((1, 2)) / (dx**2).sum((1, 2)))
    return np.concatenate(found)
