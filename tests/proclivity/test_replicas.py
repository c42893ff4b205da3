"""Runs done together: who may be, how many, the same records as alone; and no finished run's key moves."""

from __future__ import annotations

import hashlib
import math
import time
from argparse import ArgumentTypeError
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
import torch

from analysis.records import check
from models.train import Diverged
from proclivity import job, replicas_job
from proclivity.arguments import replicas
from proclivity.job import JobResult, device_of
from proclivity.jobs import check as check_job
from proclivity.jobs import prepare, stacks, validate_settings
from proclivity.plan import plan
from proclivity.replicas_job import automatic, chosen, run_together, stackable
from proclivity.run_job import run_tuning
from proclivity.runner import Job, stamp
from proclivity.store import job_key
from proclivity.study import load_study
from tasks import UserError

TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=20,batch_size=8"
FEW = {"steps": 6, "batch_size": 16, "eval_n": 16, "log_n": 8, "log_points": 2, "counterfactual_n": 4}
ITS_OWN = {"wall_s", "started", "step_s", "stacked"}
"""Columns in which a run in a stack may differ from the same run alone."""


def config(seed: int = 0, rate: float = 0.0, method: str = "rloo", **changes: Any) -> dict[str, Any]:
    settings = validate_settings({**FEW, **changes.pop("settings", {})}, "settings")
    return {
        "job": "run",
        "study": "small",
        "arm": "main",
        "model": TINY,
        "init": "pretrained",
        "task": "symbolic/first-class-vs-contains-1",
        **dict.fromkeys(("seed_data", "seed_tune", "seed_warmup"), seed),
        "evidence_kind": "symmetric",
        "evidence_rate": rate,
        "method": method,
        "control": "",
        "settings": settings,
        **changes,
    }


def results(found: Sequence[JobResult | Diverged]) -> list[JobResult]:
    return [result for result in found if isinstance(result, JobResult)]


@pytest.mark.parametrize("method", ["rloo", "sft"])
def test_a_small_study_has_the_same_records(method: str) -> None:
    configs = [config(seed, rate, method) for seed, rate in product((0, 1), (0.0, 0.25))]
    configs.append(config(2, 0.25, method, task="symbolic/last-class-vs-first-class"))
    prepare(configs, None)
    alone = [run_tuning(each) for each in configs]
    start = time.perf_counter()
    found = results(run_together(configs))
    spent = time.perf_counter() - start
    assert 0.8 * spent < sum(result.records[0]["wall_s"] for result in found) <= spent
    for one, other in zip(alone, found, strict=True):
        (plain,), (stack,) = one.records, other.records
        for name in plain.keys() - ITS_OWN:
            assert stack[name] == pytest.approx(plain[name], abs=2e-3), name
        counts = [name for name in plain if name.startswith(("n_", "errors_")) or name in ("label", "ones")]
        assert [stack[name] for name in counts] == [plain[name] for name in counts]
        assert (plain["stacked"], stack["stacked"]) == (1, 5)
        assert (plain["device"], stack["device"]) == ("cpu", "cpu")
        for row, same in zip(other.log or [], one.log or [], strict=True):
            assert row == pytest.approx(same, abs=2e-3)
        assert other.cells == one.cells
        assert other.tables.keys() == one.tables.keys()
        job_of_it = Job("k", configs[0])
        assert check(stamp(stack, job_of_it))["stacked"] == 5


def test_one_that_diverges_is_told_and_the_others_have_their_records() -> None:
    configs = [config(seed) for seed in range(3)]
    made = replicas_job._tuning
    with pytest.MonkeyPatch.context() as patch:

        def spoilt(run: Any) -> Any:
            tuning = made(run)
            if run.config["seed_tune"] == 1:
                loss = tuning.loss
                tuning.loss = lambda batch, step: loss(batch, step) * (torch.nan if step == 3 else 1.0)
            return tuning

        patch.setattr(replicas_job, "_tuning", spoilt)
        first, end, last = run_together(configs)
    assert isinstance(end, Diverged)
    assert "at step 3 of 6" in str(end)
    for result, each in zip((first, last), (configs[0], configs[2]), strict=True):
        assert isinstance(result, JobResult)
        assert result.records[0]["label"] == run_tuning(each).records[0]["label"]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "sft"},
        {"control": "random_reward"},
        {"model": TINY + ",seed=2"},
        {"init": "random"},
        {"task": "english/first-class-vs-contains-1"},
        {"task": "symbolic/first-class-vs-contains-1:length=12"},
        {"dtype": "bfloat16"},
        {"settings": {"steps": 7}},
        {"settings": {"bf16": True}},
    ],
    ids=str,
)
def test_runs_of_other_shapes_are_not_stacked(changes: dict[str, Any]) -> None:
    assert stackable(config()) is not None
    assert stackable(config(**changes)) != stackable(config())


def test_seeds_evidence_and_pairs_of_a_language_may_differ() -> None:
    other = config(7, 0.3, arm="more", task="symbolic/parity-vs-contains-1", evidence_noise=0.1)
    assert stackable(other) == stackable(config())


@pytest.mark.parametrize(
    "changes",
    [
        {"job": "probe"},
        {"job": "reward_model"},
        {"probe_every": 10},
        {"reward_model": "folder"},
        {"method": "best-of-n"},
        {"settings": {"answers": "free"}},
        {"settings": {"answers": "free", "backend": "trl"}},
    ],
    ids=str,
)
def test_what_is_done_alone(changes: dict[str, Any]) -> None:
    assert stackable(config(**changes)) is None


def test_jobs_have_the_names_of_their_stacks() -> None:
    cells = [("rloo", 0), ("best-of-n", 0), ("rloo", 1), ("sft", 0)]
    configs = [config(seed, method=method) for method, seed in cells]
    (one, n), alone, two, (other, m) = stacks(configs, 8, lambda *_: None)
    assert two == (one, n) and alone == ("", 1) and (n, m) == (8, 8) and len({"", one, other}) == 3
    assert stacks(configs, 1, lambda *_: None) == [("", 1)] * 4


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        (lambda n: n, 1),  # a stack takes as long as its runs one by one
        (lambda n: 1.0, 16),  # it takes as long as one
        (lambda n: max(1.0, n / 4), 4),  # from 4 on the card is busy
        (lambda n: 5.0 if n > 1 else 1.0, 1),  # the first doubling does not pay
        (lambda n: math.inf, 1),  # the first run diverges at once
        (lambda n: 1.0 if n < 4 else math.inf, 2),
    ],
)
def test_as_many_are_stacked_as_pay(seconds: Any, best: int) -> None:
    assert chosen(seconds, 16) == best
    assert chosen(seconds, 3) == min(best, 2)


def test_on_a_cpu_none_are_stacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROCLIVITY_DEVICE", "cpu")
    assert automatic([config(seed) for seed in range(8)]) == 1


def test_on_a_gpu_memory_and_a_timing_say_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """One run takes 100 bytes, 1,000 are free: no more than 5 fit into half of them."""
    monkeypatch.setenv("PROCLIVITY_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 50)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: 150)
    monkeypatch.setattr("models.memory.free_memory", lambda _: 1000)
    monkeypatch.setattr(replicas_job, "step_seconds", lambda configs, device: 1.0)
    assert [automatic([config(seed) for seed in range(n)]) for n in (1, 3, 8)] == [1, 2, 4]
    assert [automatic([config(seed) for seed in range(8)], workers) for workers in (2, 4)] == [2, 1]
    assert job.load_model.cache_info().currsize == 0
    monkeypatch.setattr(replicas_job, "step_seconds", lambda configs, device: float(len(configs)))
    assert automatic([config(seed) for seed in range(8)]) == 1


def test_what_cannot_be_stacked_is_no_error_of_a_study(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> float:
        raise UserError("LlamaForCausalLM has layers that cannot be stacked")

    monkeypatch.setenv("PROCLIVITY_DEVICE", "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(replicas_job, "step_seconds", refused)
    assert automatic([config(seed) for seed in range(8)]) == 1


def test_a_stack_is_timed_on_its_first_steps() -> None:
    configs = [config(seed, rate) for seed, rate in ((0, 0.0), (1, 0.02))]
    prepare(configs, None)
    assert 0 < replicas_job.step_seconds(configs, "cpu") < 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rl_finetune.replicas.tune_together", lambda tunings: [])  # all diverged at once
        assert replicas_job.step_seconds(configs, "cpu") == math.inf


def test_replicas_are_auto_or_a_number() -> None:
    assert (replicas("auto"), replicas("1"), replicas("16")) == (0, 1, 16)
    for wrong in ("0", "-2", "many", "1.5", ""):
        with pytest.raises(ArgumentTypeError, match="must be auto or a whole number"):
            replicas(wrong)


def test_the_device_is_the_one_told_or_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(job.DEVICE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (device_of("gpt2"), device_of(TINY), device_of(TINY, stacked=True)) == ("cuda", "cpu", "cuda")
    monkeypatch.setenv(job.DEVICE, "cuda:1")
    assert (device_of("gpt2"), device_of(TINY)) == ("cuda:1", "cuda:1")
    monkeypatch.setenv(job.DEVICE, "cpu")
    assert (device_of("gpt2"), device_of(TINY, stacked=True)) == ("cpu", "cpu")
    for wrong, told in (("gpu", "did you mean 'cpu'"), ("cuda:2", "there are 2"), ("cuda:x", "there are 2")):
        monkeypatch.setenv(job.DEVICE, wrong)
        with pytest.raises(UserError, match=told):
            device_of("gpt2")


def test_compiling_is_refused_where_nothing_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config(settings={"compile": True})
    check_job(asked)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"compile=true needs a C\+\+ compiler") as error:
        check_job(asked)
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="compile needs answers=constrained"):
        config(settings={"compile": True, "answers": "free"})
    judge = {**asked, "job": "reward_model", "method": "bradley-terry"}
    with pytest.raises(UserError, match="not to reward models"):
        check_job(judge)


@pytest.mark.parametrize(
    ("study", "digest"), [("cruz2023-smoke", "23e8d82639564c53"), ("cruz2023-quick", "67a31bf52c79aa32")]
)
def test_settings_at_their_defaults_move_no_key(study: str, digest: str) -> None:
    """Of configs alone: what their tasks and models are made of has hashes of its own."""
    keys = [job_key(each.config, {}) for each in plan(*load_study(study)).jobs]
    assert hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16] == digest


def test_a_setting_that_is_used_moves_it() -> None:
    told = [config(settings=settings) for settings in ({}, {"bf16": True}, {"compile": True})]
    assert len({job_key(each, {}) for each in told}) == 3
