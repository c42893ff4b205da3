"""Rewards of two policies at the same distance from the model that both start from.

The rules, set before any outcome:

    along   A run is read where it first reaches a KL: between the two measured steps around that place, by a
            line. The KL is the smaller of the two runs' at the last point on the way, so each pair of runs
            has one and no run is read beyond what it did. The end is left out, being of more completions.
    swept   The KL is the first policy's at its end. The other's runs of the same seeds that differ in beta,
            and the SFT model at 0, are sorted by KL and read by a line between neighbours. A KL beyond all
            of them has no value: nothing is extrapolated.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.stages.stage_pairs import end_table, way_table
from analysis.stages.stage_runs import SEEDS

COLUMNS = [*SEEDS, "kl", "mine", "theirs"]


def first_reach(kl: np.ndarray, values: np.ndarray, at: float) -> float:
    """The value where a path first reaches a KL; NaN where it never does, or begins beyond it."""
    reached = np.flatnonzero(kl >= at - 1e-12)
    if not len(reached):
        return math.nan
    i = int(reached[0])
    if i == 0:
        return float(values[0]) if kl[0] <= at + 1e-12 else math.nan
    share = (at - kl[i - 1]) / (kl[i] - kl[i - 1])
    return float(values[i - 1] + share * (values[i] - values[i - 1]))


def matched_along(points: DataFrame, policy: str, against: str, column: str) -> DataFrame:
    """One row for each pair of runs of the same seeds: their values at the smaller of their last KLs."""
    rows: list[dict[str, Any]] = []
    way = way_table(points)
    theirs = dict(iter(_known(way, against, column).groupby(SEEDS)))
    for seeds, run in _known(way, policy, column).groupby(SEEDS):
        other = theirs.get(seeds)
        if other is None or run["key"].nunique() > 1 or other["key"].nunique() > 1:
            continue
        at = min(float(run["kl"].iloc[-1]), float(other["kl"].iloc[-1]))
        values = [first_reach(r["kl"].to_numpy(), r[column].to_numpy(), at) for r in (run, other)]
        rows.append(dict(zip(COLUMNS, (*seeds, at, *values), strict=True)))
    return DataFrame(rows, columns=COLUMNS)


def matched_swept(points: DataFrame, policy: str, against: str, sweep: str, column: str) -> DataFrame:
    """One row for each run of the first entry whose seeds the sweep has; NaN where that does not reach."""
    rows: list[dict[str, Any]] = []
    runs = end_table(points)
    swept = dict(iter(runs[runs["policy"].isin([against, sweep])].groupby(SEEDS)))
    start = runs[runs["stage"] == "sft"].groupby("seed_data")[column].mean()
    for seeds, run in runs[runs["policy"] == policy].dropna(subset=["kl", column]).groupby(SEEDS):
        others = swept.get(seeds)
        if others is None or sweep not in set(others["policy"]) or seeds[0] not in start.index:
            continue
        others = others.dropna(subset=["kl", column]).sort_values("kl")
        kl = np.array([0.0, *others["kl"]])
        values = np.array([start[seeds[0]], *others[column]])
        at = float(run["kl"].mean())
        theirs = first_reach(kl, values, at)
        rows.append(dict(zip(COLUMNS, (*seeds, at, float(run[column].mean()), theirs), strict=True)))
    return DataFrame(rows, columns=COLUMNS)


def _known(points: DataFrame, policy: str, column: str) -> DataFrame:
    return points[points["policy"] == policy].dropna(subset=["kl", column]).sort_values(["key", "step"])
