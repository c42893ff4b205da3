"""Standard errors of a regression over pairs of families: rows that share a family, in either role, are not
independent, nor are rows of one model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from analysis.statistics.association import Array

if TYPE_CHECKING:
    from pandas import DataFrame

Codes = NDArray[np.intp]
LeaveOut = Callable[[Array], Array]
"""[m, n] of 0 and 1 (1: the row is left out) -> [m, k] estimates without those rows; NaN: there are none."""


def family_codes(table: DataFrame) -> tuple[Codes, Codes]:
    """The target's family and the spurious feature's of each row of a table of pairs, as numbers.

    Families of different kinds of task are different families.
    """
    roles = [table["kind"] + " " + table[f"{role}_family"].astype(str) for role in ("target", "spurious")]
    codes = np.unique(np.concatenate(roles).astype(str), return_inverse=True)[1]
    return codes[: len(table)], codes[len(table) :]


@dataclass(frozen=True)
class Errors:
    """How sure k estimates are."""

    error: Array
    """[k] standard errors; NaN where leaving something out leaves no estimate."""
    freedom: int
    """Degrees of freedom of Student's t."""
    note: str = ""

    def interval(self, values: Array, confidence: float = 0.95) -> tuple[Array, Array]:
        half = float(student.ppf((1 + confidence) / 2, self.freedom)) * self.error
        return values - half, values + half

    def p(self, values: Array) -> Array:
        """Two-sided p-values against 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(2 * student.sf(np.abs(values / self.error), self.freedom), float)


def _clusters(target: Codes, spurious: Codes) -> tuple[Array, Array, bool]:
    """Rows of each family and of each couple of them, [m, n] of 0 and 1; whether a family is in every row.

    Such a family is no group; what shares the other one then shares nothing twice, so there are no couples.
    """
    names = np.unique(np.concatenate([target, spurious]))
    families = ((target == names[:, None]) | (spurious == names[:, None])).astype(float)
    common = families.sum(1) == len(target)
    low, high = np.minimum(target, spurious), np.maximum(target, spurious)
    key = np.where(low == high, -1, low * (names.max() + 1) + high)
    couples = (key == np.unique(key[key >= 0])[:, None]).astype(float)
    return families[~common], couples[:0] if common.any() else couples, bool(common.any())


def _within(clusters: Array, model: Codes) -> Array:
    """Each group of rows cut up by model."""
    cut = np.concatenate([clusters * (model == m) for m in np.unique(model)])
    return np.asarray(cut[cut.sum(1) > 0])


def dyadic_sandwich(influence: Array, target: Codes, spurious: Codes, model: Codes | None = None) -> Array:
    """[k, k] sum of u_i u_j' over rows i, j that share a family or a model; u is [n, k], the rows' influence.

    The textbook estimator. Families that are in every row are shared by all and are left out of it. The sum
    need not be positive semi-definite. In simulations its 95 % intervals of a slope cover 67 to 89 %
    of the time, those of `dyadic_errors` 90 to 96 % (`benchmarks/regression_coverage.py`): use these.

    References:
        P. Aronow, C. Samii, V. Assenova (2015), Cluster-robust variance estimation for dyadic data.
        A. C. Cameron, D. L. Miller (2014), Robust inference for dyadic data.
    """

    def total(groups: Array) -> Array:
        sums = groups @ influence
        return np.asarray(sums.T @ sums)

    families, couples, _ = _clusters(target, spurious)
    found = total(families) - total(couples)
    if model is not None:
        models = (model == np.unique(model)[:, None]).astype(float)
        found = found + total(models) - total(_within(families, model)) + total(_within(couples, model))
    return np.asarray(found)


def dyadic_errors(leave_out: LeaveOut, target: Codes, spurious: Codes, model: Codes | None = None) -> Errors:
    """Dyadic-robust errors in their jackknife form.

    The variance from leaving out one family at a time, less that from leaving out one couple of families at a
    time, is what `dyadic_sandwich` approximates; with as few families as a study has the approximation is far
    too small. The difference need not be positive: it is not let below the variance over couples or half of
    that over families. With `model` the variance over models is added, less that over what the two groupings
    share, and the whole is not let below either.

    A family that is in every row cannot be left out: what is said is said of that family alone.

    References:
        T. Snijders, S. Borgatti (1999), Non-parametric standard errors and tests for network statistics.
    """
    families, couples, common = _clusters(target, spurious)
    by_family, by_couple = _spread(leave_out, families), _spread(leave_out, couples)
    floor = np.maximum(by_couple, by_family / 2)
    variance, freedom = by_family - by_couple, len(families) - 1
    if model is not None:
        models = (model == np.unique(model)[:, None]).astype(float)
        both = _spread(leave_out, _within(families, model)) - _spread(leave_out, _within(couples, model))
        by_model = _spread(leave_out, models)
        variance = variance + by_model - both
        floor = np.maximum(np.maximum(by_family - by_couple, floor), by_model)
        freedom = min(freedom, len(models) - 1)
    notes = ["one family is in every pair: said of that family alone"] if common else []
    if (variance < floor).any():
        notes.append("the sum over shared families is too small or negative: its lower bound is used")
    error = np.sqrt(np.maximum(variance, floor)) if freedom > 0 else np.full(len(variance), math.nan)
    return Errors(error, freedom, "; ".join(notes))


def _spread(leave_out: LeaveOut, groups: Array) -> Array:
    """[k] jackknife variance over leaving out each group; NaN where an estimate does not survive one."""
    left = leave_out(groups)
    return np.asarray(max(len(left) - 1, 0) * left.var(axis=0)) if len(left) else np.zeros(left.shape[-1])
