"""One number a seed: its mean over seeds, with its interval and what it says against 0."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from pandas import Series
from scipy.stats import t as student


def paired(differences: Series) -> tuple[float, float, float, float, int]:
    """Mean, 95 % interval, two-sided p and n of one difference a seed, by Student's t.

    Equal differences, to rounding, have no spread to tell an interval from: then it is NaN, and p is the
    least that flips of n signs can give, 2^(1 - n), or 1 for a mean of 0.
    """
    values = differences.dropna().to_numpy(float)
    n = len(values)
    if n < 2:
        return (float(values.mean()) if n else math.nan), math.nan, math.nan, math.nan, n
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error <= 1e-12 * np.abs(values).max():
        return mean, math.nan, math.nan, 2.0 ** (1 - n) if mean else 1.0, n
    half = float(student.ppf(0.975, n - 1)) * error
    return mean, mean - half, mean + half, float(2 * student.sf(abs(mean / error), n - 1)), n


def too_few(counts: Iterable[int]) -> str:
    """Why some rows have no interval, if some do: of so few seeds or pairs of runs there is none."""
    found = list(counts)
    few = [n for n in found if n < 2]
    if not few:
        return ""
    none = f", {few.count(0)} of them without any run" if 0 in few else ""
    return f"Cannot be estimated: {len(few)} of {len(found)} rows{none}; an interval over runs takes two."


def best_rates(rewards: Series, close: float) -> dict[str, float]:
    """Of rewards by method and learning rate, each method's best rate; of two within `close`, the smaller."""
    found = {}
    for method in sorted(set(rewards.index.get_level_values(0))):
        rates = rewards[method].sort_index()
        found[str(method)] = float(rates.index[np.argmax(rates > rates.max() - close)])
    return found
