"""Names of tasks and features: shipped, from entry points, and a user's own."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Collection
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import NamedTuple

from tasks.english import pairs as english
from tasks.english import reviews
from tasks.errors import UserError, one_line, unknown
from tasks.feature import Feature
from tasks.given import PREFIX as FILE
from tasks.given import file_of, file_task
from tasks.symbols import pairs as symbols
from tasks.symbols.catalogue import catalogue
from tasks.task import Task

INCLUDE = "PROCLIVITY_INCLUDE"
"""Environment variable with the paths of a user's task files, which worker processes inherit."""
_OWN: dict[str, Callable[[], Task]] = {}
_NAME = re.compile(r"[\w.+-]+/[\w.+-]+")


class _Language(NamedTuple):
    """An input language that comes with the package: the tasks whose names begin with it and a slash."""

    names: Callable[[], list[str]]
    knows: Callable[[str], bool]
    """Whether the part of a name behind the slash is a pair, possible or not."""
    build: Callable[[str, str, dict[str, str]], Task]
    """From the whole name, the part behind the slash, and the parameters."""
    parameters: tuple[str, ...]
    files: tuple[str, ...]
    """What says how its rows are, beside the files that all tasks share."""


def task(name: str) -> Callable[[Callable[[], Task]], Callable[[], Task]]:
    """Register a function that returns a Task under a name: `@task("mine/shout-vs-length")`."""

    def register(function: Callable[[], Task]) -> Callable[[], Task]:
        _register(name, function)
        return function

    return register


def _register(name: str, function: Callable[[], Task]) -> None:
    check_name(name, function, _LANGUAGES)
    before = _OWN.get(name)
    # In a notebook a cell that is run again defines its task again.
    if before and not before.__module__ == function.__module__ == "__main__":
        raise UserError(f"{source_of(function)}: there is a task {name!r} already, of {source_of(before)}")
    _OWN[name] = function


def check_name(name: str, function: Callable[[], object], shipped: Collection[str]) -> None:
    """Refuse a name for a task of one's own that is none, or whose first part is that of shipped tasks."""
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{source_of(function)}: a task cannot be named {name!r}; names are written word/word"
        )
    prefix = name.partition("/")[0]
    if prefix in shipped:
        raise UserError(
            f"{source_of(function)}: {name!r} begins with {prefix}/, as the shipped tasks alone do"
        )


def source_of(function: Callable[[], object]) -> str:
    """Where a function that makes a task or problem stands."""
    code = getattr(function, "__code__", None)
    return code.co_filename if code else function.__module__


def include(path: str | Path) -> None:
    """Run a Python file that registers tasks."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"--include {path}: no such file")
    spec = importlib.util.spec_from_file_location(f"included_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"--include {path}: not a Python file, whose name ends in .py")
    for name in [
        name for name, function in _OWN.items() if Path(source_of(function)).resolve() == path.resolve()
    ]:
        del _OWN[name]  # the same file once more
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:
        raise UserError(f"--include {path}: {one_line(e)}") from e


@cache
def _include_once(path: str) -> None:
    include(path)


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """The tasks of other packages. Looking for them takes milliseconds, so it is done once."""
    return tuple(entry_points(group="proclivity.tasks"))


def _registered() -> dict[str, Callable[[], Task]]:
    for point in _installed():
        if point.name not in _OWN:
            _register(point.name, point.load())
    run_included()
    return _OWN


def run_included() -> None:
    """Run the files named in the environment, each once; they may register methods too."""
    for path in filter(None, os.environ.get(INCLUDE, "").split(os.pathsep)):
        _include_once(path)


def _parameters(spec: str) -> tuple[str, dict[str, str]]:
    """`name:key=value,key=value` -> (name, {key: value})."""
    name, _, rest = spec.partition(":")
    pairs_ = [item.partition("=") for item in rest.split(",") if item]
    for key, equals, value in pairs_:
        if not (key and equals and value):
            raise UserError(f"{spec!r}: parameters are written name:key=value,key=value")
    return name, {key: value for key, _, value in pairs_}


def get_task(name: str) -> Task:
    """A task by name.

    Behind a colon, symbolic names take parameters: `symbolic/A-vs-B:vocabulary=16,length=8,answers=run`, and
    further spurious features: `symbolic/A-vs-B:also=C+D`. English ones can hold words or templates out for
    the test rows: `english/PAIR:heldout=vocabulary`, and so can reviews, which can be continued instead of
    labelled: `reviews/A-vs-B:answers=sentiment`. On any task `swapped=yes` exchanges the roles of the target
    and the spurious feature, and `alone=target` (or `spurious`) keeps that feature and puts a coin in the
    place of the other.
    What follows `tsv:` is a file's path, whatever letters are in it.
    """
    if name.startswith(FILE):
        return file_task(name)
    base, parameters = _parameters(name)
    role, swapped = parameters.pop("alone", None), parameters.pop("swapped", "no")
    if swapped not in ("yes", "no"):
        raise UserError(f"{name!r}: swapped is yes or no, not {swapped}")
    found = _built(name, base, parameters)
    if swapped == "yes":
        found = found.swapped(name)
    return found if role is None else symbols.alone(found, name, role)


_ANY = ("alone", "swapped")
"""Parameters of any task."""


def _built(name: str, base: str, parameters: dict[str, str]) -> Task:
    if base in _registered():
        _only(parameters, _ANY, "parameter of this task")
        return _made(base, _registered()[base])
    prefix, _, pair = base.partition("/")
    language = _LANGUAGES.get(prefix)
    if not language or not language.knows(pair):
        raise unknown("task", base, list_tasks())
    _only(parameters, (*language.parameters, *_ANY), f"parameter of a task in {prefix}/")
    return language.build(name, pair, parameters)


def _symbolic(name: str, pair: str, parameters: dict[str, str]) -> Task:
    return symbols.get_pair(
        pair,
        also=list(filter(None, parameters.get("also", "").split("+"))),
        vocabulary=_number(name, parameters.get("vocabulary", "16"), 16, 128),
        length=_number(name, parameters.get("length", "8"), 6, 64),
        answers=parameters.get("answers", "label"),
    )


def _made(name: str, function: Callable[[], object]) -> Task:
    try:
        made = function()
    except (Exception, SystemExit) as e:
        raise UserError(f"task {name!r} of {source_of(function)}: {one_line(e)}") from e
    if not isinstance(made, Task):
        kind = type(made).__name__
        raise UserError(f"task {name!r} of {source_of(function)}: its function returns {kind}, not a Task")
    return made


def _english(name: str, pair: str, parameters: dict[str, str]) -> Task:
    return english.get_pair(pair, heldout=parameters.get("heldout", "none"))


def _reviews(name: str, pair: str, parameters: dict[str, str]) -> Task:
    return reviews.get_pair(
        pair, heldout=parameters.get("heldout", "none"), answers=parameters.get("answers", "label")
    )


SHARED = ("task.py", "answers.py", "evidence.py", "splits.py")
"""Files that every task depends on."""
_LANGUAGES = {
    "symbolic": _Language(
        names=symbols.list_pairs,
        knows=lambda pair: set(pair.partition("-vs-")[::2]) <= {*catalogue(), symbols.COIN.name},
        build=_symbolic,
        parameters=("vocabulary", "length", "answers", "also"),
        files=("symbols/*.py",),
    ),
    "english": _Language(
        names=english.list_pairs,
        knows=lambda pair: f"english/{pair}" in english.list_pairs(),
        build=_english,
        parameters=("heldout",),
        files=("english/*.py", "text.py"),
    ),
    "reviews": _Language(
        names=reviews.list_pairs,
        knows=lambda pair: f"reviews/{pair}" in reviews.list_pairs(),
        build=_reviews,
        parameters=("heldout", "answers"),
        files=("english/*.py", "text.py"),
    ),
}


def _only(parameters: dict[str, str], valid: tuple[str, ...], kind: str) -> None:
    for key in parameters:
        if key not in valid:
            raise unknown(kind, key, valid)


def _number(spec: str, text: str, low: int, high: int) -> int:
    if not text.isdigit() or not low <= int(text) <= high:
        raise UserError(f"{spec!r}: {text} is not a whole number from {low} to {high}")
    return int(text)


def list_tasks() -> list[str]:
    """Names of all tasks, sorted."""
    return sorted([*_registered(), *(name for names in list_shipped().values() for name in names)])


def list_shipped() -> dict[str, list[str]]:
    """Names of the tasks that come with the package, by input language."""
    return {prefix: language.names() for prefix, language in _LANGUAGES.items()}


def get_feature(name: str) -> Feature:
    return symbols.get_symbol_feature(name)


def list_features() -> list[str]:
    return sorted(catalogue())


def task_sources(name: str) -> list[Path]:
    """The files that say what a task's rows and rewards are."""
    here = Path(__file__).parent
    if name.startswith(FILE):
        return [*(here / part for part in SHARED), here / "given.py", here / "tsv.py", file_of(name)]
    base, parameters = _parameters(name)
    own = _registered().get(base)
    # A user's own task may use any language; a feature that is alone stands beside the symbols' coin.
    used = (
        {*_LANGUAGES}
        if own
        else {base.partition("/")[0]} | ({"symbolic"} if "alone" in parameters else set())
    )
    patterns = [pattern for language in sorted(used) for pattern in _LANGUAGES[language].files]
    shared = [here / part for part in SHARED]
    patterns += ["slots.py"] if own else []
    files = [path for pattern in patterns for path in sorted(here.glob(pattern))]
    return [*shared, *files, *([Path(own.__code__.co_filename)] if own else [])]
