"""How two columns go together: Spearman, its partial, slope, AUC, each for many data sets at once.

Every statistic has one signature, `statistic(x, y, z, w)`:

    x  [n] or [m, n]  one column, or m versions of it (permutations)
    y  [n]            the other column
    z  [n, k]         covariates; k may be 0
    w  [n] or [m, n]  weights >= 0 that mean repetition (a resample draws a row w times), or None for all 1

and returns m values (or one, as an array of shape []), NaN where the data say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Array = NDArray[np.float64]
Statistic = Callable[[Array, Array, Array, Array | None], Array]

TINY = 1e-12
"""A variance below this is none."""
AT_ONCE = 1024
"""Versions of a column that are looked at together: some megabytes, which stay in the processor's caches."""


def _below(column: Array) -> Array:
    """[n, n]: 1 where row j lies below row i, 1/2 where they tie."""
    below: Array = (column[None, :] < column[:, None]) + 0.5 * (column[None, :] == column[:, None])
    return below


def ranks(column: Array, w: Array | None) -> Array:
    """Mid-ranks; with weights, the ranks that every row would have if it stood there w times."""
    if w is None:
        return _mid_ranks(column)
    return w @ _below(column).T + 0.5


def _mid_ranks(column: Array) -> Array:
    """Ranks along the last axis: rows without ties by one sort, which takes an eighth of scipy's time."""
    rows = column.reshape(math.prod(column.shape[:-1]), column.shape[-1])
    found = np.empty(rows.shape)
    for start in range(0, len(rows), AT_ONCE):
        part, out = rows[start : start + AT_ONCE], found[start : start + AT_ONCE]
        order = part.argsort(axis=-1)
        placed = np.take_along_axis(part, order, -1)
        np.put_along_axis(out, order, np.arange(1.0, part.shape[-1] + 1), -1)
        # A NaN is sorted last, and is not below anything.
        other = ~(placed[:, :-1] < placed[:, 1:]).all(axis=-1) | np.isnan(part).any(axis=-1)
        out[other] = rankdata(part[other], axis=-1)
    return found.reshape(column.shape)


def _moments(x: Array, y: Array, w: Array | None) -> tuple[Array, Array, Array]:
    """Weighted covariance and variances along the last axis."""
    weight = np.ones(y.shape[-1]) if w is None else w
    total = weight.sum(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = weight / total
    dx = x - (share * x).sum(-1, keepdims=True)
    dy = y - (share * y).sum(-1, keepdims=True)
    return (share * dx * dy).sum(-1), (share * dx * dx).sum(-1), (share * dy * dy).sum(-1)


def _correlation(x: Array, y: Array, w: Array | None) -> Array:
    xy, xx, yy = _moments(x, y, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((xx > TINY) & (yy > TINY), xy / np.sqrt(xx * yy), np.nan)


def _residuals(column: Array, z: Array, w: Array | None) -> Array:
    """What a (weighted) least-squares fit on the columns z [..., n, k] and a constant leaves of a column."""
    design = np.concatenate([np.ones((*z.shape[:-1], 1)), z], axis=-1)
    weighted = design if w is None else design * np.sqrt(w)[..., None]
    goal = column if w is None else column * np.sqrt(w)
    fit = np.linalg.pinv(weighted, rcond=1e-9) @ goal[..., None]
    return column - (design @ fit)[..., 0]


def spearman(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Spearman's rank correlation."""
    return _correlation(ranks(x, w), ranks(y, w), w)


def partial_spearman(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Rank correlation of what the covariates' ranks leave of x and of y."""
    covariates = np.stack([ranks(column, w) for column in z.T], axis=-1) if z.shape[1] else z
    rx, ry = ranks(x, w), ranks(y, w)
    left, right = _residuals(rx, covariates, w), _residuals(ry, covariates, w)
    # Nothing but rounding is left of a column that the covariates explain wholly.
    spread = 1e-9 * y.shape[-1]
    value = _correlation(left, right, w)
    flat = (np.abs(left).max(-1, initial=0) < spread) | (np.abs(right).max(-1, initial=0) < spread)
    return np.where(flat, np.nan, value)


def slope(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Least-squares slope: units of y per unit of x."""
    xy, xx, _ = _moments(x, y, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(xx > TINY, xy / xx, np.nan)


def auc(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Chance that x is larger where y > 0.5 than where y < 0.5; rows at exactly 0.5 have no say."""
    weight = np.ones(y.shape[-1]) if w is None else w
    high, low = weight * (y > 0.5), weight * (y < 0.5)
    if w is None:
        chosen = y != 0.5
        among = np.zeros(x.shape)
        among[..., chosen] = rankdata(x[..., chosen], axis=-1)
        count = high.sum()
        wins = (among * high).sum(-1) - count * (count + 1) / 2
    else:
        wins = (high * (low @ _below(x).T)).sum(-1)
    pairs = high.sum(-1) * low.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(pairs > 0, wins / pairs, np.nan)


def mean(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Mean of y; x does not matter."""
    if w is None:
        return np.asarray(np.mean(y), float)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((w * y).sum(-1) / w.sum(-1))


def _unit(column: Array) -> Array:
    """Centred and of length 1; NaN where nothing is left."""
    centred = column - column.mean(-1, keepdims=True)
    length = np.sqrt((centred**2).sum(-1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(length > 1e-9 * column.shape[-1], centred / length, np.nan))


def _length(column: Array) -> float:
    return float(np.sqrt(((column - column.mean()) ** 2).sum()))


@dataclass(frozen=True)
class AsCorrelation:
    """A statistic of x and y as centre + scale * (scores of x) @ (scores of y)."""

    scores: Callable[[Array], Array]
    """[m, n] versions of x -> their scores, centred and of length 1; NaN for one without spread."""
    y: Array
    scale: float = 1.0
    centre: float = 0.0
    least: float = -1.0
    most: float = 1.0


def as_correlation(statistic: Statistic, x: Array, y: Array, z: Array) -> AsCorrelation | None:
    """The scores that a statistic correlates; None when it has no value."""
    if np.isnan(statistic(x, y, z, None)) or min(np.ptp(x), np.ptp(y)) < TINY:
        return None
    if statistic is spearman:
        return AsCorrelation(lambda v: _unit(ranks(v, None)), _unit(ranks(y, None)))
    if statistic is slope:
        return AsCorrelation(_unit, _unit(y), _length(y) / _length(x), 0.0, -np.inf, np.inf)
    if statistic is partial_spearman:
        known = np.stack([ranks(column, None) for column in z.T], axis=-1) if z.shape[1] else z
        basis = np.column_stack([np.ones(len(y)), known])
        left = np.eye(len(y)) - basis @ np.linalg.pinv(basis, rcond=1e-9)
        return AsCorrelation(lambda v: _unit(ranks(v, None) @ left), _unit(ranks(y, None) @ left))
    if statistic is auc:
        told = y != 0.5
        high = (y[told] > 0.5).astype(float)
        scale = _length(ranks(x[told], None)) * _length(high) / (high.sum() * (1 - high).sum())
        return AsCorrelation(lambda v: _unit(ranks(v[..., told], None)), _unit(high), scale, 0.5, 0.0, 1.0)
    raise ValueError(f"{statistic.__name__} is no correlation")


NO_ASSOCIATION: dict[Statistic, float] = {auc: 0.5}
"""The value of a statistic that means "no association", where it is not 0."""
