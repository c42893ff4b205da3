"""Seconds to draw 100,000 rows of a task, for every input language and family of features.

    python -m benchmarks.task_speed [--rows 100000] [--json]

The rows are what a run is handed: data sets of the training split, as many of each quadrant. Of every family
the first task is drawn whose target, or else spurious feature, is of it; of every language also the task with
the rarest quadrant, which is slow where rows are drawn by rejection.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.ratio import Ratio, alone
from tasks import SPURIOUS, TARGET, Task, get_task, list_shipped

LIMIT = 10.0
"""Seconds for 100,000 rows of any task."""


def first_of_families(tasks: list[Task]) -> dict[str, Task]:
    """A task for each family, one whose target is of it where there is one."""
    found: dict[str, Task] = {}
    for task in tasks:
        found.setdefault(task.target.family, task)
    for task in tasks:
        found.setdefault(task.spurious.family, task)
    return found


def rarest_share(task: Task, n: int = 8000) -> float:
    """Of the smallest quadrant, among n rows that are asked for nothing."""
    rows = task.inputs.draw([], n, np.random.default_rng(0))
    target, spurious = task.target.holds(rows), task.spurious.holds(rows)
    return min(float(((target == TARGET[q]) & (spurious == SPURIOUS[q])).mean()) for q in task.quadrants)


def measure(language: str, family: str, task: Task, n: int) -> dict[str, str | float]:
    """Seconds of processor time for n rows, as many of each quadrant."""
    each = n // len(task.quadrants)
    start = time.process_time()
    drawn = sum(len(task.quadrant(q, each, np.random.default_rng(1), "train")) for q in task.quadrants)
    seconds = time.process_time() - start
    return {
        "language": language,
        "family": family,
        "task": task.name,
        "seconds": round(seconds * n / drawn, 3),
        "rows_per_second": round(drawn / seconds),
    }


def chosen() -> Iterator[tuple[str, str, Task]]:
    """Language, family and task of everything that is drawn."""
    for language, names in list_shipped().items():
        tasks = [get_task(name) for name in names]
        families = {**first_of_families(tasks), "rarest quadrant": min(tasks, key=rarest_share)}
        for family, task in families.items():
            yield language, family, task


def ratios(*, quick: bool) -> list[Ratio]:
    """Seconds for 100,000 rows; quickly, for the slowest language's share of 10,000 rows of a few tasks."""
    import datasets  # noqa: F401  (once, before anything is timed)

    rows = 10_000 if quick else 100_000
    limit = None if quick else LIMIT
    found = []
    for language, family, task in list(chosen())[:: 8 if quick else 1]:
        seconds = measure(language, family, task, rows)["seconds"]
        found.append(alone(f"{rows:,} rows of {task.name}", [float(seconds)], limit, "s"))
    return found


def main() -> None:
    """Print a line a family."""
    parser = argparse.ArgumentParser(description="seconds to draw the rows of a task")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of each task (default: 100,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")
    args = parser.parse_args()
    import datasets  # noqa: F401  (once, before anything is timed)

    found = []
    for language, family, task in chosen():
        row = measure(language, family, task, args.rows)
        found.append(row)
        if not args.json:
            print(
                f"{family:22}{row['seconds']:>8} s{row['rows_per_second']:>12,} rows/s  {task.name}",
                flush=True,
            )
    if args.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
