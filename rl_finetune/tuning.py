"""Tuning a policy on a task: rows with evidence, a method, and answers counted on the way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.answers import prompt_ids
from models.language_model import LanguageModel
from models.train import Diverged, Optimisation, train
from rl_finetune.batches import Drawn, Rows, Source
from rl_finetune.checks import check
from rl_finetune.critic import critic_of
from rl_finetune.measure import count_answers
from rl_finetune.methods import Method
from rl_finetune.policy import policy_of
from rl_finetune.settings import Settings
from tasks.errors import UserError
from tasks.task import Task
from tasks.text_problem import TextProblem

Observer = Callable[[int, LanguageModel], None]


@dataclass(frozen=True)
class Tuned:
    """What tuning leaves behind."""

    lm: LanguageModel
    """The tuned policy; its `weights_hash` is still the reference's."""
    log: list[dict[str, Any]]
    """One row per log point and quadrant: step (batches done), loss of the last optimiser step, reward while
    training, answer counts, KLs, entropy."""
    reward: float
    """Mean training reward over the last twentieth of the steps (NaN without samples from the policy)."""
    step_s: float
    """Seconds an optimiser step, logging left out."""
    beta: float
    """At the end; it moves where it is adapted to a KL."""


def _given(method: Method, problem: TextProblem, rows: Mapping[str, Any]) -> list[list[str]]:
    """The answers that a method learns from, where it samples none."""
    columns = {"demonstrations": ("completion",), "pairs": ("chosen", "rejected")}.get(method.samples, ())
    for name in columns:
        if name not in rows:
            raise UserError(f"{problem.name}: {method.name} learns from {method.samples}: no column {name}")
    return [list(answers) for answers in zip(*(rows[name] for name in columns), strict=True)]


def finetune(
    lm: LanguageModel,
    task: Task | TextProblem,
    rows: Mapping[str, Any],
    method: Method,
    settings: Settings,
    *,
    seed: int,
    control: str = "",
    log_rows: Mapping[str, Mapping[str, Any]] | None = None,
    observe: Observer | None = None,
    prior: LanguageModel | None = None,
) -> Tuned:
    """Tune a copy of `lm` (the reference) on `rows`, each seen once, dropout off.

    Columns of rows are prompt and a task's label. Of a text problem they are prompt and, for methods that
    learn from them, completion (demonstrations) or chosen and rejected (pairs).
    `prior` is the far end of a KL of whole distributions in the loss; by default the reference.
    `control`: `random_reward` gives a fair coin for any answer, `shuffled_labels` permutes the labels.
    `log_rows` holds labelled rows per quadrant on which answers are counted at the settings' log points.
    """
    check(method, settings, control)
    if not method.trains:
        raise UserError(f"{method.name} tunes nothing; it chooses among answers (rl_finetune.BestOf)")
    policy = policy_of(lm, task, settings.answers)
    tuned = replace(lm, model=copy.deepcopy(lm.model))
    rng = np.random.default_rng([seed, 7])
    generator = torch.Generator(device=lm.model.device).manual_seed(seed)
    prompts, ids = list(rows["prompt"]), prompt_ids(lm, rows["prompt"])
    method = method.set(settings)
    if isinstance(task, TextProblem):
        data = Rows(prompts, ids, given=_given(method, task, rows))
        if control == "shuffled_labels":
            raise UserError(f"{task.name} has no labels to shuffle")
    else:
        labels = np.asarray(rows["label"])
        if control == "shuffled_labels":
            labels = rng.permutation(labels)
        data = Rows(prompts, ids, labels.tolist())
    source = Source(
        method=method,
        policy=policy,
        task=task,
        model=tuned.model,
        reference=lm.model,
        prior=(prior or lm).model,
        samples=settings.samples_per_prompt,
        control=control,
        rng=rng,
        generator=generator,
        critic=critic_of(tuned.model) if method.critic else None,
    )
    steps = settings.steps * method.reuse
    rewards_seen: list[float] = []
    held: list[Drawn] = []

    def loss(batch: range, step: int) -> Tensor:
        nonlocal source
        if (step - 1) % method.reuse == 0:
            try:
                drawn, scored = source.draw(data.part(batch))
            except Diverged as e:
                raise Diverged(f"{e} at step {step} of {steps}") from e
            held[:] = [drawn]
            if settings.kl_target:  # from the next batch on
                source = source.adapted(drawn, settings.kl_target)
            if method.samples == "policy":
                rewards_seen.append(drawn.reward)
        else:
            drawn, scored = held[0], source.again(held[0])
        value = source.loss(drawn, scored)
        bonus = settings.entropy_bonus * (1 - (step - 1) / steps)
        return value - bonus * scored.entropy.mean() if bonus else value

    log: list[dict[str, Any]] = []
    points = settings.log_steps

    def after(step: int, value: float) -> None:
        step, within = divmod(step, method.reuse)
        if within:
            return
        if step in points and log_rows and isinstance(task, Task):
            recent = rewards_seen[-20:]
            head = {
                "step": step,
                "loss": value,
                "reward_train": float(np.mean(recent)) if recent else float("nan"),
            }
            for quadrant, asked in log_rows.items():
                counts = count_answers(tuned, policy, task, asked, lm.model)
                log.append({**head, "quadrant": quadrant, **asdict(counts)})
        if observe:
            observe(step, tuned)

    step_s = train(
        tuned.model,
        (batch for batch in settings.batches(len(data.ids)) for _ in range(method.reuse)),
        loss,
        steps=steps,
        optimisation=Optimisation(settings.learning_rate),
        observe=after,
        beside=source.critic,
    )
    tail = rewards_seen[-max(1, settings.steps // 20) :]
    reward = float(np.mean(tail)) if tail else float("nan")
    return Tuned(tuned, log, reward, step_s, source.method.beta)
