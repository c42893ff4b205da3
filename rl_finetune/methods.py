"""The methods: what can be said of a way to tune, and one table of those that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import Tensor

from rl_finetune import objectives
from rl_finetune.settings import OWN, Settings


@dataclass(frozen=True)
class Batch:
    """What an objective is given: answers to a batch of prompts, [prompts, samples] each, in nats."""

    log_probs: Tensor
    """Under the policy; differentiable."""
    drawn: Tensor
    """Under the policy when the answers were drawn; of bandits, under whoever gave them."""
    reference: Tensor
    """Under the reference; empty for a method that says of no log-ratio that it needs it."""
    rewards: Tensor
    """Empty for demonstrations."""
    advantages: Tensor
    """What `advantage` makes of the rewards, less a KL in the reward; of a critic, those of each action
    [prompts, samples, places]; empty for other methods."""
    tokens: Tensor
    """Tokens of each answer; a constrained answer is one."""
    elsewhere: Tensor
    """Log-ratios of the same answers after other prompts; empty for a method that is not `mismatched`."""
    beta: float
    actions: Tensor
    """Under the policy, of each token [prompts, samples, places], 0 outside of an answer; differentiable."""
    actions_drawn: Tensor
    """The same under the policy when the answers were sampled."""


Objective = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class KL:
    """Where a KL between policy and reference enters, its direction and estimator."""

    place: Literal["none", "reward", "loss", "log-ratios", "weights"]
    """`log-ratios`: in the objective itself; `weights`: beta is a temperature."""
    direction: Literal["reverse", "forward"] = "reverse"
    estimator: Literal["k1", "k2", "k3", "exact"] = "k1"

    def __str__(self) -> str:
        if self.place in ("none", "weights"):
            return "none" if self.place == "none" else "none (beta is a temperature)"
        of = "policy || reference" if self.direction == "reverse" else "reference || policy"
        return f"{self.place}, KL({of})" + (f", {self.estimator}" if self.place != "log-ratios" else "")


@dataclass(frozen=True, kw_only=True)
class Method:
    name: str
    objective: Objective
    """The loss of a batch of answers."""
    samples: Literal["policy", "reference", "demonstrations", "pairs"]
    """Where answers come from."""
    reward: Literal["none", "advantage", "weight", "filter", "pair"]
    """What the reward does."""
    negative_gradient: bool
    """Whether answers can be pushed down."""
    paper: str
    kl: KL = KL("none")
    beta: float = 0.0
    """Where the settings say 0."""
    batch_coupled: bool = False
    """Whether a prompt's gradient depends on the batch it is in."""
    reuse: int = 1
    """Optimiser steps that a batch of answers is used for."""
    advantage: objectives.Advantage | None = None
    centre: objectives.Advantage | None = None
    """What is taken off the KL penalty as a baseline: linear, so that beta keeps its weight."""
    ratios: bool = False
    """Whether it weighs answers by how much more probable they have become since they were sampled."""
    critic: bool = False
    """Whether advantages are of each token, by a critic that is trained beside the policy."""
    least_samples: int = 1
    """Answers a prompt that it needs, where they are sampled."""
    mismatched: bool = False
    """Whether it needs answers after other prompts."""
    trains: bool = True
    """Whether the policy is tuned at all; otherwise its answers alone are chosen among."""
    revision: int = 1
    """Raised by hand when a change of the code changes what the method does."""

    def set(self, settings: Settings) -> Method:
        """The method with the settings' knobs in the place of its own."""
        found: dict[str, Any] = {"beta": settings.beta or self.beta, "reuse": settings.reuse or self.reuse}
        if settings.samples_from != OWN:
            found["samples"] = settings.samples_from
        changed = replace(self, **found)
        if settings.kl_in == "none":
            return replace(changed, beta=0.0, kl=KL("none"))
        return replace(changed, kl=changed._kl(settings))

    def _kl(self, settings: Settings) -> KL:
        """The KL as the settings ask for it; by default estimated without bias."""
        place = self.kl.place if settings.kl_in == OWN else settings.kl_in
        moved = place != self.kl.place
        direction = settings.kl_direction
        if direction == OWN:
            direction = "reverse" if moved else self.kl.direction
        estimator = settings.kl_estimator
        if estimator == OWN:
            unbiased = "k1" if place == "reward" else "k2"
            exact = place == "loss" and (self.samples != "policy" or direction == "forward")
            estimator = "exact" if exact else unbiased if moved else self.kl.estimator
        return KL(place, direction, estimator)  # type: ignore[arg-type]


def _advantage(b: Batch) -> Tensor:
    return objectives.policy_gradient(b.log_probs, b.advantages)


def _filter(b: Batch) -> Tensor:
    return objectives.filtered(b.log_probs, b.rewards)


def _dpo(b: Batch) -> Tensor:
    return objectives.dpo(b.log_probs, b.reference, b.rewards, beta=b.beta)


def _ipo(b: Batch) -> Tensor:
    return objectives.ipo(b.log_probs, b.reference, b.rewards, beta=b.beta)


def _policy_gradient(name: str, advantage: objectives.Advantage | None, paper: str, **row: Any) -> Method:
    """On-policy, the KL in the reward."""
    usual: dict[str, Any] = {"objective": _advantage, "centre": objectives.leave_one_out, "least_samples": 2}
    return Method(
        name=name,
        samples="policy",
        reward="advantage",
        advantage=advantage,
        negative_gradient=True,
        kl=KL("reward"),
        paper=paper,
        **usual | row,
    )


def _best(name: str, samples: Any, paper: str, **row: Any) -> Method:
    """Likelihood of the best answer."""
    return Method(
        name=name,
        objective=_filter,
        samples=samples,
        reward="filter",
        negative_gradient=False,
        paper=paper,
        revision=2,
        **row,
    )


def _paired(name: str, objective: Objective, samples: Any, paper: str, **row: Any) -> Method:
    """Better answers against worse ones, relative to the reference."""
    usual: dict[str, Any] = {"beta": 0.1, "least_samples": 2}
    return Method(
        name=name,
        objective=objective,
        samples=samples,
        reward="pair",
        negative_gradient=True,
        kl=KL("log-ratios"),
        paper=paper,
        **usual | row,
    )


BEST_OF_N = Method(
    name="best-of-n",
    objective=_filter,
    samples="policy",
    reward="filter",
    negative_gradient=False,
    trains=False,
    paper="Stiennon et al. 2020",
)
"""At inference: nothing is tuned, and of `samples_per_prompt` answers the best is given."""

METHODS = {
    m.name: m
    for m in (
        Method(
            name="sft",
            objective=lambda b: objectives.likelihood(b.log_probs),
            samples="demonstrations",
            reward="none",
            negative_gradient=False,
            paper="supervised",
        ),
        _best("pref-ft", "pairs", "Tajwar et al. 2024"),
        _best("bon-distillation", "reference", "Stiennon et al. 2020"),
        _best("online-bon-distillation", "policy", "Dong et al. 2023"),
        _best("superhf", "policy", "Mukobi et al. 2023", kl=KL("loss", "forward", "exact"), beta=0.35),
        Method(
            name="rwr",
            objective=lambda b: objectives.reward_weighted(b.log_probs, b.rewards, beta=b.beta),
            samples="policy",
            reward="weight",
            negative_gradient=False,
            kl=KL("weights"),
            beta=0.33,  # full reward weighs 20 times as much as none
            paper="Peters and Schaal 2007",
        ),
        _policy_gradient(
            "reinforce",
            objectives.batch_baseline,
            "Williams 1992",
            centre=objectives.batch_baseline,
            batch_coupled=True,
            least_samples=1,
        ),
        _policy_gradient("rloo", objectives.leave_one_out, "Ahmadian et al. 2024"),
        _policy_gradient("grpo", objectives.group_standardised, "Shao et al. 2024", revision=2),
        _policy_gradient(
            "ppo",
            None,
            "Schulman et al. 2017",
            objective=lambda b: objectives.clipped(b.actions, b.actions_drawn, b.advantages),
            centre=None,
            ratios=True,
            critic=True,
            least_samples=1,
            reuse=4,
            revision=2,
        ),
        _policy_gradient(
            "ppo-clip",
            objectives.leave_one_out,
            "Schulman et al. 2017, without its critic",
            ratios=True,
            objective=lambda b: objectives.clipped(
                b.log_probs[..., None], b.drawn[..., None], b.advantages[..., None]
            ),
            reuse=4,
        ),
        _paired("dpo", _dpo, "pairs", "Rafailov et al. 2023"),
        _paired("ipo", _ipo, "pairs", "Azar et al. 2023"),
        _paired(
            "ipo-per-token",
            lambda b: objectives.ipo_per_token(b.log_probs, b.reference, b.rewards, b.tokens, beta=b.beta),
            "pairs",
            "Azar et al. 2023, as in TRL",
        ),
        _paired(
            "kto",
            lambda b: objectives.kto(b.log_probs, b.reference, b.rewards, b.elsewhere, beta=b.beta),
            "pairs",
            "Ethayarajh et al. 2024",
            beta=0.5,  # at 0.1 its gradient is a quarter of DPO's, and an entropy bonus outweighs it
            batch_coupled=True,
            mismatched=True,
            least_samples=1,
        ),
        _paired("online-dpo", _dpo, "policy", "Guo et al. 2024"),
        _paired("online-ipo", _ipo, "policy", "Calandriello et al. 2024"),
    )
}
