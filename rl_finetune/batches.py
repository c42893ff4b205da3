"""A batch of answers: where they come from, what the reward says of them, and the loss they make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rl_finetune import objectives
from rl_finetune.critic import Judged, critic_loss, judge
from rl_finetune.methods import Batch, Method
from rl_finetune.policy import FreePolicy, Ids, Policy, Scored
from rl_finetune.rewards import rewards_of
from tasks.task import Problem, Task

NONE = torch.empty(0)


@dataclass(frozen=True)
class Rows:
    """Prompts and their tokens; the labels that are rewarded, or answers that were given beforehand."""

    prompts: list[str]
    ids: list[list[int]]
    labels: list[int] = field(default_factory=list)
    """Of a task's rows."""
    given: list[list[str]] = field(default_factory=list)
    """A demonstration, or a pair whose first answer is the better one, for each prompt; or nothing."""

    def part(self, batch: range) -> Rows:
        part = slice(batch.start, batch.stop)
        return Rows(self.prompts[part], self.ids[part], self.labels[part], self.given[part])


def rewards_to(task: Problem, rows: Rows, texts: Sequence[Sequence[str]]) -> Tensor:
    """Rewards [prompts, samples] of answers to rows, from the task's reward function."""
    samples = len(texts[0])
    prompts = [p for p in rows.prompts for _ in range(samples)]
    labels = [y for y in rows.labels for _ in range(samples)]
    flat = rewards_of(task, prompts, [text for row in texts for text in row], labels)
    return torch.tensor(flat).view(-1, samples)


@dataclass(frozen=True)
class Drawn:
    """Answers to a batch, and all of them that stays while the policy takes its steps on them."""

    ids: Ids
    again: Any
    rewards: Tensor
    log_probs: Tensor
    """Under the policy, as it was then."""
    actions: Tensor
    """The same of each of their tokens [prompts, samples, places]."""
    reference: Tensor
    advantages: Tensor
    prior: Scored | None
    """Under the far end of a KL of whole distributions."""
    elsewhere: Tensor
    """Log-probabilities under the reference of the same answers after other prompts."""
    judged: Judged | None
    """By the critic, of a method that has one."""
    reward: float = math.nan
    """Mean of all that were sampled, also of those that were filtered out."""


@dataclass(frozen=True)
class Source:
    """Draws answers to batches of rows."""

    method: Method
    policy: Policy
    task: Problem
    model: Any
    """The policy's, which is tuned."""
    reference: Any
    prior: Any
    samples: int
    control: str
    rng: np.random.Generator
    generator: torch.Generator
    critic: nn.Module | None = None
    """Of a method that has one."""

    def draw(self, rows: Rows) -> tuple[Drawn, Scored]:
        """Answers, and the policy's scores of them; of free answers that are filtered, of the best alone.

        Of equals one is taken by chance; a constrained policy scores all in one pass anyway.
        """
        filtered = self.method.reward == "filter" and isinstance(self.policy, FreePolicy)
        texts, again, scored = self._answers(rows, unscored=filtered)
        rewards = seen = NONE if self.method.reward == "none" else self._rewards(rows, texts)
        if filtered:
            chance = torch.from_numpy(self.rng.random(rewards.shape))
            best = (objectives.best_of(rewards) * (1 + chance)).argmax(dim=1).tolist()
            again = [[row[i]] for row, i in zip(again, best, strict=True)]
            rewards = rewards.amax(dim=1, keepdim=True)
        scored = scored or self.policy.score(self.model, rows.ids, again)
        return replace(self.held(rows.ids, again, rewards, scored), reward=float(seen.mean())), scored

    @torch.no_grad()
    def held(self, ids: Ids, again: Any, rewards: Tensor, scored: Scored) -> Drawn:
        """Answers with what reference, rewards and critic make of them; `scored` as they were drawn."""
        method, kl, score = self.method, self.method.kl, self.policy.score
        log_probs, actions = scored.log_probs.detach(), scored.actions.detach()
        reference, elsewhere, advantages, prior, judged = NONE, NONE, NONE, None, None
        penalty: Tensor | float = 0.0
        rewards = rewards.to(log_probs.device)
        penalised = bool(method.beta) and kl.place in ("reward", "loss")
        if kl.place == "log-ratios" or (penalised and kl.estimator != "exact"):
            other = score(self.reference, ids, again)
            reference = other.log_probs
            if kl.place == "reward":
                penalty = method.beta * objectives.ESTIMATORS[kl.estimator](actions, other.actions)
        if penalised and kl.estimator == "exact":
            prior = score(self.prior, ids, again)
        if method.mismatched:
            elsewhere = score(self.reference, others(ids), again).log_probs
        if method.advantage:
            advantages = method.advantage(rewards)
            if penalised and kl.place == "reward":
                assert method.centre
                estimator = objectives.ESTIMATORS[kl.estimator]
                advantages = objectives.regularised(
                    advantages, log_probs, reference, method.centre, method.beta, estimator
                )
        if self.critic:
            judged = judge(self.critic, scored, rewards, penalty)
            advantages = judged.advantages
        return Drawn(ids, again, rewards, log_probs, actions, reference, advantages, prior, elsewhere, judged)

    def adapted(self, drawn: Drawn, target: float) -> Source:
        """The source with the beta that follows from the KL of a batch of the policy's answers."""
        kl = float((drawn.log_probs - drawn.reference).mean())
        beta = objectives.adapted(self.method.beta, kl, target)
        return replace(self, method=replace(self.method, beta=beta))

    def _answers(self, rows: Rows, unscored: bool) -> tuple[Sequence[Sequence[str]], Any, Scored | None]:
        """Answers, which the policy may score as it samples them."""
        if self.method.samples == "policy" and not unscored:
            sampled = self.policy.sample(self.model, rows.ids, self.samples, self.generator)
            return sampled.texts, sampled.again, sampled
        if self.method.samples in ("policy", "reference"):
            model = self.model if self.method.samples == "policy" else self.reference
            return *self.policy.say(model, rows.ids, self.samples, self.generator), None
        texts = rows.given or self._said(rows.labels)
        return texts, self.policy.write(texts), None

    def _said(self, labels: Sequence[int]) -> list[list[str]]:
        """A demonstration or a pair for each label, as the task's answers say it."""
        assert isinstance(self.task, Task)
        say, pairs = self.task.answers.say, self.method.samples == "pairs"
        return [[say(y, self.rng), say(1 - y, self.rng)] if pairs else [say(y, self.rng)] for y in labels]

    def _rewards(self, rows: Rows, texts: Sequence[Sequence[str]]) -> Tensor:
        """Rewards [prompts, samples]: from the reward function, by a coin, or as the answers were given."""
        samples = len(texts[0])
        if self.control == "random_reward":
            values = self.rng.integers(2, size=(len(texts), samples)).astype(np.float32)
            return torch.from_numpy(values)
        if rows.given:
            return torch.tensor([1.0, 0.0]).repeat(len(texts), 1)
        return rewards_to(self.task, rows, texts)

    def again(self, drawn: Drawn) -> Scored:
        """The policy's scores of answers that were drawn before it took a step."""
        return self.policy.score(self.model, drawn.ids, drawn.again)

    def loss(self, drawn: Drawn, scored: Scored) -> Tensor:
        """The method's objective, and its KL where that is in the loss."""
        method, elsewhere = self.method, NONE
        if method.mismatched:
            with torch.no_grad():
                now = self.policy.score(self.model, others(drawn.ids), drawn.again).log_probs
            elsewhere = now - drawn.elsewhere
        batch = Batch(
            log_probs=scored.log_probs,
            drawn=drawn.log_probs,
            reference=drawn.reference,
            rewards=drawn.rewards,
            advantages=drawn.advantages,
            tokens=scored.tokens,
            elsewhere=elsewhere,
            beta=method.beta,
            actions=scored.actions,
            actions_drawn=drawn.actions,
        )
        value = method.objective(batch)
        if self.critic and drawn.judged:
            value = value + critic_loss(self.critic, scored, drawn.judged)
        if method.beta and method.kl.place == "loss":
            value = value + method.beta * _penalty(method, drawn, scored)
        return value


def others(ids: Ids) -> list[Sequence[int]]:
    """The prompts moved on by one: an answer then stands after the next prompt."""
    return [*ids[1:], ids[0]]


def _penalty(method: Method, drawn: Drawn, scored: Scored) -> Tensor:
    """The KL in the loss: a mean over prompts of the sum along an answer, of kept answers if any are."""
    if drawn.prior is None:
        return objectives.ESTIMATORS[method.kl.estimator](scored.log_probs, drawn.reference).mean()
    ends = (scored.choices, drawn.prior.choices)
    each = objectives.kl(*(ends if method.kl.direction == "reverse" else ends[::-1]))
    along = (each * scored.inside).sum(dim=-1)
    if method.reward == "filter":
        return (objectives.best_of(drawn.rewards) * along).sum(dim=1).mean()
    return along.mean()
