"""A logistic regression with random effects, one of them a cell, whose spreads are fitted too.

Penalised quasi-likelihood: Newton steps on all effects, and EM steps on the variances from the Laplace
approximation. Rows may have any outcome from 0 to 1.

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
STEPS, TOLERANCE, LONGEST = 500, 1e-3, 2.0
"""Most steps; relative change at which they end; the longest move of an effect in one."""


@dataclass(frozen=True)
class Solution:
    effects: Array
    of_cells: Array
    covariance: Array
    variances: Array
    """Of each group of effects, and last of the cells."""
    dispersion: float
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
        converged = False
        for _ in range(STEPS):
            precision = np.where(self.group < 0, 1 / PRIOR**2, 1 / variances[self.group])
            p = expit(Z @ theta + c[cell])
            W, cross, own, inverse = self._curvature(p, precision, 1 / variances[-1])
            g = Z.T @ (y - p) - precision * theta
            g_own = np.bincount(cell, y - p, count) - c / variances[-1]
            step = inverse @ (g - cross.T @ (g_own / own))
            step_own = (g_own - cross @ step) / own
            shorter = min(1.0, LONGEST / max(np.abs(step).max(), np.abs(step_own).max(), 1e-12))
            theta, c = theta + shorter * step, c + shorter * step_own
            of_cells = 1 / own + quadratic(cross, inverse) / own**2
            sizes = theta**2 + np.diag(inverse)
            new = [_spread(sizes[self.group == g]) for g in range(groups)]
            new.append(_spread(c**2 + of_cells))
            moved = max(np.abs(np.log(np.array(new) / variances)).max(), np.abs(shorter * step).max())
            variances = np.array(new)
            if moved < TOLERANCE:
                converged = True
                break
        # Variance of each row's logit, by which the residuals' degrees of freedom are counted.
        between = (Z @ inverse * cross[cell]).sum(1) / own[cell]
        rows = quadratic(Z, inverse) - 2 * between + of_cells[cell]
        free = max(1 - float((W * rows).sum()) / len(y), 0.1)
        dispersion = float(((y - p) ** 2).sum() / max(W.sum(), 1e-9)) / free
        return Solution(theta, c, inverse, variances, dispersion, converged)

    def _curvature(self, p: Array, precision: Array, own: float) -> tuple[Array, Array, Array, Array]:
        """Weights, the cells' cross terms [cells, q], their own terms, and the effects' covariance."""
        W: Array = p * (1 - p)
        weighted = self.Z * W[:, None]
        cross = np.add.reduceat(weighted, np.unique(self.cell, return_index=True)[1], axis=0)
        diagonal = np.bincount(self.cell, W) + own
        H = self.Z.T @ weighted + np.diag(precision) - cross.T @ (cross / diagonal[:, None])
        inverse: Array = np.linalg.inv(H)
        return W, cross, np.asarray(diagonal), inverse

    def left_out(self, found: Solution, families: Sequence[NDArray[np.str_]]) -> Array:
        """Jackknife covariance of the effects over families: each left out with its pairs, to first order."""
        score = self.Z * (self.y - expit(self.Z @ found.effects + found.of_cells[self.cell]))[:, None]
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
