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
from models.passes import compiled, compiling
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
    """Seconds an optimiser step, logging and compiling left out."""
    beta: float
    """At the end; it moves where it is adapted to a KL."""
    compile_s: float = 0.0
    """Seconds of compiling, no part of `step_s`."""
    stacked: int = 1
    """Policies that were tuned together as one stacked model; `step_s` is a share."""


def _given(method: Method, problem: TextProblem, rows: Mapping[str, Any]) -> list[list[str]]:
    """The answers that a method learns from, where it samples none."""
    columns = {"demonstrations": ("completion",), "pairs": ("chosen", "rejected")}.get(method.samples, ())
    for name in columns:
        if name not in rows:
            raise UserError(f"{problem.name}: {method.name} learns from {method.samples}: no column {name}")
    return [list(answers) for answers in zip(*(rows[name] for name in columns), strict=True)]


class Tuning:
    """A tuning on its way: a copy of the reference, rows, draws of its own, and what came of it so far."""

    def __init__(
        self,
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
    ) -> None:
        check(method, settings, control)
        if not method.trains:
            raise UserError(f"{method.name} tunes nothing; it chooses among answers (rl_finetune.BestOf)")
        self.lm, self.prior, self.task, self.settings = lm, prior or lm, task, settings
        self.log_rows, self.observe = log_rows, observe
        self.policy = policy_of(lm, task, settings.answers, bf16=settings.bf16)
        self.tuned = replace(lm, model=copy.deepcopy(lm.model))
        rng = np.random.default_rng([seed, 7])
        self.method = method.set(settings)
        self.data = _data(lm, task, rows, self.method, control, rng)
        read = compiled if settings.compile else lambda model: model
        reference = read(lm.model)
        self.source = Source(
            method=self.method,
            policy=self.policy,
            task=task,
            model=read(self.tuned.model),
            reference=reference,
            prior=reference if self.prior is lm else read(self.prior.model),
            samples=settings.samples_per_prompt,
            control=control,
            rng=rng,
            generator=torch.Generator(device=lm.model.device).manual_seed(seed),
            critic=critic_of(self.tuned.model) if method.critic else None,
        )
        self.steps = settings.steps * self.method.reuse
        self.log: list[dict[str, Any]] = []
        self.rewards: list[float] = []
        self._held: list[Drawn] = []

    def batches(self) -> Iterator[range]:
        """The places among the rows of what each optimiser step is on."""
        each = self.settings.batches(len(self.data.ids))
        return (batch for batch in each for _ in range(self.method.reuse))

    def loss(self, batch: range, step: int) -> Tensor:
        reuse, settings = self.method.reuse, self.settings
        if (step - 1) % reuse == 0:
            try:
                drawn, scored = self.source.draw(self.data.part(batch))
            except Diverged as e:
                raise Diverged(f"{e} at step {step} of {self.steps}") from e
            self._held = [drawn]
            if settings.kl_target:  # from the next batch on
                self.source = self.source.adapted(drawn, settings.kl_target)
            if self.method.samples == "policy":
                self.rewards.append(drawn.reward)
        else:
            drawn, scored = self._held[0], self.source.again(self._held[0])
        value = self.source.loss(drawn, scored)
        bonus = settings.entropy_bonus * (1 - (step - 1) / self.steps)
        return value - bonus * scored.entropy.mean() if bonus else value

    def after(self, step: int, value: float) -> None:
        """What follows an optimiser step: answers are counted at log points, the observer is told."""
        step, within = divmod(step, self.method.reuse)
        if within:
            return
        if step in self.settings.log_steps and self.log_rows and isinstance(self.task, Task):
            head = {"step": step, "loss": value, "reward_train": _mean(self.rewards[-20:])}
            for quadrant, asked in self.log_rows.items():
                counts = count_answers(self.tuned, self.policy, self.task, asked, self.lm.model)
                self.log.append({**head, "quadrant": quadrant, **asdict(counts)})
        if self.observe:
            self.observe(step, self.tuned)

    def done(self, step_s: float, compile_s: float = 0.0, stacked: int = 1) -> Tuned:
        reward = _mean(self.rewards[-max(1, self.settings.steps // 20) :])
        step_s -= compile_s / self.steps
        return Tuned(self.tuned, self.log, reward, step_s, self.source.method.beta, compile_s, stacked)


def _data(
    lm: LanguageModel,
    task: Task | TextProblem,
    rows: Mapping[str, Any],
    method: Method,
    control: str,
    rng: np.random.Generator,
) -> Rows:
    """The rows as they are learnt from: tokens, and labels or given answers."""
    prompts, ids = list(rows["prompt"]), prompt_ids(lm, rows["prompt"])
    if isinstance(task, TextProblem):
        if control == "shuffled_labels":
            raise UserError(f"{task.name} has no labels to shuffle")
        return Rows(prompts, ids, given=_given(method, task, rows))
    labels = np.asarray(rows["label"])
    if control == "shuffled_labels":
        labels = rng.permutation(labels)
    return Rows(prompts, ids, labels.tolist())


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


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
    tuning = Tuning(
        lm,
        task,
        rows,
        method,
        settings,
        seed=seed,
        control=control,
        log_rows=log_rows,
        observe=observe,
        prior=prior,
    )
    with compiling() as spent:
        step_s = train(
            tuning.tuned.model,
            tuning.batches(),
            tuning.loss,
            steps=tuning.steps,
            optimisation=Optimisation(settings.learning_rate),
            observe=tuning.after,
            beside=tuning.source.critic,
        )
    return tuning.done(step_s, spent.spent)
