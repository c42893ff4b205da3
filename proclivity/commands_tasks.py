"""tasks: what there is, how it reads, whether it keeps its promises, its rows, a file for a new one."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.answer import Answer, table
from proclivity.progress import step_bar
from proclivity.readings import shown_readings
from tasks import TARGET, Task, get_task, list_features, list_tasks
from tasks.errors import UserError
from tasks.feature import Split
from tasks.given import PREFIX as FILE
from tasks.given import GivenInputs
from tasks.problems import list_problems, list_text_out, meant_as_problem, text_out
from tasks.text import read_four_ways

_WORTH = 8
"""Tasks validated in the time that a process takes to start."""

if TYPE_CHECKING:
    from tasks.cues import Cue
    from tasks.validate import Check


def ls(arguments: Namespace) -> Answer:
    if arguments.features:
        return Answer(list_features(), "\n".join(list_features()))
    names, problems = list_tasks(), list_problems()
    return Answer([*names, *problems], "\n".join([*names, "", "answered by a text:", *problems]))


def show(arguments: Namespace) -> Answer:
    if arguments.rows < 1:
        raise UserError("--rows must be 1 or more")
    if meant_as_problem(arguments.task):
        from proclivity.text_tasks import show_problem

        return show_problem(arguments.task, arguments.rows)
    task = get_task(arguments.task)
    about = {"task": arguments.task}
    for role, feature in task.roles.items():
        about |= {role: feature.name, f"{role}_family": feature.family, f"{role}_means": feature.about}
    about |= {"inputs": task.inputs.legend}
    if task.missing:
        about |= {"missing": ", ".join(task.missing)}
    width = max(16, *map(len, about))
    head = "\n".join(f"{name:{width}} {value}" for name, value in about.items())
    rows = _rows(task, arguments.rows)
    if read_four_ways(task):
        text = shown_readings(rows)
    else:
        text = table([{name: row[name] for name in row if name != "source"} for row in rows])
    return Answer({**about, "rows": rows}, f"{head}\n\n{text}")


def _rows(task: Task, n: int) -> list[dict[str, Any]]:
    """n rows a cell, of a pair a quadrant; where sources have four readings, all those of n sources."""
    rng = np.random.default_rng(0)
    sentences = read_four_ways(task)
    if sentences:
        sources = task.quadrant(task.quadrants[0], n, rng)["source"]
        return [
            {"quadrant": quadrant, "prompt": prompt, "label": TARGET[quadrant], "source": source}
            for source in sources
            for quadrant, prompt in sentences.readings(source).items()
        ]
    others = [role for role in task.roles if role not in ("target", "spurious")]
    columns = ("quadrant", *others, "prompt", "label", "source")
    # A file shows what it has, also where that is too little to be split.
    split: Split | None = None if isinstance(task.inputs, GivenInputs) else "test"
    drawn = (row for cell in task.cells for row in task.cell(cell, n, rng, split))
    return [{name: row[name] for name in columns} for row in drawn]


def validate(arguments: Namespace) -> Answer:
    if bool(arguments.task) == arguments.all:
        raise UserError("give tasks to validate, or --all")
    names = [*list_tasks(), *list_text_out()] if arguments.all else arguments.task
    if arguments.learnability:
        return _learnability(names, arguments)
    found: dict[str, Sequence[Check]] = {}
    told: dict[str, Sequence[Cue]] = {}
    with step_bar() as progress, _side_by_side(len(names)) as each:
        for i, examined in enumerate(each(partial(_examined, arguments.all), names)):
            found[names[i]], told[names[i]] = examined
            progress("validating", i + 1, len(names))
    problems = {name: _problems(made) for name, made in found.items()}
    bad = [name for name in names if problems[name]]
    lines = [f"{name}: {problem}" for name in bad for problem in problems[name]]
    lines.append(f"{len(found) - len(bad)} of {len(found)} tasks keep every promise")
    if arguments.all:
        tables = [f"checked, all tasks together:\n{table(_summary(found))}"]
    else:
        tables = []
        for name, made in found.items():
            tables.append(f"checked: {name}\n{table(_summary({name: made}))}")
            if told[name]:
                heading = "what tells a feature by itself (no promise, but for you to judge):"
                tables.append(f"{heading}\n{table(_cue_rows(told[name]))}")
    data = {
        name: {
            "problems": problems[name],
            "checked": {check.name: check.n for check in made},
            "cues": told[name],
        }
        for name, made in found.items()
    }
    return Answer(data, "\n\n".join([*tables, "\n".join(lines)]), status=1 if bad else 0)


def _examined(of_all: bool, name: str) -> tuple[Sequence[Check], Sequence[Cue]]:
    """A task's promises, and where they are kept what tells its features by itself."""
    if meant_as_problem(name):
        from tasks.generation.promises import checks as promises

        return promises(text_out(name)), []
    from tasks.cues import cues
    from tasks.symbols.pairs import SymbolInputs
    from tasks.validate import checks

    task = get_task(name)
    # Symbolic pairs are many, and drawn by one function, which has tests of its own.
    symbols = isinstance(task.inputs, SymbolInputs)
    made = checks(task, surface=not (of_all and symbols))
    return made, [] if symbols or _problems(made) else cues(task)


@contextmanager
def _side_by_side(n: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """`map`, over as many processes as there are cores where many tasks make it worth starting them."""
    if n < _WORTH:
        yield map
        return
    with ProcessPoolExecutor(
        mp_context=get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    ) as pool:
        yield partial(pool.map, chunksize=4)


def _problems(made: Sequence[Check]) -> list[str]:
    return [problem for check in made for problem in check.problems]


def _cue_rows(told: Sequence[Cue]) -> list[dict[str, Any]]:
    return [{"feature": c.role, "told by": c.rule, "accuracy": f"{c.accuracy:.2f}", "n": c.n} for c in told]


def _summary(found: dict[str, Sequence[Check]]) -> list[dict[str, Any]]:
    n: Counter[str] = Counter()
    problems: Counter[str] = Counter()
    for made in found.values():
        for check in made:
            n[check.name] += check.n
            problems[check.name] += len(check.problems)
    return [{"promise": name, "n": n[name], "problems": problems[name] or ""} for name in n]


def _learnability(names: list[str], arguments: Namespace) -> Answer:
    """SFT on each feature of the tasks alone; the accuracies, and the list when a folder is given."""
    if not arguments.all and any(map(meant_as_problem, names)):
        name = next(filter(meant_as_problem, names))
        raise UserError(f"{name} has no features; learnability is of tasks that have")
    names = [name for name in names if not meant_as_problem(name)]
    given = [name for name in names if name.startswith(FILE)]
    if given:
        raise UserError(
            f"{given[0]}: learnability needs fresh rows of each feature alone, and a file has none"
        )
    from analysis import read_study, text_table
    from proclivity.learnability import THRESHOLD, learnability_rows, learnability_study
    from proclivity.plan import plan, run_plan, write_rows

    study, document = learnability_study(names)
    folder = Path(arguments.out or Path("out") / study.name)
    _, tally = run_plan(plan(study, document), folder)
    rows = learnability_rows(read_study(folder))
    write_rows(folder, rows)
    told = "\n".join(sorted(set(tally.failed.values())))
    where = folder / "learnability.csv"
    text = f"{text_table(rows)}\n\nlearnable: accuracy at least {THRESHOLD}; the list is {where}"
    return Answer(rows, f"{text}\n{told}".rstrip(), status=1 if tally.failed else 0)


def export(arguments: Namespace) -> Answer:
    name, folder, n, seed = arguments.task, Path(arguments.out), arguments.n, arguments.seed
    if not meant_as_problem(name) and arguments.evidence is not None:
        raise UserError(f"--evidence: rows of {name} are of all quadrants; it is for text-out tasks")
    with step_bar() as progress:
        if meant_as_problem(name):
            from proclivity.text_tasks import export_problem

            paths = export_problem(name, folder, n, seed, arguments.evidence or 0.0, progress)
        else:
            from proclivity.export import export_task

            paths = export_task(name, folder, n, seed, progress)
    return Answer({path.stem: path for path in paths}, "\n".join(map(str, paths)))


def new(arguments: Namespace) -> Answer:
    from proclivity.new_task import next_commands, write_new_task

    path = write_new_task(arguments.name, arguments.out)
    commands = next_commands(arguments.name, path)
    text = "\n".join([f"wrote {path}; next:", *(f"    {command}" for command in commands)])
    return Answer({"file": path, "next": commands}, text)
