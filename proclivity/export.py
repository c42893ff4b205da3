"""A task's rows as files that anything can read, and `tsv:FILE` too."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np

from proclivity.composition import ReportProgress
from tasks import QUADRANTS, Task, get_task
from tasks.answers import QUERY
from tasks.errors import UserError
from tasks.feature import Split
from tasks.given import PREFIX as FILE
from tasks.tsv import Line, write_table

_MOST_TIMES = 16
"""Rows drawn at most, as a multiple of those wanted, to find so many that differ."""


def export_task(name: str, folder: Path, n: int, seed: int, progress: ReportProgress) -> list[Path]:
    """Write train.tsv, validation.tsv and test.tsv, n different rows a quadrant each, and task.json.

    The folder appears when it is complete.
    """
    check_export(folder, n, seed)
    if name.startswith(FILE):
        raise UserError(f"{name}: these are the rows of a file already")
    task = get_task(name)
    tables = {}
    for i, split in enumerate(get_args(Split)):
        tables[split] = [row for q in task.quadrants for row in _rows(task, q, n, [seed, i], split)]
        progress("drawing rows", i + 1, len(get_args(Split)))
    with new_folder(folder) as part:
        for split, rows in tables.items():
            write_table(part / f"{split}.tsv", rows)
        (part / "task.json").write_text(json.dumps(_about(task, name, n, seed), indent=1) + "\n")
    return [folder / name for name in (*(f"{split}.tsv" for split in tables), "task.json")]


def check_export(folder: Path, n: int, seed: int) -> None:
    """UserError where rows cannot be drawn or the folder is taken."""
    if n < 1:
        raise UserError("--n must be 1 or more")
    if seed < 0:
        raise UserError("--seed must be 0 or more")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"--out {folder}: exists and is left as it is; give a new or an empty folder")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes its name when it is complete."""
    part = folder.parent / f".{folder.name}.part"
    try:
        part.mkdir(parents=True, exist_ok=True)
        yield part
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    except OSError as e:
        raise UserError(f"--out {folder}: cannot be written: {e.strerror}") from e
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _rows(task: Task, quadrant: str, n: int, seed: list[int], split: Split) -> list[Line]:
    """The first n different rows of a quadrant; a smaller export of an equal seed begins this one."""
    drawn = n
    while True:
        rng = np.random.default_rng([*seed, QUADRANTS.index(quadrant)])
        rows = task.quadrant(quadrant, drawn, rng, split)
        different = dict(zip(rows["prompt"], rows["source"], strict=True))
        if len(different) >= n:
            sentences = (prompt.removesuffix(QUERY).strip() for prompt in different)
            return [
                Line(sentence, quadrant, source)
                for sentence, source in list(zip(sentences, different.values(), strict=True))[:n]
            ]
        if drawn >= n * _MOST_TIMES:
            raise UserError(f"{task.name}: {len(different)} different rows of {quadrant} in {split}, not {n}")
        drawn *= 2


def _about(task: Task, name: str, n: int, seed: int) -> dict[str, Any]:
    features = {
        role: {"name": feature.name, "family": feature.family, "means": feature.about}
        for role, feature in task.roles.items()
    }
    return {
        "task": name,
        **features,
        "legend": task.inputs.legend,
        "prompt": f"sentence {QUERY}",
        "label": "1 where the target feature holds",
        "rows_per_quadrant_and_split": n,
        "seed": seed,
    }
