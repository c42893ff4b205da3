"""Text problems by name. Tasks, which have features, are in the registry."""

from __future__ import annotations

from pathlib import Path

from tasks import lengths
from tasks.errors import unknown
from tasks.generation.generation import Generation
from tasks.generation.instruct import INSTRUCT
from tasks.generation.summarise import SUMMARISE
from tasks.registry import list_tasks
from tasks.text_problem import TextProblem

_GENERATION: dict[str, Generation] = {problem.name: problem for problem in (INSTRUCT, SUMMARISE)}
_PROBLEMS: dict[str, TextProblem] = {**lengths.PROBLEMS, **_GENERATION}
_FILES = ("lengths.py", "text_problem.py", "splits.py", "task.py", "answers.py", "text.py", "english/*.py")
"""What says how the prompts and rewards are."""
_GENERATION_FILES = ("generation/*.py", "text_problem.py", "splits.py", "english/*.py")
"""The same of the text-out tasks."""


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


def problem_sources(name: str) -> list[Path]:
    """The files that say what a problem's prompts and rewards are."""
    get_problem(name)
    here = Path(__file__).parent
    files = _GENERATION_FILES if name in _GENERATION else _FILES
    return [path for pattern in files for path in sorted(here.glob(pattern))]
