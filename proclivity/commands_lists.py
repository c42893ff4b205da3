"""tasks, models, methods, cache: what there is."""

from __future__ import annotations

import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from proclivity.answer import Answer, plain, size, table
from proclivity.composition import jobs
from proclivity.progress import step_bar
from tasks import QUADRANTS, get_task, list_features, list_tasks
from tasks.errors import UserError


def tasks_ls(arguments: Namespace) -> Answer:
    names = list_features() if arguments.features else list_tasks()
    return Answer(names, "\n".join(names))


def tasks_show(arguments: Namespace) -> Answer:
    if arguments.rows < 1:
        raise UserError("--rows must be 1 or more")
    task = get_task(arguments.task)
    rng = np.random.default_rng(0)
    rows = [
        {"quadrant": quadrant, "prompt": row["prompt"], "label": row["label"]}
        for quadrant in QUADRANTS
        for row in task.quadrant(quadrant, arguments.rows, rng)
    ]
    about = {"task": arguments.task}
    for role, feature in (("target", task.target), ("spurious", task.spurious)):
        about |= {role: feature.name, f"{role}_family": feature.family, f"{role}_means": feature.about}
    about |= {"inputs": task.inputs.legend}
    text = "\n".join(f"{name:16} {value}" for name, value in about.items())
    return Answer({**about, "rows": rows}, f"{text}\n\n{table(rows)}")


def tasks_validate(arguments: Namespace) -> Answer:
    if bool(arguments.task) == arguments.all:
        raise UserError("give tasks to validate, or --all")
    from tasks.validate import validate

    names = list_tasks() if arguments.all else arguments.task
    if arguments.learnability:
        return _learnability(names, arguments)
    problems: dict[str, list[str]] = {}
    with step_bar() as progress:
        for i, name in enumerate(names):
            problems[name] = list(validate(get_task(name)))
            progress("validating", i + 1, len(names))
    bad = {name: found for name, found in problems.items() if found}
    lines = [f"{name}: {problem}" for name, found in bad.items() for problem in found]
    lines.append(f"{len(names) - len(bad)} of {len(names)} tasks keep every promise")
    return Answer(problems, "\n".join(lines), status=1 if bad else 0)


def _learnability(names: list[str], arguments: Namespace) -> Answer:
    """SFT on each feature of the tasks alone; the accuracies, and the list when a folder is given."""
    from analysis import read_study, text_table
    from proclivity.learnability import STUDY, THRESHOLD, learnability_rows, learnability_study
    from proclivity.plan import plan, run_plan, write_rows

    study, document = learnability_study(names)
    folder = Path(arguments.out or Path("out") / STUDY)
    _, tally = run_plan(plan(study, document), folder)
    rows = learnability_rows(read_study(folder))
    write_rows(folder, rows)
    told = "\n".join(sorted(set(tally.failed.values())))
    where = folder / "learnability.csv"
    text = f"{text_table(rows)}\n\nlearnable: accuracy at least {THRESHOLD}; the list is {where}"
    return Answer(rows, f"{text}\n{told}".rstrip(), status=1 if tally.failed else 0)


def models_ls(arguments: Namespace) -> Answer:
    from models import list_recipes

    return _rows(list_recipes(), "model")


def models_pretrain(arguments: Namespace) -> Answer:
    from models import recipe_of

    recipe_of(arguments.model)
    config = {"job": "probe", "model": arguments.model, "init": "pretrained", "input": "model"}
    with step_bar() as progress:
        jobs().prepare([config], progress)
    return Answer({"model": arguments.model}, f"{arguments.model} is pre-trained")


def methods_ls(arguments: Namespace) -> Answer:
    from rl_finetune import method_table

    return _rows(method_table(), "method")


def _rows(value: Any, name: str) -> Answer:
    """Rows of a table, from a list of names, of mappings or of dataclasses, or a mapping by name."""
    value = plain(value)
    if isinstance(value, dict):
        value = [
            {name: key, **(row if isinstance(row, dict) else {"about": row})} for key, row in value.items()
        ]
    rows = [row if isinstance(row, dict) else {name: row} for row in value]
    return Answer(rows, table(rows))


def cache_ls(arguments: Namespace) -> Answer:
    sizes = {path.name: _bytes(path) for path in _cached()}
    total = sum(sizes.values())
    text = table([{"name": name, "size": size(n)} for name, n in sizes.items()])
    return Answer(
        {"folder": _cache(), "entries": sizes, "bytes": total}, f"{text}\n{_cache()}: {size(total)}"
    )


def cache_clear(arguments: Namespace) -> Answer:
    paths = _cached()
    total = sum(map(_bytes, paths))
    for path in paths:
        shutil.rmtree(path)
    return Answer({"removed": [path.name for path in paths], "bytes": total}, f"removed {size(total)}")


def _cache() -> Path:
    from models import cache_dir

    return Path(cache_dir())


def _cached() -> list[Path]:
    # Only what was certainly put there by us: the cache may have been pointed at a folder with other things.
    return sorted(path.parent for path in _cache().glob("models/*/recipe.json"))


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
