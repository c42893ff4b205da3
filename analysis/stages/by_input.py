"""What a run's outputs are worth, input by input: one row a seed, shift and input.

Columns: seed_data, seed_tune, shift, input; value, NaN where a side has no score; ties, the share of
comparisons that tie; outputs, how many of the policy's it is of; missing, how many have no score.
"""

from __future__ import annotations

import math

import numpy as np
from pandas import DataFrame, concat

from analysis.stages.win_rates import win_rates
from analysis.statistics.two_level import SEEDS

INPUT = [*SEEDS, "shift", "input"]


def mean_scores(own: DataFrame, score: str) -> DataFrame:
    """One row an input: the mean score of its outputs. Missing ones are counted in `missing`."""
    by = own.groupby(INPUT)[score]
    table = DataFrame({"value": by.mean(), "outputs": by.count(), "missing": by.size() - by.count()})
    return table.assign(ties=math.nan).reset_index()


def against_answer(own: DataFrame, score: str) -> DataFrame:
    """One row an input: P(output better than the reference answer) + P(tie) / 2."""
    mine, answer = own[score], own[f"reference_{score}"].astype(float)
    lacking = mine.isna() | answer.isna()
    won = ((mine > answer) + (mine == answer) / 2).mask(lacking)
    tied = (mine == answer).astype(float).mask(lacking)
    by = own.assign(won=won, tied=tied).groupby(INPUT)
    table = DataFrame({"value": by["won"].mean(), "ties": by["tied"].mean(), "outputs": by["won"].count()})
    return table.assign(missing=by.size() - table["outputs"]).reset_index()


def head_to_head(mine: DataFrame, theirs: DataFrame, score: str) -> DataFrame:
    """One row an input of either side: P(mine better than theirs) + P(tie) / 2 over all pairs of outputs."""
    both = concat([mine[[*INPUT, score]], theirs[[*INPUT, score]]], ignore_index=True)
    inputs = both.groupby(INPUT)
    group, groups, scores = inputs.ngroup().to_numpy(), inputs.ngroups, both[score].to_numpy(float)
    known, own = ~np.isnan(scores), np.arange(len(both)) < len(mine)
    a, b = known & own, known & ~own
    value, ties = win_rates(group[a], scores[a], group[b], scores[b], groups)
    counts = {"outputs": np.bincount(group[a], minlength=groups)}
    counts["missing"] = np.bincount(group[~known], minlength=groups)
    return inputs.size().index.to_frame(index=False).assign(value=value, ties=ties, **counts)


def matched(own: DataFrame, other: DataFrame) -> tuple[DataFrame, DataFrame, int]:
    """Both sides' outputs of the seeds that both have, and how many seeds one side lacks.

    What took no step, as the SFT model, has one run a data seed, which goes with all tunings on these data.
    Within the seeds each side keeps inputs that the other lacks, which are counted later.
    """
    lone = 0
    if _is_untuned(other):
        other, lone = _with_tunings(other, own)
    elif _is_untuned(own):
        own, lone = _with_tunings(own, other)
    mine, theirs = ({*map(tuple, side[SEEDS].to_numpy().tolist())} for side in (own, other))
    both = DataFrame(sorted(mine & theirs), columns=SEEDS, dtype=int)
    kept = (side.merge(both, on=SEEDS, how="inner") for side in (own, other))
    return *kept, len(mine ^ theirs) + lone


def _is_untuned(side: DataFrame) -> bool:
    once = len(side[SEEDS].drop_duplicates()) == side["seed_data"].nunique()
    return once and bool(((side["stage"] == "sft") | (side["steps"] == 0)).all())


def _with_tunings(untuned: DataFrame, tuned: DataFrame) -> tuple[DataFrame, int]:
    """Outputs once for each seed of the tunings on the same data, and how many data seeds have none."""
    tunes = tuned[SEEDS].drop_duplicates()
    lone = len(set(untuned["seed_data"]) - set(tunes["seed_data"]))
    return untuned.drop(columns="seed_tune").merge(tunes, on="seed_data", how="inner"), lone


def difference(mine: DataFrame, theirs: DataFrame) -> DataFrame:
    """One row an input of either side: mine minus theirs, NaN where one lacks it."""
    both = mine.merge(theirs, on=INPUT, how="outer", suffixes=("", "_other"))
    missing = both["missing"].fillna(0) + both["missing_other"].fillna(0)
    value = both["value"] - both["value_other"]
    told = both[INPUT].assign(value=value, ties=math.nan, missing=missing)
    return told.assign(outputs=both["outputs"].fillna(0))
