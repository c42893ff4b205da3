"""The knobs of a fine-tuning run: types, defaults and help of the command line and of study files."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from tasks.errors import UserError, unknown


def _knob(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"help": doc})


@dataclass(frozen=True)
class Settings:
    steps: int = _knob(240, "optimiser steps")
    batch_size: int = _knob(
        64, "prompts a step; steps x batch_size is the number of fine-tuning rows, each seen once"
    )
    samples_per_prompt: int = _knob(4, "answers sampled for each prompt, for methods that sample")
    learning_rate: float = _knob(1e-3, "peak learning rate of AdamW")
    entropy_bonus: float = _knob(
        0.05, "weight of the answers' entropy, falling linearly to 0; the same for all methods"
    )
    beta: float = _knob(0.0, "weight of the KL to the reference, for methods that have one")
    answers: str = _knob(
        "constrained", "constrained (renormalised over the answers) or free (full vocabulary)"
    )
    warmup_steps: int = _knob(1000, "most steps of the format warm-up of free answers")
    eval_n: int = _knob(500, "test rows a quadrant at the end")
    log_n: int = _knob(64, "validation rows a quadrant at each log point")
    log_points: int = _knob(8, "times that answers are counted while training")
    counterfactual_n: int = _knob(64, "test rows whose minimal edits measure reliance, in fours")

    def __post_init__(self) -> None:
        if self.answers not in ("constrained", "free"):
            raise unknown("way of answering", self.answers, ["constrained", "free"])
        for name in ("steps", "batch_size", "samples_per_prompt", "eval_n", "log_n", "learning_rate"):
            if not 0 < getattr(self, name) < inf:
                raise UserError(f"setting {name} must be above 0, not {getattr(self, name)}")
        for name in ("entropy_bonus", "beta", "log_points", "counterfactual_n", "warmup_steps"):
            if not 0 <= getattr(self, name) < inf:
                raise UserError(f"setting {name} must be 0 or above, not {getattr(self, name)}")
        if self.counterfactual_n % 4:
            raise UserError(
                f"setting counterfactual_n must be 0 or a multiple of 4, not {self.counterfactual_n}"
            )

    @property
    def rows(self) -> int:
        """Fine-tuning rows, each seen once."""
        return self.steps * self.batch_size


def settings_from(values: dict[str, Any], where: str = "settings") -> Settings:
    """Settings from plain values, checked by name and type."""
    known = {f.name: f for f in fields(Settings)}
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            raise unknown(f"key in {where}", key, known)
        wanted = type(known[key].default)
        whole_as_float = wanted is float and type(value) is int
        if type(value) is not wanted and not whole_as_float:
            raise UserError(f"{where}: {key} should be of type {wanted.__name__}, not {value!r}")
        checked[key] = float(value) if whole_as_float else value
    return Settings(**checked)
