"""Which methods tune a bandit: the rows of the one table, and preferences without their negative gradient."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from rl_finetune.bandit_settings import BanditSettings
from rl_finetune.checks import check_kl
from rl_finetune.method_registry import get_method
from rl_finetune.methods import METHODS, Batch, Method, Objective
from rl_finetune.settings import Settings
from tasks.errors import UserError

SUFFIX = "-without-negative"


def without_negative(objective: Objective) -> Objective:
    """An objective of pairs whose gradient never passes through the worse answer of a pair.

    Every pair of a prompt's answers becomes a prompt of its own with two answers, so value and weight of each
    pair stay what they were; only the worse one's log-probability is a constant.
    """

    def held(b: Batch) -> Tensor:
        first, second = torch.triu_indices(b.rewards.shape[1], b.rewards.shape[1], offset=1)

        def pairs(values: Tensor) -> Tensor:
            return torch.stack([values[:, first], values[:, second]], -1).flatten(0, 1)

        rewards, log_probs = pairs(b.rewards), pairs(b.log_probs)
        log_probs = torch.where(rewards < rewards.flip(-1), log_probs.detach(), log_probs)
        return objective(
            replace(
                b, log_probs=log_probs, reference=pairs(b.reference), rewards=rewards, tokens=pairs(b.tokens)
            )
        )

    return held


ABLATED = {
    name + SUFFIX: replace(
        METHODS[name],
        name=name + SUFFIX,
        objective=without_negative(METHODS[name].objective),
        negative_gradient=False,
    )
    for name in ("dpo", "ipo", "online-dpo", "online-ipo")
}
"""The same pairs and weights, and losers are not pushed down. IPO pushes a winner down once its lead is more
than was asked for, and goes on doing so here."""


def bandit_method(name: str) -> Method:
    """A method by name, as a bandit can be tuned by it."""
    found = ABLATED.get(name) or get_method(name)
    if found.samples == "demonstrations" or found.mismatched:
        raise UserError(f"{name} needs demonstrations or answers after other prompts, and a bandit has none")
    if found.critic or not found.trains:
        raise UserError(f"{name} needs a language model; of bandits, ppo-clip is PPO without a critic")
    return found


def set_method(name: str, settings: BanditSettings) -> Method:
    """A method with the settings' knobs; one that cannot be had is refused."""
    method = bandit_method(name)
    if settings.samples_per_prompt < method.least_samples:
        raise UserError(f"{name} needs at least {method.least_samples} samples_per_prompt")
    own = Settings(samples_from=settings.samples_from, beta=settings.beta, reuse=settings.reuse)
    check_kl(method, own)
    found = method.set(own)
    return replace(found, samples="reference") if found.samples == "pairs" else found
