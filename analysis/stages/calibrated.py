"""Calibration of each run's probabilities of a multiple choice."""

from __future__ import annotations

from pandas import DataFrame

from analysis.outputs.calibration import SUPERHF, calibration
from analysis.records import Study
from analysis.stage_schema import IN
from analysis.stages.stage_runs import single

SCORES = ("ECE (top label)", "ECE (all classes)", "Brier", "NLL", f"MSE ({SUPERHF})")
"""Of each, less is better."""


def choices_of(choices: DataFrame) -> tuple[list[list[float]], list[int]]:
    """Probabilities of each question and the place of its right answer; without gaps."""
    found, right = [], []
    for _, question in choices.sort_values("choice").groupby(["key", "input"]):
        if question["probability"].notna().all() and (question["choice"] == 0).any():
            found.append(question["probability"].tolist())
            right.append(question["choice"].tolist().index(0))
    return found, right


def calibration_table(study: Study) -> DataFrame:
    """One row a run that has choices in distribution: its scores over all questions; sweeps are left out."""
    rows, choices = [], study.choices[study.choices["shift"] == IN]
    for key, own in choices[choices["key"].isin(set(single(study.stages)["key"]))].groupby("key"):
        found, right = choices_of(own)
        if found:
            measures = calibration(found, right, compat=SUPERHF, resamples=1).measures  # seeds give intervals
            values = {each.measure: each.value for each in measures}
            rows.append({"key": key, "questions": len(found), **{name: values[name] for name in SCORES}})
    return DataFrame(rows, columns=["key", "questions", *SCORES]).astype(dict.fromkeys(SCORES, float))
