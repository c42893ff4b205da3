"""TRL's trainers through the command line: a run, a kill, a record; mistakes; the launcher."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import read_study
from proclivity import composition
from proclivity.store import Store

TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=20,batch_size=8"
SMALL = ("--model", TINY, "--task", "symbolic/contains-1-vs-first-class", "--steps", "10",
         "--batch-size", "16", "--learning-rate", "0.01", "--eval-n", "20", "--log-n", "8",
         "--log-points", "2", "--counterfactual-n", "8", "--backend", "trl")  # fmt: skip
RUN = ("finetune", *SMALL, "--method", "rloo", "--answers", "free")
Call = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_killed_run_is_taken_up_again_and_leaves_one_record(
    real_call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rl_finetune.trl_run import Watch

    kept, saves = Watch.on_save, []

    def killed(self: Any, args: Any, state: Any, control: Any, **more: Any) -> None:
        kept(self, args, state, control, **more)
        saves.append(state.global_step)
        if state.global_step == 6:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Watch, "on_save", killed)
        status, text, err = real_call(*RUN, "--out", str(out), "--json")
        assert status == 130 and text == "" and "stopped" in err and saves[-1] == 6
    (scratch,) = (out / "scratch").iterdir()
    status, text, err = real_call(*RUN, "--out", str(out), "--json")
    assert status == 0, err
    (run,) = (record for record in json.loads(text) if record["kind"] == "run")
    assert scratch.name == run["key"] and not scratch.exists()
    told = {"backend": "trl", "method": "rloo", "answers": "free", "resumed_from_step": 6, "lora": 0}
    assert {name: run[name] for name in told} == told
    assert run["n_answers"] == 80 and " trl 1." in run["versions"] and run["kl_reverse"] > 0
    log = pd.read_parquet(out / "runs" / run["key"] / "log.parquet")
    assert list(log["step"]) == [5] * 4 + [10] * 4
    policy = out / "runs" / run["key"] / "policy"
    assert (policy / "model.safetensors").is_file()
    study = read_study(out)
    assert study.problems == [] and set(study.runs["backend"]) == {"trl"}
    status, text, err = real_call(
        "use",
        "--model",
        str(policy),
        "--task",
        SMALL[3],
        "--eval-n",
        "20",
        "--counterfactual-n",
        "8",
        "--json",
    )
    assert status == 0, err
    (used,) = json.loads(text)
    counted = [name for name in run if name.startswith(("errors_", "n_"))]
    assert {name: used[name] for name in counted} == {name: run[name] for name in counted}


def test_a_reward_model_is_trained(real_call: Call, tmp_path: Path) -> None:
    status, text, err = real_call("reward-model", *SMALL, "--out", str(tmp_path / "out"), "--json")
    assert status == 0, err
    (record,) = json.loads(text)
    assert (record["backend"], record["method"], record["ties"]) == ("trl", "bradley-terry", 0)
    folder = tmp_path / "out" / "runs" / record["key"] / "reward_model"
    assert (folder / "model.safetensors").is_file()
    status, _, err = real_call("reward-model", *SMALL, "--ties", "0.5")
    assert status == 2 and "TRL's reward trainer has no ties" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--answers", "constrained"), "--backend trl needs --answers free"),
        (("--kl-in", "loss"), "TRL's rloo has no kl_in loss"),
        (("--backend", "trll"), "unknown value of backend 'trll'; did you mean 'trl'?"),
        (("--backend", "native", "--lora", "4"), "setting lora needs backend=trl"),
        (("--report-to", "tensorboard"), "--report-to needs --backend trl, and --out"),
        (("--report-to", "pigeon", "--out", "x"), "--report-to pigeon is not installed"),
    ],
)
def test_mistakes_are_one_line(real_call: Call, arguments: tuple[str, ...], says: str) -> None:
    status, text, err = real_call(*RUN, *arguments)
    assert (status, text, err.count("\n")) == (2, "", 1) and says in err


def test_a_study_s_job_has_a_folder_that_is_no_part_of_its_key(tmp_path: Path) -> None:
    """Native runs are told of none, and what runs are called stays."""
    from proclivity.runner import Job, in_scratch

    settings = composition.jobs().validate_settings({"backend": "trl", "answers": "free"}, "settings")
    assert settings["entropy_bonus"] == 0.0  # TRL has none, and the config says so
    store = Store(tmp_path)
    native, by_trl = Job("a", {"settings": {}}), Job("b", {"settings": settings})
    assert in_scratch(store, native.key, native.config) == native.config
    assert in_scratch(store, by_trl.key, by_trl.config) == {
        **by_trl.config,
        "scratch": str(tmp_path / "scratch" / "b"),
    }
    for key in ("0" * 16, "1" * 16):
        store.scratch(key).mkdir(parents=True)
    store.sweep(["1" * 16])
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["1" * 16]
    store.publish_failed("1" * 16, {"key": "1" * 16})
    assert not store.scratch("1" * 16).exists()
