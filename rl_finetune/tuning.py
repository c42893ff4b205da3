"""Tuning a policy on a task: rows with evidence, a method, and answers counted on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.answers import prompt_ids
from models.language_model import LanguageModel
from models.train import Optimisation, train
from rl_finetune import objectives
from rl_finetune.measure import count_answers
from rl_finetune.methods import Method
from rl_finetune.policy import Sampled, policy_of
from rl_finetune.settings import Settings
from tasks.errors import UserError, unknown
from tasks.evidence import QUADRANTS
from tasks.task import Task

CONTROLS = ("", "random_reward", "shuffled_labels")
Observer = Callable[[int, LanguageModel], None]


@dataclass(frozen=True)
class Tuned:
    """What tuning leaves behind."""

    lm: LanguageModel
    """The tuned policy; its `weights_hash` is still the reference's."""
    log: list[dict[str, Any]]
    """One row per log point and quadrant: step, loss, reward while training, answer counts, KLs, entropy."""
    reward: float
    """Mean training reward over the last twentieth of the steps (NaN without samples from the policy)."""
    step_s: float
    """Seconds a step, logging left out."""


def check(method: Method, settings: Settings, control: str) -> None:
    """Refuse a method, settings and a control that do not go together."""
    if control not in CONTROLS:
        raise unknown("control", control, CONTROLS)
    if control == "random_reward" and method.reward == "none":
        raise UserError(
            f"the control random_reward needs a method that uses the reward, and {method.name} does not"
        )
    if method.samples == "policy" and settings.samples_per_prompt < method.least_samples:
        raise UserError(f"{method.name} needs at least {method.least_samples} samples_per_prompt")


def finetune(
    lm: LanguageModel,
    task: Task,
    rows: Mapping[str, Any],
    method: Method,
    settings: Settings,
    *,
    seed: int,
    control: str = "",
    log_rows: Mapping[str, Mapping[str, Any]] | None = None,
    observe: Observer | None = None,
) -> Tuned:
    """Tune a copy of `lm` (the reference) on `rows` (columns prompt and label), each seen once, dropout off.

    `control`: `random_reward` gives a fair coin for any answer, `shuffled_labels` permutes the labels.
    `log_rows` holds labelled rows per quadrant on which answers are counted at the settings' log points.
    """
    check(method, settings, control)
    policy = policy_of(lm, task, settings.answers)
    tuned = replace(lm, model=copy.deepcopy(lm.model))
    rng = np.random.default_rng([seed, 7])
    generator = torch.Generator(device=lm.model.device).manual_seed(seed)
    labels = np.asarray(rows["label"])
    if control == "shuffled_labels":
        labels = rng.permutation(labels)
    data = _Rows(list(rows["prompt"]), prompt_ids(lm, rows["prompt"]), labels.tolist())
    rewards_seen: list[float] = []

    def loss(batch: range, step: int) -> Tensor:
        ids = data.ids[batch.start : batch.stop]
        if method.samples == "demonstrations":
            said = [task.answers.say(y, rng) for y in data.labels[batch.start : batch.stop]]
            sampled = policy.demonstrate(tuned.model, ids, said)
            value = objectives.likelihood(sampled.log_probs)
        else:
            assert method.advantage and method.centre
            sampled = policy.sample(tuned.model, ids, settings.samples_per_prompt, generator)
            rewards = _rewards(task, data, batch, sampled, control, rng)
            rewards_seen.append(float(rewards.mean()))
            advantages = method.advantage(rewards)
            if settings.beta:
                with torch.inference_mode():
                    reference = policy.log_probs(lm.model, ids, sampled.again)
                advantages = objectives.regularised(
                    advantages, sampled.log_probs, reference, method.centre, settings.beta
                )
            value = objectives.policy_gradient(sampled.log_probs, advantages)
        bonus = settings.entropy_bonus * (1 - (step - 1) / settings.steps)
        return value - bonus * sampled.entropy.mean() if bonus else value

    log: list[dict[str, Any]] = []
    points = {round(settings.steps * (i + 1) / settings.log_points) for i in range(settings.log_points)}

    def after(step: int, value: float) -> None:
        if step in points and log_rows:
            recent = rewards_seen[-20:]
            head = {
                "step": step,
                "loss": value,
                "reward_train": float(np.mean(recent)) if recent else float("nan"),
            }
            for quadrant in QUADRANTS:
                counts = count_answers(tuned, policy, task, log_rows[quadrant], lm.model)
                log.append({**head, "quadrant": quadrant, **asdict(counts)})
        if observe:
            observe(step, tuned)

    step_s = train(
        tuned.model,
        _batches(len(data.ids), settings),
        loss,
        steps=settings.steps,
        optimisation=Optimisation(settings.learning_rate),
        observe=after,
    )
    tail = rewards_seen[-max(1, settings.steps // 20) :]
    return Tuned(tuned, log, float(np.mean(tail)) if tail else float("nan"), step_s)


@dataclass(frozen=True)
class _Rows:
    prompts: list[str]
    ids: list[list[int]]
    labels: list[int]


def _batches(n: int, settings: Settings) -> Iterator[range]:
    if n < settings.rows:
        raise UserError(f"{settings.steps} steps of {settings.batch_size} need {settings.rows} rows, not {n}")
    for start in range(0, settings.rows, settings.batch_size):
        yield range(start, start + settings.batch_size)


def _rewards(
    task: Task, data: _Rows, batch: range, sampled: Sampled, control: str, rng: np.random.Generator
) -> Tensor:
    """Rewards [prompts, samples] from the task's reward function, called with TRL's signature."""
    if control == "random_reward":
        values = rng.integers(2, size=tuple(sampled.log_probs.shape)).astype(np.float32)
        return torch.from_numpy(values).to(sampled.log_probs.device)
    samples = sampled.log_probs.shape[1]
    prompts = [data.prompts[i] for i in batch for _ in range(samples)]
    labels = [data.labels[i] for i in batch for _ in range(samples)]
    flat = task.reward(prompts, [text for row in sampled.texts for text in row], label=labels)
    return torch.tensor(flat, device=sampled.log_probs.device).view(-1, samples)
