"""How often one policy's completions are better than another's, run by run."""

from __future__ import annotations

from pandas import DataFrame, Series

from analysis.stage_schema import IN
from analysis.stages.by_input import head_to_head, matched
from analysis.stages.stage_runs import SEEDS


def preferred(outputs: DataFrame, runs: DataFrame, policy: str, against: str, score: str = "gold") -> Series:
    """P(better) + P(tie) / 2 in distribution, mean over inputs that both have, by data and tuning seed."""
    here = outputs[outputs["shift"] == IN]
    mine, theirs = (_of(here, runs[runs["policy"] == name]) for name in (policy, against))
    if not len(mine) or not len(theirs):
        return Series(dtype=float)
    mine, theirs, _ = matched(mine, theirs)
    return head_to_head(mine, theirs, score).groupby(SEEDS)["value"].mean().dropna()


def _of(outputs: DataFrame, runs: DataFrame) -> DataFrame:
    return outputs.merge(runs[["key", "stage", "steps", *SEEDS]], on="key", how="inner")
