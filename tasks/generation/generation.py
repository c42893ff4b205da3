"""A text-out task: a right text and the text of a spurious rule, under evidence and under graded shifts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.errors import UserError, unknown
from tasks.feature import Split
from tasks.text_problem import TextProblem

if TYPE_CHECKING:
    from datasets import Dataset

Rule = Literal["both", "target", "spurious", "neither"]
"""Whose text a completion is; `both` where the two rules give the same one."""
IN = "in"
"""The distribution that tuning has."""


@dataclass(frozen=True)
class Shift:
    """A distribution of prompts that tuning does not have."""

    name: str
    """As the command line and records have it: `longer-2`."""
    axis: str
    """What differs: `longer`. Shifts of one axis are graded."""
    level: int
    """1 upwards: how far."""
    about: str
    """One plain sentence."""


@dataclass(frozen=True)
class Row:
    """One prompt of a text-out task."""

    prompt: str
    completion: str
    """The reference answer, which the target rule gives."""
    spurious: str
    """What the spurious rule gives: the same where the two agree."""
    choices: tuple[str, ...] = ()
    """Different answers that a rule could give, the right one first; empty where there are none."""

    @property
    def conflict(self) -> bool:
        """Whether the two rules disagree."""
        return self.completion != self.spurious


@dataclass(frozen=True)
class Generation(TextProblem):
    """A text problem with a target rule and a spurious one.

    In distribution the two agree but on the share `evidence` of the prompts. Off distribution, as everywhere,
    a caller says on which share they disagree.
    """

    shifts: tuple[Shift, ...] = field(default=())

    def draw(self, n: int, rng: Generator, split: Split, *, conflicts: int, shift: str) -> list[Row]:
        """n rows of which `conflicts`, at random places, are conflicts; arguments are checked."""
        raise NotImplementedError

    def flawed(self, row: Row, rng: Generator) -> str:
        """An answer of lower gold reward than the reference answer of a row."""
        raise NotImplementedError

    def follows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Rule]:
        """Which rule each completion keeps to. Read from the texts alone."""
        raise NotImplementedError

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        """[pairs, 3]: probabilities, by the grammar, of entailment, neutrality and contradiction."""
        raise NotImplementedError

    @property
    def has_gold(self) -> bool:
        """Whether there is a gold reward; public data have none, and neither rules nor choices."""
        return not math.isnan(self.optimum)

    def rows(
        self, n: int, rng: Generator, split: Split = "train", *, evidence: float = 0.0, shift: str = IN
    ) -> list[Row]:
        """n rows of a split; splits share no prompt. `evidence` is the share of conflicts, rounded down."""
        if not 0 <= evidence <= 1:
            raise UserError(f"{self.name}: evidence must be within 0 and 1, not {evidence}")
        names = [IN, *(each.name for each in self.shifts)]
        if shift not in names:
            raise unknown("shift", shift, names)
        return self.draw(n, rng, split, conflicts=int(n * evidence + 1e-9), shift=shift)

    def has_preferences(self, shift: str, split: Split) -> bool:
        """Whether there are preference pairs of a distribution and split."""
        return True

    def preferences(
        self, n: int, rng: Generator, split: Split = "train", *, evidence: float = 0.0, shift: str = IN
    ) -> Dataset:
        """n rows as columns prompt, chosen (the reference answer) and rejected (a flawed one)."""
        from datasets import Dataset

        rows = self.rows(n, rng, split, evidence=evidence, shift=shift)
        return Dataset.from_dict(
            {
                "prompt": [row.prompt for row in rows],
                "chosen": [row.completion for row in rows],
                "rejected": [self.flawed(row, rng) for row in rows],
            }
        )
