"""Least squares over pairs of families, with errors that know families are shared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from analysis.statistics.association import Array
from analysis.statistics.coefficient import Coefficient, line, no_fit
from analysis.statistics.dyadic import FEWEST_FAMILIES, FEWEST_PAIRS, Dyads
from analysis.statistics.dyadic_errors import dyadic_errors

LINEAR = "linear"


def design_of(data: Dyads) -> Array:
    """[n, k + 2] a constant, x and the covariates."""
    return np.column_stack([np.ones(len(data)), data.x, data.z])


def too_few(data: Dyads) -> str:
    """Why a regression on these rows has no errors to speak of, or ""."""
    families, needed = len(data.families), max(FEWEST_PAIRS, data.z.shape[1] + 4)
    if len(data) < needed or families < FEWEST_FAMILIES:
        return f"{families} families and {len(data)} pairs of them, {FEWEST_FAMILIES} and {needed} are needed"
    if np.ptp(data.y) == 0:
        return "the outcome is the same in every pair"
    scaled = design_of(data) / np.maximum(np.abs(design_of(data)).max(0), 1e-300)
    if np.linalg.matrix_rank(scaled, tol=1e-8 * len(data)) < scaled.shape[1]:
        return "a term does not vary, or the others explain all of it"
    return ""


def least_squares(design: Array, y: Array, weights: Array) -> Array:
    """[m, k] least-squares coefficients for each row of weights [m, n]; NaN for those that have no value."""
    moments = np.einsum("mn,nj,nk->mjk", weights, design, design)
    inverse = np.linalg.pinv(moments, rcond=1e-10, hermitian=True)
    found = np.einsum("mjk,mn,nk,n->mj", inverse, weights, design, y, optimize=True)
    resolved = np.einsum("mjk,mkj->mj", inverse, moments)
    return np.asarray(np.where(np.abs(resolved - 1) < 1e-6, found, np.nan))


def linear_regression(data: Dyads, terms: Sequence[str], formula: str) -> list[Coefficient]:
    """y on x and the covariates, one line for each of `terms` (x first); t with F - 1 degrees of freedom.

    Without covariates the slope is that of the claims;
    their interval is another, see `analysis.statistics.permutation`.

    References:
        P. Aronow, C. Samii, V. Assenova (2015), Cluster-robust variance estimation for dyadic data.
    """
    if why := too_few(data):
        return [no_fit(LINEAR, formula, term, why, len(data.families)) for term in terms]
    design = design_of(data)
    values = least_squares(design, data.y, np.ones((1, len(data))))[0]
    errors = dyadic_errors(lambda out: least_squares(design, data.y, 1 - out), data.target, data.spurious)
    (low, high), p = errors.interval(values), errors.p(values)
    families = len(data.families)
    return [
        line(
            LINEAR, formula, term, values[i], errors.error[i], (low[i], high[i]), p[i], families, errors.note
        )
        for i, term in enumerate(terms, start=1)
    ]
