"""Tuning in two processes that accelerate launches: one run, whoever computes it, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from models import LanguageModel, load
from models.language_model import weights_hash
from proclivity import launch as launching
from proclivity import launched
from proclivity.launch import launch
from proclivity.plan import plan
from proclivity.store import job_key
from proclivity.study import load_study
from rl_finetune import finetune_with_trl, get_method, warm_up
from rl_finetune.settings import settings_from
from tasks import Evidence, UserError, get_task
from tests.rl_finetune.conftest import fresh

pytestmark = pytest.mark.filterwarnings("ignore")

TASK = "symbolic/first-class-vs-coin"
SHORT = {"steps": 3, "batch_size": 8, "learning_rate": 0.01, "answers": "free", "backend": "trl",
         "log_points": 1, "log_n": 8, "processes": 2}  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> LanguageModel:
    made = fresh(scale=3.0)
    made.model.save_pretrained(tmp_path / "model")
    made.tokenizer.save_pretrained(tmp_path / "model")
    return load(str(tmp_path / "model"))


def config_of(model: LanguageModel, method: str, **settings: Any) -> dict[str, Any]:
    told = settings_from({**SHORT, **settings}).told()
    seeds = dict.fromkeys(("seed_data", "seed_tune", "seed_warmup"), 0)
    cell = {"model": model.name, "init": "pretrained", "task": TASK, **Evidence().config(), **seeds}
    return {"job": "run", **cell, "method": method, "control": "", "settings": told}


def vector(lm: LanguageModel) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in lm.model.parameters()])


def outcome(scratch: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((scratch / "launch" / launching.OUTCOME).read_text())
    return made


def test_two_processes_train_as_one_does(model: LanguageModel, tmp_path: Path) -> None:
    """Half of each batch is the other process's: without it the change would be another."""
    from proclivity.run_job import prepared

    config = config_of(model, "dpo")
    (tmp_path / "two").mkdir()
    two = launch({**config, "scratch": str(tmp_path / "two")}, model)
    ranks = outcome(tmp_path / "two")["ranks"]
    assert [told["rank"] for told in ranks] == [0, 1] and ranks[0]["pid"] != ranks[1]["pid"]
    assert {told["weights"] for told in ranks} == {weights_hash(two.lm.model)} != {model.weights_hash}
    config["settings"] |= {"processes": 1, "warmup_steps": 1}
    begun = prepared(config)
    settings = settings_from({**config["settings"]})
    one = finetune_with_trl(
        model, begun.task, begun.rows, get_method("dpo"), settings, seed=0, log_rows=begun.log_rows
    )
    change = vector(one.lm) - vector(model)
    assert (vector(two.lm) - vector(one.lm)).norm() < 0.02 * change.norm()
    keep = ("step", "quadrant", "n")
    assert [{k: row[k] for k in keep} for row in two.log] == [{k: row[k] for k in keep} for row in one.log]


def test_sampling_in_two_processes_is_told_by_the_seed_and_their_number(
    model: LanguageModel, tmp_path: Path
) -> None:
    found = []
    warmed = warm_up(model, get_task(TASK).for_seed(0), settings_from({**SHORT, "warmup_steps": 300}), 0)
    for name in ("first", "again"):
        (tmp_path / name).mkdir()
        told = launch({**config_of(model, "rloo", lora=2), "scratch": str(tmp_path / name)}, warmed)
        assert 0.2 <= told.reward <= 0.8 and told.step_s > 0 and len(told.log) == 4
        found.append((weights_hash(told.lm.model), told.reward, str(told.log)))
    assert found[0] == found[1] and found[0][0] != warmed.weights_hash


def test_what_a_process_failed_by_is_said(
    model: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / launching.JOB).write_text(json.dumps(config_of(model, "sftt")))
    monkeypatch.setattr(launched, "_die_without", lambda lifeline: None)
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError):
        launched.main(tmp_path)
    (tmp_path / "said").touch()
    with (tmp_path / "said").open() as file:
        assert "unknown method 'sftt'; did you mean 'sft'" in launching._why(tmp_path, file, 2)


def test_the_first_error_is_said_whichever_process_it_is_of(tmp_path: Path) -> None:
    for rank, when in ((0, 2_000_000_001), (1, 2_000_000_000)):
        launching.error_file(tmp_path, rank).write_text(json.dumps({"error": f"of process {rank}"}))
        os.utime(launching.error_file(tmp_path, rank), ns=(when, when))
    (tmp_path / "said").touch()
    with (tmp_path / "said").open() as file:
        assert launching._why(tmp_path, file, 2) == "of process 1"


def test_a_killed_process_and_one_that_never_began_are_told_apart(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text("Traceback\n  exitcode  : -9 (pid: 7)\n====\n")
    with said.open() as file:
        assert launching._why(tmp_path, file, 2) == "one of its 2 processes was killed by signal 9"
    said.write_text("first\nno such port\n\n")
    with said.open() as file:
        assert launching._why(tmp_path, file, 2) == "its 2 processes could not be launched: no such port"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
def test_nobody_outlives_who_launched_them(tmp_path: Path, sign: int) -> None:
    """The processes wait for ever for their job, a pipe that nobody writes to."""
    os.mkfifo(tmp_path / launching.JOB)
    code = (
        "import pathlib, signal, sys\nfrom proclivity import launch\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "launch._run(pathlib.Path(sys.argv[1]), 2)"
    )
    root = str(Path(__file__).parents[2])
    parent = subprocess.Popen(
        [sys.executable, "-c", code, f"{tmp_path}/"],
        env={**os.environ, "PYTHONPATH": root},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    mark = str(tmp_path).encode()
    try:
        assert wait_for(lambda: len(processes_with(mark)) == 3)  # the launcher and two of its own
        parent.send_signal(sign)
        parent.wait(20)
        assert wait_for(lambda: not processes_with(mark))
    finally:
        parent.kill()


def processes_with(mark: bytes) -> list[int]:
    """Processes that have an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if mark in arguments:
            found.append(int(path.parent.name))
    return found


def wait_for(true: Any, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    ("method", "settings", "says"),
    [
        ("sft", {"batch_size": 9}, "batch_size 9 cannot be split over processes 2"),
        ("sft", {"processes": 0}, "setting processes must be above 0, not 0"),
        ("sft", {"backend": "native"}, "setting processes needs backend=trl"),
        ("kto", {}, "kto estimates its KL on whole batches"),
    ],
)
def test_what_cannot_be_split_is_refused(method: str, settings: dict[str, Any], says: str) -> None:
    from rl_finetune import check_trl

    with pytest.raises(UserError, match=says):
        check_trl(method, settings_from({**SHORT, **settings}), "")


def test_processes_that_nobody_asked_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from rl_finetune.trl_backend import _rank

    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(UserError, match="4 processes were launched for a run of 2"):
        _rank(settings_from(SHORT))


def test_the_number_of_processes_is_part_of_a_key_and_one_is_not() -> None:
    assert "processes" not in settings_from({**SHORT, "processes": 1}).told()
    assert settings_from(SHORT).told()["processes"] == 2
    study, document = load_study("cruz2023-smoke")
    keys = " ".join(job_key(job.config, {}) for job in plan(study, document).jobs)
    assert hashlib.sha256(keys.encode()).hexdigest()[:16] == "23e8d82639564c53"  # as before there were any
