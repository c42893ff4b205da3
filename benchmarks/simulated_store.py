"""A study of any size that never ran: its file, and a folder with a record of every job of it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from analysis.schema import ProbeRecord, RunRecord
from analysis.sums import write_sums
from proclivity.disk import replace_json
from proclivity.job import names
from proclivity.manifest import JOBS, describe, write_manifest
from proclivity.plan import Plan, plan
from proclivity.runner import stamp
from proclivity.study import load_study

SIZES = {
    100: (20, ["rloo"], 1),
    1_000: (100, ["sft", "rloo"], 1),
    10_000: (200, ["sft", "reinforce", "rloo", "grpo", "ppo"], 2),
    50_000: (200, ["sft", "reinforce", "rloo", "grpo", "ppo"], 10),
}
"""Pairs, methods and seeds of a study of so many runs, at five levels of evidence each."""
RATES = [0, 0.01, 0.05, 0.2, 0.5]
QUADRANTS = ("both", "neither", "target_only", "spurious_only")
POINTS = 8
"""Steps of a training log."""


def study_file(path: Path, runs: int) -> Path:
    """Write a study file of so many runs."""
    pairs, methods, seeds = SIZES[runs]
    arm = {"methods": methods, "evidence": {"kind": "symmetric", "rates": RATES}, "seeds": [*range(seeds)]}
    told = {
        "name": "simulated",
        "paper": "cruz2023",
        "question": "How long does a study of this size take to read?",
        "scale": "laptop",
        "primary": {
            "claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman",
            "test": "family_permutation", "pairs": "all",
        },
        "models": ["embedded/symbols"],
        "pairs": {"draw": pairs, "seed": 1, "from": "symbolic"},
        "probe": {"n": 2000, "layers": "last", "probe": "linear", "inputs": ["model", "untrained", "raw"]},
        "settings": {"steps": 150, "batch_size": 64, "samples_per_prompt": 4},
        "arms": {"main": arm},
    }  # fmt: skip
    path.write_text(json.dumps(told, indent=1), encoding="utf-8")
    return path


def planned(folder: Path, runs: int) -> Plan:
    """The plan of a study of so many runs, from its file."""
    return plan(*load_study(str(study_file(folder / f"study-{runs}.yaml", runs))))


def write_store(todo: Plan, folder: Path) -> None:
    """A folder in which all of a plan is done, as a store holds it; nothing is flushed to the disk."""
    folder.mkdir(parents=True)
    write_manifest(folder, describe(todo.study.definition(), "proclivity study run simulated"))
    replace_json(folder / JOBS, {"jobs": [job.key for job in todo.jobs], "reward_models": []})
    log = _log()
    for job, records in zip(todo.jobs, _records(todo), strict=True):
        here = folder / "runs" / job.key
        here.mkdir(parents=True)
        told = [stamp(record, job) for record in records]
        (here / "record.json").write_text(json.dumps(told[0] if len(told) == 1 else told, indent=1))
        if job.config["job"] == "run":
            (here / "log.parquet").write_bytes(log)
        write_sums(here)


def _records(todo: Plan) -> Iterator[list[dict[str, Any]]]:
    """The records of each job: U follows the relative extractability of the pair, bits are of families."""
    rng = np.random.default_rng(0)
    about = {job.config["task"]: names(job.config) for job in todo.jobs}
    families = sorted(
        {told[role] for told in about.values() for role in ("target_family", "spurious_family")}
    )
    bits = dict(zip(families, np.exp(rng.uniform(np.log(0.1), np.log(0.9), len(families))), strict=True))
    for job in todo.jobs:
        told = {**names_of(job.config), **about[job.config["task"]], "model": job.config["model"]}
        if job.config["job"] == "probe":
            yield [_probe(told, role, bits[told[f"{role}_family"]], rng) for role in ("target", "spurious")]
        else:
            relative = np.log2(bits[told["target_family"]] / bits[told["spurious_family"]])
            yield [_run(told, float(norm.cdf(relative - 6 * told["evidence_rate"])), rng)]


def names_of(config: dict[str, Any]) -> dict[str, Any]:
    """What a config says in columns of a record."""
    flat = {**config.get("settings", {}), **config}
    return {name: value for name, value in flat.items() if isinstance(value, str | int | float | bool)}


def _probe(told: dict[str, Any], role: str, bits: float, rng: np.random.Generator) -> dict[str, Any]:
    own = {"role": role, "feature": told[role], "bits_per_label": bits * float(np.exp(0.05 * rng.normal()))}
    return asdict(ProbeRecord(**_known({**told, **own, "weights_hash": told["init"]}, ProbeRecord)))


def _run(told: dict[str, Any], use: float, rng: np.random.Generator, n: int = 50) -> dict[str, Any]:
    rates = {"both": 0.02, "neither": 0.02, "target_only": use, "spurious_only": use}
    errors = {quadrant: int(rng.binomial(n, rate)) for quadrant, rate in rates.items()}
    found = (errors["target_only"] + errors["spurious_only"]) / (2 * n)
    own: dict[str, Any] = {f"n_{q}": n for q in errors} | {f"errors_{q}": k for q, k in errors.items()}
    own |= {f"p_error_{q}": k / n for q, k in errors.items()}
    own |= {"B": (errors["both"] + errors["neither"]) / (2 * n), "U": found, "U_probability": found}
    own |= {"label": "spurious" if found > 0.75 else "target" if found < 0.25 else "mixed"}
    own |= {"weights_hash": told["init"], "third_feature": "", "third_accuracy": 0.55, "wall_s": 5.0}
    own |= {"reward": 1 - found / 2, "accuracy": 1 - found / 2}
    return asdict(RunRecord(**_known({**told, **own}, RunRecord)))


def _known(told: dict[str, Any], kind: type) -> dict[str, Any]:
    columns = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    return {name: value for name, value in told.items() if name in columns}


def _log() -> bytes:
    rng = np.random.default_rng(1)
    steps = np.repeat(10 * np.arange(1, POINTS + 1), len(QUADRANTS))
    numbers = ("loss", "reward", "reward_train", "kl_reverse", "kl_forward")
    table = pd.DataFrame(
        {
            "step": steps,
            "quadrant": np.tile(QUADRANTS, POINTS),
            "n": 50,
            "errors": rng.integers(0, 51, len(steps)),
        }
        | {name: rng.random(len(steps)) for name in numbers}
    )
    held = io.BytesIO()
    table.to_parquet(held)
    return held.getvalue()
