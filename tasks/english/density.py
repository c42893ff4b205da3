"""How probable a text is under a pair's grammar, exactly: what the best possible language model knows.

A text is counted by its *shape*: every word of a class replaced by its class and form. All texts of one shape
are equally probable, since a grammar fills its slots uniformly. A slot that is an echo, told by a hash
of the others so that a sentence has one source, counts as free: no reader could know it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

from tasks.english import review_words
from tasks.english.lexicon import (
    CLAUSE_VERBS,
    ENDINGS,
    INTRANSITIVES,
    MANNERS,
    OTHER_ADVERBS,
    PEOPLE,
    QUESTION_VERBS,
    RELATIONS,
    TIME_ADVERBS,
    TRANSITIVES,
)
from tasks.english.sources import Grammar, Parts, Slot

Shape = tuple[str, ...]


def shape(text: str) -> Shape:
    """The classes and forms of the words of a text; what is no word of a class stands for itself."""
    words = text.split()
    classes = _of_reviews() if _REVIEWED in words else _of_sentences()
    return tuple(classes.get(word, word) for word in words)


def shape_probabilities(grammar: Grammar, target: bool, spurious: bool) -> dict[Shape, float]:
    """Natural logarithm of the probability of each single text of a shape, the two features given.

    Summed over the grammar's own choices that no text shows. `heldout` is left out of account.
    """
    out: dict[Shape, float] = defaultdict(float)
    templates = list(product(range(len(grammar.kinds)), range(len(grammar.frames))))
    parts = {template: grammar.kinds[template[0]] | grammar.frames[template[1]] for template in templates}
    # A source in which one word would stand in two slots is drawn again, template and all.
    kept = sum(_distinct(_slots(grammar, p)) for p in parts.values())
    for template in templates:
        slots = _slots(grammar, parts[template])
        for source in _open_choices(grammar, template, slots):
            text = grammar.read(source, target, spurious)
            _check_shown(grammar, slots, source, target, spurious)
            seen = [
                s
                for s in slots
                if s.is_word and not (s.echo and _hidden(grammar, s, source, target, spurious))
            ]
            once = math.prod(1 / s.size for s in slots if not s.is_word) * math.prod(1 / s.size for s in seen)
            hidden_fit = _distinct([s for s in slots if s.is_word]) / _distinct(seen)
            out[shape(text)] += once * hidden_fit / kept
    return {key: math.log(value) for key, value in out.items()}


def _slots(grammar: Grammar, parts: Parts) -> list[Slot]:
    return [s for s in grammar.slots if s.part in ("", *parts)]


def _distinct(slots: Sequence[Slot]) -> float:
    """Probability that no word comes twice when each slot is filled on its own."""
    sizes = Counter((s.choices, s.size) for s in slots if s.is_word)
    return math.prod((size - i) / size for (_, size), k in sizes.items() for i in range(k))


def _open_choices(grammar: Grammar, template: tuple[int, int], slots: Sequence[Slot]) -> Iterator[list[int]]:
    """One source for each way to choose what is no word."""
    words: Counter[str | int] = Counter()
    ranges = []
    for s in grammar.slots:
        if s not in slots:
            ranges.append([0])
        elif s.is_word:
            ranges.append([words[s.choices]])  # another word for every slot of a class
            words[s.choices] += 1
        else:
            ranges.append(list(range(s.size)))
    for choices in product(*ranges):
        yield [*template, *choices]


def _check_shown(
    grammar: Grammar, slots: Sequence[Slot], source: Sequence[int], target: bool, spurious: bool
) -> None:
    """Only an echo may stay unseen: else texts of one shape would not be equally probable."""
    for slot in slots:
        if slot.is_word and not slot.echo and _hidden(grammar, slot, source, target, spurious):
            raise ValueError(f"the slot {slot.name!r} is chosen and not shown")


def _hidden(grammar: Grammar, slot: Slot, source: Sequence[int], target: bool, spurious: bool) -> bool:
    place = 2 + grammar.slots.index(slot)
    other = list(source)
    other[place] = slot.size - 1
    return grammar.read(source, target, spurious) == grammar.read(other, target, spurious)


_REVIEWED = "by"
"""Stands in every review and in no other text."""


@cache
def _of_reviews() -> dict[str, str]:
    return {
        word: f"<{name}-{i}>"
        for name, entries in review_words.CLASSES.items()
        for entry in entries
        for i, word in enumerate([entry] if isinstance(entry, str) else entry)
    }


@cache
def _of_sentences() -> dict[str, str]:
    out: dict[str, str] = {}
    for name, nouns in (("person", PEOPLE), ("relation", RELATIONS)):
        out |= {noun.singular: name for noun in nouns} | {noun.plural: f"{name}s" for noun in nouns}
    for name, verbs in (
        ("admires", TRANSITIVES),
        ("knows", QUESTION_VERBS),
        ("believes", CLAUSE_VERBS),
        ("smiles", INTRANSITIVES),
    ):
        for verb in verbs:
            out |= {verb.third: name, verb.plain: f"{name}-plain"}
            out |= {verb.past: f"{name}-past", verb.participle: f"{name}-past"}
    for name, words in (("time", TIME_ADVERBS), ("other", OTHER_ADVERBS), ("manner", MANNERS)):
        out |= dict.fromkeys(words, name)
    for first, second in ENDINGS:
        out |= {first: "ending", second: "occasion"}
    return {word: f"<{name}>" for word, name in out.items()}
