"""Text problems by name. Tasks, which have features, are in the registry."""

from __future__ import annotations

from pathlib import Path

from tasks import lengths
from tasks.errors import UserError, unknown
from tasks.generation.generation import Generation
from tasks.generation.instruct import INSTRUCT
from tasks.generation.public import PUBLIC
from tasks.generation.summarise import SUMMARISE
from tasks.registry import list_tasks
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


def list_problems() -> list[str]:
    """Names of all text problems, sorted."""
    return sorted(_PROBLEMS)


def is_problem(name: str) -> bool:
    """Whether a name is that of a text problem, and not of a task."""
    return name in list_problems()


def get_problem(name: str) -> TextProblem:
    if not is_problem(name):
        raise unknown("problem", name, [*list_problems(), *list_tasks()])
    return _PROBLEMS[name]


def list_text_out() -> list[str]:
    """Names of the text-out tasks of our own, which have rules and shifts, sorted."""
    return sorted(_TEXT_OUT)


def text_out(name: str) -> Generation:
    """A text-out task, of our own or of public data; UserError for a problem that is none."""
    found = get_problem(name) if is_problem(name) else None
    if isinstance(found, Generation):
        return found
    if found:
        raise UserError(
            f"{name} has no reference answers and no shifts; text-out tasks: {', '.join(_TEXT_OUT)}"
        )
    raise unknown("text-out task", name, [*_TEXT_OUT, *PUBLIC])


def problem_sources(name: str) -> list[Path]:
    """The files that say what a problem's prompts and rewards are."""
    get_problem(name)
    here = Path(__file__).parent
    files = _TEXT_OUT_FILES if name in _TEXT_OUT else _PUBLIC_FILES if name in PUBLIC else _FILES
    return [path for pattern in files for path in sorted(here.glob(pattern))]
