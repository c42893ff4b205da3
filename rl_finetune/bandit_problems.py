"""The didactic bandits of Tajwar et al. 2024: what is asked, what is rewarded, where the reference stands."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from rl_finetune.bandit_settings import COMPAT, PROBLEMS
from tasks.errors import UserError, unknown

ARMS = 100
"""Actions of the one-step bandit, tokens of the sequences' vocabulary."""
WIDTH = 10.0
CENTRES = {"R1": 70.0, "R2": 20.0}
"""R1 peaks where the reference hardly ever goes, R2 near its mode."""
REGIONS = {"high": (60, 80), "low": (10, 30)}
"""Arms around the two peaks, both ends included."""
CONTEXT = 100
"""Numbers in a context of the one-step bandit; no reward reads them."""
LENGTH = 9
"""Tokens sampled after the prompt's one."""


@dataclass(frozen=True)
class Problem:
    """A bandit: `arms` (one choice after a context) or `sequence` (9 tokens after a random first one)."""

    kind: str
    reward: str
    compat: str = ""
    """`tajwar2024`: the reward of a sequence is a mean over 10 positions, the given prompt's included (so
    that its ceiling is below 1), and its log-probability is as published (`bandit_policies.Sequences`)."""

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.reward}"

    @property
    def length(self) -> int:
        return LENGTH if self.kind == "sequence" else 1

    def bump(self, device: torch.device | None = None) -> Tensor:
        """The reward of each arm or token, exp(-((a - centre) / 10)^2)."""
        place = torch.arange(ARMS, dtype=torch.float32, device=device)
        return torch.exp(-(((place - CENTRES[self.reward]) / WIDTH) ** 2))

    def rewards(self, prompts: Tensor, answers: Tensor) -> Tensor:
        """Rewards [..., prompts, samples] of answers [..., prompts, samples, length]: the mean of the bump
        over the positions that were sampled, so that 1 is the ceiling."""
        each = self.bump(answers.device)[answers]
        if self.compat and self.kind == "sequence":
            given = self.bump(answers.device)[prompts][..., None].expand(each.shape[:-1])
            return (each.sum(-1) + given) / (self.length + 1)
        return each.mean(-1)


def problem_of(name: str, compat: str = "") -> Problem:
    """A problem by name, such as `arms/R1`."""
    if name not in PROBLEMS:
        raise unknown("problem", name, PROBLEMS)
    if compat not in ("", COMPAT):
        raise UserError(f"compat must be '' or {COMPAT!r}, not {compat!r}")
    kind, _, reward = name.partition("/")
    return Problem(kind, reward, compat)


def reference_distribution() -> Tensor:
    """Probabilities [100] of the bins of [-1, 1] that tanh(x) falls in, x from Cauchy(-0.7, 0.4).

    The published code bins 10,000 draws made before its generator is seeded, so that its reference changes
    from run to run; this is the distribution that they are drawn from.
    """
    edges = torch.linspace(-1, 1, ARMS + 1, dtype=torch.float64).atanh()
    below = 0.5 + torch.atan((edges + 0.7) / 0.4) / pi
    return below.diff().float()
