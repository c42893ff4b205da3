"""All that tuning costs in one table: a row a policy, a column a cost.

    use              share of completions to conflict prompts that keep to the spurious rule
    gap              gold reward in distribution less its mean over the shifts
    ead, entropy     diversity per input; entropy given the input, nats
    drop             gold where the mean of the other runs peaks on the way, less gold at the last point on it
    meteor           METEOR similarity of completions to different inputs
    modal share      share of the commonest completion
    ece, brier       of the policy's answers to multiple choices
    gold, kl         gold reward; KL to the SFT model, nats

All but the gap are in distribution. Intervals are over runs, by Student's t, of 3 or more; of one run, over
its inputs where the record has that one; they end where the column does. What goes with more use is asked in
`analysis.stages.joined_question`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.outputs.calibration import calibration
from analysis.records import Study
from analysis.stage_schema import ACROSS, IN, PER_INPUT
from analysis.stages.calibrated import choices_of
from analysis.stages.drop_from_peak import drop_from_peak
from analysis.stages.stage_pairs import points_table
from analysis.stages.stage_runs import (
    SEEDS,
    SETTING,
    cell,
    labels,
    policies_at_end,
    swept_entries,
)
from analysis.stages.stages import measured
from analysis.statistics.seeds import paired

DIRECT = {
    "use": ("use", PER_INPUT),
    "ead": ("ead", PER_INPUT),
    "entropy": ("entropy", PER_INPUT),
    "meteor": ("meteor similarity", ACROSS),
    "modal share": ("modal share", ACROSS),
    "gold": ("gold", PER_INPUT),
    "kl": ("kl", PER_INPUT),
}
"""Columns that are measurements: their names and scopes in the records."""
COLUMNS = ("use", "gap", "ead", "entropy", "drop", "meteor", "modal share", "ece", "brier", "gold", "kl")
CALIBRATED = ("ECE (top label)", "Brier")
RUN = ["key", *SETTING, "policy", "method", "stage", "entry", "swept", *SEEDS]
FEWEST = 3
"""Runs; Student's interval of two is as good as none."""
RANGE = {
    **dict.fromkeys(("use", "modal share", "ece", "meteor", "gold"), (0.0, 1.0)),
    **dict.fromkeys(("entropy", "kl"), (0.0, math.inf)),
    "brier": (0.0, 2.0),
}
"""What a column can be; the ends of ead stand in the records."""
LEGEND = """What each policy costs: means over runs with 95 % intervals, in distribution but for the gap
intervals: over 3 runs or more; of one run over its inputs; cut off where the column can go no further
use: of the spurious rule; gap: gold in less gold under shifts; drop: of gold since its peak in the other runs
meteor, modal share: between inputs; ece: calibrated answers have one above 0 too, the more the fewer they are
runs on as many SFT models as sft says; minus: not measured"""
JOINED = [*SETTING, "entry", "column", "value", "low", "high", "runs", "sft_models"]


def run_values(study: Study) -> DataFrame:
    """One row a finished SFT model or policy, with every column of the joined table; NaN: not measured."""
    table = _told(policies_at_end(study))
    runs = table.drop_duplicates("key")[RUN].set_index("key", drop=False)
    values = {column: _direct(table, column)["value"] for column in DIRECT}
    gold = measured(table, "gold", shift=None)
    values["gap"] = values["gold"] - gold[gold["shift"] != IN].groupby("key")["value"].mean()
    values |= _calibration(study, runs)
    values["drop"] = _drops(study, runs)
    return runs.assign(**{name: values[name].astype(float) for name in COLUMNS}).reset_index(drop=True)


def _direct(table: DataFrame, column: str) -> DataFrame:
    """A column's measurement by key."""
    measure, scope = DIRECT[column]
    return measured(table, measure, scope=scope).set_index("key")


def joined_table(study: Study, runs: DataFrame | None = None) -> DataFrame:
    """One row a model, task, level of evidence, policy and column: its mean with interval, and the runs."""
    runs = run_values(study) if runs is None else runs
    table = _told(policies_at_end(study))
    direct = {column: _direct(table, column) for column in DIRECT}
    rows = []
    for names, own in runs.groupby([*SETTING, "entry"]):
        for column in COLUMNS:
            known = own[own[column].notna()]
            value, low, high, _, n = paired(known[column])
            if n == 1 and column in DIRECT:
                low, high = direct[column].loc[known["key"].iloc[0], ["low", "high"]]
            elif n < FEWEST:
                low = high = math.nan
            ends = RANGE.get(column, (-math.inf, math.inf))
            if column == "ead":
                ends = tuple(direct[column].loc[known["key"], ["floor", "ceiling"]].mean())
            low, high = _cut(value, low, high, *ends)
            told = {"column": column, "value": value, "low": low, "high": high, "runs": n}
            models = {"sft_models": known["seed_data"].nunique()}
            rows.append(dict(zip([*SETTING, "entry"], names, strict=True)) | told | models)
    return DataFrame(rows, columns=JOINED)


def _cut(value: float, low: float, high: float, floor: float, ceiling: float) -> tuple[float, float]:
    """An interval without what the column cannot be; it keeps its value."""
    if math.isnan(low) or math.isnan(high):
        return low, high
    return min(value, float(np.fmax(low, floor))), max(value, float(np.fmin(high, ceiling)))


def joined_wide(table: DataFrame) -> list[dict[str, Any]]:
    """The table as people read it: a row a policy, cells of value and interval."""
    rows = []
    for names, own in table.groupby([*SETTING, "entry"], sort=False):
        cells = {row["column"]: cell(row) for row in own.to_dict("records")}
        told = dict(zip([*SETTING, "policy"], names, strict=True))
        rows.append({**told, **cells, "runs": int(own["runs"].max()), "sft": int(own["sft_models"].max())})
    return rows


def _told(table: DataFrame) -> DataFrame:
    """Rows with the label of their policy, and whether a setting of it is swept."""
    return table.assign(entry=labels(table), swept=table["policy"].isin(swept_entries(table)))


def _drops(study: Study, runs: DataFrame) -> Series:
    """By key: see `drop_from_peak`; not of one run, nor of what took no step."""
    points = points_table(study)
    points = points.assign(policy=points["key"].map(runs["entry"]))
    found = []
    for _, own in points.groupby(SETTING):
        for entry, mine in own[own["stage"] == "policy"].groupby("policy"):
            keys = mine.drop_duplicates("key").set_index(SEEDS)["key"].to_dict()
            drop = drop_from_peak(own, str(entry))
            found.append(Series(drop.to_numpy(), [keys[seeds] for seeds in drop.index]))
    return concat([drop for drop in found if len(drop)] or [Series(dtype=float)])


def _calibration(study: Study, runs: DataFrame) -> dict[str, Series]:
    """ECE (top label) and Brier score of each run that was asked multiple choices."""
    found: dict[str, dict[str, float]] = {"ece": {}, "brier": {}}
    asked = study.choices[study.choices["key"].isin(runs.index) & (study.choices["shift"] == IN)]
    for key, own in asked.groupby("key"):
        questions, right = choices_of(own)
        if questions:
            measures = calibration(questions, right, resamples=1).measures  # runs give the intervals
            values = {each.measure: each.value for each in measures}
            found["ece"][str(key)], found["brier"][str(key)] = (_number(values[name]) for name in CALIBRATED)
    return {name: Series(values, dtype=float) for name, values in found.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value
