"""Was the task learnt at all? Accuracy over all four quadrants, by method and pair."""

from __future__ import annotations

from pandas import DataFrame

from analysis.records import Study
from analysis.use import QUADRANTS, wilson

THRESHOLD = 0.95
"""Share of the optimum from which a task counts as learnt."""


def is_of_learning(study: Study) -> bool:
    """Whether a study asks what can be learnt, and nothing about which feature is used."""
    return bool(study.manifest.get("primary", {}).get("claim") == "learnability")


def accuracy_table(study: Study) -> DataFrame:
    """One row per method, pair and level of evidence: runs, those that reached the threshold, and greedy
    accuracy on fresh rows of all quadrants with its 95 % interval over the rows."""
    rows = []
    keys = ["method", "task", "evidence_rate"]
    for (method, task, evidence), part in study.runs[study.runs["status"] == "ok"].groupby(keys):
        n = part[[f"n_{q}" for q in QUADRANTS]].sum(axis=1)
        right = n - part[[f"errors_{q}" for q in QUADRANTS]].sum(axis=1)
        low, high = wilson(int(right.sum()), int(n.sum()))
        learnt = int((right / n >= THRESHOLD).sum())
        told = {"method": method, "task": task, "evidence": evidence, "runs": len(part), "learnt": learnt}
        rows.append(
            told | {"accuracy": right.sum() / n.sum(), "low": low, "high": high, "answers": int(n.sum())}
        )
    return DataFrame(rows)
