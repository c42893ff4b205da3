"""Tuning on TRL's trainers: the native loop's rows, log and errors, and a kill that costs nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from models import LanguageModel
from models.language_model import weights_hash
from models.train import Diverged
from rl_finetune import (
    Settings,
    answers_to,
    check_trl,
    finetune,
    finetune_with_trl,
    get_method,
    kept_reference,
    policy_of,
    preference_pairs,
    train_reward_model,
    train_reward_model_with_trl,
    trl_run,
    warm_up,
)
from rl_finetune.trl_run import KEPT
from tasks import QUADRANTS, Evidence, Task, UserError
from tests.models.test_untrusted_models import Evil
from tests.rl_finetune.test_tuning import rows_of

pytestmark = pytest.mark.filterwarnings("ignore")

BY_TRL = Settings(
    steps=2,
    batch_size=8,
    learning_rate=1e-3,
    answers="free",
    entropy_bonus=0.0,
    log_points=0,
    backend="trl",
)
FLAT = {"lr_scheduler_type": "constant", "lr_scheduler_kwargs": None}
"""Options of a rate that stays, as that of our loop does for two steps."""


def vector(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def change(tuned: LanguageModel, start: LanguageModel) -> torch.Tensor:
    return vector(tuned.model) - vector(start.model)


def log_rows(task: Task) -> dict[str, Any]:
    return {q: task.quadrant(q, 20, np.random.default_rng(1), "validation").to_dict() for q in QUADRANTS}


@pytest.mark.parametrize("control", ["", "shuffled_labels"])
@pytest.mark.parametrize("name", ["sft", "dpo", "ipo-per-token", "kto"])
def test_two_steps_are_the_native_loop_s(lm: LanguageModel, task: Task, name: str, control: str) -> None:
    """The same rows in the same batches, the same reference, the same optimiser."""
    rows, method = rows_of(task, BY_TRL.rows), get_method(name)
    native = replace(BY_TRL, backend="native")
    expected = change(finetune(lm, task, rows, method, native, seed=3, control=control).lm, lm)
    tuned = finetune_with_trl(lm, task, rows, method, BY_TRL, seed=3, control=control, **FLAT)
    found = change(tuned.lm, lm)
    # AdamW divides by the gradient: what is nearly 0 has a sign that rounding decides.
    assert (found - expected).norm() < 0.02 * expected.norm()
    assert type(tuned.lm.model) is type(lm.model) and not tuned.lm.model.training
    other = finetune(lm, task, rows_of(task, BY_TRL.rows, 9), method, native, seed=3).lm
    assert (change(other, lm) - expected).norm() > 0.1 * expected.norm()


def test_a_reward_model_s_two_steps_are_the_native_loop_s(lm: LanguageModel, task: Task) -> None:
    pairs = preference_pairs(task, Evidence("symmetric", 0.5), BY_TRL.rows, [0])
    settings = replace(BY_TRL, log_points=1)
    native = train_reward_model(lm, task, pairs, replace(settings, backend="native"), log_rows=log_rows(task))
    made = train_reward_model_with_trl(lm, task, pairs, settings, log_rows=log_rows(task), **FLAT)
    start = train_reward_model(lm, task, pairs, replace(BY_TRL, learning_rate=1e-12)).lm
    expected = change(native.lm, start)
    assert (change(made.lm, start) - expected).norm() < 0.02 * expected.norm()
    assert [list(row) for row in made.log] == [list(row) for row in native.log] != []
    for found, row in zip(made.log, native.log, strict=True):
        assert all(found[name] == row[name] for name in ("step", "quadrant", "n"))
        assert found["p_error"] == pytest.approx(row["p_error"], abs=1e-3)
    with pytest.raises(UserError, match="TRL's reward trainer has no ties: give --ties 0"):
        train_reward_model_with_trl(lm, task, {**pairs, "tie": [1] * BY_TRL.rows}, settings)


@pytest.fixture
def warmed(lm: LanguageModel, task: Task) -> LanguageModel:
    return warm_up(lm, task, replace(BY_TRL, batch_size=64, learning_rate=1e-2), seed=0)


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_what_is_rewarded_is_learnt_and_the_log_has_the_native_shape(
    warmed: LanguageModel, task: Task, name: str
) -> None:
    """Each answer is rewarded by the prompt that it was given to."""
    settings = replace(BY_TRL, steps=30, batch_size=16, learning_rate=2e-3, log_points=2)
    rows = rows_of(task, settings.rows)
    truth = dict(zip(rows["prompt"], rows["label"], strict=True))

    class OneAnswer(Task):
        def reward(self, prompts: Any, completions: Any, **columns: Any) -> list[float]:
            assert columns["label"] == [
                truth.get(p, y) for p, y in zip(prompts, columns["label"], strict=True)
            ]
            return [float(text == self.answers.words[1]) for text in completions]

    one = OneAnswer(task.name, task.target, task.spurious, task.inputs, task.answers)
    tuned = finetune_with_trl(warmed, one, rows, get_method(name), settings, seed=0, log_rows=log_rows(task))
    asked = rows_of(task, 200, 99, "test")
    read, _ = answers_to(tuned.lm, policy_of(tuned.lm, task, "free"), task, asked["prompt"])
    assert np.mean(read) >= 0.95 and tuned.reward > 0.9
    short = replace(settings, backend="native", steps=2)
    native = finetune(warmed, one, rows, get_method(name), short, seed=0, log_rows=log_rows(task))
    assert [(r["step"], r["quadrant"]) for r in tuned.log] == [(s, q) for s in (15, 30) for q in QUADRANTS]
    assert list(tuned.log[0]) == list(native.log[0])
    assert tuned.log[-1]["kl_reverse"] > 0.1 and tuned.step_s > 0
    assert weights_hash(warmed.model) == warmed.weights_hash


def test_random_rewards_do_not_ask_the_task(warmed: LanguageModel, task: Task) -> None:
    rows = rows_of(task, BY_TRL.rows)
    flipped = {**rows, "label": [1 - y for y in rows["label"]]}
    told = {"seed": 0, "control": "random_reward"}
    one, other = (
        finetune_with_trl(warmed, task, r, get_method("rloo"), BY_TRL, **told).lm for r in (rows, flipped)
    )
    assert weights_hash(one.model) == weights_hash(other.model) != warmed.weights_hash


def stop_after(step: int, error: BaseException) -> Callable[[int, LanguageModel], None]:
    def observe(now: int, _: LanguageModel) -> None:
        if now == step:
            raise error

    return observe


@pytest.mark.parametrize("name", ["rloo", "sft"])
def test_a_killed_run_ends_as_if_it_had_not_been_killed(
    warmed: LanguageModel, task: Task, name: str, tmp_path: Path
) -> None:
    settings = replace(BY_TRL, steps=10, log_points=2)
    rows, method = rows_of(task, settings.rows), get_method(name)
    told = {"seed": 0, "log_rows": log_rows(task)}
    whole = finetune_with_trl(warmed, task, rows, method, settings, **told)
    scratch = tmp_path / "scratch"
    with pytest.raises(KeyboardInterrupt):
        kill = stop_after(7, KeyboardInterrupt())
        finetune_with_trl(warmed, task, rows, method, settings, **told, scratch=scratch, observe=kill)
    torn = scratch / "checkpoint-8"  # as if the power had failed while this was written
    torn.mkdir()
    (torn / "model.safetensors").write_bytes(b"half of it")
    reference = kept_reference(warmed, scratch)
    assert reference and reference.weights_hash == warmed.weights_hash
    again = finetune_with_trl(reference, task, rows, method, settings, **told, scratch=scratch)
    assert (whole.resumed_from_step, again.resumed_from_step) == (0, 6)
    assert weights_hash(again.lm.model) == weights_hash(whole.lm.model)
    assert [row["step"] for row in again.log[::4]] == [5, 10]
    assert repr((again.log, again.reward)) == repr((whole.log, whole.reward))  # NaN is not equal to itself
    end = finetune_with_trl(reference, task, rows, method, settings, **told, scratch=scratch)
    assert end.resumed_from_step == 10 and weights_hash(end.lm.model) == weights_hash(whole.lm.model)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_what_a_trainer_reads_of_a_checkpoint_executes_nothing(
    warmed: LanguageModel, task: Task, name: str, tmp_path: Path
) -> None:
    """These files are pickles: put there by another they end the run, and are not tried again."""
    settings, method = replace(BY_TRL, steps=4), get_method("sft")
    rows, scratch, mark = rows_of(task, settings.rows), tmp_path / "scratch", tmp_path / "executed"
    with pytest.raises(KeyboardInterrupt):
        kill = stop_after(3, KeyboardInterrupt())
        finetune_with_trl(warmed, task, rows, method, settings, seed=0, scratch=scratch, observe=kill)
    planted = list(scratch.glob(f"checkpoint-*/{name}"))
    assert planted
    for path in planted:
        torch.save(Evil(mark), path)
    torch.load(planted[0], weights_only=False)
    assert mark.exists()  # it would execute
    mark.unlink()
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        finetune_with_trl(warmed, task, rows, method, settings, seed=0, scratch=scratch)
    assert not mark.exists() and not list(scratch.glob("checkpoint-*"))
    again = finetune_with_trl(warmed, task, rows, method, settings, seed=0, scratch=scratch)
    assert again.resumed_from_step == 0 and not mark.exists()


def test_a_loss_that_is_no_number_ends_it_with_the_step_and_leaves_no_checkpoint(
    warmed: LanguageModel, task: Task, tmp_path: Path
) -> None:
    settings = replace(BY_TRL, steps=4, learning_rate=1e30)
    rows = rows_of(task, settings.rows)
    for name in ("sft", "rloo"):
        scratch = tmp_path / name
        with pytest.raises(Diverged, match=r"at step [123] of 4"):
            finetune_with_trl(warmed, task, rows, get_method(name), settings, seed=0, scratch=scratch)
        assert not list(scratch.glob(f"**/{KEPT}"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda n: [1.0] * (n - 1), "returned 31 rewards for 32 completions; prompt '"),
        (lambda n: [float("nan")] * n, "returned nan; prompt '"),
        (lambda n: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_broken_reward_is_named_with_its_example(
    warmed: LanguageModel, task: Task, broken: Any, message: str
) -> None:
    class Broken(Task):
        def reward(self, prompts: Any, completions: Any, **columns: Any) -> Any:
            return broken(len(prompts))

    bad = Broken(task.name, task.target, task.spurious, task.inputs, task.answers)
    with pytest.raises(UserError) as error:
        finetune_with_trl(warmed, bad, rows_of(task, 16), get_method("rloo"), BY_TRL, seed=0)
    assert message in str(error.value) and "completion '" in str(error.value)


def test_equal_rewards_make_no_pair(lm: LanguageModel, task: Task) -> None:
    class Level(Task):
        def reward(self, prompts: Any, completions: Any, **columns: Any) -> list[float]:
            return [0.5] * len(prompts)

    level = Level(task.name, task.target, task.spurious, task.inputs, task.answers)
    with pytest.raises(UserError, match="have equal rewards, and TRL's dpo has no ties"):
        finetune_with_trl(lm, level, rows_of(task, 16), get_method("dpo"), BY_TRL, seed=0)


def test_memory_may_be_saved_and_the_steps_stay(lm: LanguageModel, task: Task) -> None:
    rows = rows_of(task, BY_TRL.rows)
    exact, saving, coarse = (
        change(finetune_with_trl(lm, task, rows, get_method("sft"), s, seed=0, **FLAT).lm, lm)
        for s in (BY_TRL, replace(BY_TRL, gradient_checkpointing=True), replace(BY_TRL, bf16=True))
    )
    assert (saving - exact).norm() < 1e-3 * exact.norm() < (coarse - exact).norm() < exact.norm()


def test_without_peft_lora_is_refused_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl_finetune.trl_backend.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the library peft: pip install 'proclivity\[lora\]'"):
        check_trl("rloo", replace(BY_TRL, lora=2), "")


def test_lora_s_adapters_are_merged_into_changes_of_their_rank(warmed: LanguageModel, task: Task) -> None:
    settings = replace(BY_TRL, lora=2)
    rows, method = rows_of(task, settings.rows), get_method("rloo")
    tuned = finetune_with_trl(warmed, task, rows, method, settings, seed=0).lm
    moved = {
        name: torch.linalg.matrix_rank(p - q, atol=1e-6)
        for (name, p), q in zip(tuned.model.named_parameters(), warmed.model.parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert moved and max(moved.values()) <= 2


@pytest.mark.parametrize(
    ("method", "changes", "control", "message"),
    [
        ("ipo", {}, "", "TRL's IPO takes log-ratios by tokens: give --method ipo-per-token"),
        ("superhf", {}, "", "TRL has no trainer for superhf; --backend trl takes sft, dpo, ipo-per-token"),
        ("rloo", {"answers": "constrained"}, "", "--backend trl needs --answers free"),
        ("rloo", {"entropy_bonus": 0.05}, "", "needs --entropy-bonus 0"),
        ("rloo", {"kl_in": "loss"}, "", "TRL's rloo has no kl_in loss; of the settings of the KL it has"),
        ("grpo", {"kl_in": "reward"}, "", "TRL's grpo has no kl_in reward"),
        ("grpo", {"kl_estimator": "exact"}, "", "it has kl_in loss, kl_estimator k2 or k3, beta"),
        ("rloo", {"kl_direction": "forward"}, "", "TRL's rloo has no kl_direction forward"),
        ("dpo", {"samples_from": "policy"}, "", "TRL's dpo has no samples_from policy"),
        ("rloo", {"reuse": 2}, "", "TRL's rloo has no reuse 2"),
        ("rloo", {"prior": "pretrained"}, "", "TRL's rloo has no prior pretrained"),
        ("sft", {"beta": 0.1}, "", "TRL's sft has no beta 0.1; of the settings of the KL it has none"),
        ("dpo", {}, "random_reward", "TRL's dpo asks for no reward"),
    ],
)  # fmt: skip
def test_what_trl_lacks_is_answered_in_one_line(
    method: str, changes: dict[str, Any], control: str, message: str
) -> None:
    with pytest.raises(UserError) as error:
        check_trl(method, replace(BY_TRL, **changes), control)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_several_processes_are_refused(
    lm: LanguageModel, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="2 processes were launched for a run of 1"):
        finetune_with_trl(lm, task, rows_of(task, 16), get_method("sft"), BY_TRL, seed=0)


@pytest.mark.parametrize(
    ("processes", "error", "left"),
    [
        (1, RuntimeError("connection closed by peer"), False),
        (2, RuntimeError("connection closed by peer"), True),
        (2, Diverged("loss nan"), False),
        (2, UserError("no such thing"), False),
        (2, RuntimeError("probability tensor contains either inf or nan"), False),
    ],
)
def test_checkpoints_outlive_the_death_of_another_process(
    processes: int, error: Exception, left: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(**_: object) -> None:
        raise error

    kept = tmp_path / "checkpoint-1"
    kept.mkdir()
    trainer = SimpleNamespace(
        args=SimpleNamespace(output_dir=tmp_path), train=train, state=SimpleNamespace(global_step=1)
    )
    monkeypatch.setattr(trl_run, "world_size", lambda: processes)
    with pytest.raises(type(error)):
        trl_run.run(lambda callbacks: trainer, trl_run.Watched(), 3, lambda *_: None)
    assert kept.exists() == left
