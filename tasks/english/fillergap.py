"""Filler-gap dependencies: does `who` come with a gap that it can fill, and `that` with none?

    the chef knows {who|that} the poets admire [the lawyer] [at work] .                       single
    the chef knows {who|that} the poets believe that the lawyer admires [the baker] .         outer
    the chef believes that the poets know {who|that} the lawyer admires [the baker] .         inner
    the chef knows {who|that} the poets recall the baker that the lawyer admires .            island (hard)

The source fixes the object or its absence; the target feature exchanges `who` and `that`, one word. In an
island the relative clause has its own gap: `that` is right and `who` wrong, though there is an object in
`outer` and none here after the last verb. Half of the sources have a gap that `who` can reach, so that
neither the word nor the gap tells anything alone. (Counted from the end, the place of `who` tells more,
most in `length`: a gap is two words less.) The last verb is one that has no reading without an object.

`lexical`: the first subject is `i`, else another pronoun that takes the same verb form. `plural`: it is
plural, else singular, its verb agreeing. `tense`: all verbs but the first are past, else present. `length`:
one more clause (`... the nurse fears that ...`) and an ending, else neither.

`hard-none` has three quadrants. Its spurious feature is that `who` and a gap come together or not at all;
what is legal has that always, so that `target_only` cannot be. `spurious_only` is a gap out of reach, in
sentences of equal length: behind `because`, which is as frequent elsewhere, or in a relative clause.

    both           knows who they believe that he likes .    knows that they smile because he likes her .
    neither        knows that they believe that he likes .   knows who they smile because he likes her .
    spurious_only  knows who they smile because he likes .   knows who they believe her that he likes .

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr), filler-gap dependencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise, product

from tasks.english.grammar import finite, opened, the
from tasks.english.lexicon import (
    CLAUSE_VERBS,
    ENDINGS,
    INTRANSITIVES,
    OTHER_ADVERBS,
    QUESTION_VERBS,
    STRICT_TRANSITIVES,
    Verb,
    noun_numbers,
    verb_forms,
)
from tasks.english.reading import plurals, verbs, words
from tasks.english.sources import Grammar, Parts, Slot
from tasks.papers import LOVERING_2021
from tasks.text import text_feature

_feature = partial(text_feature, paper=LOVERING_2021)
PAIRS = (
    *("base-length", "base-lexical", "base-plural", "base-tense"),
    *("hard-length", "hard-lexical", "hard-plural", "hard-tense", "hard-none"),
)
MISSING = {"hard-none": ("target_only",)}
PRONOUNS = ("they", "we", "you")
LONG = 16


def _filler_and_gap(text: str) -> tuple[bool, bool]:
    """Whether there is a `who`, and whether the last verb lacks its object."""
    found = words(text)
    last = verbs(found)[-1]
    return "who" in found, found[last + 1 : last + 2] != ["the"]


def _legal(text: str) -> bool:
    found = words(text)
    who, gap = _filler_and_gap(text)
    in_relative = any(one in noun_numbers() and two == "that" for one, two in pairwise(found))
    if who:
        return gap and not in_relative and "because" not in found
    return gap == in_relative


def _later_verbs_past(text: str) -> bool:
    found = words(text)
    return all(verb_forms()[found[i]][0] for i in verbs(found)[1:])


TARGET = _feature(
    "gap-filled",
    "filler-gap",
    _legal,
    about="`who` comes with a gap in its reach, `that` with no gap left open",
)
SPURIOUS = {
    "length": _feature(
        f"over-{LONG}-words",
        "length",
        lambda text: len(words(text)) > LONG,
        about=f"the sentence has more than {LONG} words",
    ),
    "lexical": _feature(
        "has-i", "first-person", lambda text: "i" in words(text), about="the first subject is `i`"
    ),
    "plural": _feature(
        "first-plural", "number", lambda text: plurals(words(text))[0], about="the first subject is plural"
    ),
    "tense": _feature(
        "later-past", "tense", _later_verbs_past, about="all verbs but the first are in the past tense"
    ),
    "none": _feature(
        "who-iff-gap",
        "co-occurrence",
        lambda text: len(set(_filler_and_gap(text))) == 1,
        about="`who` and a gap come together or not at all",
    ),
}
_TENSES = ((False, False), (False, True), (True, True))
"""Whether the first verb and the later ones are past; `knew that he admires her` would sound odd."""


def grammar(pair: str, heldout: str) -> Grammar:
    """The kinds say what becomes of the last verb's object."""
    level, feature = pair.split("-")
    gap, full, island, adjunct = (Parts(parts) for parts in ({"gap"}, {"object"}, _ISLAND, _ADJUNCT))
    kinds = (
        [gap, full] if level == "base" else [gap, adjunct] if feature == "none" else [gap, gap, full, island]
    )
    return Grammar(
        partial(_write, feature),
        _slots(feature),
        kinds=tuple(kinds),
        frames=_frames(level, feature),
        heldout=heldout,
    )


_ISLAND = ("object", "island")
_ADJUNCT = ("object", "adjunct")


def _slots(feature: str) -> tuple[Slot, ...]:
    if feature == "lexical":
        first = [Slot("pronoun", len(PRONOUNS), echo=True)]
    else:
        first = [Slot("first", "people"), *([] if feature == "plural" else [Slot("first plural")])]
    longer = [
        Slot("extra", "people", echo=True),
        Slot("extra plural", echo=True),
        Slot("extra verb", "clause verbs", echo=True),
    ]
    comes = feature == "length"
    return (
        *first,
        Slot("question verb", "question verbs"),
        Slot("clause verb", "clause verbs", part="two"),
        Slot("second", "people", part="two"),
        Slot("second plural", part="two"),
        Slot("third", "people"),
        Slot("third plural"),
        Slot("verb", "strict transitives"),
        Slot("object", "people", part="object"),
        Slot("object plural", part="object"),
        *([] if feature == "tense" else [Slot("tenses", len(_TENSES))]),
        Slot("adverb", "adverbs", part="opening"),
        *(longer if comes else []),
        Slot("ending", "endings", part="" if comes else "ending", echo=comes),
    )


def _frames(level: str, feature: str) -> tuple[Parts, ...]:
    shapes = [Parts(), Parts({"two"}), Parts({"two", "inner"})]
    if level == "hard":
        shapes = shapes[1:2]
    elif feature == "length":
        shapes = shapes[1:]
    openings = [Parts(), Parts({"opening"})]
    endings = [Parts()] if feature == "length" else [Parts(), Parts({"ending"})]
    return tuple(shape | opening | ending for shape, opening, ending in product(shapes, openings, endings))


def _write(feature: str, choice: Mapping[str, int], parts: Parts, target: bool, spurious: bool) -> list[str]:
    first_past, past = (False, spurious) if feature == "tense" else _TENSES[choice["tenses"]]
    out_of_reach = feature == "none" and spurious and not target
    word = "who" if out_of_reach or ("gap" in parts) == target else "that"
    obj = the(choice["object"], bool(choice["object plural"])) if "object" in parts else []

    def person(name: str) -> list[str]:
        return the(choice[name], bool(choice[f"{name} plural"]))

    def says(name: str, verb: Verb) -> list[str]:
        return [*person(name), finite(verb, past, bool(choice[f"{name} plural"]))]

    if feature == "lexical":
        subject, plural = ["i" if spurious else PRONOUNS[choice["pronoun"]]], True
    else:
        plural = spurious if feature == "plural" else bool(choice["first plural"])
        subject = the(choice["first"], plural)
    asks = QUESTION_VERBS[choice["question verb"]]
    thinks = CLAUSE_VERBS[choice["clause verb"]]
    longer = feature == "length" and spurious
    extra = [*says("extra", CLAUSE_VERBS[choice["extra verb"]]), "that"] if longer else []
    last = says("third", STRICT_TRANSITIVES[choice["verb"]])
    ending = ENDINGS[choice["ending"]] if longer or "ending" in parts else ()

    if "two" not in parts:
        embedded = [word, *extra, *last, *obj]
    elif "inner" in parts:
        embedded = ["that", *says("second", asks), word, *extra, *last, *obj]
    elif ("adjunct" in parts) != out_of_reach and feature == "none":
        reacts = INTRANSITIVES[choice["clause verb"]]
        embedded = [word, *says("second", reacts), "because", *last, *obj]
    elif "island" in parts or out_of_reach:
        embedded = [word, *extra, *says("second", thinks), *obj, "that", *last]
    else:
        embedded = [word, *extra, *says("second", thinks), "that", *last, *obj]
    main = [*subject, finite(thinks if "inner" in parts else asks, first_past, plural), *embedded, *ending]
    return opened(OTHER_ADVERBS[choice["adverb"]] if "opening" in parts else "", main)
