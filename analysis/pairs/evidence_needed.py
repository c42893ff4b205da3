"""H2: how much evidence does it take before a policy drops the spurious feature?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from analysis.statistics.association import Array

FAIR = 0.5
"""Evidence suffices where U has fallen to this."""


@dataclass(frozen=True)
class Needed:
    """The evidence needed lies above `low` and is at most `high` (rates of conflicting rows)."""

    low: float
    high: float
    censored: str
    """"left": the lowest level was enough; "right": the highest was not; "" otherwise."""


def isotonic(levels: ArrayLike, U: ArrayLike, runs: ArrayLike | None = None) -> Array:
    """Least-squares fit to U that never rises with the evidence; `runs` weighs the levels."""
    order = np.argsort(np.asarray(levels, float), kind="stable")
    weights = None if runs is None else np.asarray(runs, float)[order]
    fit = np.empty(len(order))
    fit[order] = isotonic_regression(np.asarray(U, float)[order], weights=weights, increasing=False).x
    return fit


def evidence_needed(levels: ArrayLike, U: ArrayLike, runs: ArrayLike | None = None) -> Needed:
    """Interval of evidence in which U falls to 0.5, read from a non-increasing fit.

    Levels whose U is NaN (no run learnt) are left out, which widens the interval; (NaN, NaN] without any.
    """
    level, use = np.asarray(levels, float), np.asarray(U, float)
    weights = np.ones(len(level)) if runs is None else np.asarray(runs, float)
    seen = np.flatnonzero(~np.isnan(use))
    if not len(seen):
        return Needed(math.nan, math.nan, "")
    seen = seen[np.argsort(level[seen], kind="stable")]
    fit = isotonic(level[seen], use[seen], weights[seen])
    enough = np.flatnonzero(fit <= FAIR + 1e-12)
    if not len(enough):
        return Needed(float(level[seen[-1]]), math.inf, "right")
    first = int(enough[0])
    if first == 0:
        return Needed(-math.inf, float(level[seen[0]]), "left")
    return Needed(float(level[seen[first - 1]]), float(level[seen[first]]), "")


def ordinal_scores(low: ArrayLike, high: ArrayLike) -> Array:
    """Where each interval stands among the others: (surely below it - surely above it) / (n - 1).

    Interval j is surely below i when all of it is: high_j <= low_i. Overlapping intervals have no order and
    count 0, so censored values need no number. Without overlaps these are the ranks, rescaled to [-1, 1];
    the rank correlation of these scores with x is the association of H2.

    References: E. Gehan (1965), A generalized two-sample Wilcoxon test for doubly censored data.
    """
    lower, upper = np.asarray(low, float), np.asarray(high, float)
    below = (upper[None, :] <= lower[:, None]).sum(1) - (lower[None, :] >= upper[:, None]).sum(1)
    known = ~np.isnan(lower)
    return np.where(known, below / max(int(known.sum()) - 1, 1), math.nan)
