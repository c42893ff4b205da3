"""Which feature does a policy use? Counts of wrong answers on the four quadrants -> use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

QUADRANTS = ("both", "neither", "target_only", "spurious_only")
LEARNT = 0.1
"""A run is learnt when its error on both and neither, B, is at most this."""
RULE = 0.25
"""A conflict quadrant is answered by a rule when its error is at most this, or at least one minus this."""
REACHED = 0.95
"""Reward on both and neither at which methods are compared as equals while they are tuned."""
CONSTANT = 0.95
"""An unlearnt run is constant when at least this share of its answers is one answer."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class QuadrantCounts:
    """Greedy answers of one policy on the test rows of each quadrant."""

    n: Mapping[str, int]
    """Rows per quadrant."""
    errors: Mapping[str, int]
    """Wrong greedy answers per quadrant; an invalid answer is a wrong one."""
    p_error: Mapping[str, float] = field(default_factory=dict)
    """Mean probability of a wrong answer per quadrant."""
    ones: int = 0
    """Greedy answers that say label 1, over all quadrants."""
    invalid: int = 0
    """Greedy answers that are no answer word, over all quadrants."""


@dataclass(frozen=True)
class Use:
    """Which feature a policy uses, with 95 % intervals."""

    U: float
    """(error on spurious_only + error on target_only) / 2: 0 = target rule, 1 = spurious rule.
    NaN unless the run is learnt."""
    D: float
    """Error on spurious_only minus error on target_only: +1 = OR, -1 = AND. Also for unlearnt runs."""
    B: float
    """Mean error on both and neither."""
    label: str
    """target, spurious, OR, AND, mixed, constant, unlearnt; unmeasured when a quadrant has no rows."""
    U_probability: float
    """U from mean probabilities of wrong answers; NaN unless the run is learnt."""
    U_interval: Interval
    D_interval: Interval
    B_interval: Interval
    errors: dict[str, float]
    """Error rate per quadrant."""
    error_intervals: dict[str, Interval]
    """Wilson interval of each."""


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Score interval of a rate k / n; (0, 1) when n is 0.

    References: E. B. Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if n == 0:
        return 0.0, 1.0
    z = float(norm.ppf((1 + confidence) / 2))
    rate = k / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return (0.0 if k == 0 else centre - half), (1.0 if k == n else centre + half)


def _combine(a: float, b: float, a_in: Interval, b_in: Interval, weight_b: float, scale: float) -> Interval:
    """Interval of scale * (a + weight_b * b), weight_b = 1 or -1, from the Wilson intervals of a and b.

    References: R. G. Newcombe (1998), Interval estimation for the difference between independent proportions.
    """
    if weight_b < 0:
        b, b_in = -b, (-b_in[1], -b_in[0])
    low = a + b - math.hypot(a - a_in[0], b - b_in[0])
    high = a + b + math.hypot(a_in[1] - a, b_in[1] - b)
    return scale * low, scale * high


def _label(B: float, target_only: float, spurious_only: float, counts: QuadrantCounts) -> str:
    if math.isnan(B) or math.isnan(target_only) or math.isnan(spurious_only):
        return "unmeasured"
    if B > LEARNT:
        answers = sum(counts.n.values())
        zeros = answers - counts.ones - counts.invalid
        return "constant" if max(counts.ones, zeros) >= CONSTANT * answers else "unlearnt"
    high = 1 - RULE
    if target_only <= RULE:
        return "target" if spurious_only <= RULE else "OR" if spurious_only >= high else "mixed"
    if target_only >= high:
        return "AND" if spurious_only <= RULE else "spurious" if spurious_only >= high else "mixed"
    return "mixed"


def use_of(counts: QuadrantCounts) -> Use:
    """Use of a policy, read from its answers on the four quadrants."""
    rate = {q: counts.errors[q] / counts.n[q] if counts.n.get(q) else math.nan for q in QUADRANTS}
    interval = {q: wilson(counts.errors.get(q, 0), counts.n.get(q, 0)) for q in QUADRANTS}

    def pair(first: str, second: str, weight: float, scale: float) -> tuple[float, Interval]:
        # Rounded, so that an exact 0.1 is 0.1 and the fixed thresholds mean what they say.
        value = round(scale * (rate[first] + weight * rate[second]), 12)
        if math.isnan(value):
            return math.nan, (math.nan, math.nan)
        ends = (rate[first], rate[second], interval[first], interval[second])
        return value, _combine(*ends, weight, scale)

    U, U_interval = pair("spurious_only", "target_only", 1, 0.5)
    D, D_interval = pair("spurious_only", "target_only", -1, 1)
    B, B_interval = pair("both", "neither", 1, 0.5)
    wrong = [counts.p_error.get(q, math.nan) for q in ("spurious_only", "target_only")]
    U_probability = sum(wrong) / 2
    if not B <= LEARNT:
        U, U_probability, U_interval = math.nan, math.nan, (math.nan, math.nan)
    label = _label(B, rate["target_only"], rate["spurious_only"], counts)
    return Use(U, D, B, label, U_probability, U_interval, D_interval, B_interval, rate, interval)


@dataclass(frozen=True)
class Reliance:
    """How far answers follow one feature when it alone is flipped."""

    value: float
    """Flip minus placebo, -1 to 1: 1 = the answer always follows the feature, 0 = it never matters."""
    by_held: dict[int, float]
    """The same where the held feature is false (0) and true (1)."""
    flip: float
    """Mean signed change of the answer under the flip."""
    placebo: float
    """Mean change, signed alike, under an edit of the same size that flips nothing."""
    n: int


def reliance(
    original: ArrayLike,
    counterfactual: ArrayLike,
    placebo: ArrayLike,
    direction: ArrayLike,
    held: ArrayLike | Sequence[int],
) -> Reliance:
    """Reliance on the flipped feature; `value` weighs the two values of the held feature alike.

    Args:
        original, counterfactual, placebo: answers (0 or 1) or probabilities of label 1, [n]; NaN = invalid
            answer, and its row is left out.
        direction: +1 where the edit makes the feature true, -1 where it makes it false, [n].
        held: value of the other feature, 0 or 1, [n].
    """
    start, flipped, edited = (np.asarray(a, float) for a in (original, counterfactual, placebo))
    sign, other = np.asarray(direction, float), np.asarray(held, int)
    keep = ~np.isnan(start + flipped + edited)
    if not keep.any():
        return Reliance(math.nan, {}, math.nan, math.nan, 0)
    moved, drifted = sign * (flipped - start), sign * (edited - start)
    groups = {int(h): keep & (other == h) for h in np.unique(other[keep])}
    flips = {h: float(moved[rows].mean()) for h, rows in groups.items()}
    drifts = {h: float(drifted[rows].mean()) for h, rows in groups.items()}
    by_held = {h: flips[h] - drifts[h] for h in groups}
    flip, drift = float(np.mean(list(flips.values()))), float(np.mean(list(drifts.values())))
    return Reliance(flip - drift, by_held, flip, drift, int(keep.sum()))
