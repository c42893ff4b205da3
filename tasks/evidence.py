"""Evidence: how many fine-tuning rows set the target against the spurious feature, and of which kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import log2
from typing import Any, Literal, get_args

from tasks.errors import UserError, unknown

QUADRANTS = ("both", "neither", "target_only", "spurious_only")
TARGET = {"both": 1, "neither": 0, "target_only": 1, "spurious_only": 0}
SPURIOUS = {"both": 1, "neither": 0, "target_only": 0, "spurious_only": 1}
EvidenceKind = Literal["symmetric", "one_sided", "one_sided_balanced"]
Cell = tuple[int, ...]
"""Truths of the target feature, of the spurious one, and of the others where a task has more."""
Joint = Mapping[tuple[Cell, int], int]
"""Rows of each cell and label."""


@dataclass(frozen=True)
class Evidence:
    """k of N rows in which target and spurious feature disagree."""

    kind: EvidenceKind = "symmetric"
    """`symmetric`: half target_only, half spurious_only, label prior 0.5 (at rate 0.5 the spurious feature
    tells nothing of the label). `one_sided`: spurious_only in place of base rows, as in Lovering et al. 2021
    and Cruz et al. 2023; the label prior drifts to (1 - rate) / 2. `one_sided_balanced`: spurious_only in
    place of neither, label prior 0.5."""
    rate: float = 0.0
    """k / N: 0 to 0.5, or 0 to 1 when one_sided."""
    noise: float = 0.0
    """Share of the rows of each cell whose label is not the target's, 0 to 0.5: the target agrees with the
    label (its predictivity, in Hermann et al. 2024) in 1 - noise of the rows."""
    others: tuple[float, ...] = ()
    """For each further spurious feature of a task, the share of rows in which it disagrees with the target,
    0 to 1: the same share whatever the other features are. `rate` for those not given."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(EvidenceKind):
            raise unknown("kind of evidence", self.kind, get_args(EvidenceKind))
        highest = 1.0 if self.kind == "one_sided" else 0.5
        if not 0 <= self.rate <= highest:
            raise UserError(
                f"evidence {self.rate} is outside 0 to {highest}, the range of {self.kind} evidence"
            )
        if not 0 <= self.noise <= 0.5:
            raise UserError(f"label noise {self.noise} is outside 0 to 0.5")
        for rate in self.others:
            if not 0 <= rate <= 1:
                raise UserError(f"evidence {rate} of a further spurious feature is outside 0 to 1")

    def config(self) -> dict[str, Any]:
        """The evidence as keys of a run's config, for `evidence_of`; noise and others only where given."""
        beside = {"evidence_noise": self.noise, "evidence_others": list(self.others)}
        told = {name: value for name, value in beside.items() if value}
        return {"evidence_kind": self.kind, "evidence_rate": self.rate, **told}

    def counts(self, n: int) -> dict[str, int]:
        """Rows of each quadrant in a mixture of n. The label prior is 0.5 for even n, except one_sided."""
        k = round(self.rate * n)
        if self.kind == "symmetric":
            target_only = spurious_only = round(self.rate * n / 2)
        elif self.kind == "one_sided":
            target_only, spurious_only = 0, k
        else:
            target_only, spurious_only = 0, min(k, n // 2)
        if self.kind == "one_sided":
            both = (n - k + 1) // 2
        else:
            both = (n + 1) // 2 - target_only
        neither = n - both - target_only - spurious_only
        return dict(zip(QUADRANTS, (both, neither, target_only, spurious_only), strict=True))

    def cells(self, n: int, others: int = 0) -> dict[Cell, int]:
        """Rows of each cell in a mixture of n, for a task with so many further spurious features.

        Each further feature divides every cell into its rows that agree with the target and the nearest
        whole number to its share that disagree, so that a cell never shrinks as what it divides grows.
        """
        if len(self.others) > others:
            raise UserError(
                f"evidence of {len(self.others)} further spurious features is given for a task with {others}"
            )
        cells: dict[Cell, int] = {(TARGET[q], SPURIOUS[q]): k for q, k in self.counts(n).items()}
        for rate in (*self.others, *[self.rate] * (others - len(self.others))):
            cells = {
                (*cell, truth): round(rate * k) if truth != cell[0] else k - round(rate * k)
                for cell, k in cells.items()
                for truth in (cell[0], 1 - cell[0])
            }
        return cells

    def flipped(self, k: int) -> int:
        """How many of the k rows of a cell have a label that is not the target's."""
        return round(self.noise * k)

    def joint(self, n: int, others: int = 0) -> dict[tuple[Cell, int], int]:
        """Rows of each cell and label in a mixture of n, for a task with so many more spurious features."""
        cells = self.cells(n, others)
        true = {(cell, cell[0]): k - self.flipped(k) for cell, k in cells.items()}
        return true | {(cell, 1 - cell[0]): self.flipped(k) for cell, k in cells.items()}

    def information(self, n: int, feature: int = 1, others: int = 0) -> float:
        """Mutual information, in bits, of a feature and the label in a mixture of n.

        `feature` is its place in a cell: 0 for the target, 1 for the spurious feature.
        """
        return information(self.joint(n, others), [feature])

    def label_prior(self, n: int, others: int = 0) -> float:
        """Share of rows whose label is 1."""
        return sum(k for (_, label), k in self.joint(n, others).items() if label) / n


def evidence_of(config: Mapping[str, Any]) -> Evidence:
    """The evidence that a run's config names."""
    others = tuple(config.get("evidence_others", ()))
    return Evidence(
        config["evidence_kind"], config["evidence_rate"], config.get("evidence_noise", 0.0), others
    )


def quadrant_of(cell: Cell) -> str:
    """The quadrant in which a cell is."""
    return next(q for q in QUADRANTS if (TARGET[q], SPURIOUS[q]) == cell[:2])


def cell_name(quadrant: str, others: Iterable[int]) -> str:
    """A cell in words: its quadrant and, where there are more spurious features, their truths: `both 0 1`."""
    return " ".join([quadrant, *map(str, others)])


def information(joint: Joint, read: Iterable[int]) -> float:
    """Mutual information, in bits, of the label and the features at these places in a cell."""
    seen = _seen(joint, read)
    n = sum(seen.values())
    truths, labels = Counter[Cell](), Counter[int]()
    for (truth, label), k in seen.items():
        truths[truth] += k
        labels[label] += k
    bits = 0.0
    for (truth, label), k in seen.items():
        if k:
            bits += k / n * log2(k * n / (labels[label] * truths[truth]))
    return bits


def bayes_accuracy(joint: Joint, read: Iterable[int]) -> float:
    """The best accuracy that any rule can reach that reads the features at these places in a cell."""
    seen = _seen(joint, read)
    best = Counter[Cell]()
    for (truth, _), k in seen.items():
        best[truth] = max(best[truth], k)
    return best.total() / sum(seen.values())


def _seen(joint: Joint, read: Iterable[int]) -> Counter[tuple[Cell, int]]:
    places = list(read)
    rows = Counter[tuple[Cell, int]]()
    for (cell, label), k in joint.items():
        rows[tuple(cell[i] for i in places), label] += k
    return rows
