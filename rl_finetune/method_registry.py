"""Methods by name: the shipped ones, and those of one's own by decorator, entry point or included file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from rl_finetune.methods import BEST_OF_N, METHODS, Method, Objective
from tasks.errors import UserError, unknown
from tasks.registry import run_included

_OWN: dict[str, Method] = {}
_SHIPPED = METHODS | {BEST_OF_N.name: BEST_OF_N}


def method(name: str, **row: Any) -> Callable[[Objective], Objective]:
    """Register an objective as a method of one's own: `@method("mine", samples="policy", ...)`.

    Keywords are the fields of `Method`; samples, reward, negative_gradient and paper must be given.
    """

    def register(objective: Objective) -> Objective:
        try:
            made = Method(name=name, objective=objective, **row)
        except TypeError as e:
            raise UserError(f"{_file(objective)}: method {name!r}: {e}") from e
        _register(made)
        return objective

    return register


_WORDS = {
    "samples": ("policy", "reference", "demonstrations", "pairs"),
    "reward": ("none", "advantage", "weight", "filter", "pair"),
}


def _register(made: Method) -> None:
    where = _file(made.objective)
    if made.name in _SHIPPED:
        raise UserError(f"{where}: {made.name!r} is the name of a shipped method")
    for column, valid in _WORDS.items():
        if getattr(made, column) not in valid:
            raise UserError(f"{where}: {unknown(column, getattr(made, column), valid)}")
    if made.critic and (made.advantage or made.reward != "advantage"):
        raise UserError(
            f"{where}: {made.name!r}: a critic gives the advantages itself, to reward='advantage'"
        )
    if made.reward == "advantage" and not made.critic and not (made.advantage and made.centre):
        raise UserError(
            f"{where}: {made.name!r}: reward='advantage' needs advantage= and centre=, or critic=True"
        )
    before = _OWN.get(made.name)
    # In a notebook a cell that is run again defines its method again.
    again = before and made.objective.__module__ == before.objective.__module__ == "__main__"
    if before and not again and _file(before.objective) != where:
        raise UserError(f"{where}: there is a method {made.name!r} already, of {_file(before.objective)}")
    _OWN[made.name] = made


def _file(objective: Objective) -> str:
    code = getattr(objective, "__code__", None)
    return code.co_filename if code else objective.__module__


@cache
def _installed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group="proclivity.methods"))


def _all() -> dict[str, Method]:
    """The shipped methods, and those that entry points and included files register when they are loaded."""
    for point in _installed():
        point.load()
    run_included()
    return _SHIPPED | _OWN


def get_method(name: str) -> Method:
    methods = _all()
    if name not in methods:
        raise unknown("method", name, methods)
    return methods[name]


def method_source(name: str) -> Path | None:
    """The file of a method of one's own."""
    own = _all()[name] if name in _OWN or name not in _SHIPPED else None
    return Path(_file(own.objective)) if own else None


def method_table() -> list[dict[str, object]]:
    """One row a method, for printing."""
    return [
        {
            "name": m.name,
            "samples": m.samples if m.trains else f"{m.samples} at inference, no training",
            "reward": m.reward,
            "negative gradient": m.negative_gradient,
            "KL": str(m.kl),
            "beta": m.beta,
            "critic": m.critic,
            "batch-coupled": m.batch_coupled,
            "reuse": m.reuse,
            "paper": m.paper,
        }
        for m in _all().values()
    ]
