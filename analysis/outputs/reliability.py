"""Probabilities in bins: how often those of a bin were right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.use import wilson

Values = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Bin:
    """A row of the reliability table: the probabilities in (low, high], the first bin with its lower edge."""

    of: str
    """'top label' or 'all classes'."""
    low: float
    high: float
    n: int
    """Probabilities in it."""
    confidence: float | None
    """Their mean; None in an empty bin."""
    right: float | None
    """Share of them that were given to the right answer."""
    right_low: float | None
    """Wilson's 95 % interval of that share."""
    right_high: float | None


@dataclass(frozen=True)
class Pooled:
    """Probabilities of many questions in one line, [m] each."""

    of: str
    question: Places
    probability: Values
    right: Values
    """1 for the right answer, else 0; a share where several answers are tied for the top."""
    n: int
    """Questions."""

    def sums(self, place: Places, bins: int) -> tuple[Values, Values, Values]:
        """[n, bins] each: a question's probabilities in a bin, their sum, and how many of them were right."""
        where = self.question * bins + place
        weights = (None, self.probability, self.right)
        size = self.n * bins
        found = [np.bincount(where, w, minlength=size).reshape(self.n, bins).astype(float) for w in weights]
        return found[0], found[1], found[2]


def reliability(pooled: Pooled, bins: int) -> list[Bin]:
    """One row a bin."""
    edges = np.linspace(0, 1, bins + 1)
    counts, total, right = (s.sum(axis=0) for s in pooled.sums(places(pooled.probability, bins), bins))
    rows = []
    for k in range(bins):
        n = int(counts[k])
        ends = wilson(right[k], n) if n else (None, None)
        mean, share = (total[k] / n, right[k] / n) if n else (None, None)
        rows.append(Bin(pooled.of, float(edges[k]), float(edges[k + 1]), n, mean, share, *ends))
    return rows


def places(probability: Values, bins: int) -> Places:
    """The bin of each probability, closed above."""
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], probability)
