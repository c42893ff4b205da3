"""Jobs that do not fit are refused before anything is loaded, with what fits; others are left alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import GPT2Config

from proclivity import memory_check
from proclivity.memory_check import OVERRIDE, check_memory, need_of
from proclivity.memory_needs import needed, told
from proclivity.study_head import Resources
from rl_finetune.settings import settings_from
from tasks import UserError

Call = Callable[..., tuple[int, str, str]]
TASK = "english/agreement-hard-length"


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A configuration and nothing else: no weights, no tokenizer."""
    GPT2Config(n_embd=512, n_layer=8, n_head=8, vocab_size=20_000).save_pretrained(tmp_path / "model")
    return str(tmp_path / "model")


def run_of(model: str, **settings: Any) -> dict[str, Any]:
    told = settings_from(settings).told()
    return {"job": "run", "model": model, "task": TASK, "method": "rloo", "control": "", "settings": told}


def by_trl(model: str, **settings: Any) -> dict[str, Any]:
    return run_of(model, **{"backend": "trl", "answers": "free", **settings})


def having(gigabytes: float) -> Callable[[str, int], float]:
    return lambda device, processes: gigabytes * 1e9


def test_a_job_that_fits_is_left_alone(model: str) -> None:
    need = need_of([run_of(model)], 0)
    check_memory([run_of(model)], 0, found=having(need / 1e9))
    with pytest.raises(UserError, match="needs about"):
        check_memory([run_of(model)], 0, found=having(need / 1e9 - 1e-6))


def test_what_is_said_to_fit_does_and_nothing_else_is_said(model: str) -> None:
    config = by_trl(model, batch_size=64)
    whole = need_of([config], 1) / 1e9
    for free in (whole * 0.9, whole * 0.6, whole * 0.4):
        with pytest.raises(UserError) as error:
            check_memory([config], 1, found=having(free))
        said = str(error.value)
        batch = re.search(r"batch_size (\d+) \(", said)
        assert f"this machine has {free:.1f} GB" in said or f"{free:.0f} GB" in said
        for name, change in (
            ("--lora 16", {"lora": 16}),
            ("--gradient-ch", {"gradient_checkpointing": True}),
        ):
            fits = need_of([by_trl(model, batch_size=64, **change)], 1) <= free * 1e9
            assert fits == (name in said), said
        if batch:
            sizes = [need_of([by_trl(model, batch_size=int(batch[1]) * k)], 1) for k in (1, 2)]
            assert sizes[0] <= free * 1e9 < sizes[1]
    assert fits or batch or "eval_n" in said or "no one setting makes it fit" in said


def test_nothing_fits(model: str) -> None:
    with pytest.raises(
        UserError, match=r"needs about .* GB, .*; no one setting makes it fit, .* GB would"
    ) as error:
        check_memory([run_of(model)], 0, found=having(0.1))
    assert "\n" not in str(error.value) and OVERRIDE in str(error.value)


def test_native_runs_are_not_told_to_take_what_trl_has(model: str) -> None:
    with pytest.raises(UserError) as error:
        check_memory([run_of(model, batch_size=256)], 0, found=having(3))
    assert "--lora" not in str(error.value) and "batch_size 1" in str(error.value)


def test_jobs_at_once_are_added_up_and_fewer_of_them_may_fit(model: str) -> None:
    configs = [
        {**run_of(model), "task": TASK, "seed": i, "method": m} for i, m in enumerate(("rloo", "sft", "dpo"))
    ]
    one, two = (need_of(configs, n) for n in (1, 2))
    assert 1.9 * one < two < 2.1 * one
    with pytest.raises(UserError, match=r"2 jobs at once.*fits with --workers 1 "):
        check_memory(configs, 2, found=having(1.5 * one / 1e9))


@pytest.mark.parametrize(
    ("cpus", "most"), [(0.5, "--workers 1 "), (1.0, "--workers 3 "), (4.0, "--workers 12 ")]
)
def test_on_a_ray_cluster_workers_are_cpus_and_gpus_are_not_seen(
    model: str, cpus: float, most: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_check, "device_of", lambda model: "cuda")
    asked: list[str] = []

    def found(device: str, processes: int) -> float:
        asked.append(device)
        return 1.1 * need_of([{**run_of(model), "seed": i} for i in range(9)], 3)

    configs = [{**run_of(model), "seed": i} for i in range(9)]
    with pytest.raises(UserError, match=rf"4 jobs at once.*fits with {most}"):
        check_memory(configs, 4, Resources(cpus), found)
    check_memory(configs, 4, Resources(cpus, gpus=0.5), found)  # which GPU is not known
    assert asked == ["cpu"]


def test_the_processes_of_a_run_are_added_up_on_a_machine_and_apart_on_its_gpus(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    four = by_trl(model, processes=4)
    assert need_of([four], 0) > 2 * need_of([by_trl(model)], 0)
    one = need_of([four], 0, on_gpu=True)
    monkeypatch.setattr(memory_check, "device_of", lambda model: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 6)
    free = dict.fromkeys([f"cuda:{i}" for i in range(4)], one)
    monkeypatch.setattr("models.memory.free_memory", lambda device: free[device])  # of no other is asked
    check_memory([four])
    free["cuda:3"] -= 1
    with pytest.raises(UserError, match="the fullest of 4 GPUs has"):
        check_memory([four])


def test_who_knows_better_may(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OVERRIDE, "1")
    check_memory([run_of(model)], 0, found=having(0.1))


def test_embedded_models_are_not_asked() -> None:
    def nobody(device: str, processes: int) -> float:
        raise AssertionError

    config = run_of("embedded/symbols")
    assert needed(config) is None and told([config]) == []
    check_memory([config], 4, found=nobody)


def test_a_dry_run_tells_and_a_run_is_refused_before_it_loads(
    model: str, real_call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = json.dumps({
        "name": "large", "paper": "", "question": "Does it fit?", "scale": "smoke",
        "models": [model, "org/none@a"],
        "primary": {"claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman",
                    "test": "family_permutation", "pairs": "all"},
        "pairs": {"list": [TASK]}, "arms": {"main": {"methods": ["rloo"]}},
    })  # fmt: skip
    (tmp_path / "large.yaml").write_text(study)
    status, out, err = real_call("study", "run", str(tmp_path / "large.yaml"), "--dry-run")
    assert status == 0, err
    assert re.search(rf"{model}: about [\d.]+ GB a process \(weights", out)
    assert out.count("org/none: memory cannot be told: cannot load model 'org/none@a'") == 1
    status, out, _ = real_call("study", "run", str(tmp_path / "large.yaml"), "--dry-run", "--json")
    known, unknown = json.loads(out)["memory"]
    assert known["bytes"] == sum(known["parts"].values()) and "unknown" in unknown
    monkeypatch.setattr(check_memory, "__defaults__", (0, None, having(0.2)))
    finetune = ("finetune", "--model", model, "--task", TASK, "--method", "sft")
    status, out, err = real_call(*finetune)
    assert (status, out, err.count("\n")) == (2, "", 1) and "needs about" in err and "0.2 GB free" in err


def test_seeds_of_one_job_are_added_up_as_other_jobs_are(model: str) -> None:
    """Eight runs that differ in their seed alone are two at once on two workers."""
    seeds = [{**run_of(model), "seed_tune": seed} for seed in range(8)]
    one = need_of(seeds[:1], 1)
    check_memory(seeds, 1, found=having(1.1 * one / 1e9))
    with pytest.raises(UserError, match="2 jobs at once"):
        check_memory(seeds, 2, found=having(1.1 * one / 1e9))


def test_the_gpu_is_the_one_told(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_check, "device_of", lambda model: "cuda:1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("models.memory.free_memory", {"cuda:1": 1e8}.__getitem__)  # of no other is asked
    with pytest.raises(UserError, match=r"cuda:1 has 0\.1 GB free"):
        check_memory([run_of(model)])
