"""Tuned policies beside each other: one row a run, and differences between runs of the same seeds."""

from __future__ import annotations

from pandas import DataFrame, Series, concat

from analysis.records import Study
from analysis.stage_runs import SEEDS, SETTING, less
from analysis.stage_schema import IN, MEASURES
from analysis.stages import along, ends, measured

UNTUNED = ("sft", "best-of-n")
"""Methods that a seed of the tuning need not change."""


def points_table(study: Study) -> DataFrame:
    """One row a finished policy or SFT model and measured step: measures in distribution, as columns.

    A measure that the study lacks is NaN.
    """
    told = study.stages[(study.stages["status"] == "ok") & (study.stages["stage"] != "reward")]
    points = along(study)
    points = points[(points["shift"] == IN) & points["measure"].isin(MEASURES)]
    wide = points.pivot_table(index=["key", "step"], columns="measure", values="value")
    wide = wide.reindex(columns=list(MEASURES)).reset_index().rename_axis(columns=None)
    return told.merge(wide, on="key", how="inner").sort_values([*SETTING, "policy", *SEEDS, "key", "step"])


def end_table(points: DataFrame) -> DataFrame:
    """One row a run: what it was at its end."""
    return points[points["step"] == points["steps"]].reset_index(drop=True)


def with_failed(study: Study, runs: DataFrame) -> DataFrame:
    """The runs and, without measures, the failed ones of the same setting."""
    failed = study.stages[(study.stages["status"] == "failed") & (study.stages["stage"] == "policy")]
    setting = runs[SETTING].drop_duplicates()
    failed = failed.merge(setting, on=SETTING, how="inner")
    return concat([runs, failed], ignore_index=True) if len(failed) else runs


def gain_over_sft(runs: DataFrame, column: str) -> Series:
    """A column less that of the SFT model of the same data seed, by the runs' index; NaN without one."""
    first = runs[runs["stage"] == "sft"].groupby([*SETTING, "seed_data"])[column].mean().rename("first")
    return runs[column] - runs.join(first, on=[*SETTING, "seed_data"])["first"]


def by_seeds(runs: DataFrame, policy: str, column: str) -> Series:
    """An entry's column by data and tuning seed."""
    return runs[runs["policy"] == policy].groupby(SEEDS)[column].mean()


def differences(runs: DataFrame, policy: str, against: str, column: str) -> Series:
    """An entry less another, one value for each data and tuning seed that both have, in one setting.

    What is not tuned and has one run a data seed is compared with all runs of that data seed.
    """
    mine, theirs = by_seeds(runs, policy, column), by_seeds(runs, against, column)
    return less(_shared(runs, policy, mine, theirs), _shared(runs, against, theirs, mine))


def _shared(runs: DataFrame, policy: str, values: Series, other: Series) -> Series:
    methods = set(runs.loc[runs["policy"] == policy, "method"])
    once = values.index.get_level_values("seed_data").is_unique
    if not methods or not methods <= set(UNTUNED) or not once or not len(other):
        return values
    found = values.droplevel("seed_tune").reindex(other.index.get_level_values("seed_data"))
    return Series(found.to_numpy(float), other.index)


def primary_differences(study: Study) -> Series:
    """The differences of the primary test, by level of evidence, model and seeds.

    The manifest names task, policy, against, measure, scope and shift; an evidence_rate, where it names one,
    leaves out the other levels.
    """
    named = study.manifest["primary"]
    rows = measured(ends(study), named["measure"], scope=named["scope"], shift=named["shift"])
    rows = rows[rows["task"] == named["task"]]
    if "evidence_rate" in named:
        rows = rows[rows["evidence_rate"] == named["evidence_rate"]]
    found = {
        names: differences(own, named["policy"], named["against"], "value")
        for names, own in rows.groupby(["evidence_rate", "model"])
    }
    return concat(found, names=["evidence_rate", "model", *SEEDS]) if found else Series(dtype=float)
