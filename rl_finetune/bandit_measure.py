"""What is measured of a tuned bandit, each replica for itself; expectations over a choice are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from rl_finetune import objectives
from rl_finetune.bandit_policies import Network, Weights, drawing, generators
from rl_finetune.bandit_problems import ARMS, REGIONS, Problem
from rl_finetune.bandit_settings import BanditSettings

HELD_OUT, FRESH, WALK = 3, 4, 5
"""Streams of a seed."""


class Ruler:
    """Measures policies of one set of seeds on the same held-out prompts and the same answers.

    `prompts` and `answers` are the fixed set: the first batch that any method of a seed is given.
    """

    def __init__(
        self,
        problem: Problem,
        network: Network,
        reference: Weights,
        prompts: Tensor,
        answers: Tensor,
        settings: BanditSettings,
        seeds: Sequence[int],
    ) -> None:
        self.problem, self.network, self.reference, self.seeds = problem, network, reference, seeds
        self.held_out = network.prompts(settings.eval_n, drawing(generators(seeds, HELD_OUT)))
        numbers = drawing(generators(seeds, FRESH))
        self.by_reference = network.sample(reference, self.held_out, 1, numbers)
        fresh = self.held_out[:, : settings.batch_size]
        drawn = network.sample(reference, fresh, settings.samples_per_prompt, numbers)
        self.sets = {"fixed": (prompts, answers), "fresh": (fresh, drawn)}

    @torch.no_grad()
    def measure(self, weights: Weights, step: int, queries: int) -> list[dict[str, Any]]:
        """One row a seed. KLs, entropy and log-probabilities are nats an answer, masses shares of tokens."""
        net, problem = self.network, self.problem
        walked = net.sample(weights, self.held_out, 1, drawing(generators(self.seeds, WALK)))
        ours = net.choices(weights, self.held_out, walked)
        theirs = net.choices(self.reference, self.held_out, walked)
        shares = ours.exp()
        bump = (shares * problem.bump()).sum(-1).mean(-1)[..., 0]
        if problem.compat and problem.kind == "sequence":
            bump = (bump * problem.length + problem.bump()[self.held_out]) / (problem.length + 1)
        back = [net.choices(w, self.held_out, self.by_reference) for w in (self.reference, weights)]
        found = {
            "reward": bump,
            "entropy": objectives.entropy(ours).sum(-1),
            "kl_reverse": objectives.kl(ours, theirs).sum(-1),
            "kl_forward": objectives.kl(*back).sum(-1),
        }
        for name, (low, high) in REGIONS.items():
            found[f"mass_{name}"] = shares[..., low : high + 1].sum(-1).mean(-1)
        columns = {name: values.flatten(1).mean(1) for name, values in found.items()}
        for name, (prompts, answers) in self.sets.items():
            columns |= self._apart(weights, name, prompts, answers)
        if problem.kind == "arms":
            columns |= self._masses(weights)
        return [
            {"seed": seed, "step": step, "queries": queries, **{n: float(v[i]) for n, v in columns.items()}}
            for i, seed in enumerate(self.seeds)
        ]

    def _apart(self, weights: Weights, name: str, prompts: Tensor, answers: Tensor) -> dict[str, Tensor]:
        """Log-probabilities of a prompt's best answers and of all others; a mean over prompts with both."""
        rewards = self.problem.rewards(prompts, answers)
        log_probs = self.network.log_probs(weights, prompts, answers)
        best = rewards == rewards.amax(-1, keepdim=True)

        def mean(chosen: Tensor) -> Tensor:
            each = (log_probs * chosen).sum(-1) / chosen.sum(-1)
            return torch.where(best.all(-1), torch.nan, each).nanmean(-1)

        return {f"chosen_{name}": mean(best), f"rejected_{name}": mean(~best)}

    def _masses(self, weights: Weights) -> dict[str, Tensor]:
        """Probability of the arms that were a prompt's best, of the others sampled, of those never sampled.

        Sampled is what any prompt of the fixed set sampled: reward and reference are the same after each.
        """
        prompts, answers = self.sets["fixed"]
        rewards = self.problem.rewards(prompts, answers)
        shares = self.network.choices(weights, prompts, answers)[:, :, 0, 0].exp()
        best = (rewards == rewards.amax(-1, keepdim=True)).float()
        sampled = torch.nn.functional.one_hot(answers[..., 0], ARMS).float()
        chosen = (sampled * best[..., None]).amax((1, 2))[:, None]
        seen = sampled.amax((1, 2))[:, None]
        masks = {"chosen": chosen, "rejected": seen - chosen, "never": 1 - seen}
        return {f"mass_{name}": (shares * mask).sum(-1).mean(-1) for name, mask in masks.items()}
