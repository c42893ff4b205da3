"""Ways to answer a prompt: a label word, or a behaviour (an ascending or a descending run of symbols)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb
from typing import Protocol

import numpy as np
from numpy.random import Generator

QUERY = "?"
"""The last word of every prompt: after it the answer begins."""
ANSWER_WORDS = ("amber", "birch", "coral", "delta", "ember", "flint", "grove", "haven")
"""The pool from which each tuning seed draws its two label words."""


class Answers(Protocol):
    """How label 0 and label 1 are said, read back and rewarded."""

    @property
    def words(self) -> tuple[str, ...] | None:
        """The complete list of answers, one per label; None where the answer space is open."""

    @property
    def length(self) -> int:
        """Words in a complete answer."""

    @property
    def chance(self) -> float:
        """Expected reward of uniform answers."""

    def drawn(self, rng: Generator) -> Answers:
        """The same way to answer, with its arbitrary choices drawn afresh."""

    def say(self, label: int, rng: Generator) -> str:
        """A completion of full reward."""

    def read(self, completion: str) -> int:
        """The label that a completion expresses, or -1."""

    def score(self, completion: str, label: int) -> float:
        """Reward in [0, 1]."""


@dataclass(frozen=True)
class LabelAnswers:
    """One word a label; reward 1 for the right word."""

    words: tuple[str, str] = (ANSWER_WORDS[0], ANSWER_WORDS[1])
    length: int = 1
    chance: float = 0.5

    def drawn(self, rng: Generator) -> LabelAnswers:
        first, second = rng.choice(len(ANSWER_WORDS), size=2, replace=False)
        return replace(self, words=(ANSWER_WORDS[first], ANSWER_WORDS[second]))

    def say(self, label: int, rng: Generator) -> str:
        return self.words[label]

    def read(self, completion: str) -> int:
        word = completion.strip()
        return self.words.index(word) if word in self.words else -1

    def score(self, completion: str, label: int) -> float:
        return float(self.read(completion) == label)


@dataclass(frozen=True)
class RunAnswers:
    """Continue with an ascending (label 1) or a descending (label 0) run of symbols.

    The reward is (run - 1) / (length - 1), where run is the longest strictly monotone prefix in the asked
    direction, of the completion's symbols; other words are dropped.

    References: Cruz et al. 2023 (the reward of their toy tasks).
    """

    symbols: tuple[str, ...]
    length: int = 5
    words: None = None

    @property
    def chance(self) -> float:
        v = len(self.symbols)
        return sum(comb(v, k) / float(v) ** k for k in range(2, self.length + 1)) / (self.length - 1)

    def drawn(self, rng: Generator) -> RunAnswers:
        return self

    def say(self, label: int, rng: Generator) -> str:
        run = np.sort(rng.choice(len(self.symbols), size=self.length, replace=False))
        return " ".join(self.symbols[i] for i in (run if label else run[::-1]))

    def _run(self, completion: str, label: int) -> int:
        numbers = [self.symbols.index(w) for w in completion.split() if w in self.symbols][: self.length]
        if not label:
            numbers = [-k for k in numbers]
        run = min(len(numbers), 1)
        while 0 < run < len(numbers) and numbers[run] > numbers[run - 1]:
            run += 1
        return run

    def read(self, completion: str) -> int:
        up, down = self._run(completion, 1), self._run(completion, 0)
        return -1 if up == down else int(up > down)

    def score(self, completion: str, label: int) -> float:
        return max(self._run(completion, label) - 1, 0) / (self.length - 1)


def rewards(answers: Answers, completions: Sequence[str], labels: Sequence[int]) -> list[float]:
    return [answers.score(c, y) for c, y in zip(completions, labels, strict=True)]
