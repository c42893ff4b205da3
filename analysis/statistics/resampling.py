"""Intervals over inputs: of a mean by the bootstrap, of a number of a whole set by a jackknife."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

GROUPS = 50
"""Groups of inputs that the jackknife leaves out in turn; with fewer inputs, each of them."""
HELD = 2**20
"""Drawn values that are held at once."""


def bootstrap(values: NDArray[np.float64], resamples: int, seed: int) -> tuple[float, float]:
    """Percentile 95 % interval of the mean of one value an input; NaN of fewer than two."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    block = max(1, HELD // n)
    sizes = [min(block, resamples - done) for done in range(0, resamples, block)]
    means = np.concatenate([values[rng.integers(n, size=(size, n))].mean(axis=1) for size in sizes])
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def jackknife(of: Callable[[NDArray[np.bool_]], float], n: int, seed: int) -> tuple[float, float]:
    """95 % interval of a number of a set of n inputs: by Student's t, leaving out one group after the other.

    `of` tells the number of the inputs that a mask keeps. No input ever stands in a set twice. In a bootstrap
    a third of them would, as duplicates that a policy did not write, and every diversity would fall. The
    jackknife's variance is not too small on average, whatever the number (Efron & Stein). NaN of fewer than
    three inputs. It is the interval of what n inputs would have on average: diversity grows with n.

    References:
        Efron & Stein (1981). The jackknife estimate of variance. Annals of Statistics 9.
    """
    groups = min(n, GROUPS)
    if groups < 3:
        return math.nan, math.nan
    group = np.random.default_rng(seed).permutation(n) % groups
    value = of(np.ones(n, dtype=bool))
    without = np.array([of(group != g) for g in range(groups)])
    half = student.ppf(0.975, groups - 1) * math.sqrt((groups - 1) * without.var())
    return float(value - half), float(value + half)


def finite(x: float) -> float | None:
    """A number as results have it: None for what does not exist."""
    return x if math.isfinite(x) else None
