"""How repeated runs differ: the ratio of two standard deviations, and shares of runs that improve."""

from __future__ import annotations

import math

import numpy as np
from pandas import DataFrame, Series
from scipy.stats import fisher_exact
from scipy.stats import t as student
from statsmodels.stats.proportion import confint_proportions_2indep

from analysis.stages.stage_pairs import gain_over_sft
from analysis.use import wilson

FATE = ("improved", "neither", "diverged")
COLLAPSED = 0.5
"""A policy has collapsed when this share of its completions, to any input, is one text or has no word."""


def fates(runs: DataFrame, column: str, margin: float) -> DataFrame:
    """The runs with `fate` and `collapsed`.

    improved: at its end above the SFT model that it starts from by more than the margin; diverged: below it
    by more than the margin, or failed; else neither. Collapsed: see `COLLAPSED`; it can be any of them.
    """
    gain = gain_over_sft(runs, column)
    failed = runs["status"] == "failed"
    fate = np.select([failed | (gain < -margin), gain > margin], ["diverged", "improved"], "neither")
    one_text = (runs["modal share"] >= COLLAPSED) | (runs["empty share"] >= COLLAPSED)
    found = runs.assign(gain=gain, fate=fate, collapsed=one_text)
    return found[failed | gain.notna()]


def share(k: int, n: int) -> tuple[float, float, float]:
    """A share with Wilson's 95 % interval."""
    if not n:
        return math.nan, math.nan, math.nan
    return k / n, *wilson(k, n)


def share_difference(k: int, n: int, other_k: int, other_n: int) -> tuple[float, float, float, float, int]:
    """A share less another: 95 % interval from the two Wilson intervals, Fisher's exact p, runs in all.

    Runs count as independent: it is about the tuning of the SFT models that there are. Sides that share
    seeds differ by less than that, so the interval is a wide one.

    References: R. Newcombe (1998), Interval estimation for the difference between independent proportions.
    """
    if not n or not other_n:
        return math.nan, math.nan, math.nan, math.nan, 0
    low, high = confint_proportions_2indep(k, n, other_k, other_n, method="newcomb", compare="diff")
    p = fisher_exact([[k, n - k], [other_k, other_n - other_k]]).pvalue
    return k / n - other_k / other_n, float(low), float(high), float(p), n + other_n


def _log_variance(values: np.ndarray, groups: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Log of the variance within groups, for each row of weights, [m, n] of 0 and 1."""
    squares, freedom = np.zeros(len(weights)), np.zeros(len(weights))
    for group in np.unique(groups):
        mine, w = values[groups == group], weights[:, groups == group]
        count = w.sum(1)
        mean = (w * mine).sum(1) / np.maximum(count, 1)
        squares += (w * (mine - mean[:, None]) ** 2).sum(1)
        freedom += np.maximum(count - 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(squares / freedom))


def spread_ratio(mine: Series, theirs: Series) -> tuple[float, float, float, float, int]:
    """Standard deviation of one set of runs over that of another across tuning seeds, within data seeds.

    Log ratio, 95 % interval, p against 0, and the number of seeds. Jackknife of the log of the variance,
    leaving out one pair of runs at a time, so that what they share through their seed is allowed for.

    References: R. Miller (1968), Jackknifing variances.
    """
    both = DataFrame({"mine": mine, "theirs": theirs}).dropna()
    n = len(both)
    groups = both.index.get_level_values("seed_data").to_numpy() if n else np.array([])
    if n < 4 or n - len(set(groups)) < 3:
        return math.nan, math.nan, math.nan, math.nan, n
    weights = np.vstack([np.ones(n), 1 - np.eye(n)])
    logs = [_log_variance(both[side].to_numpy(float), groups, weights) for side in ("mine", "theirs")]
    ratios = (logs[0] - logs[1]) / 2
    if not np.isfinite(ratios).all():
        return math.nan, math.nan, math.nan, math.nan, n
    pseudo = n * ratios[0] - (n - 1) * ratios[1:]
    value, error = float(pseudo.mean()), float(pseudo.std(ddof=1)) / math.sqrt(n)
    half = float(student.ppf(0.975, n - 1)) * error
    p = float(2 * student.sf(abs(value / error), n - 1)) if error else math.nan
    return value, value - half, value + half, p, n
