"""The methods: one table of ways to tune."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from rl_finetune import objectives
from tasks.errors import unknown


@dataclass(frozen=True)
class Method:
    name: str
    samples: Literal["policy", "demonstrations"]
    """Where samples come from."""
    reward: Literal["none", "advantage"]
    """What the reward does."""
    advantage: objectives.Advantage | None
    centre: objectives.Advantage | None
    """What is taken off the KL penalty as a baseline: linear, so that beta keeps its weight."""
    negative_gradient: bool
    """Whether answers can be pushed down."""
    batch_coupled: bool
    """Whether a prompt's gradient depends on the batch it is in."""
    kl: str
    """Where the KL to the reference enters (weight beta, 0 by default), its direction and estimator."""
    reuse: int
    """Gradient steps that a batch of samples is used for."""
    paper: str
    revision: int = 1
    """Raised by hand when a change of the code changes what the method does."""

    @property
    def least_samples(self) -> int:
        """Samples a prompt that the advantage needs."""
        return 2 if self.name in ("rloo", "grpo") else 1


_KL = "in the advantage, KL(policy || reference), k1"


def _on_policy(
    name: str,
    advantage: objectives.Advantage,
    centre: objectives.Advantage,
    batch_coupled: bool,
    paper: str,
    revision: int = 1,
) -> Method:
    return Method(
        name, "policy", "advantage", advantage, centre, True, batch_coupled, _KL, 1, paper, revision
    )


METHODS = {
    m.name: m
    for m in (
        Method("sft", "demonstrations", "none", None, None, False, False, "none", 1, "supervised"),
        _on_policy("reinforce", objectives.batch_baseline, objectives.batch_baseline, True, "Williams 1992"),
        _on_policy("rloo", objectives.leave_one_out, objectives.leave_one_out, False, "Ahmadian et al. 2024"),
        _on_policy(
            "grpo", objectives.group_standardised, objectives.leave_one_out, False, "Shao et al. 2024", 2
        ),
    )
}


def get_method(name: str) -> Method:
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]


def method_table() -> list[dict[str, object]]:
    """One row a method, for printing."""
    rows = [asdict(m) for m in METHODS.values()]
    for row in rows:
        del row["advantage"], row["centre"]
    return rows
