"""What a prediction is fitted on and scored on: one row a pair, model, method and level of evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from pandas import DataFrame, Series

from analysis.pairs.pairs import pairs_table, primary_probe
from analysis.records import Study
from tasks.errors import UserError

ARMS = ("main", "swapped", "one_sided")
"""Arms whose runs start from pre-trained models, on the gold reward, at the study's settings."""
SIGNALS = {
    "bits": "relative",
    "untrained bits": "relative_untrained",
    "raw bits": "relative_raw",
    "reach": "relative_reach",
    "frozen probe": "frozen",
}
"""What a prediction can go by, and its column: above 0 where it speaks for the spurious feature."""
NO_COUNTER_EXAMPLES = "none"
"""The kind of evidence where there is none: all kinds are one."""
_CELL = ["kind", "task", "base", "model", "weights_hash", "method", "evidence_kind", "evidence"]
_FAMILIES = ["target_family", "spurious_family"]
_PROBED = ["model", "dial", "weights_hash", "task"]


def prediction_rows(studies: Sequence[Study]) -> DataFrame:
    """Rows with a U and an order of the two features' bits, over all studies.

    Columns: `task`, `model`, `base` (its recipe), `weights_hash`, `kind` (of task), `target_family` and
    `spurious_family` (with the kind before them: families of different kinds are different), `method`,
    `evidence`, `evidence_kind`, `U` (mean over learnt runs of all studies), `n_runs` of them, `frozen_U`, and
    the signals of `SIGNALS`: NaN where there is none, but 0 where a baseline's bits were measured and are
    censored for both features: then it has to say something of the row.

    Studies without runs bring what they probed: `frozen_U`, and the reach of whole-model probes.
    """
    n = {spec.n for study in studies if len(study.runs) and (spec := primary_probe(study))}
    if len(n) > 1:
        raise UserError(f"--from: the studies probe at different n ({', '.join(map(str, sorted(n)))})")
    tables = [_of_study(study) for study in studies if len(study.runs)]
    if not tables or not sum(map(len, tables)):
        raise UserError(
            "--from: no run there is of a pair of features, learnt it and was probed: nothing to predict from"
        )
    table = pd.concat(tables, ignore_index=True)
    probes = pd.concat([study.probes for study in studies], ignore_index=True)
    probes = probes[(probes["status"] == "ok") & (probes["init"] == "pretrained")]
    table = table.merge(_frozen(probes), on=_PROBED, how="left")
    table = table.merge(_reach(probes), on=_PROBED, how="left")
    groups = table.assign(U=table["U"] * table["n_runs"]).groupby([*_CELL, *_FAMILIES], sort=True)
    found = groups[["U", "n_runs"]].sum().join(groups[[*SIGNALS.values(), "frozen_U"]].mean())
    return found.assign(U=found["U"] / found["n_runs"]).reset_index()


def _of_study(study: Study) -> DataFrame:
    runs = study.runs
    kept = runs["arm"].isin(ARMS) & (runs["init"] == "pretrained") & (runs["control"] == "")
    kept &= runs["reward_model"] == ""
    if not kept.any():
        return DataFrame()
    table = pairs_table(replace(study, runs=runs[kept]), by="model")
    table = table[table["U"].notna() & table["relative"].notna()]
    return table.assign(
        relative_untrained=_said(table, study, "relative_untrained", "model", "random"),
        relative_raw=_said(table, study, "relative_raw", "raw"),
        **{role: table["kind"] + "/" + table[role] for role in _FAMILIES},
        base=table["model"].str.partition(":")[0],
        evidence_kind=table["evidence_kind"].where(table["evidence"] > 0, NO_COUNTER_EXAMPLES),
        n_runs=table["n_learnt"],
    )


def _said(table: DataFrame, study: Study, column: str, source: str, init: str = "") -> Series:
    """A baseline's bits with 0 where they were measured and are censored; NaN where they were not."""
    probes = study.probes[(study.probes["status"] == "ok") & (study.probes["input"] == source)]
    asked = set(probes.loc[probes["init"] == init, "task"] if init else probes["task"])
    return table[column].mask(table[column].isna() & table["task"].isin(asked), 0.0)


def _frozen(probes: DataFrame) -> DataFrame:
    """A frozen probe's choice by model and task: its U, and its log2 odds, at most those of 1 in 1,000."""
    told = probes[probes["frozen_U"].notna() & (probes["input"] == "model")]
    found = told.groupby(_PROBED)[["frozen_U"]].mean().reset_index()
    share = found["frozen_U"].clip(0.001, 0.999)
    return found.assign(frozen=np.log2(share / (1 - share)))


def _reach(probes: DataFrame) -> DataFrame:
    """log2 of the labels that the whole-model probe needs for the target per label for the spurious feature.

    A reach lies between two block starts: the middle is taken, in logarithms. One that was not come to
    within the probe's labels is taken to be all of them.
    """
    told = probes[(probes["probe"] == "finetune") & probes["converged"].astype(bool)]
    low, high = told["labels_needed_low"].clip(lower=1), told["labels_needed_high"]
    needed = ((np.log2(low) + np.log2(high)) / 2).fillna(np.log2(told["n"].astype(float)))
    by_role = needed.groupby([*(told[key] for key in _PROBED), told["role"]]).mean().unstack("role")
    if not {"target", "spurious"} <= set(by_role):
        return DataFrame(columns=[*_PROBED, "relative_reach"])
    return (by_role["target"] - by_role["spurious"]).rename("relative_reach").dropna().reset_index()
