"""What one word, or the length, tells of a feature: no promise, for a reader to judge whether it is meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import default_rng

from tasks.answers import QUERY
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET
from tasks.given import GivenInputs
from tasks.task import Task

_ROWS = 500
_CONTRASTS = {
    "target": (("both", "spurious_only"), ("target_only", "neither")),
    "spurious": (("both", "target_only"), ("spurious_only", "neither")),
}
"""Pairs of quadrants that differ in one feature and share the other."""


@dataclass(frozen=True)
class Cue:
    """The best rule of its kind."""

    role: str
    """The feature that it tells: target or spurious."""
    rule: str
    accuracy: float
    """Mean over the two truths of the other feature, quadrants weighted alike; 0.5 is chance. Chosen and
    measured on the same rows."""
    n: int
    """Rows it was chosen on."""


def cues(task: Task, seed: int = 0) -> list[Cue]:
    """For each feature the most telling word and length, on all rows of a file or on draws."""
    texts = {q: _texts(task, q, seed) for q in task.quadrants}
    n = sum(map(len, texts.values()))
    found = []
    for role, pairs in _CONTRASTS.items():
        contrasts = [pair for pair in pairs if texts.keys() >= set(pair)]
        for rules in (_words, _lengths):
            gaps: dict[str, float] = {}
            for one, other in contrasts:
                for rule, share in rules(texts[one], texts[other]):
                    gaps[rule] = gaps.get(rule, 0.0) + share / len(contrasts)
            rule = max(gaps, key=lambda rule: abs(gaps[rule]))
            found.append(Cue(role, rule, (1 + abs(gaps[rule])) / 2, n))
    return found


def _texts(task: Task, quadrant: str, seed: int) -> list[list[str]]:
    wanted = [(task.target, bool(TARGET[quadrant])), (task.spurious, bool(SPURIOUS[quadrant]))]
    if isinstance(task.inputs, GivenInputs):
        rows = task.inputs.rows
        for feature, value in wanted:
            rows = rows[feature.holds(rows) == value]
    else:
        rows = task.inputs.draw(wanted, _ROWS, default_rng([seed, 23, QUADRANTS.index(quadrant)]))
    return [text.removesuffix(QUERY).split() for text in task.inputs.text(rows)]


def _words(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> Iterator[tuple[str, float]]:
    """For each word, the share of texts that hold it: the first sample's less the second's."""
    shares = [Counter(word for words in texts for word in set(words)) for texts in (one, other)]
    for word in sorted(shares[0] | shares[1]):
        yield repr(word), shares[0][word] / len(one) - shares[1][word] / len(other)


def _lengths(one: Sequence[Sequence[str]], other: Sequence[Sequence[str]]) -> Iterator[tuple[str, float]]:
    """For each length, the share of texts at least as long."""
    lengths = [np.array([len(words) for words in texts]) for texts in (one, other)]
    for length in range(1, max(map(max, lengths)) + 1):
        yield f"{length} words or more", float((lengths[0] >= length).mean() - (lengths[1] >= length).mean())
