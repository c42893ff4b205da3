"""Policies for bandits, many at once: every weight has a leading dimension of replicas, one a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from rl_finetune.bandit_problems import ARMS, CONTEXT, LENGTH, Problem
from rl_finetune.bandit_settings import COMPAT

Weights = list[Tensor]
Draw = Callable[..., Tensor]
"""Uniform numbers [replicas, ...] of a shape without the replicas; each replica has its own generator."""


class Network(Protocol):
    """What answers a bandit.

    Prompts are [replicas, prompts, ...], answers [replicas, prompts, samples, length].
    """

    def start(self, seeds: Sequence[int]) -> Weights:
        """Weights of a near uniform policy, from each replica's seed."""

    def prompts(self, n: int, draw: Draw) -> Tensor:
        """Random prompts."""

    def choices(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        """Log-probabilities of all arms at each place, [replicas, prompts, samples, length, arms]; samples
        is 1 where what was sampled makes no difference."""

    def sample(self, weights: Weights, prompts: Tensor, n: int, draw: Draw) -> Tensor:
        """Answers."""

    def log_probs(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        """Log-probabilities of whole answers, [replicas, prompts, samples]."""


def network(problem: Problem, vocabulary: int = ARMS, length: int = LENGTH) -> Network:
    if problem.kind == "arms":
        return Arms()
    return Sequences(vocabulary, length, unshifted=problem.compat == COMPAT)


def generators(seeds: Sequence[int], stream: int) -> list[torch.Generator]:
    """One generator a replica; streams of one seed are apart."""
    return [torch.Generator().manual_seed(seed * 1_000 + stream) for seed in seeds]


def drawing(each: Sequence[torch.Generator]) -> Draw:
    return lambda *shape: torch.stack([torch.rand(shape, generator=g) for g in each])


def _normal(each: Sequence[torch.Generator], *shape: int, scale: float) -> Tensor:
    return scale * torch.stack([torch.randn(shape, generator=g) for g in each])


def _xavier(each: Sequence[torch.Generator], rows: int, columns: int, gain: float = 0.01) -> Tensor:
    return _normal(each, rows, columns, scale=gain * (2 / (rows + columns)) ** 0.5)


def _pick(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """The arms in whose share of the cumulative sum [..., arms] the uniform numbers [..., n] fall."""
    below = log_probs.double().exp().cumsum(-1)
    found = torch.searchsorted(below, uniform.double() * below[..., -1:], right=True)
    return found.clamp(max=log_probs.shape[-1] - 1)


class Arms:
    """Contexts of 100 numbers to 100 arms: 50 units with LayerNorm, then two layers of 256, as published."""

    widths = (50, 256, 256)

    def start(self, seeds: Sequence[int]) -> Weights:
        each, sizes = generators(seeds, 0), (CONTEXT, *self.widths, ARMS)
        weights: Weights = []
        for rows, columns in pairwise(sizes):
            weights += [_xavier(each, rows, columns), torch.zeros(len(seeds), 1, columns)]
        return weights

    def prompts(self, n: int, draw: Draw) -> Tensor:
        return draw(n, CONTEXT)

    def choices(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        hidden = prompts
        for layer in range(0, len(weights), 2):
            hidden = torch.baddbmm(weights[layer + 1], hidden, weights[layer])
            if layer == 0:
                hidden = layer_norm(hidden, hidden.shape[-1:])
            if layer < len(weights) - 2:
                hidden = hidden.relu()
        return hidden.log_softmax(-1)[:, :, None, None]

    def sample(self, weights: Weights, prompts: Tensor, n: int, draw: Draw) -> Tensor:
        log_probs = self.choices(weights, prompts, prompts)[:, :, 0, 0]
        return _pick(log_probs, draw(prompts.shape[1], n))[..., None]

    def log_probs(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        return self.choices(weights, prompts, answers)[:, :, 0, 0].gather(-1, answers[..., 0])


class Sequences:
    """Token by token: 64 units see the last token, the mean of all tokens so far, and the position.

    The published agent is a GPT of 3 layers of 48 with dropout. This is one layer of uniform attention:
    reward and reference are the same at each place, so that other attention has nothing to find, and twenty
    seeds of it are tuned in seconds.

    `unshifted` scores answers as the published code does: what follows place t is read as the prediction of
    the token *at* t, the prompt's included, so that "probabilities" do not sum to 1.
    """

    units = 64

    def __init__(self, vocabulary: int = ARMS, length: int = LENGTH, *, unshifted: bool = False) -> None:
        self.vocabulary, self.length, self.unshifted = vocabulary, length, unshifted

    def start(self, seeds: Sequence[int]) -> Weights:
        each, v, h = generators(seeds, 0), self.vocabulary, self.units
        return [
            _normal(each, v, h, scale=0.1),  # the last token
            _normal(each, v, h, scale=0.1),  # tokens so far
            _normal(each, self.length + 1, h, scale=0.1),  # the position
            _xavier(each, h, v),
            torch.zeros(len(seeds), 1, v),
        ]

    def prompts(self, n: int, draw: Draw) -> Tensor:
        return (draw(n) * self.vocabulary).long()

    def _logits(self, weights: Weights, last: Tensor, so_far: Tensor, position: Tensor) -> Tensor:
        hidden = (last + so_far + position).relu()
        shape = hidden.shape
        flat = torch.baddbmm(weights[4], hidden.flatten(1, -2), weights[3])
        return flat.log_softmax(-1).view(*shape[:-1], self.vocabulary)

    def _rows(self, table: Tensor, tokens: Tensor) -> Tensor:
        """Each replica's rows of its own table [replicas, vocabulary, units]."""
        start = torch.arange(len(table), device=tokens.device) * self.vocabulary
        places = tokens + start.view(-1, *[1] * (tokens.dim() - 1))
        return torch.nn.functional.embedding(places, table.flatten(0, 1))

    def _all(self, weights: Weights, prompts: Tensor, answers: Tensor, last: int) -> Tensor:
        """Predictions after each of the first `last` tokens of prompt and answer."""
        given = prompts[:, :, None, None].expand(*answers.shape[:-1], 1)
        tokens = torch.cat([given, answers], -1)[..., :last]
        count = torch.arange(1, last + 1, device=tokens.device)[:, None]
        so_far = self._rows(weights[1], tokens).cumsum(-2) / count
        position = weights[2][:, None, None, :last]
        return self._logits(weights, self._rows(weights[0], tokens), so_far, position)

    def choices(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        return self._all(weights, prompts, answers, self.length)

    @torch.no_grad()
    def sample(self, weights: Weights, prompts: Tensor, n: int, draw: Draw) -> Tensor:
        uniform = draw(prompts.shape[1], n, self.length)
        token = prompts[:, :, None].expand(-1, -1, n)
        total: Tensor | float = 0.0
        found = []
        for t in range(self.length):
            total = total + self._rows(weights[1], token)
            position = weights[2][:, None, None, t]
            after = self._logits(weights, self._rows(weights[0], token), total / (t + 1), position)
            token = _pick(after, uniform[..., t, None])[..., 0]
            found.append(token)
        return torch.stack(found, -1)

    def log_probs(self, weights: Weights, prompts: Tensor, answers: Tensor) -> Tensor:
        if not self.unshifted:
            each = self.choices(weights, prompts, answers)
            return each.gather(-1, answers[..., None]).squeeze(-1).sum(-1)
        each = self._all(weights, prompts, answers, self.length + 1)
        given = prompts[:, :, None, None].expand(*answers.shape[:-1], 1)
        tokens = torch.cat([given, answers], -1)
        return each.gather(-1, tokens[..., None]).squeeze(-1).sum(-1)
