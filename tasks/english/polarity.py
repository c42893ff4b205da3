"""Negative polarity: is `ever` licensed?

    {no|the} chef that {no|the} poets have {ever|openly} praised has {ever|briefly} thanked the lawyer ,
    and {no|the} baker has {ever|quietly} smiled .

`ever` is licensed where a negative determiner (no) stands in its scope: before the first noun it licenses
`ever` in the first main clause, within the relative clause or the second main clause only there. The source
fixes where `ever` stands and the target feature exchanges one `no` and one `the`; three kinds of source go
around in a circle, so that neither the place of `no` nor that of `ever` tells anything alone:

    ever in               licensed by no before      not licensed by no before
    first main clause     the first noun             the relative clause's noun
    relative clause       the relative clause's noun the second clause's noun
    second main clause    the second clause's noun   the first noun

A clause without `ever` has another adverb, so that no word moves when `ever` does. All clauses are in the
perfect: behind a simple verb `ever` could belong to the relative clause. In `lexical` the spurious feature is
that a negation occurs (no, not many, almost no); without it, the sentence has its weakly negative counterpart
in the same place (few, very few, hardly any), which licenses `ever` in the same way, so that every quadrant
has one such phrase and differs in its place or its kind alone. In `length` both main clauses get an ending.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr), negative polarity items.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product

from tasks.english.grammar import have, noun_phrase, the
from tasks.english.lexicon import CONJUNCTIONS, ENDINGS, INTRANSITIVES, MANNERS, PEOPLE, TRANSITIVES
from tasks.english.reading import plurals, words
from tasks.english.sources import Grammar, Parts, Slot
from tasks.papers import LOVERING_2021
from tasks.text import text_feature

_feature = partial(text_feature, paper=LOVERING_2021)
PAIRS = ("lexical", "length", "plural", "tense")
NEGATIONS = ("no", "not many", "almost no")
WEAK_NEGATIONS = ("few", "very few", "hardly any")
"""As many words each as the negation whose place they take."""
DEFINITES = ("the", "the two", "the two")
"""As many words each as the negation that they are exchanged with."""
LONG = 22

_AUXILIARIES = ("has", "have", "had")
_LICENSORS = {phrase.split()[-1] for phrase in (*NEGATIONS, *WEAK_NEGATIONS)}


def _licensed(text: str) -> bool:
    found = words(text)
    relative, second = found.index("that"), found.index(",")
    main = [i for i, word in enumerate(found) if word in _AUXILIARIES][1]
    ever = found.index("ever")
    licensor = next(i for i, word in enumerate(found) if word in _LICENSORS)
    if licensor < relative:
        return ever < second
    if licensor < main:
        return relative < ever < main
    return ever > second


TARGET = _feature(
    "ever-licensed", "polarity", _licensed, about="`ever` stands in the scope of a negative determiner"
)
SPURIOUS = {
    "lexical": _feature(
        "has-negation",
        "negation",
        lambda text: not {"no", "not"}.isdisjoint(words(text)),
        about="`no` or `not` occurs",
    ),
    "length": _feature(
        f"over-{LONG}-words",
        "length",
        lambda text: len(words(text)) > LONG,
        about=f"the sentence has more than {LONG} words",
    ),
    "plural": _feature(
        "all-singular", "number", lambda text: not any(plurals(words(text))), about="all nouns are singular"
    ),
    "tense": _feature(
        "present",
        "tense",
        lambda text: "had" not in words(text),
        about="all clauses are in the present perfect, none in the past perfect",
    ),
}
_CLAUSES = ("first", "relative", "second")
_MAIN = ("first", "second")
_NEXT = dict(zip(_CLAUSES, (*_CLAUSES[1:], _CLAUSES[0]), strict=True))


def grammar(pair: str, heldout: str) -> Grammar:
    """The kinds say which clause has `ever`."""
    return Grammar(
        partial(_write, pair),
        _slots(pair),
        kinds=tuple(
            Parts(f"{'ever' if clause == ever_in else 'manner'} in {clause}" for clause in _CLAUSES)
            for ever_in in _CLAUSES
        ),
        frames=_frames(pair),
        heldout=heldout,
    )


def _slots(pair: str) -> tuple[Slot, ...]:
    numbers = [] if pair in ("lexical", "plural") else [Slot(f"{clause} plural") for clause in _CLAUSES]
    objects = [] if pair == "plural" else [Slot(f"{c} object plural", part=f"{c} object") for c in _MAIN]
    comes = pair == "length"
    return (
        *(Slot(clause, "people") for clause in _CLAUSES),
        *numbers,
        *(Slot(f"{clause} manner", "manners", part=f"manner in {clause}") for clause in _CLAUSES),
        Slot("relative verb", "transitives"),
        *(Slot(f"{clause} verb", "transitives", part=f"{clause} object") for clause in _MAIN),
        *(Slot(f"{clause} object", "people", part=f"{clause} object") for clause in _MAIN),
        *objects,
        *(Slot(f"{clause} act", "intransitives", part=f"{clause} act") for clause in _MAIN),
        Slot("conjunction", len(CONJUNCTIONS)),
        *([] if pair == "tense" else [Slot("past")]),
        *([Slot("licensor", len(NEGATIONS))] if pair == "lexical" else []),
        *([Slot("first ending", "endings", echo=True)] if comes else []),
        Slot("second ending", "endings", part="" if comes else "ending", echo=comes),
    )


def _frames(pair: str) -> tuple[Parts, ...]:
    endings = [Parts()] if pair == "length" else [Parts(), Parts({"ending"})]
    frames = [
        Parts({f"first {first}", f"second {second}"}) | ending
        for first, second, ending in product(("object", "act"), ("object", "act"), endings)
    ]
    # Without an object in either, the sentence would be short even with both endings.
    return tuple(frames[:-1] if pair == "length" else frames)


def _write(pair: str, choice: Mapping[str, int], parts: Parts, target: bool, spurious: bool) -> list[str]:
    past = not spurious if pair == "tense" else bool(choice["past"])
    ever_in = next(clause for clause in _CLAUSES if f"ever in {clause}" in parts)
    negative = ever_in if target else _NEXT[ever_in]
    licensor = choice.get("licensor", 0)
    negation = (WEAK_NEGATIONS if pair == "lexical" and not spurious else NEGATIONS)[licensor]

    def is_plural(slot: str) -> bool:
        return not spurious if pair == "plural" else bool(choice.get(f"{slot} plural", True))

    def subject(clause: str) -> list[str]:
        determiner = negation if clause == negative else DEFINITES[licensor]
        return noun_phrase(PEOPLE[choice[clause]], is_plural(clause), determiner)

    def perfect(clause: str) -> list[str]:
        adverb = "ever" if clause == ever_in else MANNERS[choice[f"{clause} manner"]]
        return [have(past, is_plural(clause)), adverb]

    def predicate(clause: str) -> list[str]:
        if f"{clause} act" in parts:
            said = [INTRANSITIVES[choice[f"{clause} act"]].participle]
        else:
            verb, noun = TRANSITIVES[choice[f"{clause} verb"]], f"{clause} object"
            said = [verb.participle, *the(choice[noun], is_plural(noun))]
        ends = spurious if pair == "length" else clause == "second" and "ending" in parts
        return [*perfect(clause), *said, *(ENDINGS[choice[f"{clause} ending"]] if ends else ())]

    return [
        *subject("first"),
        *("that", *subject("relative"), *perfect("relative")),
        TRANSITIVES[choice["relative verb"]].participle,
        *predicate("first"),
        *(",", CONJUNCTIONS[choice["conjunction"]]),
        *(*subject("second"), *predicate("second")),
    ]
