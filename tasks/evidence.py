"""Evidence: how many fine-tuning rows set the target against the spurious feature, and of which kind."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Literal, get_args

from tasks.errors import UserError, unknown

QUADRANTS = ("both", "neither", "target_only", "spurious_only")
TARGET = {"both": 1, "neither": 0, "target_only": 1, "spurious_only": 0}
SPURIOUS = {"both": 1, "neither": 0, "target_only": 0, "spurious_only": 1}
EvidenceKind = Literal["symmetric", "one_sided", "one_sided_balanced"]


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

    def __post_init__(self) -> None:
        if self.kind not in get_args(EvidenceKind):
            raise unknown("kind of evidence", self.kind, get_args(EvidenceKind))
        highest = 1.0 if self.kind == "one_sided" else 0.5
        if not 0 <= self.rate <= highest:
            raise UserError(
                f"evidence {self.rate} is outside 0 to {highest}, the range of {self.kind} evidence"
            )

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

    def information(self, n: int) -> float:
        """Mutual information, in bits, of the spurious feature and the label in a mixture of n."""
        counts = self.counts(n)
        total = 0.0
        for quadrant, k in counts.items():
            if k:
                label = sum(c for q, c in counts.items() if TARGET[q] == TARGET[quadrant])
                spurious = sum(c for q, c in counts.items() if SPURIOUS[q] == SPURIOUS[quadrant])
                total += k / n * log2(k * n / (label * spurious))
        return total

    def label_prior(self, n: int) -> float:
        """Share of rows whose label is 1."""
        counts = self.counts(n)
        return (counts["both"] + counts["target_only"]) / n
