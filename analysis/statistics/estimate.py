"""One number with its interval, its p-value and its n, or words for why it has none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student

from analysis.statistics.association import Array, Statistic, auc, mean
from analysis.statistics.dyadic import FEWEST_FAMILIES, FEWEST_PAIRS, Dyads, dyads
from analysis.statistics.permutation import PERMUTATIONS, dyadic_permutation

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_FOR_A_VALUE = 3
"""Fewer pairs of families than this have no association at all."""
EDGE = 0.999
"""Correlations are pulled this far from 1 before they are put on Fisher's scale."""


@dataclass(frozen=True)
class Estimate:
    """A statistic over pairs. NaN where something cannot be estimated; `note` then says why."""

    value: float
    low: float
    """Lower end of the interval, from the permutation of families; of a mean, from leaving families out."""
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
    data: Dyads | None = field(default=None, repr=False, compare=False)
    """What it was computed from."""


def _leave_out(data: Dyads, statistic: Statistic, weights: Array) -> float:
    """Jackknife variance of a statistic over ways of leaving rows out, [m, n]; NaN if one leaves no value."""
    left = statistic(data.x, data.y, data.z, weights)
    return (len(left) - 1) * float(np.var(left)) if len(left) > 1 else math.nan


def _families_out(data: Dyads, statistic: Statistic) -> float:
    """Jackknife variance over leaving out one family at a time, with all its pairs."""
    kept = 1 - np.eye(len(data.families))
    return _leave_out(data, statistic, kept[:, data.target] * kept[:, data.spurious])


def family_jackknife(data: Dyads, statistic: Statistic, confidence: float = 0.95) -> tuple[float, float]:
    """Interval from leaving out one family at a time; t with F - 1 degrees of freedom.

    What belongs to a pair alone is counted twice, once at either family, so the interval is too wide where
    that is most of what there is. Taking it off again (`dyadic_jackknife`) leaves intervals of a mean that
    cover too rarely where families are few (`benchmarks/README.md`).

    NaN with too few families.

    References:
        T. Snijders, S. Borgatti (1999), Non-parametric standard errors and tests for network statistics.
    """
    count, value = len(data.families), float(statistic(data.x, data.y, data.z, None))
    if count < FEWEST_FAMILIES or len(data) < FEWEST_PAIRS or math.isnan(value):
        return math.nan, math.nan
    half = float(student.ppf((1 + confidence) / 2, count - 1)) * math.sqrt(_families_out(data, statistic))
    return value - half, value + half


def dyadic_jackknife(data: Dyads, statistic: Statistic, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a correlation from leaving out families; t with F - 1 degrees of freedom.

    Leaving out families counts what two families do together twice, once at either; the variance from
    leaving out one couple of families at a time is taken off again, which gives the dyadic-robust variance.
    It is not let below that variance or below half of the uncorrected one. On Fisher's scale. A rival of the
    default in `benchmarks/known_truth.py`.

    NaN with too few families, or when the correlation sits on its bound and so shows no spread.

    References:
        P. Aronow, C. Samii, V. Assenova (2015), Cluster-robust variance estimation for dyadic data.
    """
    count = len(data.families)
    value = float(statistic(data.x, data.y, data.z, None))
    if count < FEWEST_FAMILIES or len(data) < FEWEST_PAIRS or math.isnan(value):
        return math.nan, math.nan
    by_family = _families_out(data, statistic)
    low, high = np.minimum(data.target, data.spurious), np.maximum(data.target, data.spurious)
    couples, which = np.unique(low * count + high, return_inverse=True)
    by_couple = _leave_out(data, statistic, 1 - np.eye(len(couples))[:, which])
    error = math.sqrt(max(by_family - by_couple, by_couple, by_family / 2))
    if error < 1e-9 or math.isnan(error):
        return math.nan, math.nan
    r = float(np.clip(value, -EDGE, EDGE))
    spread = float(student.ppf((1 + confidence) / 2, count - 1)) * error / (1 - r * r)
    return math.tanh(math.atanh(r) - spread), math.tanh(math.atanh(r) + spread)


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
    if statistic is mean:
        return "no interval: leaving out any one family changes nothing" if math.isnan(low) else ""
    if math.isnan(p) and (np.ptp(data.x) == 0 or np.ptp(data.y) == 0):
        same = "extractability" if np.ptp(data.x) == 0 else "the outcome"
        return f"no interval and no p-value: {same} is the same in every pair"
    if math.isnan(p):
        return "no interval and no p-value: too few families to permute"
    return (
        "no interval: the two agree wholly, or all orders of the families say the same"
        if math.isnan(low)
        else ""
    )


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
        if statistic is mean:
            low, high = family_jackknife(data, statistic, confidence)
        else:
            found = dyadic_permutation(
                data, statistic, confidence=confidence, permutations=permutations, seed=seed
            )
            p, low, high = found.p, found.low, found.high
    features = {*rows["target"], *rows["spurious"]}
    pairs = len(rows[["target", "spurious"]].drop_duplicates())
    note = _why_not(data, statistic, value, low, p)
    counts = (len(data.families), len(features), pairs, _members(rows, "models"), _members(rows, "seeds"))
    return Estimate(value, low, high, p, *counts, note, data)
