"""Tuned policies beside each other: one row a run, and differences between runs of the same seeds."""

from __future__ import annotations

from pandas import DataFrame, Series, concat

from analysis.records import Study
from analysis.stage_runs import SEEDS, SETTING, SFT, less, of_policies
from analysis.stage_schema import ACROSS, IN, MEASURES, PER_INPUT
from analysis.stages import SWEPT, along, ends, measured

UNTUNED = ("sft", "best-of-n")
"""Methods that a seed of the tuning does not change."""
BETWEEN = ("meteor similarity", "modal share")
"""Measures that are taken across inputs."""
MOVED = ("gold", "learned", "held-out", "meteor similarity")


def points_table(study: Study) -> DataFrame:
    """One row a finished policy or SFT model and measured step: measures in distribution, as columns.

    Points on the way are of one completion a prompt, the end of several. For what `MOVED` names they are
    moved by what the SFT model has at its end less what it has on the way, as step 0, so that a run begins
    where its SFT model is. That is for the eye: what is tested compares points on the way with each other. A
    measure that the study lacks is NaN.
    """
    told = of_policies(study.stages[study.stages["status"] == "ok"])
    points = along(study)
    scope = points["measure"].map(dict.fromkeys(BETWEEN, ACROSS)).fillna(PER_INPUT)
    points = points[(points["shift"] == IN) & points["measure"].isin(MEASURES) & (points["scope"] == scope)]
    wide = points.pivot_table(index=["key", "step"], columns="measure", values="value")
    wide = wide.reindex(columns=list(MEASURES)).reset_index().rename_axis(columns=None)
    found = _once(told.merge(wide, on="key", how="inner"))
    return _moved(found).sort_values([*SETTING, "policy", *SEEDS, "key", "step"]).reset_index(drop=True)


def _once(points: DataFrame) -> DataFrame:
    """Without repeated runs of what is not tuned: best-of-n says the same whatever the seed of the tuning."""
    same = [*SETTING, "policy", "seed_data", *SWEPT, *MEASURES]
    return points[~((points["steps"] == 0) & points.sort_values("seed_tune").duplicated(same))]


def _moved(points: DataFrame) -> DataFrame:
    names, on_the_way = list(MOVED), points["step"] < points["steps"]
    start = points[on_the_way & (points["step"] == 0)].set_index("key")[names]
    sft = points[(points["stage"] == SFT) & ~on_the_way].groupby([*SETTING, "seed_data"])[names].mean()
    by = points[[*SETTING, "seed_data", "key"]].join(start.add_suffix(" start"), on="key")
    by = by.join(sft.add_suffix(" sft"), on=[*SETTING, "seed_data"])
    for name in names:
        move = (by[f"{name} sft"] - by[f"{name} start"]).fillna(0.0)
        points[name] = points[name] + move.where(on_the_way, 0.0)
    return points


def way_table(points: DataFrame) -> DataFrame:
    """The points on the way: all on the same prompts for the runs of a data seed."""
    return points[points["step"] < points["steps"]]


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
