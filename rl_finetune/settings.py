"""The knobs of a fine-tuning run: types, defaults and help of the command line and of study files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from math import inf
from typing import Any

from tasks.errors import UserError, unknown

OWN = "own"
"""Of a knob: as the method has it."""
BACKEND = ("backend", "lora", "bf16", "gradient_checkpointing", "processes")
"""The knobs that say what runs the training."""


def _knob(default: Any, doc: str, *choices: str) -> Any:
    return field(default=default, metadata={"help": doc, "choices": choices})


def _later(knob: Any) -> Any:
    """A knob that came later: a config has it only where it is used, so that runs stay the runs they were."""
    return field(default=knob.default, metadata={**knob.metadata, "later": True})


@dataclass(frozen=True)
class Settings:
    steps: int = _knob(240, "batches, each of one optimiser step unless it is reused")
    batch_size: int = _knob(
        64, "prompts a batch; steps x batch_size is the number of fine-tuning rows, each in one batch"
    )
    samples_per_prompt: int = _knob(4, "answers sampled for each prompt, for methods that sample")
    learning_rate: float = _knob(1e-3, "peak learning rate of AdamW")
    entropy_bonus: float = _knob(
        0.05, "weight of the answers' entropy, falling linearly to 0; the same for all methods"
    )
    beta: float = _knob(
        0.0, "weight of the KL to the reference, or what a method has in its place; 0: the method's own"
    )
    answers: str = _knob(
        "constrained",
        "constrained (renormalised over the answers) or free (full vocabulary)",
        "constrained",
        "free",
    )
    warmup_steps: int = _knob(1000, "most steps of the format warm-up of free answers")
    eval_n: int = _knob(500, "test rows a quadrant at the end")
    log_n: int = _knob(64, "validation rows a quadrant at each log point")
    log_points: int = _knob(8, "times that answers are counted while training")
    counterfactual_n: int = _knob(64, "test rows whose minimal edits measure reliance, in fours")
    reuse: int = _later(
        _knob(0, "optimiser steps on each batch, whose answers are not sampled again; 0: the method's own")
    )
    samples_from: str = _later(
        _knob(
            OWN,
            "who answers: the policy, or the reference (a fixed pool); own: as the method has it",
            OWN,
            "policy",
            "reference",
        )
    )
    kl_in: str = _later(
        _knob(
            OWN,
            "where the KL enters: the reward, the loss or nowhere; own: as the method has it",
            OWN,
            "reward",
            "loss",
            "none",
        )
    )
    kl_estimator: str = _later(
        _knob(
            OWN,
            "the KL's estimator, exact being of whole distributions at each token of the answers; "
            "own: the unbiased one",
            *(OWN, "k1", "k2", "k3", "exact"),
        )
    )
    kl_direction: str = _later(
        _knob(
            OWN,
            "reverse is KL(policy || reference), forward KL(reference || policy); own: as the method has it",
            *(OWN, "reverse", "forward"),
        )
    )
    kl_target: float = _later(
        _knob(
            0.0, "nats from the reference that beta is adapted to, for a KL in the reward; 0: beta is fixed"
        )
    )
    prior: str = _later(
        _knob(
            "reference",
            "the far end of the KL in the loss: the reference, or the model before the format warm-up",
            *("reference", "pretrained"),
        )
    )
    backend: str = _later(
        _knob(
            "native",
            "whose training loop: ours, or TRL's trainers (free answers, no entropy bonus)",
            *("native", "trl"),
        )
    )
    lora: int = _later(
        _knob(0, "rank of LoRA's adapters, merged in the end (backend trl); 0: all weights are tuned")
    )
    bf16: bool = _later(
        _knob(False, "tune in mixed precision: products of matrices in bfloat16, weights in float32")
    )
    compile: bool = _later(
        _knob(False, "compile the model before tuning (constrained answers; needs a C++ compiler)")
    )
    gradient_checkpointing: bool = _later(
        _knob(False, "save memory: compute activations a second time (backend trl)")
    )
    processes: int = _later(
        _knob(
            1,
            "processes that accelerate launches and a batch is split over, one a GPU where there are any "
            "(backend trl); 1: none is launched",
        )
    )

    def __post_init__(self) -> None:
        for knob in fields(self):
            value, choices = getattr(self, knob.name), knob.metadata["choices"]
            if choices and value not in choices:
                kind = "way of answering" if knob.name == "answers" else f"value of {knob.name}"
                raise unknown(kind, value, choices)
        for name in (
            "steps",
            "batch_size",
            "samples_per_prompt",
            "eval_n",
            "log_n",
            "learning_rate",
            "processes",
        ):
            if not 0 < getattr(self, name) < inf:
                raise UserError(f"setting {name} must be above 0, not {getattr(self, name)}")
        knobs = ("entropy_bonus", "beta", "log_points", "counterfactual_n", "warmup_steps")
        for name in (*knobs, "reuse", "kl_target", "lora"):
            if not 0 <= getattr(self, name) < inf:
                raise UserError(f"setting {name} must be 0 or above, not {getattr(self, name)}")
        if self.compile and (self.answers != "constrained" or self.backend != "native"):
            raise UserError(
                "setting compile needs answers=constrained: of free answers each length compiles anew"
            )
        usual = {knob.name: knob.default for knob in fields(self)}
        for name in ("lora", "gradient_checkpointing", "processes"):
            if getattr(self, name) != usual[name] and self.backend == "native":
                raise UserError(f"setting {name} needs backend=trl: our own loop has none")
        if self.batch_size % self.processes:
            raise UserError(
                f"setting batch_size {self.batch_size} cannot be split over processes {self.processes}: "
                "it must be a multiple"
            )
        if self.counterfactual_n % 4:
            raise UserError(
                f"setting counterfactual_n must be 0 or a multiple of 4, not {self.counterfactual_n}"
            )

    @property
    def rows(self) -> int:
        """Fine-tuning rows, each in one batch."""
        return self.steps * self.batch_size

    @property
    def log_steps(self) -> set[int]:
        """Batches after which answers are counted."""
        return {round(self.steps * (i + 1) / self.log_points) for i in range(self.log_points)}

    def batches(self, n: int, what: str = "rows") -> Iterator[range]:
        """The places of each batch among n rows; UserError where there are too few."""
        if n < self.rows:
            raise UserError(f"{self.steps} steps of {self.batch_size} need {self.rows} {what}, not {n}")
        starts = range(0, self.rows, self.batch_size)
        return (range(start, start + self.batch_size) for start in starts)

    def told(self) -> dict[str, Any]:
        """Plain values, as a config holds them: knobs that came later only where they are used."""
        later = {f.name: f.default for f in fields(self) if f.metadata.get("later")}
        return {n: v for n, v in asdict(self).items() if n not in later or v != later[n]}


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
    if checked.get("backend") == "trl":
        checked.setdefault("entropy_bonus", 0.0)  # TRL has none
    return Settings(**checked)
