"""What every job does alike: load the model, say what a record is about, keep values plain."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity import label_calibration
from proclivity.study import BRADLEY_TERRY
from tasks import get_task
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from models import LanguageModel, Recipe

Config = Mapping[str, Any]
"""One expanded cell of a study: plain values."""

TUNED = "proclivity.json"
"""Beside a kept policy: the task, way of answering and seed that it was tuned with."""

POLICY, REWARD_MODEL = "policy", "reward_model"
"""The folders beside its record that what a job trained is kept in."""

KEPT = {"sft": POLICY, "reward_model": REWARD_MODEL, "held_out_reward": REWARD_MODEL}
"""What a job can need of others, by its name in a config, and the folder that it is kept in."""

DEVICE = "PROCLIVITY_DEVICE"
"""The environment variable that says where models are: cpu, cuda, cuda:1, mps."""
TRUST = "trust_remote_code"
"""Whether code that comes with a model may be run; a config says so only where it may."""

DTYPES = ("float32", "bfloat16")
"""What weights may be read as; a config names what is not the first."""


@dataclass(frozen=True)
class JobResult:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    cells: list[dict[str, Any]] | None = None
    """Answers on every cell of a task with several spurious features."""
    policy: Any = field(default=None, repr=False)
    """The tuned model, for a caller in the same process."""
    tables: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The tables beside the record of a stage, or of what answers by probabilities, by their files' names."""
    keep: bool = True
    """Whether a stage keeps the model."""


@lru_cache(maxsize=4)
def load_model(
    model: str,
    init: str,
    dtype: str = DTYPES[0],
    device: str | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel:
    import torch

    from models import load

    if init not in ("pretrained", "random"):
        raise unknown("init", init, ["pretrained", "random"])
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    return load(
        model,
        init=init,  # type: ignore[arg-type]
        device=device or device_of(model),
        dtype=getattr(torch, dtype),
        trust_remote_code=trust_remote_code,
    )


def model_of(config: Config, device: str | None = None) -> LanguageModel:
    """The model that a config names, read as it says; `device`: where, if not where it is by itself."""
    dtype = config.get("dtype", DTYPES[0])
    return load_model(config["model"], config["init"], dtype, device, config.get(TRUST, False))


def device_of(model: str, *, stacked: bool = False) -> str:
    """What $PROCLIVITY_DEVICE says, or a GPU where there is one; but one embedded model alone is too small to
    gain by it, and stays on the CPU."""
    import torch

    if told := os.environ.get(DEVICE):
        return _usable(told)
    if model.startswith("embedded/") and not stacked:
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _usable(device: str) -> str:
    """A device by its name; UserError where there is none."""
    import torch

    kind, _, number = device.partition(":")
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in count:
        raise UserError(f"{DEVICE}: {unknown('device', kind, count)}")
    if not (number or "0").isdecimal() or int(number or 0) >= count[kind]:
        raise UserError(f"{DEVICE}={device}: there are {count[kind]} devices {kind} here, counted from 0")
    return device


def names(config: Config) -> dict[str, Any]:
    """What a config is about, in columns of a record, without doing the job."""
    if config["job"] == "bandit":
        return {"problem": config["task"], "method": config["method"]}
    embedded = recipe(config["model"])
    if config["job"] in ("text", "stage"):
        told = {name: config[name] for name in ("model", "init", "task", "method", "seed_data")}
        return told | {"dial": embedded.dial if embedded else ""}
    task = get_task(config["task"])
    return {
        "model": config["model"],
        "init": config["init"],
        "dial": embedded.dial if embedded else "",
        "task": config["task"],
        "target": task.target.name,
        "spurious": task.spurious.name,
        "target_family": task.target.family,
        "spurious_family": task.spurious.family,
        "others": " ".join(feature.name for feature in task.others),
        "seed_data": config["seed_data"],
    }


def identity(config: Config, lm: LanguageModel, prompts: Sequence[str]) -> dict[str, Any]:
    """What every record says of its model, its data and its pair."""
    from importlib.metadata import version

    libraries = ["proclivity", "torch", "transformers", "numpy"]
    settings = config.get("settings", {})
    libraries += ["trl", "accelerate"] if settings.get("backend") == "trl" else []
    libraries += ["peft"] if settings.get("lora") else []
    return {
        **names(config),
        "revision": lm.revision or "",
        "dtype": str(lm.model.dtype).removeprefix("torch."),
        "device": lm.model.device.type,
        TRUST: config.get(TRUST, False),
        "weights_hash": lm.weights_hash,
        "data_hash": hash_of("\n".join(prompts).encode()),
        "config_hash": hash_of(repr(sorted(config.items())).encode()),
        "versions": " ".join(
            [f"python {platform.python_version()}", *(f"{n} {version(n)}" for n in libraries)]
        ),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def recipe(model: str) -> Recipe | None:
    """The recipe of an embedded model."""
    from models.embedded import PREFIX, recipe_of

    return recipe_of(model) if model.startswith(PREFIX) else None


def save(result: JobResult, folder: Path) -> None:
    """Save the tuned model as any library reads it: `use --model` and `probe --model` take the folder.

    Beside it the probabilities of its answers, where they are known.
    """
    label_calibration.write(result.tables.get(label_calibration.TABLE, []), folder)
    if result.policy is None:
        return
    from models import save as save_model

    run = result.records[0]
    told = {name: run[name] for name in ("task", "answers", "seed_tune")}
    kept = folder / POLICY
    if run["method"] == BRADLEY_TERRY:
        kept = folder / REWARD_MODEL
        words = get_task(run["task"]).for_seed(run["seed_tune"]).answers.words
        told |= {"key": folder.name.partition(".")[0], "words": words}
    kept.mkdir()
    (kept / TUNED).write_text(json.dumps(told, indent=1))
    save_model(result.policy.model, result.policy.tokenizer, kept)


def hash_of(*parts: bytes) -> str:
    """First 16 hex digits of the SHA-256 of byte strings and their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


def hash_of_files(paths: Sequence[Path]) -> str:
    """`hash_of` the names and the bytes of files, of which no more than a part is held at once."""
    digest = hashlib.sha256()
    for path in paths:
        name = path.name.encode()
        digest.update(len(name).to_bytes(8, "little") + name)
        digest.update(path.stat().st_size.to_bytes(8, "little"))
        with path.open("rb") as file:
            while part := file.read(1 << 24):
                digest.update(part)
    return digest.hexdigest()[:16]


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values; what is no number is None."""
    out = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        out[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return out
