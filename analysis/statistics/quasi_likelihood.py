"""A logistic regression with random effects, one of them a cell, whose spreads are fitted too.

Penalised quasi-likelihood: Newton steps on all effects, EM steps on the variances from the Laplace
approximation, and Pearson's dispersion. Rows may have any outcome from 0 to 1, and one counts as
1 / dispersion coin flips: an outcome that stays nearer to its chance than a flip would says more about it.

References:
    N. Breslow, D. Clayton (1993), Approximate inference in generalized linear mixed models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]
PRIOR, IMAGINED = 2.0, 0.5
"""Spread of the fixed effects' prior, and of the one imagined level of every fitted spread."""
STEPS, TOLERANCE, LONGEST = 1000, 1e-3, 2.0
"""Most steps; relative change at which they end; the longest move of an effect in one."""
SMALLEST = 0.05
"""Least dispersion, and so most coin flips that a row counts as."""


@dataclass(frozen=True)
class Solution:
    effects: Array
    of_cells: Array
    covariance: Array
    variances: Array
    """Of each group of effects, and last of the cells."""
    dispersion: float
    """Of outcomes around their chance: 0, they are it; 1, they are coin flips."""
    converged: bool


@dataclass(frozen=True)
class Problem:
    """Effects on columns, and one effect a cell that is eliminated wherever a system is solved.

    Rows are sorted by cell.
    """

    Z: Array
    y: Array
    cell: NDArray[np.intp]
    group: NDArray[np.intp]
    """Of each column: its group of random effects, -1 for a fixed one."""

    def solve(self, groups: int) -> Solution:
        """Newton steps on the effects and EM steps on the variances, in turn."""
        Z, y, cell = self.Z, self.y, self.cell
        count, q = cell.max() + 1, Z.shape[1]
        theta, c, variances = np.zeros(q), np.zeros(count), np.ones(groups + 1)
        converged, phi = False, 1.0
        for _ in range(STEPS):
            precision = np.where(self.group < 0, 1 / PRIOR**2, 1 / variances[self.group])
            p = expit(Z @ theta + c[cell])
            W, cross, own, inverse = self._curvature(p * (1 - p) / phi, precision, 1 / variances[-1])
            g = Z.T @ ((y - p) / phi) - precision * theta
            g_own = np.bincount(cell, (y - p) / phi, count) - c / variances[-1]
            step = inverse @ (g - cross.T @ (g_own / own))
            step_own = (g_own - cross @ step) / own
            shorter = min(1.0, LONGEST / max(np.abs(step).max(), np.abs(step_own).max(), 1e-12))
            theta, c = theta + shorter * step, c + shorter * step_own
            of_cells = 1 / own + quadratic(cross, inverse) / own**2
            sizes = theta**2 + np.diag(inverse)
            new = [_spread(sizes[self.group == g]) for g in range(groups)]
            new.append(_spread(c**2 + of_cells))
            now = self._dispersion(p, W, cross, own, inverse, of_cells)
            moved = max(
                np.abs(np.log(np.array([*new, now]) / np.array([*variances, phi]))).max(), np.abs(step).max()
            )
            variances, phi = np.array(new), now
            if moved < TOLERANCE:
                converged = True
                break
        return Solution(theta, c, inverse, variances, phi, converged)

    def _dispersion(
        self, p: Array, W: Array, cross: Array, own: Array, inverse: Array, of_cells: Array
    ) -> float:
        """Pearson's: squared residuals per variance of a coin flip and per degree of freedom that is left."""
        between = (self.Z @ inverse * cross[self.cell]).sum(1) / own[self.cell]
        rows = quadratic(self.Z, inverse) - 2 * between + of_cells[self.cell]  # variance of each row's logit
        free = max(1 - float((W * rows).sum()) / len(p), 0.1)
        found = float(((self.y - p) ** 2).sum() / max((p * (1 - p)).sum(), 1e-9)) / free
        return min(max(found, SMALLEST), 1.0)

    def _curvature(self, W: Array, precision: Array, own: float) -> tuple[Array, Array, Array, Array]:
        """Weights, the cells' cross terms [cells, q], their own terms, and the effects' covariance."""
        weighted = self.Z * W[:, None]
        cross = np.add.reduceat(weighted, np.unique(self.cell, return_index=True)[1], axis=0)
        diagonal = np.bincount(self.cell, W) + own
        H = self.Z.T @ weighted + np.diag(precision) - cross.T @ (cross / diagonal[:, None])
        inverse: Array = np.linalg.inv(H)
        return W, cross, np.asarray(diagonal), inverse

    def left_out(self, found: Solution, families: Sequence[NDArray[np.str_]]) -> Array:
        """Jackknife covariance of the effects over families: each left out with its pairs, to first order."""
        score = (
            self.Z
            * (self.y - expit(self.Z @ found.effects + found.of_cells[self.cell]))[:, None]
            / found.dispersion
        )
        every = sorted({*families[0], *families[1]})
        moves = np.stack([score[(families[0] == f) | (families[1] == f)].sum(0) for f in every])
        moves = moves @ found.covariance
        moves -= moves.mean(0)
        return (len(every) - 1) / len(every) * moves.T @ moves if len(every) > 1 else found.covariance


def _spread(sizes: Array) -> float:
    """Variance of a group's effects, of which one more is imagined."""
    return float((sizes.sum() + IMAGINED**2) / (len(sizes) + 1))


def quadratic(Z: Array, C: Array) -> Array:
    """z' C z of each row z."""
    return np.asarray((Z @ C * Z).sum(1))
