"""Sources of sentences: a template and its words, for everything that is not one of the two features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import overload

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.english import lexicon, review_words
from tasks.errors import unknown
from tasks.feature import Split
from tasks.splits import split_of
from tasks.text import Sources

_CLASSES = {**lexicon.CLASSES, **review_words.CLASSES}

Parts = frozenset[str]
"""What a template has beside the parts that every sentence has."""
Write = Callable[[Mapping[str, int], Parts, bool, bool], list[str]]
"""(value of each slot, parts, target, spurious) -> words, without the full stop."""

HELDOUT = ("none", "vocabulary", "templates")
_NOTHING = Parts()


@dataclass(frozen=True)
class Slot:
    """One choice of a source."""

    name: str
    choices: str | int = 2
    """A class of words, or how many."""
    part: str = ""
    """The part of a template that has it; every template when empty."""
    echo: bool = False
    """Shown in some quadrants only: told by the other slots, so that a sentence has one source."""

    @property
    def size(self) -> int:
        return len(_CLASSES[self.choices]) if isinstance(self.choices, str) else self.choices

    @property
    def is_word(self) -> bool:
        return isinstance(self.choices, str)


@dataclass(frozen=True)
class Grammar:
    """Sentences of one pair. A source is (kind, frame, a value for each slot, 0 where unused).

    Its template is a kind, which the pair's design balances, and a frame, which may be held out. Words of one
    class differ within a sentence.
    """

    write: Write
    slots: tuple[Slot, ...]
    kinds: tuple[Parts, ...] = (_NOTHING,)
    """Repeated where one is to be more frequent."""
    frames: tuple[Parts, ...] = (_NOTHING,)
    """The last fifth, and one at least, is what can be held out."""
    heldout: str = "none"
    """`vocabulary`: every fifth word of each class, `templates`: the last fifth of the frames, in test rows
    and nowhere else."""

    def __post_init__(self) -> None:
        if self.heldout not in HELDOUT:
            raise unknown("way to hold out", self.heldout, HELDOUT)

    @property
    def legend(self) -> str:
        aside = "" if self.heldout == "none" else f"; {self.heldout} held out for the test rows"
        return f"English sentences, lower case, words and stops set apart by a blank{aside}"

    def sources(self, n: int, rng: Generator, split: Split | None) -> Sources:
        found = self._drawn(n, rng, split)
        while (again := np.flatnonzero(self._repeats(found))).size:
            found[again] = self._drawn(len(again), rng, split)
        return found

    def read(self, source: Sequence[int], target: bool, spurious: bool) -> str:
        kind, frame, *values = source
        choice = dict(zip(self._names, values, strict=True))
        words = self.write(choice, self._parts[kind][frame], target, spurious)
        return f"{' '.join(words)} ."

    def vary(self, source: Sequence[int], rng: Generator) -> Sequence[int]:
        used = self._used[source[0], source[1]]
        places = [i for i, slot in enumerate(self.slots) if slot.is_word and used[i]]
        place = places[rng.integers(len(places))]
        taken = {source[2 + i] for i in places if self.slots[i].choices == self.slots[place].choices}
        late = _is_late(source[2 + place])
        free = [v for v in range(self.slots[place].size) if v not in taken and _is_late(v) == late]
        out = list(source)
        if free:
            out[2 + place] = free[rng.integers(len(free))]
        return out

    @cached_property
    def _names(self) -> list[str]:
        return [slot.name for slot in self.slots]

    @cached_property
    def _parts(self) -> list[list[Parts]]:
        return [[kind | frame for frame in self.frames] for kind in self.kinds]

    @cached_property
    def _used(self) -> NDArray[np.bool_]:
        """[kind, frame, slot]: whether a template has a slot."""
        return np.array(
            [[[s.part in ("", *parts) for s in self.slots] for parts in row] for row in self._parts]
        )

    def _drawn(self, n: int, rng: Generator, split: Split | None) -> Sources:
        found = np.zeros((n, 2 + len(self.slots)), dtype=np.int64)
        found[:, 0] = rng.integers(len(self.kinds), size=n)
        found[:, 1] = rng.choice(self._frames(split), size=n)
        values = [self._values(slot, split) for slot in self.slots]
        for i, slot in enumerate(self.slots):
            if not slot.echo:
                found[:, 2 + i] = rng.choice(values[i], size=n)
        used = self._used[found[:, 0], found[:, 1]]
        found[:, 2:] *= used
        shown = found.copy()
        for i, slot in enumerate(self.slots):
            if slot.echo:
                shown[:, 2 + i] = 1 + i  # another number for every echo
                found[:, 2 + i] = values[i][split_of(shown, len(values[i])).astype(np.int64)]
                shown[:, 2 + i] = 0
        found[:, 2:] *= used
        return found

    def _values(self, slot: Slot, split: Split | None) -> Sources:
        values: Sources = np.arange(slot.size)
        if self.heldout == "vocabulary" and slot.is_word and split:
            values = values[_is_late(values) == (split == "test")]
        return values

    def _frames(self, split: Split | None) -> Sources:
        frames = np.arange(len(self.frames))
        late = max(1, len(frames) // 5)
        if self.heldout == "templates" and split:
            return frames[-late:] if split == "test" else frames[:-late]
        return frames

    def _repeats(self, found: Sources) -> NDArray[np.bool_]:
        """Sources with one word in two slots."""
        used = self._used[found[:, 0], found[:, 1]]
        out = np.zeros(len(found), dtype=bool)
        for (i, one), (j, other) in combinations(enumerate(self.slots), 2):
            if one.is_word and one.choices == other.choices:
                out |= used[:, i] & used[:, j] & (found[:, 2 + i] == found[:, 2 + j])
        return out


@overload
def _is_late(value: int) -> bool: ...
@overload
def _is_late(value: Sources) -> NDArray[np.bool_]: ...
def _is_late(value: int | Sources) -> bool | NDArray[np.bool_]:
    """Every fifth word of a class can be held out."""
    return value % 5 == 4
