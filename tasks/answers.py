"""Ways to answer a prompt: a label word, or a behaviour (a run of symbols, a continuation of a sentiment)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import comb, log
from typing import Protocol

import numpy as np
from numpy.random import Generator

from tasks.errors import UserError

QUERY = "?"
"""The last word of every prompt that is not itself continued: after it the answer begins."""
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


@dataclass(frozen=True)
class SentimentAnswers:
    """Continue the prompt in a positive (label 1) or in a negative (label 0) way.

    The reward is the log-odds that the completion alone is of the asked sentiment, clipped at SURE on either
    side and mapped to [0, 1]. Beyond SURE nothing is to be gained.

    References: Cruz et al. 2023 (the reward of their review tasks; theirs is not clipped, and counts the
    sentiment of the prompt as well).
    """

    positive: Callable[[Sequence[str]], Sequence[float]]
    """The probability that each text is positive."""
    write: Callable[[int, Generator], str]
    """A completion of a label's sentiment."""
    length: int
    words: None = None
    chance: float = 0.5

    def drawn(self, rng: Generator) -> SentimentAnswers:
        return self

    def say(self, label: int, rng: Generator) -> str:
        return self.write(label, rng)

    def read(self, completion: str) -> int:
        """-1 where neither sentiment scores READ."""
        up = self.score(completion, 1)
        return -1 if max(up, 1 - up) < READ else int(up > 0.5)

    def score(self, completion: str, label: int) -> float:
        return self.scores([completion], [label])[0]

    def scores(self, completions: Sequence[str], labels: Sequence[int]) -> list[float]:
        """The rewards of many at once, which classifiers are faster at."""
        found = [float(p) for p in self.positive(completions)]
        for p in found:
            if not 0 <= p <= 1:
                raise UserError(f"sentiment scores are probabilities: {p} is not between 0 and 1")
        ups = [_up(p) for p in found]
        return [up if label else 1 - up for up, label in zip(ups, labels, strict=True)]


SURE = 2.8
"""Log-odds of full reward; Cruz et al. draw their rewards on a scale from -2.8 to 2.8."""
READ = 0.55
"""A completion expresses the sentiment that scores at least this; neither where nothing tells it."""


def _up(p: float) -> float:
    logit = log(p / (1 - p)) if 0 < p < 1 else SURE * (1 if p else -1)
    return 0.5 + max(-SURE, min(SURE, logit)) / (2 * SURE)


def rewards(answers: Answers, completions: Sequence[str], labels: Sequence[int]) -> list[float]:
    if isinstance(answers, SentimentAnswers):
        return answers.scores(completions, labels)
    return [answers.score(c, y) for c, y in zip(completions, labels, strict=True)]
