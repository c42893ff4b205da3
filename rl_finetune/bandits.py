"""Tuning a bandit: one method, one learning rate, all seeds side by side.

References: Tajwar et al. 2024, Preference fine-tuning of LLMs should leverage suboptimal, on-policy data.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from models.train import Diverged
from rl_finetune import objectives
from rl_finetune.bandit_measure import Ruler
from rl_finetune.bandit_policies import Draw, Network, Weights, drawing, generators, network
from rl_finetune.bandit_problems import Problem, reference_distribution
from rl_finetune.bandit_settings import BanditSettings
from rl_finetune.methods import Batch, Method

REVISION = 1
"""Raised by hand when a change of the code changes what a run does."""
NONE = torch.empty(0)
PROMPTS, ANSWERS = 1, 2
"""Streams of a seed."""


@dataclass(frozen=True)
class Drawn:
    """A batch of answers, [replicas, prompts, samples], and all of it that stays over the steps on it."""

    prompts: Tensor
    answers: Tensor
    rewards: Tensor
    log_probs: Tensor
    """Under the policy that gave them."""
    reference: Tensor
    """Under the reference; empty where no log-ratio is needed."""
    advantages: Tensor


@dataclass(frozen=True)
class Outcome:
    points: list[dict[str, Any]]
    """One row a measurement and seed: step, queries (rewards asked so far), and what `Ruler` measures."""
    draws: int
    """How often a batch of answers was sampled."""
    step_s: float
    """Seconds a gradient step of all replicas, sampling included, measuring left out."""
    weights: Weights


@lru_cache(maxsize=8)
def fitted(kind: str, seeds: tuple[int, ...], steps: int) -> tuple[Weights, tuple[float, ...]]:
    """The reference of each seed: an agent fitted to the reference distribution by exact KL(agent || it) at
    every place; and that KL afterwards, nats an arm or token.

    The published fit has a constant rate; here it falls, so that the fitted agent is the distribution.
    """
    net, target = network(Problem(kind, "R1")), reference_distribution().log()
    weights = [w.requires_grad_() for w in net.start(seeds)]
    optimiser = torch.optim.Adam(weights, lr=0.01, fused=True)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, max(1, steps))
    draw = drawing(generators(seeds, 9))
    divergence = torch.zeros(len(seeds))
    for _ in range(steps):
        prompts = net.prompts(20, draw)
        answers = net.sample([w.detach() for w in weights], prompts, 1, draw)
        divergence = objectives.kl(net.choices(weights, prompts, answers), target).flatten(1).mean(1)
        optimiser.zero_grad()
        divergence.sum().backward()
        optimiser.step()
        falling.step()
    return [w.detach() for w in weights], tuple(divergence.tolist())


@dataclass(frozen=True)
class Source:
    """Draws batches of answers, and the loss that they make, of every replica at once."""

    problem: Problem
    method: Method
    network: Network
    reference: Weights
    bank: Tensor
    """Prompts, taken in turn."""
    samples: int
    draw_numbers: Draw

    @torch.no_grad()
    def draw(self, weights: Weights, start: int, size: int) -> Drawn:
        """Answers of the policy, or of the reference, to `size` prompts from the place `start` on."""
        method, net = self.method, self.network
        prompts = self.bank[:, torch.arange(start, start + size) % self.bank.shape[1]]
        source = weights if method.samples == "policy" else self.reference
        answers = net.sample(source, prompts, self.samples, self.draw_numbers)
        rewards = self.problem.rewards(prompts, answers)
        log_probs = net.log_probs(source, prompts, answers)
        penalised = bool(method.beta) and method.kl.place in ("reward", "loss")
        reference, advantages = NONE, NONE
        if method.kl.place == "log-ratios" or (penalised and method.kl.estimator != "exact"):
            reference = net.log_probs(self.reference, prompts, answers)
        if method.advantage:
            advantages = torch.vmap(method.advantage)(rewards)
            if penalised and method.kl.place == "reward":
                centre, estimator = method.centre, objectives.ESTIMATORS[method.kl.estimator]
                assert centre
                advantages = torch.vmap(
                    lambda a, lp, r: objectives.regularised(a, lp, r, centre, method.beta, estimator)
                )(advantages, log_probs, reference)
        return Drawn(prompts, answers, rewards, log_probs, reference, advantages)

    def losses(self, weights: Weights, drawn: Drawn) -> Tensor:
        """The method's objective and its KL in the loss, [replicas]; these share no weight, so the gradient
        of the sum is each one's own."""
        method = self.method
        log_probs = self.network.log_probs(weights, drawn.prompts, drawn.answers)
        tokens = torch.full(log_probs.shape[1:], float(self.problem.length))

        def one(
            log_probs: Tensor, drew: Tensor, reference: Tensor, rewards: Tensor, advantages: Tensor
        ) -> Tensor:
            return method.objective(
                Batch(
                    log_probs=log_probs,
                    drawn=drew,
                    reference=reference,
                    rewards=rewards,
                    advantages=advantages,
                    tokens=tokens,
                    elsewhere=NONE,
                    beta=method.beta,
                    actions=NONE,
                    actions_drawn=NONE,
                )
            )

        parts = (log_probs, drawn.log_probs, drawn.reference, drawn.rewards, drawn.advantages)
        among = tuple(0 if part.numel() else None for part in parts)
        values: Tensor = torch.vmap(one, in_dims=among)(*parts)
        if method.beta and method.kl.place == "loss":
            values = values + method.beta * self._penalty(weights, drawn, log_probs)
        return values

    def _penalty(self, weights: Weights, drawn: Drawn, log_probs: Tensor) -> Tensor:
        """As for language models: a mean over prompts of the sum along an answer, of kept ones if any are."""
        method, net = self.method, self.network
        if method.kl.estimator != "exact":
            return objectives.ESTIMATORS[method.kl.estimator](log_probs, drawn.reference).mean((1, 2))
        ends = [net.choices(w, drawn.prompts, drawn.answers) for w in (weights, self.reference)]
        if method.kl.direction == "forward":
            ends.reverse()
        along = objectives.kl(*ends).sum(-1).expand_as(log_probs)
        if method.reward == "filter":
            kept: Tensor = torch.vmap(objectives.best_of)(drawn.rewards)
            return (kept * along).sum(2).mean(1)
        return along.mean((1, 2))


def tune(
    problem: Problem, method: Method, settings: BanditSettings, *, rate: float, seeds: Sequence[int]
) -> Outcome:
    """Tune one replica a seed from its fitted reference; what comes of a seed does not depend on the others.

    A round samples the answers of `batches` batches by one policy and goes through them `reuse` times.
    """
    net = network(problem)
    reference, _ = fitted(problem.kind, tuple(seeds), settings.fit_steps)
    weights = [w.clone().requires_grad_() for w in reference]
    optimiser = torch.optim.Adam(weights, lr=rate, fused=True)
    bank = net.prompts(settings.contexts, drawing(generators(seeds, PROMPTS)))
    numbers = drawing(generators(seeds, ANSWERS))
    source = Source(problem, method, net, reference, bank, settings.samples_per_prompt, numbers)
    # At step 0 policy and reference are one, so every method of a seed draws the same first batch.
    first = source.draw(reference, 0, settings.batch_size)
    ruler = Ruler(problem, net, reference, first.prompts, first.answers, settings, tuple(seeds))
    numbers = drawing(generators(seeds, ANSWERS))
    source = Source(problem, method, net, reference, bank, settings.samples_per_prompt, numbers)
    each, measuring, started = settings.batch_size * settings.samples_per_prompt, 0.0, time.perf_counter()
    step = draws = 0
    points: list[dict[str, Any]] = []
    held: list[Drawn] = []
    while True:
        if step in settings.measured:
            clock = time.perf_counter()
            points += ruler.measure(weights, step, draws * each)
            measuring += time.perf_counter() - clock
        if step == settings.steps:
            break
        place = step % (settings.batches * settings.reuse)
        if place == 0:
            most = min(settings.batches, settings.steps - step)
            held = [
                source.draw(weights, (draws + i) * settings.batch_size, settings.batch_size)
                for i in range(most)
            ]
            draws += most
        optimiser.zero_grad()
        source.losses(weights, held[place % settings.batches]).sum().backward()
        optimiser.step()
        step += 1
    lost = [s for i, s in enumerate(seeds) if not all(bool(w[i].isfinite().all()) for w in weights)]
    if lost:
        raise Diverged(f"weights are no numbers after {settings.steps} steps at rate {rate:g}, seeds {lost}")
    step_s = (time.perf_counter() - started - measuring) / settings.steps
    return Outcome(points, draws, step_s, [w.detach() for w in weights])


def choose_rate(
    problem: Problem,
    method: Method,
    settings: BanditSettings,
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
) -> tuple[float, list[float]]:
    """The rate of the highest mean reward after the last step over development seeds, which are no seeds of
    the study; and every rate's reward, NaN where it diverged. One rate is no trial."""
    if len(rates) == 1:
        return rates[0], []
    rewards = []
    for rate in rates:
        try:
            points = tune(problem, method, settings, rate=rate, seeds=seeds).points
            last = [p["reward"] for p in points if p["step"] == settings.steps]
            rewards.append(sum(last) / len(last))
        except Diverged:
            rewards.append(float("nan"))
    found = [(reward, -rate) for reward, rate in zip(rewards, rates, strict=True) if reward == reward]
    if not found:
        raise Diverged(f"every learning rate of {list(rates)} diverged")
    return -max(found)[1], rewards
