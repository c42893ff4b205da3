"""Jobs of some tens of milliseconds in place of proclivity.jobs: equal configs give equal results."""

from __future__ import annotations

import hashlib
import json
import os
import random
import runpy
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from benchmarks.soak.stages import reached

# By path: the rest of the package takes a second to load, in every worker.
_SCHEMA = runpy.run_path(str(Path(__file__).parents[2] / "analysis" / "schema.py"))
LEDGER = "SOAK_LEDGER"
"""A file with a line for every job that was begun: the hash of its config."""
QUADRANTS = ("both", "neither", "target_only", "spurious_only")


@dataclass(frozen=True)
class SETTINGS:
    steps: int = field(default=10, metadata={"help": "rows of the log"})
    seconds: float = field(default=0.03, metadata={"help": "how long a job sleeps"})
    samples_per_prompt: int = field(default=4, metadata={"help": "answers"})


@dataclass(frozen=True)
class Result:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    cells: list[dict[str, Any]] | None = None
    policy: Any = None
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def validate_settings(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    return asdict(SETTINGS(**settings))


def check(config: Mapping[str, Any]) -> None:
    reached("planning")


def fingerprint(config: Mapping[str, Any]) -> dict[str, str]:
    return {"source": "1"}


def prepare(configs: Sequence[Mapping[str, Any]], progress: Any) -> None:
    for step in range(5):
        reached("pre-training")
        progress("preparing", step, 5)


def missing(config: Mapping[str, Any]) -> str:
    return ""


def check_memory(configs: Sequence[Mapping[str, Any]], workers: int, asks: Any = None) -> None:
    pass


def stacks(
    configs: Sequence[Mapping[str, Any]], replicas: int, progress: Any, workers: int = 1
) -> list[tuple[str, int]]:
    return [("", 1) for _ in configs]


def execute_together(configs: Sequence[Mapping[str, Any]]) -> list[Result]:
    return [execute(config) for config in configs]


def estimate(config: Mapping[str, Any]) -> float:
    return 0.05


def learnability(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return []


def save(result: Result, folder: Path) -> None:
    """A reward model's folder: a configuration, and weights."""
    record = result.records[0]
    if record["method"] != "bradley-terry":
        return
    kept = folder / "reward_model"
    kept.mkdir()
    (kept / "config.json").write_text("{}")
    (kept / "model.safetensors").write_bytes(random.Random(record["data_hash"]).randbytes(20_000))


def identity(config: Mapping[str, Any]) -> str:
    """The hash of a config, without the folders of what it needs."""
    told = {name: value for name, value in config.items() if "/runs/" not in str(value)}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def execute(config: Mapping[str, Any]) -> Result:
    """Sleep, and make up a record."""
    name, settings = identity(config), config.get("settings", {})
    rng = random.Random(name)
    with open(os.environ[LEDGER], "a", encoding="utf-8") as ledger:
        ledger.write(f"{name}\n")
    reached("running")
    time.sleep(settings.get("seconds", 0.03) * 2 * rng.random())
    if "reward_model" in config and not Path(config["reward_model"], "model.safetensors").is_file():
        raise ValueError("it began before its reward model was there")
    kind = _SCHEMA["ProbeRecord" if config["job"] == "probe" else "RunRecord"]
    known = {f.name for f in fields(kind)}
    told = {key: value for key, value in {**settings, **config}.items() if key in known and key != "layers"}
    told |= {"data_hash": name, "wall_s": time.time(), "started": str(time.time())}
    if "reward_model" in config:
        told["reward_model"] = Path(config["reward_model"]).parent.name
    if config["job"] == "probe":
        bits = {role: rng.uniform(0.1, 0.9) for role in ("target", "spurious")}
        return Result([asdict(kind(**told, role=r, bits_per_label=bits[r])) for r in bits])
    counts = {
        f"{what}_{q}": 50 if what == "n" else rng.randrange(9) for q in QUADRANTS for what in ("n", "errors")
    }
    record = asdict(kind(**told | counts | {"U": rng.random(), "B": 0.02, "label": "mixed"}))
    return Result(
        [record], log=[{"step": i, "reward": rng.random()} for i in range(settings.get("steps", 10))]
    )
