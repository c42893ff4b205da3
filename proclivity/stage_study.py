"""A study of stages: a file with a section `stages`, and its jobs.

On a text-out task a model learns from demonstrations (SFT), reward models learn from preference pairs, and
policies are tuned from the SFT model against a reward model. Each of them is a job with a record and a kept
model, which the jobs after it name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any, Literal

from proclivity.study_head import Paper, Resources, Scale, check_name, definition_of
from tasks.errors import UserError, seed_or_error, unknown
from tasks.problems import text_out

Config = dict[str, Any]
ValidateSettings = Callable[[Mapping[str, Any], str], dict[str, Any]]
SFT, TRAINING, REWARD, HELD_OUT = "sft", "sft training", "reward", "held-out reward"
"""What the entries that every study has are called in records."""


@dataclass(frozen=True)
class StagePrimary:
    """The one comparison that the study stands on, written down before it runs."""

    task: str
    """On which task."""
    policy: str
    """Which entry of `policies`."""
    against: str
    """Compared with which other entry, or with `sft`."""
    measure: str
    """In what, such as gold or ead."""
    scope: Literal["per input", "across inputs"] = "per input"
    """Of the outputs of one input, or across inputs."""
    shift: str = "in"
    """On which distribution of prompts."""
    statistic: Literal["paired difference"] = "paired difference"
    """What is computed: the difference at the end, seed by seed."""
    test: Literal["t over seeds", "none"] = "t over seeds"
    """How it is judged."""


@dataclass(frozen=True)
class Demonstrated:
    """How the SFT model is made. Rows are steps x batch_size, each seen once."""

    steps: int = 700
    """Optimiser steps."""
    batch_size: int = 64
    """Demonstrations a step."""
    learning_rate: float = 4e-3
    """Peak learning rate."""

    def __post_init__(self) -> None:
        _positive(self, "steps", "batch_size", "learning_rate")


@dataclass(frozen=True)
class Preferred:
    """How reward models are made, of the SFT model, one on either half of the prompts."""

    steps: int = 80
    """Optimiser steps."""
    batch_size: int = 32
    """Preference pairs a step."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    pairs: Literal["sampled", "task"] = "sampled"
    """`sampled`: two completions of the SFT model, ordered by the gold reward; `task`: the task's own."""
    samples: int = 4
    """Completions of a prompt of which two make a pair."""

    def __post_init__(self) -> None:
        _positive(self, "steps", "batch_size", "learning_rate")
        if self.samples < 2:
            raise UserError("samples: must be 2 or more")


@dataclass(frozen=True)
class Measuring:
    """What is measured of every policy and SFT model."""

    inputs: int = 64
    """Test prompts of each distribution."""
    samples: int = 16
    """Completions of each at the end."""
    along: int = 64
    """The first of them that are completed, once each, at each point on the way, in distribution."""
    points: int = 6
    """Points on the way."""
    conflicts: float = 0.5
    """Share of the prompts on which the two rules disagree."""
    shifts: tuple[str, ...] = ()
    """Distributions beside that of the tuning, of those that a task has; none named: all of them."""

    def __post_init__(self) -> None:
        _positive(self, "inputs", "samples", "along")
        if self.along > self.inputs:
            raise UserError(f"along: {self.along} are the first of {self.inputs} inputs; there are no more")
        if not 0 <= self.conflicts <= 1:
            raise UserError("conflicts: must be within 0 and 1")


@dataclass(frozen=True)
class Stages:
    """The grid: tasks x evidence x data seeds x policies x seeds."""

    tasks: tuple[str, ...]
    """Text-out tasks."""
    policies: dict[str, dict[str, Any]]
    """By name: a `method`, settings, of which lists are swept together, and of how many of the `seeds`."""
    evidence: tuple[float, ...] = (0.0,)
    """Shares of prompts on which the two rules disagree; the same in every stage."""
    data_seeds: tuple[int, ...] = (0,)
    """Each has prompts, an SFT model and reward models of its own."""
    seeds: tuple[int, ...] = (0,)
    """Each seeds the tuning of a policy."""
    sft: Demonstrated = field(default_factory=Demonstrated)
    reward_model: Preferred = field(default_factory=Preferred)
    measured: Measuring = field(default_factory=Measuring)
    keep: Literal["none", "final"] = "final"
    """Whether tuned policies are saved. SFT and reward models always are."""

    def __post_init__(self) -> None:
        for name in ("tasks", "policies", "evidence", "data_seeds", "seeds"):
            if not getattr(self, name):
                raise UserError(f"{name}: must name at least one")
        for task in self.tasks:
            try:
                text_out(task)
            except UserError as e:
                raise UserError(f"tasks: {e}") from e
        there = {shift.name for task in self.tasks for shift in text_out(task).shifts}
        for shift in self.measured.shifts:
            if shift not in there:
                raise UserError(f"measured: {unknown('shift', shift, there)}")
        for rate in self.evidence:
            if not 0 <= rate <= 1:
                raise UserError(f"evidence: {rate} is outside 0 to 1")
        for seed in (*self.data_seeds, *self.seeds):
            seed_or_error(seed, "seeds")
        for name, told in self.policies.items():
            if name in (SFT, TRAINING, REWARD, HELD_OUT):
                raise UserError(f"policies: {name} is what every study has; choose another name")
            if "method" not in told:
                raise UserError(f"policies: {name}: names no method")
            n = told.get("seeds", 1)
            if type(n) is not int or not 1 <= n <= len(self.seeds):
                raise UserError(f"policies: {name}: seeds must be within 1 and {len(self.seeds)}, not {n!r}")


@dataclass(frozen=True)
class StageStudy:
    """A grid of stages on text-out tasks with one primary comparison."""

    name: str
    paper: Paper
    question: str
    scale: Scale
    primary: StagePrimary
    models: tuple[str, ...]
    """Models that learn from demonstrations first."""
    stages: Stages
    settings: dict[str, Any] = field(default_factory=dict)
    """What every policy's tuning shares, but for what its entry says."""
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        check_name(self.name)
        entries = [*self.stages.policies, SFT]
        if self.primary.task not in self.stages.tasks:
            raise UserError(f"primary: {unknown('task', self.primary.task, self.stages.tasks)}")
        for name in (self.primary.policy, self.primary.against):
            if name not in entries:
                raise UserError(f"primary: {unknown('policy', name, entries)}")
        if not self.models:
            raise UserError("models: must name at least one model")

    def definition(self) -> dict[str, Any]:
        """The study as plain JSON values, as study.json keeps it."""
        return definition_of(self)


def expand_stages(study: StageStudy, validate: ValidateSettings) -> list[Config]:
    """The jobs of a study: SFT models, then reward models, then policies, each once."""
    grid = study.stages
    first: list[Config] = []
    judges: list[Config] = []
    tuned: list[Config] = []
    for task, rate, model, data_seed in product(grid.tasks, grid.evidence, study.models, grid.data_seeds):
        base = {
            "job": "stage",
            "model": model,
            "init": "pretrained",
            "task": task,
            "evidence_rate": rate,
            "control": "",
            "seed_data": data_seed,
            "measured": asdict(grid.measured),
        }
        sft = base | {
            "stage": "sft",
            "policy": TRAINING,
            "method": "sft",
            "seed_tune": data_seed,
            "settings": validate(_free(asdict(grid.sft)), "stages.sft"),
        }
        told = asdict(grid.reward_model)
        how = {"pairs": told.pop("pairs"), "samples": told.pop("samples")}
        reward, held_out = (
            base
            | {
                "stage": "reward",
                "policy": name,
                "method": "bradley-terry",
                "seed_tune": data_seed,
                "half": half,
                "made": how,
                "settings": validate(_free(told), "stages.reward_model"),
                "sft": sft,
            }
            for name, half in ((REWARD, 1), (HELD_OUT, 2))
        )
        needs = {"sft": sft, "reward_model": reward, "held_out_reward": held_out, "made": how}
        as_it_is = {"stage": "policy", "policy": SFT, "method": "sft", "seed_tune": data_seed}
        first.append(sft | {"study": study.name, "arm": "main"})
        judges += [each | {"study": study.name, "arm": "main"} for each in (reward, held_out)]
        tuned.append(
            base | needs | as_it_is | {"study": study.name, "arm": "main"} | {"settings": sft["settings"]}
        )
        tuned += [
            base
            | needs
            | {"study": study.name, "arm": "main", "stage": "policy", "policy": name, "keep": grid.keep}
            | {"method": method, "seed_tune": seed, "settings": validate(_free(settings), where)}
            for name, entry in grid.policies.items()
            for method, settings, where in _entries(name, entry, study.settings)
            for seed in grid.seeds[: entry.get("seeds")]
        ]
    return [*first, *judges, *tuned]


def _entries(
    name: str, entry: Mapping[str, Any], shared: Mapping[str, Any]
) -> Iterator[tuple[str, Config, str]]:
    """Method, settings and place in the file of each run that an entry stands for: lists are swept."""
    told = {**shared, **{k: v for k, v in entry.items() if k not in ("method", "seeds")}}
    swept = {k: list(v) for k, v in told.items() if isinstance(v, list | tuple)}
    lengths = {len(values) for values in swept.values()}
    if len(lengths) > 1:
        raise UserError(f"stages.policies.{name}: lists of one length are swept together")
    for i in range(max(lengths, default=1)):
        at = {k: values[i] for k, values in swept.items()}
        yield str(entry["method"]), told | at, f"stages.policies.{name}"


def _free(settings: Mapping[str, Any]) -> Config:
    """Settings of free answers, of which nothing is counted but what this kind of study measures."""
    return {"answers": "free", "entropy_bonus": 0.0, "log_points": 0} | dict(settings)


def _positive(told: Any, *names: str) -> None:
    for name in names:
        if not getattr(told, name) > 0:
            raise UserError(f"{name}: must be above 0, not {getattr(told, name)}")
