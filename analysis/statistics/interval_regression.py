"""H2 as a regression: the evidence needed, known to within an interval or to one side, on bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from analysis.statistics.association import Array
from analysis.statistics.coefficient import Coefficient, line, no_fit
from analysis.statistics.dyadic import FEWEST_FAMILIES, FEWEST_PAIRS
from analysis.statistics.dyadic_errors import Codes, dyadic_errors

CENSORED = "interval-censored"
_STEPS, _HALVINGS = 40, 30
_ARRIVED = 1e-12
"""Newton's decrement per row below which a maximum is reached."""
_FLAT = 1e-6
"""Curvature per row below which a direction has no maximum."""


@dataclass(frozen=True)
class _Rows:
    """Values in (low, high], or known where the two are equal; design has orthogonal columns of size 1.

    Parameters are coefficients over the standard deviation, then one over it: the log-likelihood is concave
    in them, and z, where an end lies in standard deviations, linear.
    """

    low: Array
    high: Array
    design: Array

    def ends(self) -> tuple[Array, Array]:
        """[n, p] derivatives of z of either end; those of an infinite one do not matter."""
        low, high = (np.where(np.isinf(end), 0.0, end) for end in (self.low, self.high))
        return np.column_stack([-self.design, low]), np.column_stack([-self.design, high])

    def log_likelihood(self, params: Array) -> Array:
        """[m, n] of parameters [m, p]."""
        at_low, at_high = self.ends()
        a = np.where(np.isinf(self.low), -np.inf, params @ at_low.T)
        b = np.where(np.isinf(self.high), np.inf, params @ at_high.T)
        # In the tail that both ends lie in the difference keeps its digits.
        flip = a > 0
        first, second = log_ndtr(np.where(flip, -a, b)), log_ndtr(np.where(flip, -b, a))
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = first + np.log(-np.expm1(second - first))
            density = np.log(params[:, -1:]) - 0.5 * a**2 - 0.5 * np.log(2 * np.pi)
        return np.asarray(np.where(self.low == self.high, density, inside))

    def derivatives(self, params: Array, weights: Array) -> tuple[Array, Array]:
        """[m, p] gradient of the weighted log-likelihood, and [m, p, p] its curvature, downwards."""
        at_low, at_high = self.ends()
        a, b = params @ at_low.T, params @ at_high.T
        log_chance = self.log_likelihood(params)
        exact = self.low == self.high

        def density(z: Array, infinite: Array) -> Array:
            log_ratio = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_chance
            return np.where(infinite | exact, 0.0, np.exp(np.minimum(log_ratio, 700)))

        p_a, p_b = density(a, np.isinf(self.low)), density(b, np.isinf(self.high))
        p_a = np.where(exact, a, p_a)
        slope = p_b[..., None] * at_high - p_a[..., None] * at_low
        bend_a, bend_b = np.where(exact, -1.0, a * p_a), b * p_b
        squared = np.where(exact, 0.0, weights)
        bend = np.einsum("mn,nj,nk->mjk", weights * bend_b, at_high, at_high, optimize=True)
        bend -= np.einsum("mn,nj,nk->mjk", weights * bend_a, at_low, at_low, optimize=True)
        bend += np.einsum("mn,mnj,mnk->mjk", squared, slope, slope, optimize=True)
        total = np.einsum("mn,mnj->mj", weights, slope)
        known = weights @ exact.astype(float)
        total[:, -1] += known / params[:, -1]
        bend[:, -1, -1] += known / params[:, -1] ** 2
        return total, bend


def fit_intervals(low: Array, high: Array, design: Array, weights: Array) -> Array:
    """[m, k + 1] coefficients and the log of the errors' standard deviation, for each row of weights.

    Maximum likelihood by Newton's method; the maximum is unique where there is one, NaN where there is none.
    The design has a constant first.

    References:
        R. Olsen (1978), Note on the uniqueness of the maximum likelihood estimator for the Tobit model.
    """
    known = np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2))
    centre, scale = float(known.mean()), float(np.std(known)) or 1.0
    q, r = np.linalg.qr(design)
    rows = _Rows((low - centre) / scale, (high - centre) / scale, q * np.sqrt(len(q)))
    params, bend, arrived = _climb(rows, weights)
    # Which coefficients, in the units of the data, have a part in directions without a maximum.
    back = np.linalg.inv(r) * np.sqrt(len(q)) * scale
    values, vectors = np.linalg.eigh(bend)
    flat = values < _FLAT
    reach = np.abs(np.einsum("jk,mkp->mjp", back, vectors[:, :-1])) * flat[:, None]
    lost = reach.max(2) > 1e-6 * np.abs(back).max(1)
    lost_sd = ((np.abs(vectors[:, -1]) * flat).max(1) > 1e-6) | ~arrived
    found = params[:, :-1] / params[:, -1:] @ back.T
    found[:, 0] += centre
    log_sd = np.log(scale / params[:, -1])
    return np.column_stack(
        [np.where(lost | lost_sd[:, None], np.nan, found), np.where(lost_sd, np.nan, log_sd)]
    )


def _climb(rows: _Rows, weights: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Parameters [m, p] at the top, the curvature per row there, and whether it was reached."""
    size = np.maximum(weights.sum(1), 1)
    params = np.zeros((len(weights), rows.design.shape[1] + 1))
    params[:, -1] = 1.0

    def height(at: Array, of: Array) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            value = np.where(of > 0, rows.log_likelihood(at), 0.0).sum(1) / np.maximum(of.sum(1), 1)
        return np.where((at[:, -1] > 0) & ~np.isnan(value), value, -np.inf)

    now, todo = height(params, weights), np.arange(len(weights))
    bends = np.zeros((*params.shape, params.shape[1]))
    for _ in range(_STEPS):
        of, at = weights[todo], params[todo]
        slope, bend = rows.derivatives(at, of)
        slope, bends[todo] = slope / size[todo, None], bend / size[todo, None, None]
        step = (np.linalg.pinv(bends[todo], rcond=_FLAT, hermitian=True) @ slope[..., None])[..., 0]
        far = (step * slope).sum(1) >= _ARRIVED
        todo, of, at, step = todo[far], of[far], at[far], step[far]
        if not len(todo):
            break
        share = np.ones((len(todo), 1))
        for _ in range(_HALVINGS):
            then = height(at + share * step, of)
            if not (short := then < now[todo] - 1e-12).any():
                break
            share[short] /= 2
        share[short] = 0.0
        params[todo], now[todo] = at + share * step, np.where(short, now[todo], then)
    arrived = np.ones(len(weights), dtype=bool)
    arrived[todo] = False
    return params, bends, arrived


def interval_regression(
    low: Array,
    high: Array,
    design: Array,
    roles: tuple[Codes, Codes],
    terms: Sequence[str],
    formula: str,
) -> list[Coefficient]:
    """Normal errors around design @ coefficients; one line for each of `terms`, which follow the constant.

    Args:
        roles: the target's family and the spurious feature's, of each row.
    """
    families = len(np.unique(np.concatenate(roles)))
    left, right = np.isinf(low), np.isinf(high)

    def none(why: str) -> list[Coefficient]:
        return [no_fit(CENSORED, formula, term, why, families) for term in terms]

    needed = max(FEWEST_PAIRS, design.shape[1] + 3)
    if len(low) < needed or families < FEWEST_FAMILIES:
        return none(f"{families} families and {len(low)} pairs, {FEWEST_FAMILIES} and {needed} are needed")
    if left.all() or right.all():
        return none(f"every pair is {'left' if left.all() else 'right'}-censored")
    if len(set(zip(low, high, strict=True))) == 1:
        return none("the interval is the same in every pair")
    if (
        np.linalg.matrix_rank(design / np.abs(design).max(0).clip(1e-300), tol=1e-8 * len(low))
        < len(terms) + 1
    ):
        return none("a term does not vary, or the others explain all of it")
    values = fit_intervals(low, high, design, np.ones((1, len(low))))[0]
    if np.isnan(values[1]):
        return none("the likelihood has no maximum: the intervals say too little, or are told apart wholly")
    errors = dyadic_errors(lambda out: fit_intervals(low, high, design, 1 - out), *roles)
    (lower, upper), p = errors.interval(values), errors.p(values)
    told = f"{int(left.sum())} left-, {int(right.sum())} right-censored of {len(low)}"
    note = f"{told}; {errors.note}" if errors.note else told
    return [
        line(CENSORED, formula, term, values[i], errors.error[i], (lower[i], upper[i]), p[i], families, note)
        for i, term in enumerate(terms, start=1)
    ]
