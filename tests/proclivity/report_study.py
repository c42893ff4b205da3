"""A simulated study with names that mean harm, training logs and failed runs, as the report must bear it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import Study
from tests.analysis.simulated_study import simulate

HARM = "symbolic/<img src=x onerror=alert(1)>-vs-</script><script>alert(2)</script>"
QUADRANTS = ("both", "neither", "target_only", "spurious_only")


def study(*, pairs: int = 10, runs: int = 0) -> Study:
    """A small study; repeated under other keys, with other numbers, until it has so many runs."""
    found = simulate(families=8, pairs=pairs, levels=(0.0, 0.2), seeds=(0, 1), failed=2)
    table, rng = found.runs, np.random.default_rng(0)
    harmed = table["task"].mask(table["task"] == table["task"].iloc[0], HARM)
    table = table.assign(task=harmed)
    copies = [table]
    while sum(map(len, copies)) < runs:
        n = len(copies)
        noise = {
            name: table[name] + rng.normal(size=len(table))
            for name in table.select_dtypes("float").columns
            if name not in ("U", "B", "D", "evidence_rate", "third_accuracy")
        }
        copies.append(
            table.assign(key=table["key"] + f"-{n}", seed_tune=table["seed_tune"] + 10 * n, **noise)
        )
    primary = {"claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman"}
    digest = hashlib.sha256(json.dumps(primary, sort_keys=True).encode()).hexdigest()[:16]
    manifest = found.manifest | {
        "primary": primary,
        "primary_hash": digest,
        "scale": "smoke", "paper": "cruz2023", "command": "proclivity study run <b>&",
        "versions": "python 3.11",
        "definition": {"question": "Is <b>this</b> text?", "probe": {"n": 2000}},
    }  # fmt: skip
    curve = "[[0, 1000, 1000.0, 990.5, 500], [1000, 1000, 400.0, 410.0, 900]]"
    return dataclasses.replace(
        found,
        name="simulated",
        manifest=manifest,
        runs=pd.concat(copies, ignore_index=True),
        probes=found.probes.assign(curve=curve),
        problems=["runs/abc/record.json: missing columns <i>x</i>"],
    )


def write_logs(found: Study, folder: Path, points: int = 8) -> None:
    """A training log beside each finished run."""
    rng = np.random.default_rng(1)
    for key in found.runs.loc[found.runs["status"] == "ok", "key"]:
        steps = np.repeat(10 * np.arange(1, points + 1), len(QUADRANTS))
        n = len(steps)
        log = pd.DataFrame(
            {"step": steps, "quadrant": np.tile(QUADRANTS, points), "n": 50, "errors": rng.integers(0, 51, n)}
            | {name: rng.random(n) for name in ("loss", "reward", "reward_train", "kl_reverse", "kl_forward")}
        )
        (folder / "runs" / key).mkdir(parents=True)
        log.to_parquet(folder / "runs" / key / "log.parquet")
