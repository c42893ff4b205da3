"""Tuned policies beside each other: one row a run, and differences between runs of the same seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandas import DataFrame, MultiIndex, Series, concat

from analysis.records import Study
from analysis.stage_schema import ACROSS, IN, MEASURES, PER_INPUT
from analysis.stages.stage_runs import SEEDS, SETTING, SFT, less, of_policies, once
from analysis.stages.stages import along, measured

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
    points = once(points)
    wide = points.pivot_table(index=["key", "step"], columns="measure", values="value")
    wide = wide.reindex(columns=list(MEASURES)).reset_index().rename_axis(columns=None)
    found = told.merge(wide, on="key", how="inner")
    return _moved(found).sort_values([*SETTING, "policy", *SEEDS, "key", "step"]).reset_index(drop=True)


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


def primary_differences(table: DataFrame, named: Mapping[str, Any]) -> DataFrame:
    """The differences of the primary test: a row a pair of seeds, a column a level of evidence and model.

    What is subtracted is of one setting. NaN where a setting lacks that pair: a mean over settings is of the
    rows that have them all.

    Args:
        table: measurements at the end of each run.
        named: the manifest's task, policy, against, measure, scope and shift; an evidence_rate, where it
            names one, leaves out the other levels.
    """
    scope, shift = named.get("scope", PER_INPUT), named.get("shift", IN)
    rows = measured(table, str(named.get("measure")), scope=scope, shift=shift)
    rows = rows[(rows["task"] == named.get("task")) & rows["value"].notna()]
    if "evidence_rate" in named:
        rows = rows[rows["evidence_rate"] == named["evidence_rate"]]
    found = {
        names: differences(own, str(named.get("policy")), str(named.get("against")), "value")
        for names, own in rows.groupby(["evidence_rate", "model"])
    }
    found = {names: values for names, values in found.items() if len(values)}
    nothing = DataFrame(index=MultiIndex.from_arrays([[], []], names=SEEDS))
    return concat(found, axis="columns") if found else nothing


def mean_of(found: DataFrame) -> str:
    """Words for what a primary comparison of several settings is the mean of; none for one setting."""
    out, settings = int(found.isna().any(axis=1).sum()), found.shape[1]
    left = f"; {out} pairs of seeds left out that lack one" if out else ""
    return f"mean over {settings} settings, seed by seed{left}" if settings > 1 else ""
