"""Text problems at the command line: how they read, and text-out tasks as files."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np

from proclivity.answer import Answer
from proclivity.composition import ReportProgress
from proclivity.export import check_export, new_folder
from tasks.feature import Split
from tasks.generation.generation import IN, Generation, Row
from tasks.problems import get_problem, text_out
from tasks.text_problem import TextProblem

Json = Mapping[str, Any]


def show_problem(name: str, n: int) -> Answer:
    """Of a text-out task rows of every distribution, half of them conflicts; of others demonstrations."""
    problem = get_problem(name)
    about: dict[str, Any] = {"problem": name}
    if isinstance(problem, Generation):
        about["about"] = told_of(problem)
    about |= {"optimum": problem.optimum, "chance": problem.chance, "tokens": problem.most}
    rows = list(_rows(problem, n))
    head = "\n".join(f"{key:10}{value}" for key, value in about.items())
    return Answer({**about, "rows": rows}, "\n\n".join([head, *map(_block, rows)]))


def told_of(problem: Generation) -> str:
    """What a text-out task asks for, on one line."""
    return " ".join((inspect.getdoc(type(problem)) or "").split())


def _rows(problem: TextProblem, n: int) -> Iterable[Json]:
    if not isinstance(problem, Generation):
        shown = problem.demonstrations(n, np.random.default_rng(0), "test")
        yield from ({"shift": IN, **row} for row in shown.to_list())
        return
    about = {shift.name: shift.about for shift in problem.shifts}
    for shift in (IN, *about):
        for evidence in (0.0, 1.0):
            for row in problem.rows(n, np.random.default_rng(0), "test", evidence=evidence, shift=shift):
                yield {"shift": shift, "about": about.get(shift, "as in tuning"), **_json(row)}


def _json(row: Row) -> Json:
    answers = {"prompt": row.prompt, "completion": row.completion, "spurious": row.spurious}
    return {**answers, "conflict": int(row.conflict), "choices": list(row.choices)}


def _block(row: Json) -> str:
    kind = f" ({row['about']}), {'conflict' if row['conflict'] else 'agreeing'}" if "about" in row else ""
    lines = [
        f"{row['shift']}{kind}",
        f"    prompt     {row['prompt']}",
        f"    reference  {row['completion']}",
    ]
    if row.get("conflict"):
        lines.append(f"    spurious   {row['spurious']}")
    return "\n".join(lines)


def export_problem(
    name: str, folder: Path, n: int, seed: int, evidence: float, progress: ReportProgress
) -> list[Path]:
    """Write demonstrations and preferences of each split and test rows of each shift, as JSON lines.

    `evidence` is the share of conflicts in training and validation rows; of test rows it is a half.
    """
    check_export(folder, n, seed)
    problem = text_out(name)
    tables: dict[str, Iterable[Json]] = {}
    for i, split in enumerate(get_args(Split)):
        share = 0.5 if split == "test" else evidence
        rows = problem.rows(n, np.random.default_rng([seed, i]), split, evidence=share)
        pairs = problem.preferences(n, np.random.default_rng([seed, i, 1]), split, evidence=share)
        tables |= {f"demonstrations-{split}": map(_json, rows), f"preferences-{split}": pairs.to_list()}
        progress("drawing rows", i + 1, len(get_args(Split)))
    for shift in problem.shifts:
        rng = np.random.default_rng([seed, len(tables)])
        rows = problem.rows(n, rng, "test", evidence=0.5, shift=shift.name)
        tables[f"shift-{shift.name}"] = map(_json, rows)
    with new_folder(folder) as part:
        for table, lines in tables.items():
            (part / f"{table}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        about = {
            "task": name,
            "about": told_of(problem),
            "optimum": problem.optimum,
            "shifts": {shift.name: shift.about for shift in problem.shifts},
            "evidence": evidence,
            "rows_per_file": n,
            "seed": seed,
        }
        (part / "task.json").write_text(json.dumps(about, indent=1) + "\n")
    return [folder / f for f in (*(f"{table}.jsonl" for table in tables), "task.json")]
