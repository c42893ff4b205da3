"""A task whose answers a learned reward judges in place of its own, the gold one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from models.language_model import LanguageModel
from models.reward_model import learned_rewards
from rl_finetune.rewards import rewards_of
from tasks.errors import UserError
from tasks.task import Task

LearnedReward = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Rewards of completions after prompts."""


@dataclass(frozen=True)
class JudgedTask(Task):
    """A task under a learned reward. It is tuned on that; what is counted of its answers has both."""

    judge: LearnedReward = lambda prompts, completions: [math.nan] * len(completions)
    judge_name: str = "the learned reward"

    def reward(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        """Learned rewards; one that is no number, or of no answer, is told by the answer."""
        found = [float(value) for value in self.judge(prompts, completions)]
        if len(found) != len(completions):
            at = min(len(found), len(completions) - 1)
            which = "the first without one" if at == len(found) else "the last"
            raise UserError(
                f"{self.judge_name}: {len(found)} rewards for {len(completions)} answers, of which "
                f"{completions[at]!r} after {prompts[at]!r} is {which}"
            )
        for value, prompt, completion in zip(found, prompts, completions, strict=True):
            if not math.isfinite(value):
                raise UserError(
                    f"{self.judge_name}: the reward of {completion!r} after {prompt!r} is {value}"
                )
        return found

    def gold_reward(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        """The rewards of the task itself."""
        return super().reward(prompts, completions, **columns)


def gold_and_learned(
    task: Task, prompts: Sequence[str], completions: Sequence[str], labels: Sequence[int]
) -> tuple[list[float], list[float]]:
    """Gold rewards, and learned ones: NaN where the task is under no learned reward."""
    rewards = rewards_of(task, prompts, completions, labels)
    if isinstance(task, JudgedTask):
        return task.gold_reward(prompts, completions, label=list(labels)), rewards
    return rewards, [math.nan] * len(completions)


def judged(task: Task, judge: LearnedReward, name: str) -> JudgedTask:
    """The task under a learned reward."""
    return JudgedTask(**{f.name: getattr(task, f.name) for f in fields(Task)}, judge=judge, judge_name=name)


def judge_of(
    reward_model: LanguageModel, policy: LanguageModel, *, share_prompts: bool = False
) -> LearnedReward:
    """The rewards of a reward model that reads the same tokens as the policy."""
    if reward_model.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise UserError(
            f"{reward_model.name}: its tokenizer is not that of {policy.name}; a reward model and the policy "
            "tuned on it are made of models with one tokenizer"
        )

    def judge(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return learned_rewards(reward_model, prompts, completions, share_prompts=share_prompts)

    return judge


def judged_by(task: Task, reward_model: LanguageModel, policy: LanguageModel) -> JudgedTask:
    """The task under a reward model that reads the same tokens as the policy."""
    return judged(task, judge_of(reward_model, policy), reward_model.name)
