"""Three methods, one of each way to use the reward, learn a task through the real command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from analysis.pairs.learning import accuracy_table
from tests.analysis.simulated_study import simulate
from tests.proclivity.test_whole_walk import proclivity

METHODS = ["dpo", "superhf", "rloo"]


def test_each_reaches_the_threshold_where_the_evidence_is_plain(tmp_path: Path) -> None:
    study = {
        "name": "learns",
        "paper": "",
        "question": "Is it learnt?",
        "scale": "smoke",
        "primary": {
            "claim": "learnability",
            "arm": "main",
            "method": "rloo",
            "statistic": "accuracy",
            "test": "threshold",
            "pairs": "all",
        },
        "models": ["embedded/symbols:steps=300"],
        "pairs": {"list": ["symbolic/last-class-vs-contains-1"]},
        "probe": {"inputs": []},
        "settings": {
            "steps": 100,
            "learning_rate": 3e-3,
            "eval_n": 200,
            "log_points": 2,
            "counterfactual_n": 0,
        },
        "arms": {"main": {"methods": METHODS, "evidence": {"rates": [0.5]}}},
    }
    file = tmp_path / "learns.yaml"
    file.write_text(yaml.safe_dump(study))
    out = str(tmp_path / "out")
    proclivity("study", "run", str(file), "--out", out, "--workers", "2")
    rows = json.loads(proclivity("analyze", out, "--json").stdout)[out]["learnt"]
    assert {row["method"]: row["learnt"] for row in rows} == dict.fromkeys(METHODS, 1)
    assert all(row["answers"] == 800 and row["low"] > 0.9 for row in rows)


def test_what_has_learnt_half_of_the_quadrants_is_not_called_learnt() -> None:
    study = simulate(families=8, pairs=4, levels=(0.0,), seeds=(0,))
    runs = study.runs.copy()
    for quadrant, wrong in (("both", 0), ("neither", 0), ("target_only", 0), ("spurious_only", 50)):
        runs[f"errors_{quadrant}"] = wrong
    table = accuracy_table(replace(study, runs=runs))
    assert table["accuracy"].to_list() == pytest.approx([0.75] * 4)
    assert not table["learnt"].any()
    assert (table["low"] < 0.75).all() and (table["high"] > 0.75).all()
