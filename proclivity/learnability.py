"""Which features can be learnt at all: each alone, the other a coin, before and apart from any study."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proclivity.study import Study, load_study
from tasks import get_task
from tasks.errors import UserError
from tasks.text import TextInputs

if TYPE_CHECKING:
    from analysis import Study as Records

THRESHOLD = 0.95
"""Share of the optimum that a run must reach; a feature is learnable when two of three seeds do."""
SYMBOLS = "learnability-symbols"
OF_TEXT = {"english": "learnability-english", "reviews": "learnability-reviews"}
"""The shipped studies: of tasks of symbols, and of those of text by the first part of their names."""


def learnability_study(tasks: Iterable[str]) -> tuple[Study, Any]:
    """The shipped learnability study of their language on these tasks' features alone, and its document.

    A symbolic feature is tried once, whatever tasks it is in; one of text in each of its tasks.
    """
    tasks = list(tasks)
    of_text = {name for name in tasks if isinstance(get_task(name).inputs, TextInputs)}
    for name in of_text:
        if name.partition("/")[0] not in OF_TEXT:
            raise UserError(
                f"{name}: learnability is tried on the embedded models, which know no words but their own; "
                f"tune a model of yours with --task {name}:alone=target --evidence 0.5"
            )
    names = {OF_TEXT[name.partition("/")[0]] if name in of_text else SYMBOLS for name in tasks}
    if len(names) > 1:
        raise UserError("learnability is tried one kind of task at a time: " + ", ".join(sorted(names)))
    study, document = load_study(names.pop())
    assert isinstance(study, Study)
    shipped = {get_task(name).target.name: name for name in study.pairs.list}
    pairs: dict[str, str] = {}
    for name in tasks:
        task = get_task(name)
        for role, feature in task.roles.items():
            own = f"{name}{',' if ':' in name else ':'}alone={role}"
            if name in of_text:
                pairs[own] = own
            else:
                pairs.setdefault(feature.name, own if ":" in name else shipped.get(feature.name, own))
    return replace(study, pairs=replace(study.pairs, list=tuple(pairs.values()))), document


def learnability_rows(records: Records) -> list[dict[str, Any]]:
    """One row a run of a learnability study: accuracy over all four quadrants, and whether it is enough."""
    rows = []
    runs = records.runs[records.runs["status"] == "ok"]
    for run in runs.sort_values(["target", "dial", "seed_tune"]).to_dict("records"):
        quadrants = ("both", "neither", "target_only", "spurious_only")
        errors = sum(run[f"errors_{q}"] for q in quadrants)
        accuracy = 1 - errors / sum(run[f"n_{q}"] for q in quadrants)
        rows.append(
            {
                "feature": run["target"],
                "family": run["target_family"],
                "recipe": run["model"].partition(":")[0],
                "method": run["method"],
                "episodes": int(run["episodes"]),
                "seed": int(run["seed_tune"]),
                "dial": run["dial"],
                "task": run["task"].partition(":")[0] if "alone=" in run["task"] else "",
                "accuracy": round(accuracy, 4),
                "threshold": THRESHOLD,
                "learnable": bool(accuracy >= THRESHOLD),
            }
        )
    return rows
