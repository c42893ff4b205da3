"""Jobs that cost nothing, in place of proclivity.jobs: what a run does is told by the name of its method."""

from __future__ import annotations

import dataclasses
import os
import runpy
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.errors import UserError, unknown

# By path: the rest of the package takes seconds to load, in every worker of every test.
SCHEMA = runpy.run_path(str(Path(__file__).parents[2] / "analysis" / "schema.py"))


@dataclass(frozen=True)
class SETTINGS:
    steps: int = field(default=10, metadata={"help": "optimiser steps"})
    seconds: float = field(default=0.0, metadata={"help": "how long a job sleeps"})
    learning_rate: float = field(default=1e-3, metadata={"help": "peak, 100% of it"})
    samples_per_prompt: int = field(default=4, metadata={"help": "answers"})


@dataclass(frozen=True)
class JobResult:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    cells: list[dict[str, Any]] | None = None
    policy: Any = None
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Saved:
    """Stands for a model or a tokenizer: anything that can be saved."""

    def save_pretrained(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)


class FakePolicy:
    model = tokenizer = Saved()


METHODS = (
    "rloo",
    "sft",
    "raises",
    "dies",
    "dies_once",
    "prints",
    "incomplete",
    "not_json",
    "too_deep",
    "not_prepared",
)


def validate_settings(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    complete = dataclasses.asdict(SETTINGS(**settings))
    if complete["steps"] < 1:
        raise UserError(f"{where}.steps: must be 1 or more")
    return complete


def check(config: Mapping[str, Any]) -> None:
    pass


def fingerprint(config: Mapping[str, Any]) -> dict[str, str]:
    if config["job"] == "run" and config["method"] not in METHODS:
        raise unknown("method", config["method"], METHODS)
    return {"source": os.environ.get("FAKE_SOURCE", "1")}


def prepare(configs: Sequence[Mapping[str, Any]], progress: Any) -> None:
    progress("preparing", 1, 1)


def missing(config: Mapping[str, Any]) -> str:
    return "/cache/models/symbols" if config.get("method") == "not_prepared" else ""


def check_memory(configs: Sequence[Mapping[str, Any]], workers: int, asks: Any = None) -> None:
    note(f"memory {os.getpid()} {workers}")


def stacks(
    configs: Sequence[Mapping[str, Any]], replicas: int, progress: Any, workers: int = 1
) -> list[tuple[str, int]]:
    one = "FAKE_ONE_STACK" in os.environ
    return [("all" if one else config.get("method", ""), replicas) for config in configs]


def execute_together(configs: Sequence[Mapping[str, Any]]) -> list[Any]:
    note(f"together {os.getpid()} {len(configs)}")
    if configs[0]["method"] == "sft":
        raise ValueError("not these together")
    return [ValueError("it diverged") if c["evidence_rate"] == 0.3 else execute(c) for c in configs]


def estimate(config: Mapping[str, Any]) -> float:
    return 1.5


def learnability(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return []


def save(result: JobResult, folder: Path) -> None:
    """As it is really done; of a reward model what a run looks for, without what takes seconds to load."""
    if result.records[0]["kind"] == "run" and result.records[0]["method"] == "bradley-terry":
        (folder / "reward_model").mkdir()
        (folder / "reward_model" / "config.json").write_text("{}")
    else:
        from proclivity.job import save as really_save

        really_save(result, folder)


def note(line: str) -> None:
    """One line in the ledger: what was begun and what was finished, by whom."""
    if "FAKE_LEDGER" in os.environ:
        with open(os.environ["FAKE_LEDGER"], "a") as file:
            file.write(line + "\n")


def held() -> bool:
    """With FAKE_HOLD=n no more than n jobs are finished: the rest wait for ever."""
    if "FAKE_HOLD" not in os.environ:
        return False
    ended = Path(os.environ["FAKE_LEDGER"]).read_text().count("end ")
    return ended >= int(os.environ["FAKE_HOLD"])


def execute(config: Mapping[str, Any]) -> JobResult:
    method = config.get("method", "probe")
    if config["job"] == "reward_model":
        method = os.environ.get("FAKE_REWARD", method)
    cell = f"{config['job']} {config['task']} {method} {config.get('evidence_rate')} {config['seed_data']}"
    note(f"begin {os.getpid()} {cell}")
    time.sleep(config.get("settings", {}).get("seconds", 0.0))
    while held():
        time.sleep(0.02)
    if method == "raises":
        raise ValueError("the loss is\nnot a number")
    if method == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if method == "dies_once":
        died = Path(os.environ["FAKE_LEDGER"]).with_name("died")
        if not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    if method == "prints":
        print("a library that prints")
    if "reward_model" in config and not (Path(config["reward_model"]) / "config.json").is_file():
        raise ValueError("it began before its reward model was there")
    kind = SCHEMA["ProbeRecord" if config["job"] == "probe" else "RunRecord"]
    known = {f.name for f in dataclasses.fields(kind)} - {"layers"}
    told = {name: value for name, value in {**config.get("settings", {}), **config}.items() if name in known}
    record = dataclasses.asdict(kind(**{**told, "wall_s": time.time()}))
    if method == "incomplete":
        del record["errors_both"]
    if method == "not_json":
        record["U"] = object()
    if method == "too_deep":
        for _ in range(100_000):
            record["U"] = [record["U"]]
    note(f"end {os.getpid()} {cell}")
    if config["job"] == "probe":
        return JobResult([{**record, "role": role} for role in ("target", "spurious")])
    cells = [{"cell": "both 1", "errors": 0}] if "also=" in config["task"] else None
    return JobResult([record], log=[{"step": 1, "reward": 0.5}], cells=cells, policy=FakePolicy())
