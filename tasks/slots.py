"""Sentences from lists of words and a function that puts them together: the short way to a text pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from numpy.random import Generator

from tasks.answers import LabelAnswers
from tasks.errors import UserError
from tasks.feature import Feature, Split
from tasks.task import Task
from tasks.text import Sources, TextInputs

Compose = Callable[[dict[str, str], bool, bool], str]
"""(a word for each slot, does the target feature hold?, does the spurious one?) -> the sentence."""
_LEAST_SOURCES = 1000


@dataclass(frozen=True)
class Slots:
    """Sentences whose sources are the ways to fill slots, each word as likely as the others of its slot."""

    words: Mapping[str, Sequence[str]]
    compose: Compose

    @property
    def legend(self) -> str:
        return f"{self.count:,} sources: the ways to fill {', '.join(self.words)}"

    @property
    def count(self) -> int:
        return prod(len(words) for words in self.words.values())

    def sources(self, n: int, rng: Generator, split: Split | None) -> Sources:
        return rng.integers([len(words) for words in self.words.values()], size=(n, len(self.words)))

    def read(self, source: Sequence[int], target: bool, spurious: bool) -> str:
        slots = zip(self.words.items(), source, strict=True)
        return self.compose({slot: words[i] for (slot, words), i in slots}, target, spurious)

    def vary(self, source: Sequence[int], rng: Generator) -> Sequence[int]:
        """The source with another word in one slot."""
        sizes = [len(words) for words in self.words.values()]
        slot = int(rng.choice([i for i, size in enumerate(sizes) if size > 1]))
        other = list(source)
        other[slot] = (other[slot] + int(rng.integers(1, sizes[slot]))) % sizes[slot]
        return other


def text_pair(
    name: str, target: Feature, spurious: Feature, words: Mapping[str, Sequence[str]], compose: Compose
) -> Task:
    """A task on sentences from slots. `compose(slots, target, spurious)` changes nothing but the features."""
    sentences = Slots(words, compose)
    if sentences.count < _LEAST_SOURCES:
        raise UserError(
            f"{name}: the slots can be filled in {sentences.count} ways, fewer than {_LEAST_SOURCES}; "
            "add words or slots"
        )
    return Task(name, target, spurious, TextInputs(sentences, target, spurious), LabelAnswers())
