"""Pairs of outputs to two different inputs: which are looked at, and a mean over them with its interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import t as student

Places = NDArray[np.intp]
Values = NDArray[np.float64]

FEWEST_INPUTS = 4
"""Fewer inputs than this give no interval."""


def pairs_between(inputs: Places, most: int, rng: Generator) -> tuple[Places, Places]:
    """Pairs of outputs to different inputs: all of them, or `most` drawn without replacement.

    Args:
        inputs: [n] number of the input of each output, in ascending order.

    Returns:
        The places of both outputs of each pair, [p] each.
    """
    ends = np.searchsorted(inputs, inputs, side="right")  # where the outputs of later inputs begin
    partners = np.cumsum(len(inputs) - ends)
    total = int(partners[-1]) if len(partners) else 0
    chosen = np.arange(total) if total <= most else np.sort(rng.choice(total, most, replace=False))
    left = np.searchsorted(partners, chosen, side="right")
    return left, len(inputs) - (partners[left] - chosen)


def pair_mean(values: Values, weights: Values, left: Places, right: Places) -> tuple[float, float, float]:
    """Weighted mean of one value a pair, with its 95 % interval over inputs; NaN where there is none.

    Pairs that share an input are not independent. The variance is the jackknife's over inputs, an input with
    all its pairs at a time; what two inputs do together it counts twice, once at either, so the variance from
    leaving out one couple of inputs at a time is taken off again. It is not let below that variance or below
    half of the uncorrected one. Student's t with one degree less than there are inputs.

    Args:
        values, weights: [p] a value and a weight a pair.
        left, right: [p] numbers of its two inputs.

    References:
        T. Snijders, S. Borgatti (1999), Non-parametric standard errors and tests for network statistics.
        P. Aronow, C. Samii, V. Assenova (2015), Cluster-robust variance estimation for dyadic data.
    """
    if not len(values):
        return math.nan, math.nan, math.nan
    value = float(np.average(values, weights=weights))
    numbers, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    n = len(numbers)
    if n < FEWEST_INPUTS:
        return value, math.nan, math.nan
    first, second = places[: len(left)], places[len(left) :]
    low, high = np.minimum(first, second), np.maximum(first, second)
    by_input = _left_out(values, weights, places, np.concatenate([values, values]))
    by_couple = _left_out(values, weights, np.unique(low * n + high, return_inverse=True)[1], values)
    error = math.sqrt(max(by_input - by_couple, by_couple, by_input / 2))
    half = float(student.ppf(0.975, n - 1)) * error
    return value, value - half, value + half


def _left_out(values: Values, weights: Values, groups: Places, repeated: Values) -> float:
    """Jackknife variance of the weighted mean over leaving out one group of pairs at a time.

    `groups` and `repeated` go through the pairs as often as a pair is in groups.
    """
    weight = np.tile(weights, len(groups) // len(values))
    left_weight = weights.sum() - np.bincount(groups, weight)
    left_sum = (weights * values).sum() - np.bincount(groups, weight * repeated)
    kept = left_weight > 1e-12 * weights.sum()
    means = left_sum[kept] / left_weight[kept]
    return (len(means) - 1) * float(np.var(means)) if len(means) > 1 else 0.0
