"""What a policy loses by being tuned on: its gold reward at its peak less that later on."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.stages.stage_pairs import way_table
from analysis.stages.stage_runs import SEEDS


def drop_from_peak(points: DataFrame, policy: str, column: str = "gold") -> Series:
    """For each run: the column where the mean of the *other* runs is highest before the last point, less the
    last point's. Below 0 where it rises to the last.

    A run's own highest point is high by luck too; the others' step is not, so of noise the mean is 0. Needs
    two runs; steps that a run lacks are left out, and the end, which is of more completions.
    """
    way = way_table(points)
    curves = way[way["policy"] == policy].pivot_table(index=SEEDS, columns="step", values=column)
    curves = curves.dropna(axis="columns")
    if len(curves) < 2 or curves.shape[1] < 2:
        return Series(dtype=float)
    others = (curves.sum() - curves) / (len(curves) - 1)
    peaks = others.iloc[:, :-1].idxmax(axis="columns")
    found = [curves.at[seeds, step] - curves.at[seeds, curves.columns[-1]] for seeds, step in peaks.items()]
    return Series(found, curves.index)
