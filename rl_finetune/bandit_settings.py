"""The knobs of a bandit run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from tasks.errors import UserError, unknown

COMPAT = "tajwar2024"
PROBLEMS = ("arms/R1", "arms/R2", "sequence/R1", "sequence/R2")


@dataclass(frozen=True)
class BanditSettings:
    """What a run of a bandit is given, beside its problem, method, learning rate and seeds."""

    steps: int = 200
    """Gradient steps."""
    batch_size: int = 10
    """Prompts a gradient step."""
    samples_per_prompt: int = 10
    """Answers sampled for each."""
    batches: int = 1
    """Batches that are answered at once, by one policy: all steps of a round but the first are off-policy."""
    reuse: int = 1
    """Times that a round's batches are gone through before the next round is sampled; of every method, also
    of those whose own reuse is another."""
    samples_from: str = "own"
    """Who answers: policy, reference, or own: as the method has it (pairs are of the reference's answers)."""
    beta: float = 0.0
    """Weight of the KL, or what a method has in its place; 0: the method's own."""
    contexts: int = 10
    """Different prompts, taken in turn."""
    fit_steps: int = 200
    """Adam steps in which the agent is fitted to the reference distribution."""
    eval_n: int = 100
    """Held-out prompts of each measurement."""
    log_steps: tuple[int, ...] = (10, 20, 50, 100, 150, 200)
    """Gradient steps after which the policy is measured; before the first and after the last it always is."""
    compat: str = ""
    """`tajwar2024`: rewards and log-probabilities of sequences as published, defects included."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "samples_per_prompt", "batches", "reuse", "contexts", "eval_n"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}: must be 1 or more, not {getattr(self, name)}")
        if self.fit_steps < 0:
            raise UserError(f"fit_steps: must be 0 or more, not {self.fit_steps}")
        if not 0 <= self.beta < inf:
            raise UserError(f"beta: must be 0 or above, not {self.beta}")
        if self.samples_from not in ("own", "policy", "reference"):
            raise UserError(
                f"samples_from: {unknown('source', self.samples_from, ('own', 'policy', 'reference'))}"
            )
        if self.compat not in ("", COMPAT):
            raise UserError(f"compat: {unknown('paper', self.compat, (COMPAT,))}")

    @property
    def measured(self) -> set[int]:
        """Steps after which the policy is measured."""
        return {0, self.steps, *(step for step in self.log_steps if 0 < step < self.steps)}

    def told(self) -> dict[str, Any]:
        """Plain values, as a config holds them."""
        return {**asdict(self), "log_steps": sorted(self.measured - {0})}


def bandit_settings_from(values: dict[str, Any]) -> BanditSettings:
    """Settings back from a config's plain values."""
    return BanditSettings(**{**values, "log_steps": tuple(values.get("log_steps", ()))})
