"""The bare training loop: batches, optimiser, schedule, observers, a stop at a loss that is no number."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn

Batch = TypeVar("Batch")


class Diverged(RuntimeError):
    """The loss or the gradient became NaN or infinite."""


@dataclass(frozen=True)
class Optimisation:
    """AdamW with a warm-up and a decay."""

    learning_rate: float = 1e-3
    warmup: float = 0.05
    """Share of the steps over which the rate rises linearly from 0."""
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    """What follows the warm-up; linear and cosine end at a tenth of the peak."""
    weight_decay: float = 0.0
    clip: float = 1.0
    """Largest norm of the gradient."""

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step, counted from 0."""
        warm = max(1, round(self.warmup * steps))
        if step < warm:
            return self.learning_rate * (step + 1) / warm
        done = (step - warm) / max(1, steps - warm)
        if self.schedule == "constant":
            return self.learning_rate
        left = 1 - done if self.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
        return self.learning_rate * (0.1 + 0.9 * left)


Groups = list[list[nn.Parameter]]
"""The parameters of the model, and of what is trained beside it."""


def clip(groups: Groups, most: float, value: Tensor, where: str) -> None:
    """Shorten the gradient of each group to a norm of at most `most`; Diverged where it, or the loss, is no
    number."""
    norms = [float(nn.utils.clip_grad_norm_(g, most, foreach=True)) for g in groups]
    if not all(map(math.isfinite, (float(value), *norms))):
        raise Diverged(f"loss {float(value)} and gradient norm {max(norms)} at {where}")


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    loss: Callable[[Batch, int], Tensor],
    *,
    steps: int,
    optimisation: Optimisation,
    observe: Callable[[int, float], None] | None = None,
    beside: nn.Module | None = None,
    clip: Callable[[Groups, float, Tensor, str], None] = clip,
) -> float:
    """Take `steps` optimiser steps, one a batch; returns seconds a step, observers left out.

    `loss(batch, step)` is what is minimised; `observe(step, loss)` follows each step, steps counted from 1.
    What is trained `beside` the model has a norm of the gradient of its own. A loss of several values is that
    of as many models that share no parameter, whose gradients `clip` tells apart; what is observed is their
    sum.
    """
    groups = [[p for p in m.parameters() if p.requires_grad] for m in (model, beside) if m is not None]
    optimiser = torch.optim.AdamW(
        [{"params": group} for group in groups],
        lr=optimisation.learning_rate,
        weight_decay=optimisation.weight_decay,
        fused=True,
    )
    spent, step = 0.0, 0
    for step, batch in zip(range(1, steps + 1), batches, strict=False):
        start = time.perf_counter()
        for group in optimiser.param_groups:
            group["lr"] = optimisation.rate(step - 1, steps)
        value = loss(batch, step)
        optimiser.zero_grad(set_to_none=True)
        value.sum().backward()
        value = value.detach()
        clip(groups, optimisation.clip, value, f"step {step} of {steps}")
        optimiser.step()
        spent += time.perf_counter() - start
        if observe:
            observe(step, float(value.sum()))
    optimiser.zero_grad(set_to_none=True)
    if step < steps:
        raise ValueError(f"{steps} steps were asked for and batches end after {step}")
    return spent / steps
