"""A text-out task of one's own from lists of words and two rules: the short way to a `Generation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.errors import UserError
from tasks.feature import Split
from tasks.generation.generation import IN, Generation, Row, Rule, Shift
from tasks.splits import TENTHS, split_of

Compose = Callable[[dict[str, str], bool, str], str]
"""(a word for each slot, do the rules disagree?, the name of the shift or `in`) -> the prompt."""
Answer = Callable[[str], str]
"""What a rule answers to a prompt."""
Entails = Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]
LEAST_SOURCES = 1000
"""Ways to fill the slots: fewer would be repeated too often."""


@dataclass(frozen=True)
class OwnText(Generation):
    """Prompts from slots, whose right answer and whose spurious answer are functions of the prompt."""

    words: Mapping[str, Sequence[str]] = field(default_factory=dict)
    compose: Compose = lambda words, conflict, shift: ""
    target: Answer = str
    spurious: Answer = str
    gold: Callable[[str, str], float] | None = None
    others: Callable[[str], Sequence[str]] | None = None
    entails: Entails | None = None

    def draw(self, n: int, rng: Generator, split: Split, *, conflicts: int, shift: str) -> list[Row]:
        # All that is drawn is the same whatever the number of conflicts: those of a lower one are among them.
        sources, conflict = self._sources(n, rng, split), rng.permutation(n) < conflicts
        rows = []
        for source, of in zip(sources, conflict, strict=True):
            slots = zip(self.words.items(), source, strict=True)
            prompt = self.compose({slot: words[i] for (slot, words), i in slots}, bool(of), shift)
            right, wrong = self.target(prompt), self.spurious(prompt)
            more = self.others(prompt) if self.others else ()
            rows.append(Row(prompt, right, wrong, tuple(dict.fromkeys((right, wrong, *more)))))
        return rows

    def _sources(self, n: int, rng: Generator, split: Split) -> NDArray[np.int64]:
        """Ways to fill the slots, of a split by their content."""
        sizes, (low, high) = [len(words) for words in self.words.values()], TENTHS[split]
        found = np.empty((0, len(sizes)), dtype=np.int64)
        while len(found) < n:
            drawn = rng.integers(sizes, size=(max(n, 32), len(sizes)))
            of = split_of(drawn)
            found = np.concatenate([found, drawn[(of >= low) & (of < high)]])
        return found[:n]

    def score(self, prompt: str, completion: str) -> float:
        """The gold reward: the task's own, or whether these are the right answer's words."""
        if self.gold:
            return float(self.gold(prompt, completion))
        return float(completion.split() == self.target(prompt).split())

    def flawed(self, row: Row, rng: Generator) -> str:
        """Another answer, or the right one with words in another order or the last one missing."""
        words = row.completion.split()
        texts = [row.spurious, *row.choices[1:], " ".join(rng.permutation(words)), " ".join(words[:-1])]
        limit = self.score(row.prompt, row.completion)
        worse = [text for text in texts if self.score(row.prompt, text) < limit]
        if not worse:
            raise UserError(
                f"{self.name}: no worse answer than {row.completion!r} after {row.prompt!r}; give `others`"
            )
        return str(rng.choice(worse))

    def follows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Rule]:
        return [self._rule(*pair) for pair in zip(prompts, completions, strict=True)]

    def _rule(self, prompt: str, completion: str) -> Rule:
        said = completion.split()
        right, wrong = (said == rule(prompt).split() for rule in (self.target, self.spurious))
        return "both" if right and wrong else "target" if right else "spurious" if wrong else "neither"

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        if self.entails is None:
            raise UserError(f"{self.name}: nothing says what entails what; give `entails`")
        return self.entails(premises, hypotheses)


def text_task(
    words: Mapping[str, Sequence[str]],
    compose: Compose,
    target: Answer,
    spurious: Answer,
    *,
    most: int,
    gold: Callable[[str, str], float] | None = None,
    others: Callable[[str], Sequence[str]] | None = None,
    entails: Entails | None = None,
    shifts: Sequence[Shift] = (),
) -> Generation:
    """A text-out task, which `@problem(NAME)` names.

    Args:
        words: by slot; a source is one way to fill the slots, and stands in one split only.
        compose: writes the prompt of a source, in which the two rules disagree or agree as asked for.
        target, spurious: the answers of the two rules, read from the prompt alone.
        most: words of a completion, its end among them.
        gold: the reward of (prompt, completion), 0 to 1, 0 for an empty text; without it 1 for the words of
            the right answer, else 0.
        others: further wrong answers to a prompt, for multiple choices and preference pairs.
        entails: [pairs, 3] probabilities of entailment, neutrality and contradiction of two answers; without
            it diversity by entailment is not measured.
        shifts: distributions that tuning does not have; `compose` is told which.
    """
    count = prod(len(of) for of in words.values())
    if count < LEAST_SOURCES:
        raise UserError(
            f"the slots can be filled in {count} ways, fewer than {LEAST_SOURCES}; add words or slots"
        )

    def show(n: int, rng: Generator, split: Split) -> list[tuple[str, str]]:
        return [(row.prompt, row.completion) for row in made.draw(n, rng, split, conflicts=0, shift=IN)]

    def rewards(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return [made.score(*pair) for pair in zip(prompts, completions, strict=True)]

    made = OwnText(
        "",
        lambda n, rng, split: [prompt for prompt, _ in show(n, rng, split)],
        most,
        1.0,
        0.0,
        show,
        rewards,
        in_words=True,
        shifts=tuple(shifts),
        words=words,
        compose=compose,
        target=target,
        spurious=spurious,
        gold=gold,
        others=others,
        entails=entails,
    )
    return made


def knows_entailment(problem: Generation) -> bool:
    """Whether a task says what entails what."""
    if isinstance(problem, OwnText):
        return problem.entails is not None
    return problem.has_gold and type(problem).entailment is not Generation.entailment
