"""Which learning rate a method is given: chosen on development pairs, before and apart from a study."""

from __future__ import annotations

from pandas import DataFrame

from analysis.records import Study

AS_GOOD = 0.005
"""Rates whose mean reward is this near the best are equals, and of equals the lowest is taken."""


def is_development(study: Study) -> bool:
    return bool(study.manifest.get("primary", {}).get("claim") == "development")


def chosen_rates(study: Study) -> DataFrame:
    """One row per method and rate: mean reward on both and neither at the end, and whether it is the one.

    A failed run has earned nothing. `edge`: the rate that was chosen is the lowest or the highest tried.
    """
    runs = study.runs[study.runs["control"] == ""]
    earned = runs["reward_both_neither"].where(runs["status"] == "ok", 0.0)
    runs = runs.assign(reward_both_neither=earned)
    rewards = runs.groupby(["method", "learning_rate"])["reward_both_neither"]
    found = rewards.agg(reward="mean", lowest="min", runs="count").reset_index()
    best = found.groupby("method")["reward"].transform("max")
    chosen = found[found["reward"] >= best - AS_GOOD].groupby("method")["learning_rate"].min()
    found["chosen"] = found["learning_rate"] == found["method"].map(chosen)
    tried = found["learning_rate"]
    found["edge"] = found["chosen"] & tried.isin([tried.min(), tried.max()])
    return found.assign(learning_rate=found["learning_rate"].map("{:g}".format))
