"""A critic: what reward is still to come, told from the policy's own final hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from models.final_states import head_of
from rl_finetune import objectives
from rl_finetune.policy import Scored

VALUE_WEIGHT = 0.1
"""Of the value loss beside the policy's. They share no parameter, so that Adam hardly sees it."""


def critic_of(model: Any) -> nn.Linear:
    """A linear head on the final hidden state, of zeros: the first value of everything is 0.

    It reads detached states, so that it cannot change what the policy represents.
    """
    critic = nn.Linear(head_of(model).in_features, 1, device=model.device)  # type: ignore[arg-type]
    nn.init.zeros_(critic.weight)
    nn.init.zeros_(critic.bias)
    return critic


@dataclass(frozen=True)
class Judged:
    """What a critic made of answers when they were drawn, all [prompts, samples, places]."""

    values: Tensor
    advantages: Tensor
    returns: Tensor
    """What the values should have been."""


def values_of(critic: nn.Module, scored: Scored) -> Tensor:
    """The critic's values [prompts, samples or 1, places]."""
    assert scored.states is not None
    values: Tensor = critic(scored.states.float()).squeeze(-1)
    return values


@torch.no_grad()
def judge(critic: nn.Module, scored: Scored, rewards: Tensor, penalty: Tensor | float) -> Judged:
    """Advantages by a critic; the reward is given at an answer's last token, the penalty at each.

    Rewards [prompts, samples], penalties [prompts, samples, places].
    """
    inside = scored.inside
    last = inside & ~pad(inside[..., 1:], (0, 1))
    values = values_of(critic, scored)
    advantages = objectives.gae(last * rewards[..., None] - inside * penalty, values, inside)
    return Judged(values, advantages, advantages + values)


def critic_loss(critic: nn.Module, scored: Scored, judged: Judged) -> Tensor:
    """The loss of the critic's values of answers: a mean over answers of the sum along them."""
    each = objectives.value_loss(values_of(critic, scored), judged.values, judged.returns)
    return VALUE_WEIGHT * (each * scored.inside).sum(dim=-1).mean()
