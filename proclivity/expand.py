"""From a study to its jobs: one plain config a probe and a run, in a fixed order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from proclivity.study import BRADLEY_TERRY, Arm, Probe, ProbeStudy, RewardModel, Study, load_study
from tasks import Evidence, get_task, list_tasks
from tasks.errors import UserError, unknown

Config = dict[str, Any]
ValidateSettings = Callable[[Mapping[str, Any], str], dict[str, Any]]


def draw_pairs(study: Study, catalogue: Sequence[str] | None = None) -> list[str]:
    """The study's tasks: its list, or a uniform draw without replacement from the sorted catalogue.

    A study measures all four quadrants: tasks in which one is missing are left out, or refused by name.
    """
    if study.pairs.list:
        for name in study.pairs.list:
            if missing := get_task(name).missing:
                raise UserError(f"{name} has no {missing[0]} rows, and a study measures all four quadrants")
        return list(study.pairs.list)
    if catalogue is None:
        catalogue = [name for name in list_tasks() if not get_task(name).missing]
    names = sorted(catalogue)
    pool = [name for name in names if name.startswith(study.pairs.from_ + "/")]
    if len(pool) < study.pairs.draw:
        raise UserError(
            f"{len(pool)} tasks begin with {study.pairs.from_ + '/'!r}, fewer than {study.pairs.draw}"
        )
    order = np.random.default_rng(study.pairs.seed).permutation(len(pool))
    return [pool[i] for i in order[: study.pairs.draw]]


def expand(
    study: Study, *, catalogue: Sequence[str] | None = None, validate: ValidateSettings | None = None
) -> list[Config]:
    """The jobs of a study: the probes of every (model, init, task) that a run uses, then the reward models
    that runs are tuned on, then the runs.

    A run on a reward model has that job's config, but for study and arm, in place of its key.
    `validate(settings, where)` returns the settings completed with their defaults, or raises UserError. Cells
    that occur twice are one job, that of the first arm. Equal studies give equal jobs in equal order.
    """
    pairs = draw_pairs(study, catalogue)
    runs = list(_once(run for arm in study.arms for run in _runs(study, arm, pairs, validate)))
    inputs = {(base_of(run["model"]), run["task"]): run["model"] for run in reversed(runs)}
    further = [
        (task, set(_models(study, 0, task, 0)) if isinstance(study.models, dict) else None)
        for task in study.probe.also
    ]
    for task, _ in further:
        if missing := get_task(task).missing:
            raise UserError(f"also: {task} has no {missing[0]} rows, and a probe takes all four quadrants")
    more = [
        {**run, "task": task}
        for task, readers in further
        for run in runs
        if readers is None or run["model"] in readers
    ]
    inputs |= {(base_of(run["model"]), run["task"]): run["model"] for run in reversed(more)}
    starts: dict[tuple[str, str, str], Config] = {}
    for run in [*runs, *more]:
        starts.setdefault((run["model"], run["init"], run["task"]), run)
    probes = [probe for run in starts.values() for probe in _probes(study, run, inputs)]
    bases = {base_of(run["model"]) for run in runs}
    for model in study.probe.beside:
        if base_of(model) not in bases:
            raise UserError(f"beside: no run starts from a model of the base of {model}")
    other = [
        {**probe, "model": model}
        for model in written_out(study.probe.beside)
        for probe in probes
        if (probe["init"], probe["input"]) == ("pretrained", "model")
        if base_of(probe["model"]) == base_of(model)
    ]
    judges = [
        {**run["reward_model"], "study": study.name, "arm": run["arm"]}
        for run in runs
        if "reward_model" in run
    ]
    return [*_once(iter([*probes, *other])), *_once(iter(judges)), *runs]


def _runs(study: Study, name: str, pairs: list[str], validate: ValidateSettings | None) -> Iterator[Config]:
    arm = study.arms[name]
    settings = {method: _settings(study, name, method, validate) for method in arm.methods}
    for i, pair in enumerate(pairs[: arm.first(len(pairs))]):
        for seed in arm.seeds:
            for model in _models(study, i, pair, seed):
                for method in arm.methods:
                    probing = reference_probe(settings[method], study.probe)
                    cell = _cell(arm, model, swap(pair) if arm.swapped else pair, seed)
                    cell |= trusted(model, study.trust_remote_code)
                    for evidence, judge in product(
                        arm.evidence.levels(), _judges(study, name, cell, validate)
                    ):
                        yield {
                            "job": "run",
                            "study": study.name,
                            "arm": name,
                            **cell,
                            **evidence.config(),
                            "method": method,
                            "control": arm.control,
                            "settings": settings[method],
                            **probing,
                            **judge,
                        }


def _cell(arm: Arm, model: str, task: str, seed: int) -> Config:
    seeds = dict.fromkeys(("seed_data", "seed_tune", "seed_warmup"), seed)
    return {"model": model, "init": arm.init, "task": task, **seeds}


def _judges(study: Study, name: str, cell: Config, validate: ValidateSettings | None) -> list[Config]:
    """What the runs of a cell are tuned on: each of its reward models, or nothing but the gold reward."""
    judge = study.arms[name].reward_model
    if judge is None:
        return [{}]
    settings = _settings(study, name, BRADLEY_TERRY, validate)
    return [{"reward_model": reward_model(judge, cell, settings, e)} for e in judge.evidence.levels()]


def reward_model(judge: RewardModel, cell: Config, settings: Config, evidence: Evidence) -> Config:
    """The job that trains a reward model, as `proclivity reward-model` does it."""
    asked = {"ties": judge.ties, "half": judge.half}
    return {
        "job": "reward_model",
        **cell,
        **evidence.config(),
        "method": BRADLEY_TERRY,
        "control": "",
        "settings": settings,
        **{name: value for name, value in asked.items() if value},
    }


def reference_probe(settings: Mapping[str, Any], probe: Probe) -> dict[str, Any]:
    """How a run probes the reference that its own format warm-up makes; nothing for one that has none."""
    if settings.get("answers") != "free":
        return {}
    return {"reference_probe": {"input": "model", **probing(probe)}}


def probing(probe: Probe) -> dict[str, Any]:
    """How a model is probed, as a config says it."""
    return {
        "layers": probe.layers,
        "n": probe.n,
        "probe": probe.probe,
        "shuffles": probe.shuffles,
        "seed_probe": probe.seed,
        # Only where it is used, so that probes without it are the probes they were.
        **({"orders": probe.orders} if probe.orders > 1 else {}),
        **({"frozen": True} if probe.frozen else {}),
    }


def expand_probes(study: ProbeStudy) -> list[Config]:
    """The jobs of a study of probes alone: one a reference and task, in sorted order."""
    cells: set[tuple[str, str]] = set()
    for name in study.probes.studies:
        other, _ = load_study(name)
        if not isinstance(other, Study):
            raise UserError(f"probes: studies: {name} tunes on no pair of features")
        for run in expand(other):
            told = run["job"] == "run" and run["arm"] in study.probes.arms
            if told and run["init"] == "pretrained" and not run["control"]:
                cells.add((run["model"], run["task"]))
    chosen = sorted(cells)
    if study.probes.draw:
        if study.probes.draw > len(chosen):
            raise UserError(f"probes: draw: there are {len(chosen)} references with a task to draw from")
        order = np.random.default_rng(study.probes.seed).permutation(len(chosen))
        chosen = sorted(chosen[i] for i in order[: study.probes.draw])
    return [
        {
            "job": "probe",
            "study": study.name,
            "model": model,
            "init": "pretrained",
            "task": task,
            "input": "model",
            **probing(study.probe),
            "seed_data": study.probe.seed,
        }
        for model, task in chosen
    ]


def _models(study: Study, place: int, pair: str, seed: int) -> list[str]:
    if isinstance(study.models, dict):
        language = pair.partition("/")[0]
        if language not in study.models:
            raise unknown("part of the catalogue that has a model", language, study.models)
        return written_out(study.models[language])
    if study.assign == "rotate":
        group = written_out(study.models[seed % len(study.models)])
        return [group[place % len(group)]]
    return written_out(map(str, study.models))


def written_out(names: Iterable[str]) -> list[str]:
    """`m:{x=0|x=1},seed={2|3}` -> `m:x=0,seed=2`, `m:x=0,seed=3`, `m:x=1,seed=2`, `m:x=1,seed=3`."""
    found = []
    for name in names:
        parts = re.split(r"\{([^{}]*)\}", name)  # what stands in braces is every other part
        if any(mark in part for part in parts for mark in "{}"):
            raise UserError(f"model {name!r}: a brace is not closed")
        choices = [part.split("|") if i % 2 else [part] for i, part in enumerate(parts)]
        found += ["".join(chosen) for chosen in product(*choices)]
    return found


def _settings(study: Study, arm: str, method: str, validate: ValidateSettings | None) -> dict[str, Any]:
    judge = study.arms[arm].reward_model
    own = study.arms[arm].settings
    if method == BRADLEY_TERRY and judge:
        own = {**judge.settings, "samples_per_prompt": 2}  # of a pair
    settings = {}
    for name, value in {**study.settings, **own}.items():
        if isinstance(value, Mapping):
            if method not in value:
                raise UserError(f"settings.{name}: gives no value for {method} of arm {arm}")
            value = value[method]
        settings[name] = value
    return validate(settings, "settings") if validate else settings


def trusted(model: str, trust: bool) -> Config:
    """That a model's own code may run, of a model that can have any: no other job is moved by it."""
    return {"trust_remote_code": True} if trust and not model.startswith("embedded/") else {}


def base_of(model: str) -> str:
    """A model's name without its parameters: models of one base read the same tokens."""
    return model.partition(":")[0]


def _probes(study: Study, run: Config, inputs: Mapping[tuple[str, str], str]) -> Iterator[Config]:
    probe = study.probe
    cell = {
        "job": "probe",
        "study": study.name,
        "model": run["model"],
        "init": run["init"],
        "task": run["task"],
        "input": "model",
        **probing(probe),
        "seed_data": probe.seed,
        **trusted(run["model"], study.trust_remote_code),
    }
    if "model" in probe.inputs:
        yield cell
    if "untrained" in probe.inputs:
        yield {**cell, "init": "random"}
    if "raw" in probe.inputs:
        # The raw tokens are the same for all models of a base, so they are probed once.
        model = inputs[base_of(run["model"]), run["task"]]
        yield {**cell, "model": model, "init": "pretrained", "input": "raw"}


def swap(pair: str) -> str:
    """The task with its two features' roles exchanged."""
    base, colon, parameters = pair.partition(":")
    head, slash, features = base.rpartition("/")
    target, versus, spurious = features.partition("-vs-")
    if versus:
        return f"{head}{slash}{spurious}{versus}{target}{colon}{parameters}"
    given = [item for item in parameters.split(",") if item]
    others = [item for item in given if item != "swapped=yes"]
    given = others if len(others) < len(given) else [*others, "swapped=yes"]
    return ":".join(filter(None, [base, ",".join(given)]))


def _once(configs: Iterator[Config]) -> Iterator[Config]:
    seen: set[str] = set()
    for config in configs:
        cell = repr({name: value for name, value in config.items() if name != "arm"})
        if cell not in seen:
            seen.add(cell)
            yield config
