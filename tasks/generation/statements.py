"""What text-out tasks speak of: who did what to whom, how it is said in several ways, and how it is read.

Who did what to whom is a fact, which can be told in the active or the passive voice, after an opening or
without one: as many texts, equally good.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.english import lexicon
from tasks.feature import Split
from tasks.splits import TENTHS, split_of

PEOPLE = tuple(noun.singular for noun in lexicon.PEOPLE)[:48]
VERBS = tuple(verb.past for verb in lexicon.STRICT_TRANSITIVES if verb.past == verb.participle)[:24]
"""Few enough that a small model learns to repeat them within several hundred steps."""
ENDINGS = tuple(" ".join(ending) for ending in lexicon.ENDINGS)
OPENINGS = (
    *("", "apparently", "clearly", "evidently"),
    *("naturally", "obviously", "reportedly", "supposedly"),
)
"""As good as each other."""
PREAMBLES = ("i believe that", "we believe that", "we know that")
"""Needless."""
UNSEEN = 4
"""Of people and of verbs, every such one is held out for other topics."""


class Statement(NamedTuple):
    """What a text says."""

    agent: str
    verb: str
    patient: str
    negated: bool = False
    again: bool = False
    detail: str = ""
    """When or where; empty if it is not told."""
    preamble: str = ""

    @property
    def event(self) -> tuple[str, str, str]:
        return self.agent, self.verb, self.patient


class Form(NamedTuple):
    """How a statement is put."""

    passive: bool = False
    opening: str = ""


PLAIN = Form()
FORMS = tuple(Form(passive, opening) for passive, opening in product((False, True), OPENINGS))
ACTIVE = tuple(form for form in FORMS if not form.passive)


def write(said: Statement, form: Form = PLAIN) -> str:
    """`apparently i believe that the chef was not praised by the poet again at school .`"""
    if form.passive:
        body = ["the", said.patient, "was", "not" * said.negated, said.verb, "by the", said.agent]
    else:
        body = ["the", said.agent, "has not" * said.negated, said.verb, "the", said.patient]
    parts = [form.opening, said.preamble, *body, "again" * said.again, said.detail, "."]
    return " ".join(part for part in parts if part)


def one_of(*words: str) -> str:
    """A pattern for any of some phrases."""
    return f"(?:{'|'.join(words)})"


PERSON, VERB, ENDING = one_of(*PEOPLE), one_of(*VERBS), one_of(*ENDINGS)
_TEXT = re.compile(
    rf"(?:{one_of(*filter(None, OPENINGS))} )?(?:(?P<preamble>{one_of(*PREAMBLES)}) )?"
    rf"the (?P<first>{PERSON}) (?:(?P<was>was )?(?P<negated>(?(was)not|has not) )?)"
    rf"(?P<verb>{VERB}) (?(was)by )the (?P<second>{PERSON})"
    rf"(?P<again> again)?(?: (?P<detail>{ENDING}))? \."
)


@lru_cache(maxsize=1 << 16)
def read(text: str) -> Statement | None:
    """What a text says; None if it is no sentence of this grammar."""
    found = _TEXT.fullmatch(" ".join(text.split()))
    if found is None:
        return None
    people = found["first"], found["second"]
    agent, patient = reversed(people) if found["was"] else people
    return Statement(
        agent,
        found["verb"],
        patient,
        bool(found["negated"]),
        bool(found["again"]),
        found["detail"] or "",
        found["preamble"] or "",
    )


def entailment(premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
    """[pairs, 3]: certain entailment, neutrality or contradiction, by what two texts say.

    A statement entails itself with less detail. It contradicts one that shares all but one of who, what, whom
    and whether, or tells the two people the other way round. Of what cannot be read, a text entails itself.
    """
    return np.eye(3)[[_verdict(*pair) for pair in zip(premises, hypotheses, strict=True)]]


_ENTAILS, _NEUTRAL, _CONTRADICTS = range(3)


def _verdict(premise: str, hypothesis: str) -> int:
    one, other = read(premise), read(hypothesis)
    if premise == hypothesis:
        return _ENTAILS
    if one is None or other is None:
        return _NEUTRAL
    shared = sum(a == b for a, b in zip(one.event, other.event, strict=True))
    if shared == 3 and one.negated == other.negated:
        if one.detail and other.detail and one.detail != other.detail:
            return _CONTRADICTS
        told = one.again >= other.again and other.detail in ("", one.detail)
        return _ENTAILS if told else _NEUTRAL
    swapped = one.event == (other.patient, other.verb, other.agent)
    return _CONTRADICTS if shared >= 2 or swapped else _NEUTRAL


def draw_events(
    n: int, rng: Generator, split: Split, sizes: Sequence[int], unseen: float = 0.0
) -> list[list[tuple[str, str, str]]]:
    """n lists of events, of which no two share a word; a set of events is in one split.

    Each of `sizes` is as likely. `unseen` is the probability that a person or a verb is of those held out.
    """
    low, high = TENTHS[split]
    most = max(sizes)
    found: list[NDArray[np.int64]] = [np.zeros((0, most, 3), dtype=np.int64)]
    while sum(map(len, found)) < n:
        people = _different(len(PEOPLE), 2 * n + 16, 2 * most, unseen, rng)
        verbs = _different(len(VERBS), 2 * n + 16, most, unseen, rng)
        events = np.stack([people[:, :most], verbs, people[:, most:]], axis=2)
        size = rng.choice(sizes, len(events))
        events[np.arange(most) >= size[:, None]] = _NONE
        in_order = np.take_along_axis(events, events[:, :, :1].argsort(axis=1), axis=1)
        tenth = split_of(in_order.reshape(len(events), -1))
        found.append(events[(low <= tenth) & (tenth < high)])
    chosen = np.concatenate(found)[:n].tolist()
    return [[(PEOPLE[a], VERBS[v], PEOPLE[p]) for a, v, p in row if a != _NONE] for row in chosen]


_NONE = 1 << 20


def _different(words: int, n: int, size: int, unseen: float, rng: Generator) -> NDArray[np.int64]:
    """[n, size] numbers of words, different within a row."""
    pools = (np.flatnonzero(held_out(words)), np.flatnonzero(~held_out(words)))
    drawn = [pool[rng.random((n, len(pool))).argsort(axis=1)[:, :size]] for pool in pools]
    return np.where(rng.random((n, size)) < unseen, *drawn)


@cache
def held_out(words: int) -> NDArray[np.bool_]:
    """Which of so many words are held out."""
    held: NDArray[np.bool_] = np.arange(words) % UNSEEN == UNSEEN - 1
    return held
