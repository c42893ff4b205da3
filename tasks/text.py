"""Text inputs: sentences whose four quadrants are minimal edits of one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.answers import QUERY
from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET
from tasks.feature import Feature, Rows, Split, Truth
from tasks.promises import changed_words
from tasks.splits import TENTHS, split_of
from tasks.task import Task

Sources = NDArray[np.int64]
"""Sources, one a row: the numbers of all that was chosen for a sentence but its two features."""
_CHUNK = 1 << 10
_MOST_CHUNKS = 1 << 12
_TRIES = 64


class Sentences(Protocol):
    """What a pair's sources are, and how each of them reads in the four quadrants."""

    @property
    def legend(self) -> str:
        """How to read the sentences, in one line."""

    def sources(self, n: int, rng: Generator, split: Split | None) -> Sources:
        """n sources of the base distribution. `split` matters only where words are held out."""

    def read(self, source: Sequence[int], target: bool, spurious: bool) -> str:
        """The sentence of one source, the two features set, and nothing else changed."""

    def vary(self, source: Sequence[int], rng: Generator) -> Sequence[int]:
        """The source with one word, of those that no feature touches, replaced by another of its kind."""


def text_feature(
    name: str, family: str, holds: Callable[[str], bool], about: str = "", paper: str = ""
) -> Feature:
    """A feature of text, told from the text alone."""

    def on_rows(rows: Rows) -> NDArray[np.bool_]:
        return np.array([holds(text) for text in rows[:, 0]], dtype=bool)

    return Feature(name, family, on_rows, about=about, paper=paper)


@dataclass(frozen=True)
class TextInputs:
    """Rows are pairs (text, source) in an object array; both features of a pair are switches of a source.

    A source stands in one split and, within a split, in one quadrant: by its content alone.
    """

    sentences: Sentences
    target: Feature
    spurious: Feature
    missing: tuple[str, ...] = ()
    """Quadrants in which no source can be read."""
    query: str = f" {QUERY}"
    """What stands behind each sentence."""
    catalogue: tuple[Feature, ...] = ()
    """Features that can be told of every sentence."""

    @property
    def legend(self) -> str:
        return self.sentences.legend

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows:
        """n rows with these truths; a feature of the pair that is not asked for is a fair coin.

        In chunks of fixed size: the first k of n rows are the k rows of a smaller draw.
        """
        pair = (self.target, self.spurious)
        asked = {feature.name: value for feature, value in wanted}
        others = [(feature, value) for feature, value in wanted if feature not in pair]
        kept, found = [_rows([])], 0
        for _ in range(_MOST_CHUNKS):
            if found >= n:
                return np.concatenate(kept)[:n]
            sources = self.sentences.sources(_CHUNK, rng, split)
            truth = rng.integers(2, size=(_CHUNK, 2)).astype(bool)
            for i, feature in enumerate(pair):
                truth[:, i] = asked.get(feature.name, truth[:, i])
            good = self._readable(truth)
            if split:
                good &= self._at_home(sources, truth, split)
            sources, truth = sources[good], truth[good]
            texts = [
                self._text(s, *values) for s, values in zip(sources.tolist(), truth.tolist(), strict=True)
            ]
            drawn = _rows(list(zip(texts, map(_written, sources.tolist()), strict=True)))
            for feature, value in others:
                drawn = drawn[feature.holds(drawn) == value]
            kept.append(drawn)
            found += len(drawn)
        told = ", ".join(f"{'' if value else 'not '}{f.name}" for f, value in wanted)
        raise UserError(f"too rare to draw: {found} of {n} rows with {told or 'anything'}")

    def text(self, rows: Rows) -> list[str]:
        return list(rows[:, 0])

    def source(self, rows: Rows) -> list[str]:
        return list(rows[:, 1])

    def readings(self, source: str) -> dict[str, str]:
        """The prompts of one source, by quadrant."""
        choices = [int(choice) for choice in source.split()]
        there = [q for q in QUADRANTS if q not in self.missing]
        return {q: self._text(choices, bool(TARGET[q]), bool(SPURIOUS[q])) for q in there}

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        """The same source with `flip` flipped; the placebo, of as many words, changes other words."""
        source = [int(choice) for choice in row[1].split()]
        target, spurious = (bool(feature.holds(row[None])[0]) for feature in (self.target, self.spurious))
        truth = (target ^ (flip == self.target), spurious ^ (flip == self.spurious))
        if not self._readable(np.array([truth]))[0]:
            return None
        edited = self._text(source, *truth)
        size = changed_words(row[0], edited)
        for _ in range(_TRIES):
            placebo = self._varied(source, (target, spurious), row[0], size, rng)
            if placebo is None:
                continue
            rows = _rows([(row[0], row[1]), (edited, row[1]), placebo])
            flips, holds = flip.holds(rows), hold.holds(rows)
            if flips[0] != flips[1] and flips[0] == flips[2] and len(set(holds)) == 1:
                return rows[1], rows[2], size
        return None

    def _varied(
        self, source: Sequence[int], truth: tuple[bool, bool], text: str, size: int, rng: Generator
    ) -> tuple[str, str] | None:
        """A sentence that differs from `text` in `size` words and in no feature, and its source."""
        for _ in range(_TRIES):
            source = self.sentences.vary(source, rng)
            other = self._text(source, *truth)
            changed = changed_words(text, other)
            if changed >= size:
                return (other, _written(source)) if changed == size else None
        return None

    def _text(self, source: Sequence[int], target: bool, spurious: bool) -> str:
        return self.sentences.read(source, target, spurious) + self.query

    def _readable(self, truth: Truth) -> Truth:
        good: Truth = np.ones(len(truth), dtype=bool)
        for quadrant in self.missing:
            good &= (truth != (TARGET[quadrant], SPURIOUS[quadrant])).any(axis=1)
        return good

    def _at_home(self, sources: Sources, truth: Truth, split: Split) -> Truth:
        home = split_of(sources, 40)
        low, high = TENTHS[split]
        here = (home % 10 >= low) & (home % 10 < high)
        good: Truth = here & (home // 10 == 2 * truth[:, 0] + truth[:, 1])
        return good


def read_four_ways(task: Task) -> TextInputs | None:
    """The task's inputs where each of its sources has a reading in every quadrant."""
    inputs = task.inputs
    if isinstance(inputs, TextInputs) and (inputs.target, inputs.spurious) == (task.target, task.spurious):
        return inputs
    return None


def _rows(pairs: Sequence[tuple[str, str]]) -> Rows:
    rows = np.empty((len(pairs), 2), dtype=object)
    rows[:] = pairs or np.empty((0, 2), dtype=object)
    return rows


def _written(source: Sequence[int]) -> str:
    return " ".join(map(str, source))
