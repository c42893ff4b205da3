"""How good predictions are: AUC, Brier, calibration and coverage, and their differences, over families."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame
from scipy.special import expit, logit

from analysis.statistics.dyadic import Dyads
from analysis.statistics.estimate import family_jackknife

Array = NDArray[np.float64]
Score = Callable[[Array, Array, Array], Array]
"""score(p [n], U [n], weights [m, n]) -> [m]; NaN where the rows say nothing."""
BINS = 10
EDGE = 1e-3
"""Chances are pulled this far from 0 and 1 before a logit is taken."""


def area(p: Array, U: Array, w: Array) -> Array:
    """AUC: chance that p is larger where U > 0.5 than where U < 0.5; rows at exactly 0.5 have no say."""
    order = np.argsort(p, kind="stable")
    starts = np.unique(p[order], return_index=True)[1]
    high, low = (
        np.add.reduceat((w * which)[:, order], starts, axis=1) for which in ((U > 0.5) * 1.0, (U < 0.5) * 1.0)
    )
    wins = (high * (low.cumsum(1) - low / 2)).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(wins / (high.sum(1) * low.sum(1)))


def brier(p: Array, U: Array, w: Array) -> Array:
    """Mean squared distance of p and U: least for the expected U."""
    return _mean((p - U) ** 2, w)


def ece(p: Array, U: Array, w: Array) -> Array:
    """Expected calibration error: |mean U - mean p| in ten equal bins of p, weighed by their rows."""
    place = np.minimum((p * BINS).astype(int), BINS - 1)
    inside = np.eye(BINS)[place]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs((w * (U - p)) @ inside).sum(1) / w.sum(1))


def slope(p: Array, U: Array, w: Array) -> Array:
    """Calibration slope: of a logistic regression of U on logit p; 1 is right, below 1 is too sure."""
    x = logit(np.clip(p, EDGE, 1 - EDGE))
    if np.ptp(x) < 1e-9 or len(set(np.round(p, 12))) <= 3:  # a rule that says 0, 1/2 or 1 has no slope
        return np.full(len(w), np.nan)
    a, b = np.zeros(len(w)), np.ones(len(w))
    for _ in range(25):
        q = expit(a[:, None] + b[:, None] * x)
        g, W = w * (U - q), w * q * (1 - q) + 1e-12
        g0, g1, h00, h01, h11 = g.sum(1), (g * x).sum(1), W.sum(1), (W * x).sum(1), (W * x * x).sum(1)
        det = h00 * h11 - h01**2
        move = (h00 * g1 - h01 * g0) / det
        a = a + np.clip((h11 * g0 - h01 * g1) / det, -1, 1)
        b = b + np.clip(move, -1, 1)
    return np.where(np.abs(move) < 1e-3, b, np.nan)  # chances that tell all rows apart have no finite one


def share(p: Array, U: Array, w: Array) -> Array:
    """Mean of p, for shares of rows."""
    return _mean(p, w)


def _mean(values: Array, w: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((w * values).sum(1) / w.sum(1))


SCORES: dict[str, Score] = {"AUC": area, "Brier": brier, "ECE": ece, "slope": slope}
BOUNDED = ("AUC", "Brier", "ECE", "covered")


@dataclass(frozen=True)
class Scored:
    """A score with its 95 % interval over families; NaN where there is none."""

    value: float
    low: float
    high: float


def score(rows: DataFrame, score_of: Score, p: Array, other: Array | None = None) -> Scored:
    """A score of chances p of rows, or its difference from that of other chances on the same rows.

    The interval is the leave-family-out jackknife of `analysis.statistics.estimate`, Student's t over
    families; there is none with too few families, or where leaving out any one of them changes nothing. It
    is of the rows that are scored, given the fits: these are not made anew without the family.
    """
    U = rows["U"].to_numpy(float)

    def statistic(x: Array, y: Array, z: Array, w: Array | None) -> Array:
        weights = np.ones((1, len(y))) if w is None else w
        value = score_of(x, y, weights)
        if other is not None:
            value = value - score_of(z[:, 0], y, weights)
        return value[0] if w is None else value

    target, spurious = (rows[role].to_numpy(str) for role in ("target_family", "spurious_family"))
    families, code = np.unique(np.concatenate([target, spurious]), return_inverse=True)
    n = len(rows)
    z = np.zeros((n, 0)) if other is None else other[:, None]
    data = Dyads(
        families.tolist(), code[:n], code[n:], p, np.column_stack([p, np.zeros(n)]), U,
        z, np.stack([z, np.zeros_like(z)], axis=-1), np.zeros(len(families), dtype=np.intp),
    )  # fmt: skip
    value = float(statistic(p, U, data.z, None)) if n else math.nan
    low, high = family_jackknife(data, statistic) if n else (math.nan, math.nan)
    if high - low < 1e-9:  # leaving out any one family changes nothing, which shows no spread
        low, high = math.nan, math.nan
    return Scored(value, low, high)
