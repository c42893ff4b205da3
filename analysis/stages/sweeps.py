"""Curves over a setting that an entry of a study sweeps, and the knee of one."""

from __future__ import annotations

import math

import numpy as np
from pandas import DataFrame, Series

from analysis.stages.stage_runs import SEEDS

KNEE = 0.8
"""A curve has its knee where it has done this share of its fall."""


def swept(runs: DataFrame, entry: str, base: str, setting: str) -> DataFrame:
    """Runs of a sweeping entry, and those of the entry with the default, which stand at their own setting.

    The default's are left out where the sweep has that setting itself, and where they were tuned on another
    number of completions.
    """
    rows = runs[runs["policy"] == entry]
    if not len(rows):
        return rows
    more = runs[(runs["policy"] == base) & ~runs[setting].isin(set(rows[setting]))]
    more = more[more["completions"].isin(set(rows["completions"]))]
    return runs.loc[[*rows.index, *more.index]]


def at(runs: DataFrame, setting: str, value: float, column: str) -> Series:
    """A column of the runs at one setting, by data and tuning seed."""
    return runs[np.isclose(runs[setting].astype(float), value)].groupby(SEEDS)[column].mean()


def nearest(runs: DataFrame, setting: str, value: float) -> float:
    """The setting closest to a value, on a log scale."""
    known = np.array(sorted(set(runs[setting].dropna())), float)
    return float(known[np.argmin(np.abs(np.log(known) - math.log(value)))])


def knee(curve: Series, least: float) -> float:
    """The smallest setting at which the curve has done `KNEE` of its fall from setting 0 to its lowest.

    NaN without a value at 0, and where it falls by no more than `least`.
    """
    curve = curve.dropna().sort_index()
    if not len(curve) or curve.index[0] != 0:
        return math.nan
    fall = float(curve.iloc[0] - curve.min())
    if fall <= least:
        return math.nan
    return float(curve.index[(curve <= curve.iloc[0] - KNEE * fall).to_numpy()][0])


def knee_interval(
    runs: DataFrame, setting: str, column: str, least: float, *, resamples: int = 1000, seed: int = 0
) -> tuple[float, float, float, float]:
    """The knee of the mean curve, its 95 % interval from drawing seeds with replacement, and the share of
    draws without a knee. Seeds that lack a setting are left out."""
    curves = runs.pivot_table(index=SEEDS, columns=setting, values=column).dropna()
    value = knee(curves.mean(), least)
    if len(curves) < 2 or math.isnan(value):
        return value, math.nan, math.nan, math.nan
    rng, values = np.random.default_rng(seed), curves.to_numpy(float)
    drawn = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    found = np.array([knee(Series(row, curves.columns), least) for row in drawn])
    none = float(np.isnan(found).mean())
    if none == 1:
        return value, math.nan, math.nan, none
    low, high = np.nanquantile(found, [0.025, 0.975], method="inverted_cdf")
    return value, float(low), float(high), none
