"""From an interval to a word: the four statuses, equivalence, and Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

SAME, OPPOSITE, SMALL, UNKNOWN = "same direction", "opposite", "too small to matter", "cannot be told"
ALPHA = 0.05
MARGIN = 0.1
"""A control is at chance when the 90 % interval of its U lies within 0.5 +/- this."""


def status(low: float, high: float, p: float, *, smallest: float, null: float = 0.0) -> str:
    """What a 95 % interval and a p-value say about a claim that the value lies above `null`.

    A direction needs both: an interval wholly on one side and p below 0.05. "too small to matter" when all
    of the interval lies within `smallest` of the null, whether or not it holds the null itself. All else,
    also where the two disagree, is "cannot be told".
    """
    if math.isnan(low) or math.isnan(high):
        return UNKNOWN
    if null - smallest <= low and high <= null + smallest:
        return SMALL
    if not p < ALPHA:
        return UNKNOWN
    return SAME if low > null else OPPOSITE if high < null else UNKNOWN


def equivalence(low: float, high: float, *, margin: float = MARGIN, null: float = 0.5) -> str:
    """Whether a control's U is at chance, from its 90 % interval (two one-sided tests at 5 %).

    References:
        D. Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach for
        assessing the equivalence of average bioavailability, J. Pharmacokinetics and Biopharmaceutics 15.
    """
    return SMALL if null - margin <= low and high <= null + margin else UNKNOWN


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; a NaN stays one and does not count as a test."""
    values = np.asarray(p, float)
    adjusted = np.full(len(values), math.nan)
    order = [i for i in np.argsort(values) if not math.isnan(values[i])]
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, float(values[i]) * (len(order) - rank)))
        adjusted[i] = least
    return [float(value) for value in adjusted]
