"""A study of bandits: a file whose grid is a section `bandits`, and its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any, Literal

from proclivity.strict import Document, build
from proclivity.study_head import Paper, Resources, Scale, check_name, definition_of
from rl_finetune.bandit_settings import PROBLEMS, BanditSettings
from tasks.errors import UserError, unknown

Config = dict[str, Any]
FIRST_DEVELOPMENT_SEED = 1_000
"""Seeds of a study are below it."""


@dataclass(frozen=True)
class BanditPrimary:
    """The one comparison that the study stands on, written down before it runs."""

    claim: Literal[
        "fewer batches a round",
        "on-policy likelihood",
        "clipping tolerates reuse",
        "negative gradient, dpo",
        "negative gradient, ipo",
        "on-policy adds, dpo",
        "on-policy adds, ipo",
    ]
    """A comparison of `analysis.papers.bandit_differences`, by name."""
    problem: str
    """The problem (or kind of problem) that it is made on."""
    statistic: Literal["paired difference"] = "paired difference"
    """What is computed."""
    test: Literal["t over seeds"] = "t over seeds"
    """How it is judged."""


@dataclass(frozen=True)
class Sweep:
    """A block of the grid: problems x methods x values of settings, each with all seeds."""

    methods: tuple[str, ...]
    """Methods by name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings that differ from the study's."""
    vary: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Settings with the values that they go through."""

    def __post_init__(self) -> None:
        if not self.methods:
            raise UserError("methods: must name at least one method")
        for name, values in self.vary.items():
            if not values:
                raise UserError(f"vary: {name} must have at least one value")


@dataclass(frozen=True)
class Bandits:
    """The grid."""

    problems: tuple[str, ...]
    """Problems by name."""
    sweeps: dict[str, Sweep]
    """Blocks of the grid, by name."""
    seeds: int = 20
    """How many seeds: 0, 1, ..."""
    rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2)
    """Learning rates that every cell of the grid tries; it takes the one of the highest mean reward after the
    last step on the development seeds."""
    development_seeds: int = 4
    """How many seeds that is asked on: 1000, 1001, ..."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What every run shares. A mapping gives a value for a method or a kind of problem; others have the
    default."""

    def __post_init__(self) -> None:
        for name in self.problems:
            if name not in PROBLEMS:
                raise UserError(f"problems: {unknown('problem', name, PROBLEMS)}")
        for name in ("problems", "sweeps", "rates"):
            if not getattr(self, name):
                raise UserError(f"{name}: must name at least one")
        if not 1 <= self.seeds <= FIRST_DEVELOPMENT_SEED:
            raise UserError(f"seeds: must be from 1 to {FIRST_DEVELOPMENT_SEED}, not {self.seeds}")
        if self.development_seeds < 1:
            raise UserError(f"development_seeds: must be 1 or more, not {self.development_seeds}")
        if not all(0 < rate < float("inf") for rate in self.rates):
            raise UserError("rates: must be above 0")


@dataclass(frozen=True)
class BanditStudy:
    """A grid of bandit runs with one primary comparison."""

    name: str
    paper: Paper
    question: str
    scale: Scale
    primary: BanditPrimary
    bandits: Bandits
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.primary.problem not in (*self.bandits.problems, "arms", "sequence"):
            raise UserError(f"primary: {unknown('problem', self.primary.problem, self.bandits.problems)}")

    def definition(self) -> dict[str, Any]:
        """The study as plain JSON values, as study.json keeps it."""
        return definition_of(self)


def expand_bandits(study: BanditStudy, document: Document) -> list[Config]:
    """The jobs of a study: one a problem, method and setting, all its seeds inside. Cells that occur twice
    are one job, that of the first sweep."""
    _check(study, document)
    found: dict[str, Config] = {}
    for name in study.bandits.sweeps:
        for config in _jobs(study, name, document):
            cell = json.dumps({k: v for k, v in config.items() if k != "arm"}, sort_keys=True)
            found.setdefault(cell, config)
    return list(found.values())


def _jobs(study: BanditStudy, name: str, document: Document) -> Iterator[Config]:
    bandits, sweep = study.bandits, study.bandits.sweeps[name]
    varied = [dict(zip(sweep.vary, values, strict=True)) for values in product(*sweep.vary.values())]
    for problem, method, chosen in product(bandits.problems, sweep.methods, varied):
        asked = {**bandits.settings, **sweep.settings, **chosen}
        values = {k: _value(v, method, problem) for k, v in asked.items()}
        given = {k: v for k, v in values.items() if v is not None}
        yield {
            "job": "bandit",
            "study": study.name,
            "arm": name,
            "task": problem,
            "method": method,
            "seeds": list(range(bandits.seeds)),
            "rates": list(bandits.rates),
            "development": [FIRST_DEVELOPMENT_SEED + i for i in range(bandits.development_seeds)],
            "settings": build(
                BanditSettings, given, document, ("bandits", "sweeps", name, "settings")
            ).told(),
        }


def _value(value: Any, method: str, problem: str) -> Any:
    """A setting's value; None for the default."""
    if isinstance(value, dict):
        return value.get(method, value.get(problem.partition("/")[0]))
    return value


def _check(study: BanditStudy, document: Document) -> None:
    """Refuse settings by name and by type, each at its line."""
    bandits = study.bandits
    methods = {method for sweep in bandits.sweeps.values() for method in sweep.methods}
    keys = {*methods, "arms", "sequence"}
    known = [f.name for f in fields(BanditSettings)]
    places: list[tuple[tuple[str | int, ...], dict[str, Any]]] = [(("bandits", "settings"), bandits.settings)]
    for name, sweep in bandits.sweeps.items():
        at = ("bandits", "sweeps", name)
        places += [((*at, "settings"), sweep.settings), ((*at, "vary"), sweep.vary)]
    for place, settings in places:
        for name, value in settings.items():
            if name not in known:
                raise document.error((*place, name), unknown("setting", name, known))
            if isinstance(value, dict):
                for key in value:
                    if key not in keys:
                        raise document.error(
                            (*place, name, key), unknown("method or kind of problem", key, keys)
                        )
            parts = value.values() if isinstance(value, dict) else value if place[-1] == "vary" else (value,)
            for part in parts:
                build(BanditSettings, {name: part}, document, place)
