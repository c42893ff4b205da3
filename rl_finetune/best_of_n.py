"""Best of n at inference: a policy answers n times, and the answer that the reward likes best is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rl_finetune.batches import Rows, rewards_to
from rl_finetune.policy import ConstrainedPolicy, Greedy, Ids, Policy
from tasks.task import Task


def best_of_n(log_probs: Tensor, rewards: Tensor, n: int) -> Tensor:
    """Log-probabilities [..., answers] of the best of n answers, the first of equals; exact.

    It is no further than log n - (n - 1) / n nats from the policy whose log-probabilities are given.

    References: Stiennon et al. 2020, Learning to summarize from human feedback; Beirami et al. 2024, who show
    that this bound on the KL is one.
    """
    p = log_probs.double().exp()
    below, equal = (
        (compare(rewards[..., None, :], rewards[..., :, None]) * p[..., None, :]).sum(dim=-1)
        for compare in (torch.lt, torch.eq)
    )
    up_to = below + equal
    # The best is one of these equals where all n are up to them and not all are below.
    one_is = torch.log(-torch.expm1(n * torch.log1p(-(equal / up_to).clamp(max=1))))
    found: Tensor = n * up_to.log() + one_is + log_probs.double() - equal.log()
    # An answer whose probability underflows is never given.
    found = torch.where(p > 0, found, -torch.inf)
    return found.log_softmax(dim=-1).to(log_probs.dtype)


@dataclass(frozen=True)
class BestOf:
    """A policy that answers n times, and the best by a task's reward is its answer.

    Where the answers are a closed list its distribution is exact, and its answer the most probable one. Free
    answers are sampled: there is no distribution, so that their entropy and KL are NaN.
    """

    policy: Policy
    n: int
    generator: torch.Generator

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        """Of one answer, which is what the best of n is measured against."""
        return self.policy.distribution(model, prompts)

    def best(self, model: Any, task: Task, rows: Rows) -> Greedy:
        """The best answers to rows, whose labels a task's own reward needs and a learned one does not."""
        if isinstance(self.policy, ConstrainedPolicy):
            words = self.policy.words
            log_probs = self.distribution(model, rows.ids)
            rewards = rewards_to(task, rows, [list(words)] * len(rows.ids)).to(log_probs.device)
            found = best_of_n(log_probs, rewards, self.n)
            return Greedy([words[i] for i in found.argmax(dim=1).tolist()], found.exp(), found)
        said, _ = self.policy.say(model, rows.ids, self.n, self.generator)
        chosen = rewards_to(task, rows, said).argmax(dim=1).tolist()
        nothing = torch.full((len(said), 1), math.nan)
        return Greedy([row[i] for row, i in zip(said, chosen, strict=True)], None, nothing)
