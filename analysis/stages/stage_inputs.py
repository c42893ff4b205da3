"""Differences between policies input by input, for intervals over runs and inputs together.

An SFT model and best-of-n have one draw of completions of the same inputs, which all pairs of runs with
them share. An interval over runs alone leaves out that draw, and that of inputs; for measures that the
outputs have, `analysis.statistics.two_level` draws both again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandas import DataFrame, Series

from analysis.stage_schema import IN
from analysis.stages.by_input import against_answer, difference, head_to_head, matched, mean_scores
from analysis.stages.stage_pairs import UNTUNED
from analysis.stages.stage_runs import SEEDS
from analysis.statistics.seeds import paired
from analysis.statistics.two_level import two_level

MEAN, ANSWER, HEAD = "mean", "win rate", "head to head"
"""Difference of mean scores; of win rates over the reference answer; win rate over the other, less .5."""
BEYOND = "learned less held-out"
SCORES = ("gold", "learned", "held-out", "use", BEYOND)
"""Measures that each output has; the last is the difference of two."""
RESAMPLES = 9999
"""So many that p can be as small as .0002, which is left of Holm's correction for some hundred tests."""
RUNS, INPUTS = "runs", "runs and inputs"
"""What an interval is over."""
OVER = """over runs and inputs: two-level bootstrap, p the least level that leaves 0 out, .0002 at least
over runs: Student's t, not over inputs, nor over the one draw of SFT and best-of-n that all pairs share"""
"""For legends."""
Legs = list[tuple[float, DataFrame]]


def scored(outputs: DataFrame) -> DataFrame:
    """The outputs with a column for each of `SCORES`; use is known of conflict prompts alone."""
    use = (outputs["rule"] == "spurious").astype(float).where(outputs["conflict"] == 1)
    told = {name: outputs[name].astype(float) for name in ("gold", "learned")}
    held = outputs["held_out"].astype(float)
    own = {"held-out": held, "use": use, BEYOND: told["learned"] - held}
    return outputs.assign(**told, **own)


def legs(
    outputs: DataFrame, runs: DataFrame, policy: str, against: str, score: str,
    weights: Mapping[str, float] | None = None, statistic: str = MEAN,
) -> Legs:  # fmt: skip
    """A policy less another, one of them not tuned, input by input, for each shift and its weight.

    Args:
        outputs: as `scored` gives them.
        runs: rows of one setting, of columns key, policy, method, stage, steps and seeds.
        weights: of shifts; in distribution alone, unless told.

    Nothing where both are tuned, or where the outputs lack a side or a shift.
    """
    told = runs.drop_duplicates("key")
    both = [told[told["policy"] == name] for name in (policy, against)]
    if score not in SCORES or not any(set(side["method"]) <= set(UNTUNED) for side in both):
        return []
    mine, theirs = (outputs.merge(side[["key", "stage", "steps", *SEEDS]], on="key") for side in both)
    found = Legs()
    for shift, weight in (weights or {IN: 1.0}).items():
        sides = [side[side["shift"] == shift] for side in (mine, theirs)]
        if not all(map(len, sides)):
            return []
        own, other, _ = matched(*sides)
        if statistic == HEAD:
            values = head_to_head(own, other, score)
            values["value"] -= 0.5
        else:
            of = mean_scores if statistic == MEAN else against_answer
            values = difference(of(own, score), of(other, score))
        found.append((weight, values))
    return found


def judged(values: Series, by_input: Legs) -> tuple[tuple[float, float, float, float, int], str]:
    """Value, interval, p and n of one difference a pair of runs, and what the interval is over.

    Over runs and inputs where the inputs of every pair are known, by two-level bootstrap; else over runs, by
    Student's t.
    """
    n = len(values)
    if n > 1 and by_input:
        found = two_level(by_input, resamples=RESAMPLES)
        if found.n_seeds == n:
            return (found.value, found.low, found.high, found.p, n), INPUTS
    return paired(values), RUNS


def primary_legs(
    outputs: DataFrame, table: DataFrame, named: Mapping[str, Any], found: DataFrame, statistic: str = MEAN
) -> Legs:
    """The legs of `stage_pairs.primary_differences`: each of its settings counts alike."""
    every = Legs()
    for rate, model in found.columns:
        own = table[(table["task"] == named["task"]) & (table["model"] == model)]
        own = own[own["evidence_rate"] == rate]
        weights = {str(named.get("shift", IN)): 1 / found.shape[1]}
        score = str(named["measure"]) if statistic == MEAN else "gold"
        every += legs(outputs, own, named["policy"], named["against"], score, weights, statistic)
    return every if len(every) == found.shape[1] else []
