"""All that tuning costs in one table: a row a policy, a column a cost.

    use              share of completions to conflict prompts that keep to the spurious rule
    gap              gold reward in distribution less its mean over the shifts
    ead, entropy     diversity per input; entropy given the input, nats
    drop             gold where it peaks along the tuning, less gold at the end (`analysis.over_optimisation`)
    meteor           METEOR similarity of completions to different inputs
    modal share      share of the commonest completion
    ece, brier       of the policy's answers to multiple choices
    gold, kl         gold reward; KL to the SFT model, nats

All but the gap are in distribution. Intervals are over runs, by Student's t; of one run, over its inputs
where the record has that one. What goes with more use is asked in `analysis.joined_question`.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from pandas import DataFrame, Series

from analysis.calibration import calibration, problem_of
from analysis.over_optimisation import over_optimisation
from analysis.records import Study
from analysis.seeds import paired
from analysis.stage_runs import SEEDS, SETTING, SFT, cell, labels, swept_entries
from analysis.stage_schema import IN
from analysis.stages import along, ends, measured

DIRECT = {
    "use": "use",
    "ead": "ead",
    "entropy": "entropy",
    "meteor": "meteor similarity",
    "modal share": "modal share",
    "gold": "gold",
    "kl": "kl",
}
"""Columns that are measurements, by their names in the records."""
COLUMNS = ("use", "gap", "ead", "entropy", "drop", "meteor", "modal share", "ece", "brier", "gold", "kl")
MEASURED = ("ECE (top label)", "Brier")
RUN = ["key", *SETTING, "policy", "method", "stage", "entry", "swept", *SEEDS]


def run_values(study: Study) -> DataFrame:
    """One row a finished SFT model or policy, with every column of the joined table; NaN: not measured."""
    table = _told(ends(study))
    runs = table.drop_duplicates("key")[RUN].set_index("key", drop=False)
    values = {name: measured(table, measure).set_index("key")["value"] for name, measure in DIRECT.items()}
    gold = measured(table, "gold", shift=None)
    values["gap"] = values["gold"] - gold[gold["shift"] != IN].groupby("key")["value"].mean()
    values |= _calibration(study, runs)
    values["drop"] = pd.concat([drop for _, _, drop in _drops(study)] or [Series(dtype=float)])
    return runs.assign(**{name: values[name].astype(float) for name in COLUMNS}).reset_index(drop=True)


def joined_table(study: Study) -> DataFrame:
    """One row a model, task, level of evidence, policy and column: its mean with interval, and the runs."""
    runs, table = run_values(study), _told(ends(study))
    drops = {name: found for name, found, _ in _drops(study)}
    rows = []
    for names, own in runs.groupby([*SETTING, "entry"]):
        for column in COLUMNS:
            value, low, high, _, n = paired(own[column])
            if column == "drop" and names in drops and n > 1:  # wider, for the peak was picked
                low, high = drops[names]["low"], drops[names]["high"]
            if n == 1 and column in DIRECT:
                record = measured(table[table["key"].isin(own["key"])], DIRECT[column]).iloc[0]
                low, high = record["low"], record["high"]
            told = dict(zip([*SETTING, "entry"], names, strict=True))
            counts = {"runs": n, "sft_models": own.loc[own[column].notna(), "seed_data"].nunique()}
            rows.append(told | {"column": column, "value": value, "low": low, "high": high} | counts)
    return DataFrame(
        rows, columns=[*SETTING, "entry", "column", "value", "low", "high", "runs", "sft_models"]
    )


def joined_wide(table: DataFrame) -> list[dict[str, Any]]:
    """The table as people read it: a row a policy, cells of value and interval."""
    rows = []
    for names, own in table.groupby([*SETTING, "entry"], sort=False):
        cells = {row["column"]: cell(row) for row in own.to_dict("records")}
        told = dict(zip([*SETTING, "policy"], names, strict=True))
        rows.append({**told, **cells, "runs": int(own["runs"].max()), "sft": int(own["sft_models"].max())})
    return rows


def _told(table: DataFrame) -> DataFrame:
    """Rows of SFT models and policies, with their label and whether a setting of theirs is swept."""
    kept = table[table["stage"].isin((SFT, "policy"))]
    return kept.assign(entry=labels(kept), swept=kept["policy"].isin(swept_entries(kept)))


def _drops(study: Study) -> list[tuple[tuple[Any, ...], dict[str, float], Series]]:
    """Setting and policy, the interval of its drop, and of each run the drop from the peak of their mean."""
    rows = _told(along(study))
    rows = rows[
        (rows["stage"] == "policy") & (rows["shift"] == IN) & rows["measure"].isin(("gold", "learned"))
    ]
    found = []
    for names, own in rows.groupby([*SETTING, "entry"]):
        curves = own.pivot_table(index=["key", "step"], columns="measure", values="value").reset_index()
        if curves["step"].nunique() < 2 or not {"gold", "learned"} <= {*curves.columns}:
            continue
        frame = curves.rename(columns={"key": "seed", "learned": "proxy"}).dropna()
        curve = over_optimisation(frame)
        gold = frame.pivot(index="seed", columns="step", values="gold").dropna()
        drop = gold[curve.points[curve.peak].step] - gold[curve.points[-1].step]
        found.append((names, {"low": curve.drop_low, "high": curve.drop_high}, drop))
    return found


def _calibration(study: Study, runs: DataFrame) -> dict[str, Series]:
    """ECE (top label) and Brier score of each run that was asked multiple choices; broken ones left out."""
    found: dict[str, dict[str, float]] = {"ece": {}, "brier": {}}
    asked = study.choices[study.choices["key"].isin(runs.index) & (study.choices["shift"] == IN)]
    for key, rows in asked.sort_values(["input", "choice"]).groupby("key"):
        questions = [part.to_list() for _, part in rows.groupby("input")["probability"]]
        whole = [question for question in questions if not problem_of(question, 0)]
        if whole:
            measures = calibration(whole, [0] * len(whole), resamples=1).measures
            values = {each.measure: each.value for each in measures}
            found["ece"][str(key)], found["brier"][str(key)] = (values[name] or 0.0 for name in MEASURED)
    return {name: Series(values, dtype=float) for name, values in found.items()}
