"""Does a model know what it knows? Calibration of answer probabilities, each number with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from analysis.measured import Measured
from analysis.outputs.reliability import Bin, Pooled, Values, places, reliability
from tasks.errors import UserError, unknown

TOP, ALL = "top label", "all classes"
SUPERHF = "superhf2023"
OFF_ONE = 0.01
"""Probabilities of a question may sum to this much more or less than 1: they come rounded."""
SIMULATED = 200
"""Data sets that are drawn to find what ECE a calibrated model would show."""
HELD = 2**22
"""Weights of resamples that are held at once."""
SCOPE = "questions"

Statistic = Callable[[Values], Values]
"""Of weights a question, [r, n], the number under each, [r]."""


@dataclass(frozen=True)
class Calibration:
    """All that was measured."""

    measures: list[Measured]
    reliability: list[Bin]


def problem_of(probabilities: Sequence[float], right: int) -> str:
    """What is wrong with a question, or ""; `right` counts from 0."""
    if not len(probabilities):
        return "there is no probability"
    for k, p in enumerate(probabilities, 1):
        if not 0 <= p <= 1:
            return f"probability {k} is {p:g}, not a number from 0 to 1"
    total = math.fsum(probabilities)
    if abs(total - 1) > OFF_ONE:
        return f"the probabilities sum to {total:.4g}, not to 1"
    if not 0 <= right < len(probabilities):
        return f"the right answer is number {right + 1} of {len(probabilities)}"
    return ""


def calibration(
    probabilities: Sequence[Sequence[float]],
    right: Sequence[int],
    *,
    bins: int = 10,
    compat: str = "",
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Calibration of questions with several choices, of which one is right; choices may differ in number.

        accuracy           share of questions whose likeliest answer is right; t tied answers get 1/t each
        confidence         mean probability of the likeliest answer
        ECE (top label)    mean over bins of |share right - mean confidence|, weighted by their questions
        ECE (all classes)  the same over the probabilities of all choices pooled
        Brier              squared distance of the probabilities from the right answer, summed over choices
        NLL                -log probability of the right answer, nats; infinite if it is 0 anywhere, and then
                           without an interval. How often is the next row's number
        impossible         share of questions whose right answer has probability 0

    Intervals are from a bootstrap over questions: percentiles, but for the ECE, whose resamples lie above it
    as it lies above the truth, the reversed ones. The floor of an ECE is what calibrated probabilities would
    show on average in as many questions, since no finite sample shows 0; where they would show as much as
    was found in 1 of 20 draws, the interval reaches down to 0.

    compat="superhf2023" adds that paper's MSE: over all probabilities pooled, ten bins of .1 on [0, 1), the
    unweighted mean over the bins that are not empty of (share right - middle of the bin)^2. A probability of
    exactly 1 is in no bin, left out and counted. A bin of one probability weighs as much as one of thousands.

    Args:
        probabilities: of the choices of each question.
        right: place of the right choice, from 0.

    References:
        C. Guo et al. (2017), On calibration of modern neural networks.
        J. Bröcker, L. Smith (2007), Increasing the reliability of reliability diagrams.
        G. Mukobi et al. (2023), SuperHF: supervised iterative learning from human feedback, arXiv 2310.16763.
    """
    if len(probabilities) != len(right):
        raise UserError(f"{len(probabilities)} questions have probabilities, {len(right)} a right answer")
    _check(len(right), bins, compat)
    for i, (several, place) in enumerate(zip(probabilities, right, strict=True)):
        if problem := problem_of(several, place):
            raise UserError(f"question {i + 1}: {problem}")
    sizes = np.array([len(several) for several in probabilities])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    flat = np.concatenate([np.asarray(several, float) for several in probabilities])
    question = np.repeat(np.arange(len(sizes)), sizes)
    hit = np.zeros(len(flat))
    hit[starts + np.asarray(right)] = 1
    top = np.maximum.reduceat(flat, starts)
    tied = flat == top[question]
    share = np.add.reduceat(hit * tied, starts) / np.add.reduceat(tied.astype(float), starts)
    every = Pooled(ALL, question, flat, hit, len(sizes))
    first = Pooled(TOP, np.arange(len(sizes)), top, share, len(sizes))
    ends = starts + sizes - 1
    cumulative = np.cumsum(flat)

    def drawn(rng: Generator) -> Values:
        """Right answers as they would be if the probabilities were true."""
        before = cumulative[starts] - flat[starts]
        goal = before + rng.random(len(sizes)) * (cumulative[ends] - before)
        chosen = np.zeros(len(flat))
        chosen[np.clip(np.searchsorted(cumulative, goal, side="right"), starts, ends)] = 1
        return chosen

    brier = np.add.reduceat((flat - hit) ** 2, starts)
    likelihood = flat[starts + np.asarray(right)]
    resampler = _Resampler(len(sizes), resamples, seed)
    measures = [
        resampler.mean("accuracy", share, 0.0, 1.0),
        resampler.mean("confidence", top, float(np.mean(1 / sizes)), 1.0),
        resampler.ece(first, bins, lambda rng: (rng.random(len(top)) < top).astype(float)),
        resampler.ece(every, bins, drawn),
        resampler.mean("Brier", brier, 0.0, 2.0),
        *resampler.nll(likelihood),
    ]
    if compat:
        measures.append(resampler.published(every))
    table = [*reliability(first, bins), *reliability(every, bins)]
    return Calibration(measures, table)


def calibration_of_confidence(
    confidence: Sequence[float],
    correct: Sequence[float],
    *,
    bins: int = 10,
    resamples: int = 1000,
    seed: int = 0,
) -> Calibration:
    """The same where only the probability of the answer given is known, and whether it was correct (1 or 0).

    Brier and NLL are then those of "correct or not", and named so.
    """
    if len(confidence) != len(correct):
        raise UserError(f"{len(confidence)} confidences, {len(correct)} answers that are correct or not")
    _check(len(correct), bins, "")
    p, y = np.asarray(confidence, float), np.asarray(correct, float)
    wrong = np.flatnonzero(~((p >= 0) & (p <= 1) & ((y == 0) | (y == 1))))
    if len(wrong):
        i = int(wrong[0])
        raise UserError(
            f"question {i + 1}: confidence {p[i]:g}, correct {y[i]:g}; 0 to 1, and 0 or 1 are right"
        )
    first = Pooled(TOP, np.arange(len(p)), p, y, len(p))
    resampler = _Resampler(len(p), resamples, seed)
    measures = [
        resampler.mean("accuracy", y, 0.0, 1.0),
        resampler.mean("confidence", p, 0.0, 1.0),
        resampler.ece(first, bins, lambda rng: (rng.random(len(p)) < p).astype(float)),
        resampler.mean("Brier (correct or not)", (p - y) ** 2, 0.0, 1.0),
        *resampler.nll(np.where(y == 1, p, 1 - p), " (correct or not)"),
    ]
    return Calibration(measures, reliability(first, bins))


def _check(n: int, bins: int, compat: str) -> None:
    if not n:
        raise UserError("there is no question")
    if bins < 1:
        raise UserError(f"bins: at least 1 is needed, not {bins}")
    if compat not in ("", SUPERHF):
        raise unknown("compat", compat, [SUPERHF])


@dataclass(frozen=True)
class _Resampler:
    """Measures with intervals over n questions, all from the same draws."""

    n: int
    resamples: int
    seed: int

    def mean(self, measure: str, values: Values, floor: float, ceiling: float | None) -> Measured:
        found = self._interval(lambda w: w @ values / w.sum(axis=1))
        return self._measured(measure, *found, floor=floor, ceiling=ceiling)

    def ece(self, pooled: Pooled, bins: int, drawn: Callable[[Generator], Values]) -> Measured:
        counts, total, right = pooled.sums(place := places(pooled.probability, bins), bins)

        def error(weights: Values) -> Values:
            gap = np.abs(weights @ (total - right)).sum(axis=1)
            return np.asarray(gap / (weights @ counts).sum(axis=1))

        value, low, high = self._interval(error)
        rng = np.random.default_rng([self.seed, 1])
        expected = np.bincount(place, pooled.probability, minlength=bins)
        calibrated = [
            np.abs(expected - np.bincount(place, drawn(rng), minlength=bins)).sum() for _ in range(SIMULATED)
        ]
        shown = np.array(calibrated) / len(place)
        if low is not None and high is not None:
            low, high = max(2 * value - high, 0.0), min(2 * value - low, 1.0)
            low = 0.0 if value <= np.quantile(shown, 0.95) else low
        floor = float(shown.mean())
        name = f"ECE ({pooled.of})"
        return self._measured(name, value, low, high, floor=floor, ceiling=1.0, outputs=len(place))

    def nll(self, likelihood: Values, variant: str = "") -> list[Measured]:
        zero = likelihood == 0
        impossible = self.mean("impossible" + variant, zero.astype(float), 0.0, 1.0)
        if zero.any():
            return [
                self._measured("NLL" + variant, math.inf, None, None, floor=0.0, ceiling=None),
                impossible,
            ]
        return [self.mean("NLL" + variant, -np.log(likelihood), 0.0, None), impossible]

    def published(self, pooled: Pooled) -> Measured:
        """SuperHF's MSE."""
        edges = np.arange(11) / 10
        place = np.searchsorted(edges, pooled.probability, side="right") - 1
        kept = place < 10
        inside = Pooled(ALL, pooled.question[kept], pooled.probability[kept], pooled.right[kept], self.n)
        counts, _, right = inside.sums(place[kept], 10)

        def error(weights: Values) -> Values:
            n = weights @ counts
            share = np.divide(weights @ right, n, out=np.zeros_like(n), where=n > 0)
            return np.asarray(
                (((share - edges[:-1] - 0.05) ** 2) * (n > 0)).sum(axis=1) / (n > 0).sum(axis=1)
            )

        found = self._interval(error) if kept.any() else (None, None, None)
        outside = int((~kept).sum())
        name = f"MSE ({SUPERHF})"
        return self._measured(
            name, *found, floor=0.0, ceiling=None, outputs=int(kept.sum()), left_out=outside
        )

    def _interval(self, statistic: Statistic) -> tuple[float, float | None, float | None]:
        """The number and its percentile interval; none of one question."""
        value = float(statistic(np.ones((1, self.n)))[0])
        if self.n < 2:
            return value, None, None
        rng = np.random.default_rng(self.seed)
        block = max(1, HELD // self.n)
        values = []
        for done in range(0, self.resamples, block):
            rows = min(block, self.resamples - done)
            drawn = rng.integers(self.n, size=(rows, self.n)) + self.n * np.arange(rows)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=rows * self.n).reshape(rows, self.n).astype(float)
            values.append(statistic(weights))
        low, high = np.nanquantile(np.concatenate(values), [0.025, 0.975])
        return value, float(low), float(high)

    def _measured(
        self, measure: str, value: float | None, low: float | None, high: float | None, *,
        floor: float, ceiling: float | None, outputs: int | None = None, left_out: int = 0,
    ) -> Measured:  # fmt: skip
        return Measured(
            measure=measure, scope=SCOPE, value=value, low=low, high=high, floor=floor, ceiling=ceiling,
            n=self.n, outputs=self.n if outputs is None else outputs, left_out=left_out,
        )  # fmt: skip
