"""Over-optimisation: along the tuning, does the gold reward fall while the proxy goes on rising?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame, Series
from scipy.stats import t as student

from analysis.statistics.seeds import paired
from tasks.errors import UserError

MOST_POINTS = 20
"""KL that takes more values than this, and has no step beside it, is cut into `BINS` parts of equal size."""
BINS = 10
OVER = "over-optimised"
FELL = "gold falls, and the proxy does not rise"
NO_FALL = "no fall: gold is highest at the end"
UNTOLD = "cannot be told"


@dataclass(frozen=True)
class Point:
    """Gold and proxy reward at one point of the tuning: means over units, with their 95 % intervals."""

    step: float | None
    kl: float | None
    gold: float
    gold_low: float
    gold_high: float
    proxy: float
    proxy_low: float
    proxy_high: float
    rows: int


@dataclass(frozen=True)
class OverOptimisation:
    """The curve and what it says. NaN where there is no interval."""

    points: list[Point]
    """In the order of step, or of KL where there is no step."""
    peak: int
    """Place of the point where the mean gold reward is highest."""
    drop: float
    """Gold at the peak less gold at the end."""
    drop_low: float
    drop_high: float
    rise: float
    """Proxy at the end less proxy at the peak."""
    rise_low: float
    rise_high: float
    status: str
    units: str
    """What the intervals are over: seed, input or row."""
    n_units: int
    left_out: int
    """Units that are absent from some point, and are in no number."""


def over_optimisation(frame: DataFrame) -> OverOptimisation:
    """The curve of gold and proxy reward, where gold peaks, and whether it falls while the proxy rises.

    Points are the steps, or the values of `kl` where there is no `step` (ten bins of equal size if there are
    more than 20 of them). Intervals are over seeds if two or more are at every point, else over inputs,
    else over rows, by Student's t on one mean a unit; differences are taken within a unit, but between rows.
    The peak was picked from P points since its gold is highest, so the interval of the drop is Bonferroni's
    over the P - 1 others that could have been.

        over-optimised     the intervals of gold's drop and of the proxy's rise since the peak are above 0
        no fall            the peak is the last of several points
        gold falls ...     the interval of the drop is above 0, that of the proxy's rise below 0
        cannot be told     anything else

    Args:
        frame: columns `gold`, `proxy`, `step` or `kl` or both; `seed` and `input` where there are any.

    References:
        L. Gao, J. Schulman, J. Hilton (2023), Scaling laws for reward model overoptimization.
    """
    if not len(frame):
        raise UserError("over-optimisation: there is no row")
    frame = _with_points(frame)
    units, whole = _units(frame)
    gold, proxy = (whole[name].to_numpy(float) for name in ("gold", "proxy"))
    last = len(gold) - 1
    centre = np.nanmean(gold, axis=1)
    peak = int(np.flatnonzero(centre == centre.max())[-1])
    drop = _difference(gold, peak, last, units, max(last, 1))
    rise = _difference(proxy, last, peak, units, 1)
    points = []
    for place, (_, rows) in enumerate(frame.groupby("point")):
        ends = [_mean(values[place]) for values in (gold, proxy)]
        where = {name: float(rows[name].mean()) if name in rows else None for name in ("step", "kl")}
        points.append(Point(where["step"], where["kl"], *ends[0], *ends[1], len(rows)))
    return OverOptimisation(
        points, peak, *drop, *rise, _status(peak == last > 0, drop, rise), units, int(gold.shape[1]),
        0 if units == "row" else int(frame[units].nunique() - gold.shape[1]),
    )  # fmt: skip


def _with_points(frame: DataFrame) -> DataFrame:
    """The rows with a column `point` that counts along the tuning."""
    along = next((name for name in ("step", "kl") if name in frame), None)
    missing = [name for name in ("gold", "proxy") if name not in frame]
    if along is None or missing:
        raise UserError(f"over-optimisation: no column {' or '.join(missing) or 'step or kl'}")
    values = frame[along].to_numpy(float)
    if not np.isfinite(frame[[along, "gold", "proxy"]].to_numpy(float)).all():
        raise UserError(f"over-optimisation: {along}, gold and proxy must be numbers in every row")
    if along == "kl" and len(np.unique(values)) > MOST_POINTS:
        edges = np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))
        values = np.searchsorted(edges, values).astype(float)
    return frame.assign(point=np.unique(values, return_inverse=True)[1])


def _units(frame: DataFrame) -> tuple[str, DataFrame]:
    """What is resampled, and the means of each such unit at each point: two or more are at every point."""
    for units in ("seed", "input"):
        if units in frame:
            means = frame.groupby(["point", units])[["gold", "proxy"]].mean().unstack()
            whole = means.loc[:, means["gold"].notna().all().reindex(means.columns, level=1).to_numpy()]
            if whole["gold"].shape[1] > 1:
                return units, whole
    # Rows of different points are not one thing measured twice: their order means nothing.
    numbered = frame.assign(row=frame.groupby("point").cumcount())
    return "row", numbered.set_index(["point", "row"])[["gold", "proxy"]].unstack()


def _mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean over units and its interval."""
    mean, low, high, *_ = paired(Series(values))
    return mean, low, high


def _difference(
    values: NDArray[np.float64], first: int, second: int, units: str, tests: int
) -> tuple[float, float, float]:
    """values[first] - values[second] with its interval: paired over units, unpaired where units are rows."""
    a, b = (row[~np.isnan(row)] for row in (values[first], values[second]))
    value = float(a.mean() - b.mean())
    if first == second:
        return 0.0, 0.0, 0.0
    if min(len(a), len(b)) < 2:
        return value, math.nan, math.nan
    if units == "row":
        parts = [a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)]
        error, freedom = math.sqrt(sum(parts)), min(len(a), len(b)) - 1
    else:
        error, freedom = float((a - b).std(ddof=1)) / math.sqrt(len(a)), len(a) - 1
    half = float(student.ppf(1 - 0.025 / tests, freedom)) * error
    return value, value - half, value + half


def _status(at_end: bool, drop: tuple[float, float, float], rise: tuple[float, float, float]) -> str:
    if at_end:
        return NO_FALL
    if drop[1] > 0 and rise[1] > 0:
        return OVER
    return FELL if drop[1] > 0 and rise[2] < 0 else UNTOLD
