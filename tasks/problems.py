"""Text problems by name, shipped and one's own. Tasks, which have features, are in the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from tasks import lengths
from tasks.errors import UserError, one_line, unknown
from tasks.generation.generation import Generation
from tasks.generation.instruct import INSTRUCT
from tasks.generation.public import PUBLIC
from tasks.generation.summarise import SUMMARISE
from tasks.registry import check_name, list_shipped, list_tasks, run_included, source_of
from tasks.text_problem import TextProblem

_TEXT_OUT: dict[str, Generation] = {problem.name: problem for problem in (INSTRUCT, SUMMARISE)}
_PROBLEMS: dict[str, TextProblem] = {**lengths.PROBLEMS, **_TEXT_OUT, **PUBLIC}
_FILES = ("lengths.py", "text_problem.py", "splits.py", "task.py", "answers.py", "text.py", "english/*.py")
"""What says how the prompts and rewards are."""
_TEXT_OUT_FILES = (
    *(f"generation/{name}.py" for name in ("generation", "instruct", "statements", "summarise")),
    *("text_problem.py", "splits.py", "english/*.py"),
)
"""The same of the text-out tasks."""
_PUBLIC_FILES = (
    *(f"generation/{name}.py" for name in ("draws", "formats", "generation", "hub", "public")),
    *("text_problem.py", "splits.py"),
)
"""The same of public data."""


_OWN_FILES = (*_TEXT_OUT_FILES, "generation/own.py")
"""The same of a user's own problems, beside their file."""
Make = Callable[[], TextProblem]
_OWN: dict[str, Make] = {}


def problem(name: str) -> Callable[[Make], Make]:
    """Register a function that returns a text problem under a name: `@problem("mine/last-word")`.

    A `Generation`, such as `tasks.generation.own.text_task` makes, is a text-out task.
    """

    def register(function: Make) -> Make:
        _register(name, function)
        return function

    return register


def _register(name: str, function: Make) -> None:
    check_name(name, function, _prefixes())
    before = _OWN.get(name)
    if before and source_of(before) != source_of(function):  # a file may be read once more
        raise UserError(f"{source_of(function)}: there is a problem {name!r} already, of {source_of(before)}")
    _OWN[name] = function


def _prefixes() -> set[str]:
    """First parts of the names of all that is shipped."""
    return {*list_shipped(), *(name.partition("/")[0] for name in _PROBLEMS)}


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group="proclivity.problems"))


def _registered() -> dict[str, Make]:
    """Those of entry points and included files, which are loaded and run for it."""
    for point in _installed():
        if point.name not in _OWN:
            _register(point.name, point.load())
    run_included()
    return _OWN


@cache
def _made(name: str, function: Make) -> TextProblem:
    where = f"problem {name!r} of {source_of(function)}"
    try:
        made: object = function()
    except (Exception, SystemExit) as e:
        raise UserError(f"{where}: {one_line(e)}") from e
    if not isinstance(made, TextProblem):
        raise UserError(f"{where}: its function returns {type(made).__name__}, not a TextProblem")
    return replace(made, name=name)


def list_problems() -> list[str]:
    """Names of all text problems, sorted."""
    return sorted([*_PROBLEMS, *_registered()])


def is_problem(name: str) -> bool:
    """Whether a name is that of a text problem, and not of a task."""
    return name in _PROBLEMS or name in _registered()


def meant_as_problem(name: str) -> bool:
    """Whether a name is one of a text problem, or was meant to be one by its first part."""
    return name.partition("/")[0] in _prefixes() - {*list_shipped()} or is_problem(name)


def get_problem(name: str) -> TextProblem:
    if not is_problem(name):
        raise unknown("problem", name, [*list_problems(), *list_tasks()])
    return _PROBLEMS[name] if name in _PROBLEMS else _made(name, _registered()[name])


def list_shipped_text_out() -> list[str]:
    """Names of the shipped text-out tasks that have rules and shifts, sorted."""
    return sorted(_TEXT_OUT)


def list_text_out() -> list[str]:
    """The same with a user's own."""
    return sorted(
        [*_TEXT_OUT, *(name for name in _registered() if isinstance(get_problem(name), Generation))]
    )


def text_out(name: str) -> Generation:
    """A text-out task, shipped, of public data or a user's own; UserError for a problem that is none."""
    found = get_problem(name) if is_problem(name) else None
    if isinstance(found, Generation):
        return found
    if found:
        raise UserError(
            f"{name} has no reference answers and no shifts; text-out tasks: {', '.join(list_text_out())}"
        )
    raise unknown("text-out task", name, [*list_text_out(), *PUBLIC])


def problem_sources(name: str) -> list[Path]:
    """The files that say what a problem's prompts and rewards are."""
    get_problem(name)
    here = Path(__file__).parent
    if name not in _PROBLEMS:
        own = Path(source_of(_registered()[name]))
        return [*(path for pattern in _OWN_FILES for path in sorted(here.glob(pattern))), own]
    files = _TEXT_OUT_FILES if name in _TEXT_OUT else _PUBLIC_FILES if name in PUBLIC else _FILES
    return [path for pattern in files for path in sorted(here.glob(pattern))]
