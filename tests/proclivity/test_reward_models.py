"""Reward models through the command line: trained, measured, kept, and tuned on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import read_study

TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=20,batch_size=8"
TASK = "symbolic/contains-1-vs-first-class"
SMALL = ("--model", TINY, "--task", TASK, "--steps", "60", "--batch-size", "64", "--learning-rate", "0.01",
         "--eval-n", "50", "--log-n", "20", "--log-points", "2", "--counterfactual-n", "8")  # fmt: skip
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(real_call: Call) -> Call:
    return real_call


def trained(call: Call, out: Path, *more: str) -> tuple[dict[str, Any], str]:
    """A reward model's record, and its folder."""
    status, text, err = call("reward-model", *SMALL, "--out", str(out), "--json", *more)
    assert status == 0, err
    (record,) = json.loads(text)
    return record, str(out / "runs" / record["key"] / "reward_model")


def test_which_feature_does_it_use_and_does_the_policy_inherit_it(call: Call, tmp_path: Path) -> None:
    record, folder = trained(call, tmp_path / "out", "--ties", "0.25", "--half", "1")
    assert (record["label"], record["U"]) == ("spurious", pytest.approx(1, abs=0.1))
    assert (record["method"], record["half"]) == ("bradley-terry", 1)
    assert record["ties"] == pytest.approx(960, abs=80)  # a quarter, at random within the half
    assert record["kl_reverse"] is None and record["reliance_spurious"] > 0.5
    text = call("reward-model", *SMALL, "--out", str(tmp_path / "out"), "--ties", "0.25", "--half", "1")[1]
    right = sum(50 - record[f"errors_{q}"] for q in ("both", "neither"))
    assert f"held-out pairs ranked right: {right} of 100 on both and neither" in text
    assert text.startswith("reward model of ") and f"kept in {folder}" in text

    told = ("finetune", *SMALL, "--method", "rloo", "--evidence", "0.5", "--reward-model", folder)
    status, out, err = call(*told, "--out", str(tmp_path / "out"), "--json")
    assert status == 0, err
    (run,) = json.loads(out)
    assert (run["reward_model"], run["reward_model_U"]) == (record["key"], record["U"])
    gold = [1 - run[f"errors_{q}"] / run[f"n_{q}"] for q in ("both", "neither")]
    assert run["reward_both_neither"] == pytest.approx(sum(gold) / 2) != run["reward_learned"]
    log = pd.read_parquet(tmp_path / "out" / "runs" / run["key"] / "log.parquet")
    assert set(log["step"]) == {30, 60} and log["reward_learned"].notna().all()
    assert list(log["reward"]) == pytest.approx(list(1 - log["errors"] / log["n"]))
    study = read_study(tmp_path / "out")
    assert study.problems == [] and set(study.runs["method"]) == {"rloo", "bradley-terry"}
    lines = call(*told, "--out", str(tmp_path / "out"))[1].splitlines()
    assert [line.split()[:3] for line in lines if line.startswith(("reward model", "policy"))] == [
        ["reward", "model", record["key"]],
        ["policy", "-" if run["U"] is None else f"{run['U']:.4g}", f"{run['reward_both_neither']:.4g}"],
    ]


def test_a_gold_run_is_the_run_it_was(call: Call, tmp_path: Path) -> None:
    quick = (*SMALL[:4], "--steps", "2", "--batch-size", "8", "--eval-n", "8", "--counterfactual-n", "0")
    (run,) = json.loads(call("finetune", *quick, "--method", "rloo", "--json")[1])
    assert (run["reward_model"], run["reward_model_U"], run["reward_learned"]) == ("", None, None)


def test_mistakes_are_one_line(call: Call, tmp_path: Path) -> None:
    quick = ("--steps", "3", "--batch-size", "8", "--eval-n", "8", "--counterfactual-n", "0")
    _, folder = trained(call, tmp_path / "out", *quick)
    base = ("finetune", *SMALL, *quick)
    for more, says in {
        ("--method", "rloo", "--reward-model", str(tmp_path)): f"{tmp_path} is no reward model: it holds no",
        ("--method", "sft", "--reward-model", folder): "--reward-model: sft does not use the reward",
        ("--method", "rloo", "--reward-model", folder, "--control", "random_reward"): "exclude each other",
        ("--method", "rloo", "--reward-model", folder, "--seed", "1"): "give --seed 0, under which",
    }.items():
        status, _, err = call(*base, *more)
        assert status == 2 and says in err and err.count("\n") == 1, err
    for more, says in {
        ("--half", "3"): "3",
        ("--ties", "2"): "ties 2.0 is outside 0 to 1",
        ("--evidence", "0.7"): "evidence 0.7 is outside",
    }.items():
        status, _, err = call("reward-model", *SMALL, *more)
        assert status == 2 and says in err and err.count("\n") == 1, err
