"""One number with its interval, its p-value and its n, or words for why it has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from analysis.association import Array, Statistic, auc, mean, partial_spearman, spearman
from analysis.dyadic import FEWEST_FAMILIES, FEWEST_PAIRS, PERMUTATIONS, Dyads, dyadic_permutation, dyads

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_FOR_A_VALUE = 3
"""Fewer pairs of families than this have no association at all."""
EDGE = 0.999
"""Correlations are pulled this far from 1 before they are put on Fisher's scale."""
CORRELATIONS: tuple[Statistic, ...] = (spearman, partial_spearman)


@dataclass(frozen=True)
class Estimate:
    """A statistic over pairs. NaN where something cannot be estimated; `note` then says why."""

    value: float
    low: float
    """Lower end of the interval over families."""
    high: float
    p: float
    """Two-sided, from the permutation of families; NaN for a mean, which has no such test."""
    n_families: int
    n_features: int
    n_pairs: int
    """Pairs of features."""
    n_models: int
    n_seeds: int
    """Seeds of the tuning; of the pre-training, where models are what is compared."""
    note: str = ""


def _leave_out(data: Dyads, statistic: Statistic, weights: Array) -> float:
    """Jackknife variance of a statistic over the given ways of leaving rows out, [m, n]."""
    left = statistic(data.x, data.y, data.z, weights)
    left = left[~np.isnan(left)]
    return (len(left) - 1) * float(np.var(left)) if len(left) > 1 else math.nan


def dyadic_jackknife(data: Dyads, statistic: Statistic, confidence: float = 0.95) -> tuple[float, float]:
    """Interval from leaving out one family at a time, with all its pairs; t with F - 1 degrees of freedom.

    Leaving out families counts what two families do together twice, once at either; the variance from
    leaving out one couple of families at a time is taken off again, which gives the dyadic-robust variance.
    It is not let below that variance or below half of the uncorrected one. Bounded statistics are put on
    Fisher's scale. In simulations 95 % intervals cover 90 to 97 %; a percentile node bootstrap covers 92 to
    100 % and is up to half as wide again on sparse designs (`benchmarks/null_size.py`).

    NaN with too few families, or when a bounded statistic sits on its bound and so shows no spread.

    References:
        T. Snijders, S. Borgatti (1999), Non-parametric standard errors and tests for network statistics.
        P. Aronow, C. Samii, V. Assenova (2015), Cluster-robust variance estimation for dyadic data.
    """
    count = len(data.families)
    value = float(statistic(data.x, data.y, data.z, None))
    if count < FEWEST_FAMILIES or len(data) < FEWEST_PAIRS or math.isnan(value):
        return math.nan, math.nan
    kept = 1 - np.eye(count)
    by_family = _leave_out(data, statistic, kept[:, data.target] * kept[:, data.spurious])
    low, high = np.minimum(data.target, data.spurious), np.maximum(data.target, data.spurious)
    couples, which = np.unique(low * count + high, return_inverse=True)
    by_couple = _leave_out(data, statistic, 1 - np.eye(len(couples))[:, which])
    error = math.sqrt(max(by_family - by_couple, by_couple, by_family / 2))
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * error
    if statistic not in CORRELATIONS and statistic is not auc:
        return value - half, value + half
    if error < 1e-9 or math.isnan(error):
        return math.nan, math.nan
    to, back = (1.0, 0.0) if statistic in CORRELATIONS else (2.0, 0.5)  # AUC of 0 to 1 as -1 to 1
    r = float(np.clip(to * (value - back), -EDGE, EDGE))
    spread = to * half / (1 - r * r)
    ends = [math.tanh(math.atanh(r) + sign * spread) / to + back for sign in (-1, 1)]
    return ends[0], ends[1]


def node_bootstrap(
    data: Dyads, statistic: Statistic, confidence: float = 0.95, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval from drawing families with replacement.

    A pair counts as often as the product of its two families' counts; pairs between two copies of one
    family do not exist. Far wider than it needs to be on sparse designs, a little too narrow on dense ones.
    """
    count = len(data.families)
    if count < FEWEST_FAMILIES or len(data) < FEWEST_PAIRS:
        return math.nan, math.nan
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    weights = (drawn[:, data.target] * drawn[:, data.spurious]).astype(float)
    values = statistic(data.x, data.y, data.z, weights)
    values = values[~np.isnan(values)]
    if len(values) < resamples / 2:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def _why_not(data: Dyads, statistic: Statistic, value: float, low: float, p: float) -> str:
    """What is missing from an estimate, in words."""
    families, pairs = len(data.families), len(data)
    if pairs == 0:
        return "nothing to estimate: no pair has all the values it needs"
    if statistic is not mean and pairs < FEWEST_FOR_A_VALUE:
        return f"no estimate: {pairs} pairs of families, {FEWEST_FOR_A_VALUE} are needed"
    if math.isnan(value):
        if statistic is auc:
            return "no estimate: U is on the same side of 0.5 in every pair"
        if np.ptp(data.y) == 0:
            return "no estimate: the outcome is the same in every pair"
        return "no estimate: extractability does not differ, or the covariates explain all of it"
    if families < FEWEST_FAMILIES or pairs < FEWEST_PAIRS:
        return (
            f"no interval and no p-value: {families} families and {pairs} pairs of them, "
            f"{FEWEST_FAMILIES} of each are needed"
        )
    missing = []
    if math.isnan(low):
        missing.append("no interval: leaving out any one family changes nothing")
    if statistic is not mean and math.isnan(p):
        missing.append("no p-value: too few families to permute")
    return "; ".join(missing)


def _members(table: DataFrame, column: str) -> int:
    """How many different things the tuples of a column name."""
    return len({item for items in table[column] for item in items}) if column in table else 0


def estimate(
    table: DataFrame,
    statistic: Statistic,
    *,
    y: str = "y",
    x: tuple[str, str] | None = ("x_target", "x_spurious"),
    covariates: Sequence[str | tuple[str, str]] = (),
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Estimate:
    """A statistic over a table of pairs, with everything said about it.

    Args:
        table: columns `target`, `spurious`, `target_family`, `spurious_family` and those named by y, x and
            covariates (see `dyads`); optional columns `models` and `seeds` hold tuples, for the counts.
    """
    data = dyads(table, y, x, covariates)
    used = [y, *(x or ())]
    for covariate in covariates:
        used += [covariate] if isinstance(covariate, str) else covariate
    rows = table[np.isfinite(table[used].to_numpy(float)).all(axis=1)]
    value = low = high = p = math.nan
    if len(data) >= (1 if statistic is mean else FEWEST_FOR_A_VALUE):
        value = float(statistic(data.x, data.y, data.z, None))
        low, high = dyadic_jackknife(data, statistic, confidence)
        if statistic is not mean:
            p = dyadic_permutation(data, statistic, permutations=permutations, seed=seed)
    features = {*rows["target"], *rows["spurious"]}
    pairs = len(rows[["target", "spurious"]].drop_duplicates())
    note = _why_not(data, statistic, value, low, p)
    counts = (len(data.families), len(features), pairs, _members(rows, "models"), _members(rows, "seeds"))
    return Estimate(value, low, high, p, *counts, note)
