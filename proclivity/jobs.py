"""The composition: what the front door asks of the floors below, one job at a time."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from functools import cache
from pathlib import Path
from typing import Any

from proclivity import bandit_job, reward_job, stage_job, text_job
from proclivity import job as kept
from proclivity.job import TRUST, Config, JobResult, hash_of, hash_of_files, recipe
from proclivity.pool import spawned
from proclivity.study import BRADLEY_TERRY
from proclivity.study_head import Resources
from rl_finetune.settings import Settings, settings_from
from tasks import get_task, task_sources
from tasks.errors import UserError
from tasks.evidence import evidence_of

__all__ = [
    "SETTINGS",
    "check",
    "check_memory",
    "estimate",
    "execute",
    "execute_together",
    "fingerprint",
    "learnability",
    "missing",
    "prepare",
    "save",
    "stacks",
    "validate_settings",
]

SETTINGS = Settings
_ROOMS = {"bandit": bandit_job, "text": text_job, "stage": stage_job}
"""What does the jobs that are of no pair of features."""
Progress = Callable[[str, int, int], None]


def execute(config: Config) -> JobResult:
    """Do a job: `run` tunes a policy and measures its use, `reward_model` trains one and measures its use,
    `use` measures a model as it is, `probe` probes it; `bandit` tunes all seeds of a bandit, `text` a policy
    on a text problem, `stage` is one of SFT, reward model and policy on a text-out task."""
    if config["job"] in _ROOMS:
        found: JobResult = _ROOMS[config["job"]].run(config)
        return found
    from proclivity.probe_job import run_probe
    from proclivity.run_job import run_tuning

    return run_probe(config) if config["job"] == "probe" else run_tuning(config)


def save(result: JobResult, folder: Path) -> None:
    """Keep what a job made in the folder of its record."""
    if result.records[0]["kind"] == "stage":
        stage_job.save(result, folder)
    else:
        kept.save(result, folder)


def prepare(configs: Sequence[Config], progress: Progress | None) -> None:
    """Pre-train the embedded models that the jobs need, side by side where there are several."""
    from models.embedded import PREFIX, is_cached, pretrained_folder, recipe_of

    names = sorted({c["model"] for c in configs if c.get("model", "").startswith(PREFIX)})
    missing = [recipe for recipe in map(recipe_of, names) if not is_cached(recipe)]
    if len(missing) <= 1:
        for recipe in missing:
            pretrained_folder(recipe, progress)
        return
    workers = min(len(missing), os.cpu_count() or 1)
    with spawned(workers) as submit:
        waiting = [submit(pretrained_folder, recipe) for recipe in missing]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            if progress:
                progress(f"pre-training {len(missing)} models", done, len(missing))


def stacks(
    configs: Sequence[Config], replicas: int, progress: Progress, workers: int = 1
) -> list[tuple[str, int]]:
    """For each job the name of those that it can be done together with, and how many at once pay."""
    if replicas == 1:
        return [("", 1)] * len(configs)
    from proclivity.replicas_job import automatic, stackable

    names = [stackable(config) or "" for config in configs]
    alike: dict[str, list[Config]] = {}
    for config, name in zip(configs, names, strict=True):
        if name:
            alike.setdefault(name, []).append(config)
    most = {"": 1}
    for done, (name, group) in enumerate(alike.items(), 1):
        most[name] = replicas or automatic(group, workers)
        progress("how many runs to stack", done, len(alike))
    return [(name, most[name]) for name in names]


def execute_together(configs: Sequence[Config]) -> Sequence[JobResult | Exception]:
    from proclivity.replicas_job import run_together

    return run_together(configs)


def check_memory(configs: Sequence[Config], workers: int, asks: Resources | None = None) -> None:
    from proclivity.memory_check import check_memory as check_room

    check_room(configs, workers, asks)


def missing(config: Config) -> str:
    """The folder of the embedded model that a job starts from, where this machine does not have it."""
    from models.embedded import PREFIX, folder_of, is_cached, recipe_of

    model = config.get("model", "")
    if not model.startswith(PREFIX) or is_cached(recipe_of(model)):
        return ""
    return str(folder_of(recipe_of(model)))


def validate_settings(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    return settings_from(dict(settings), where).told()


def estimate(config: Config) -> float:
    """Seconds that a job takes on one thread, roughly; NaN where the model is not embedded."""
    if not config.get("model", "embedded/").startswith("embedded/"):
        return math.nan
    if config["job"] in _ROOMS:
        return float(_ROOMS[config["job"]].estimate(config))
    longer = 4 if config["model"].startswith("embedded/english") else 1  # in words and in weights
    if config["job"] == "probe":
        if config["probe"] == "finetune":  # 12 s of 800 rows
            return float(longer * config["n"] / 70)
        return longer * (1.4 if config["input"] == "raw" else 1.0)
    settings = config["settings"]
    row = 8e-4 if settings["answers"] == "free" else 2e-4
    reuse = settings.get("reuse", 1)
    slower, extra = (5, 8.0) if _by_trl(config) else (1, 0.0)
    return float(extra + longer * (1.5 + settings["steps"] * settings["batch_size"] * row * reuse * slower))


def learnability(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """The rows of the shipped learnability list for the recipes that the jobs use."""
    bases = {c["model"].partition(":")[0] for c in configs if c["job"] not in _ROOMS}
    if not bases:
        return []
    with (Path(__file__).parent / "studies" / "learnability.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["recipe"] in bases]


@cache
def _files_hash(model: str) -> str:
    """Hash of a model's weights, configuration and tokenizer; a Hub model is fetched first."""
    from models import FILES, model_folder

    folder = model_folder(model)
    files = {path for pattern in FILES for path in folder.glob(pattern)}
    return hash_of_files(sorted(files))


@cache
def _code_hash(model: str) -> str:
    """Hash of a model's own code; a Hub model's is fetched first."""
    from models import CODE, model_folder

    folder = model_folder(model, code=True)
    files = sorted(path for pattern in CODE for path in folder.glob(pattern))
    return hash_of(*(part for p in files for part in (p.name.encode(), p.read_bytes())))


@cache
def _weights(model: str) -> str:
    from models.embedded import recipe_hash

    embedded = recipe(model)
    return recipe_hash(embedded) if embedded else _files_hash(model)


@cache
def _fingerprint(model: str, task: str, method: str, kind: str) -> dict[str, str]:
    weights = _weights(model)
    source = hash_of(*(p.read_bytes() for p in task_sources(task)))
    own = _own_method(method) if kind == "run" else {}
    return {"weights": weights, "task": source, "revision": str(_revision(method, kind)), **own}


def _own_method(name: str) -> dict[str, str]:
    """The source of a method of one's own."""
    from rl_finetune import method_source

    if name == BRADLEY_TERRY:
        return {}
    path = method_source(name)
    return {"method": hash_of(path.read_bytes())} if path else {}


def check(config: Config) -> None:
    """Refuse a run whose method, settings, control and evidence do not go together."""
    if config["job"] in _ROOMS:
        _ROOMS[config["job"]].check(config)
        return
    if config.get("probe_every", 1) < 1:
        raise UserError(f"--probe-every must be 1 or more, not {config['probe_every']}")
    if config["job"] not in ("run", "reward_model"):
        return
    settings = settings_from(dict(config["settings"]))
    if config["job"] == "run":
        from rl_finetune import check as check_tuning
        from rl_finetune import get_method

        method = get_method(config["method"])
        if "probe_every" in config and not method.trains:
            raise UserError(f"--probe-every: {method.name} tunes nothing that could be probed on its way")
        check_tuning(method, settings, config["control"])
        if "reward_model" in config:
            reward_job.check(config, method.reward)
        if settings.lora and "probe_every" in config:
            raise UserError(
                "--probe-every reads the weights of a model, and --lora keeps them apart until the end"
            )
        if settings.processes > 1 and "probe_every" in config:
            raise UserError("--probe-every reads the weights in this process: give --processes 1")
    if config["job"] == "reward_model":
        from rl_finetune.checks import check_reward_settings

        check_reward_settings(settings)
    if _by_trl(config):
        if config.get(TRUST):
            raise UserError("--backend trl takes no model with code of its own: give --backend native")
        from rl_finetune import check_trl

        check_trl(config["method"], settings, config["control"])
    evidence, n = evidence_of(config), settings.rows
    evidence.cells(n, len(get_task(config["task"]).others))
    if evidence.rate and not evidence.counts(n)["spurious_only"]:
        raise UserError(f"evidence {evidence.rate:g} of {n} rows is no counter-example at all")


def fingerprint(config: Config) -> dict[str, str]:
    """Hashes of what a config only names."""
    if config["job"] == "bandit":
        return bandit_job.fingerprint(config["method"], _own_method)
    if config["job"] in ("text", "stage"):
        method, room = config["method"], text_job if config["job"] == "text" else stage_job
        trained = "reward_model" if method == BRADLEY_TERRY else config["job"]
        own = {"revision": str(_revision(method, trained)), **_own_method(method)}
        return {"weights": _weights(config["model"]), **own, **room.fingerprint(config)}
    found = _fingerprint(config["model"], config["task"], config.get("method", ""), config["job"])
    if config.get(TRUST):
        found = {**found, "code": _code_hash(config["model"])}
    if "reference_probe" in config:
        from probes import REVISION
        from rl_finetune.warmup import REVISION as WARM_UP

        found = {**found, "warm_up": str(WARM_UP), "probe": str(REVISION)}
    if _by_trl(config):
        from rl_finetune.trl_backend import REVISION as TRL

        found = {**found, "backend": str(TRL)}
    if isinstance(config.get("reward_model"), str):  # a study's is told apart by its key, in the config
        found = {**found, "reward_model": _files_hash(config["reward_model"])}
    return found


def _by_trl(config: Config) -> bool:
    """Whether TRL's trainers do a job."""
    trained = config["job"] in ("run", "reward_model")
    return trained and config["settings"].get("backend") == "trl"


def _revision(method: str, kind: str) -> int:
    if kind == "probe":
        from probes import REVISION

        return REVISION
    if kind == "reward_model":
        from rl_finetune.reward_training import REVISION as TRAINING

        return TRAINING
    if method:
        from rl_finetune import get_method

        return get_method(method).revision
    return 1
