"""A study of text problems: a file with a section `texts`, and its jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

from proclivity.study_head import Paper, Resources, Scale, check_name, definition_of
from tasks.errors import UserError, seed_or_error, unknown
from tasks.problems import is_problem, list_problems

Config = dict[str, Any]
OTHERS = "others"
ValidateSettings = Callable[[Mapping[str, Any], str], dict[str, Any]]


@dataclass(frozen=True)
class TextPrimary:
    """The one comparison that the study stands on, written down before it runs."""

    problem: str
    """On which problem."""
    method: str
    """Whose gold reward is claimed to be higher."""
    against: str
    """Than whose."""
    statistic: Literal["paired difference", "reward"] = "paired difference"
    """What is computed: of the gold rewards at the end, seed by seed."""
    test: Literal["t over seeds", "none"] = "t over seeds"
    """How it is judged."""


@dataclass(frozen=True)
class Data:
    """What all methods share on a problem and a seed: reference, preference pairs, reward model.

    The pairs are as many as the prompts of a run.
    """

    demonstrations: int = 4096
    """Demonstrations that the reference learns from, each seen once, in batches of `batch`."""
    batch: int = 64
    """Demonstrations a step."""
    pairs_batch: int = 24
    """Pairs a step of the reward model, which sees each pair once."""
    rate: float = 1e-3
    """Learning rate of the reference and of the reward model."""
    samples: int = 4
    """Completions of the reference for each prompt, two of which make a pair."""
    held_out: int = 200
    """Pairs that the reward model is judged by, and whose log-probabilities are followed."""

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("pairs_batch", 1), ("samples", 2), ("held_out", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name}: must be {least} or more")
        if self.demonstrations < self.batch:
            raise UserError("demonstrations: must be one batch or more")
        if not self.rate > 0:
            raise UserError("rate: must be above 0")


@dataclass(frozen=True)
class Texts:
    """The grid: problems x seeds x methods x learning rates."""

    problems: tuple[str, ...]
    """Text problems by name."""
    methods: tuple[str, ...]
    """Methods by name."""
    seeds: tuple[int, ...] = (0,)
    """Each seeds the data, the reward model and the tuning of a run."""
    rates: tuple[float, ...] = ()
    """Learning rates that every method is tried with; none where the settings give one."""
    data: Data = field(default_factory=Data)

    def __post_init__(self) -> None:
        for name in ("problems", "methods", "seeds"):
            if not getattr(self, name):
                raise UserError(f"{name}: must name at least one")
        for problem in self.problems:
            if not is_problem(problem):
                raise UserError(f"problems: {unknown('problem', problem, list_problems())}")
        for seed in self.seeds:
            seed_or_error(seed, "seeds")


@dataclass(frozen=True)
class TextStudy:
    """A grid of runs on text problems with one primary comparison."""

    name: str
    paper: Paper
    question: str
    scale: Scale
    primary: TextPrimary
    model: str
    """The model that learns from the demonstrations, and then is the reference."""
    texts: Texts
    settings: dict[str, Any] = field(default_factory=dict)
    """What every run shares (steps, batch_size, ...). A mapping gives values for methods, `others` for those
    that it does not name."""
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.primary.problem not in self.texts.problems:
            raise UserError(f"primary: {unknown('problem', self.primary.problem, self.texts.problems)}")
        for method in (self.primary.method, self.primary.against):
            if method not in self.texts.methods:
                raise UserError(f"primary: {unknown('method', method, self.texts.methods)}")
        if "learning_rate" in self.settings and self.texts.rates:
            raise UserError("settings: learning_rate: the grid has rates of its own")
        for name, value in self.settings.items():
            for method in value if isinstance(value, Mapping) else ():
                if method not in (*self.texts.methods, OTHERS):
                    raise UserError(f"settings: {name}: {unknown('method', method, self.texts.methods)}")

    def definition(self) -> dict[str, Any]:
        """The study as plain JSON values, as study.json keeps it."""
        return definition_of(self)


def expand_texts(study: TextStudy, validate: ValidateSettings) -> list[Config]:
    """The jobs of a study. The methods of a problem and seed follow one another: they share their data."""
    grid = study.texts
    return [
        {
            "job": "text",
            "study": study.name,
            "arm": "main",
            "model": study.model,
            "init": "pretrained",
            "task": problem,
            "method": method,
            "control": "",
            "seed_data": seed,
            "seed_tune": seed,
            "data": asdict(grid.data),
            "settings": validate(_settings(study, method, rate), "settings"),
        }
        for problem, seed, method, rate in product(
            grid.problems, grid.seeds, grid.methods, grid.rates or (None,)
        )
    ]


def _settings(study: TextStudy, method: str, rate: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"answers": "free"} | ({} if rate is None else {"learning_rate": rate})
    for name, value in study.settings.items():
        if isinstance(value, Mapping):
            if method not in value and OTHERS not in value:
                raise UserError(f"settings.{name}: gives no value for {method}, and none for {OTHERS}")
            value = value.get(method, value.get(OTHERS))
        found[name] = value
    return found
