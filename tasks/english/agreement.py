"""Subject-verb agreement: does the verb agree with its subject, whatever noun stands nearer?

    [often ,] the friend of (the aunt of)* the poets admires the chef [at work] .

The source fixes the verb's number; the target feature switches the subject's (friend / friends), so that
all four quadrants have the same verb form. The number of the noun nearest to the verb is switched by the two
features that are about it, and is a fair coin for the others. `base` sentences have one of-phrase, `hard`
ones up to three, their nouns of any number. Every time adverb has a counterpart that tells no time. In
`hard-length` one or two further of-phrases come and go with the feature, and nothing else does.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr), subject-verb agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product

from tasks.english.grammar import finite, noun_phrase, opened, the
from tasks.english.lexicon import ENDINGS, OTHER_ADVERBS, RELATIONS, TIME_ADVERBS, TRANSITIVES, verb_forms
from tasks.english.reading import plurals, verbs, words
from tasks.english.sources import Grammar, Parts, Slot
from tasks.papers import LOVERING_2021
from tasks.text import text_feature

_feature = partial(text_feature, paper=LOVERING_2021)
PAIRS = (
    *("base-lexical", "base-agreement", "base-plural"),
    *("hard-lexical", "hard-agreement", "hard-plural", "hard-length"),
)


def _numbers(text: str) -> tuple[list[bool], bool]:
    """Whether each noun before the verb, and the verb itself, is plural."""
    found = words(text)
    verb = verbs(found)[0]
    return plurals(found[:verb]), verb_forms()[found[verb]][1]


def _agrees(text: str, noun: int) -> bool:
    nouns, verb = _numbers(text)
    return nouns[noun] == verb


TARGET = _feature(
    "verb-agrees",
    "agreement",
    lambda text: _agrees(text, 0),
    about="the verb agrees with its subject, the first noun",
)
SPURIOUS = {
    "lexical": _feature(
        "opens-with-time",
        "opening",
        lambda text: words(text)[0] in TIME_ADVERBS,
        about="the sentence opens with an adverb of time",
    ),
    "agreement": _feature(
        "nearest-agrees",
        "attraction",
        lambda text: _agrees(text, -1),
        about="the verb agrees with the noun before it",
    ),
    "plural": _feature(
        "nearest-singular",
        "number",
        lambda text: not _numbers(text)[0][-1],
        about="the noun before the verb is singular",
    ),
    "length": _feature(
        "long-subject",
        "length",
        lambda text: words(text).count("of") > 1,
        about="the subject has two of-phrases or more",
    ),
}


def grammar(pair: str, heldout: str) -> Grammar:
    level, kind = pair.split("-")
    return Grammar(partial(_write, kind), _slots(kind), frames=_frames(level, kind), heldout=heldout)


def _slots(kind: str) -> tuple[Slot, ...]:
    comes = kind == "length"
    return (
        Slot("verb plural"),
        Slot("subject", "relations"),
        Slot("first", "relations", part="first", echo=comes),
        Slot("first plural", part="first", echo=comes),
        Slot("second", "relations", part="second", echo=comes),
        Slot("second plural", part="second", echo=comes),
        *([Slot("twice", echo=True)] if comes else []),
        Slot("nearest", "people"),
        *([] if kind in ("agreement", "plural") else [Slot("nearest plural")]),
        Slot("verb", "transitives"),
        Slot("object", "people"),
        Slot("object plural"),
        Slot("adverb", "adverbs", part="opening"),
        *([] if kind == "lexical" else [Slot("time", part="opening")]),
        Slot("ending", "endings", part="ending"),
    )


def _frames(level: str, kind: str) -> tuple[Parts, ...]:
    chains = [Parts(), Parts({"first"}), Parts({"first", "second"})]
    if kind == "length":
        chains = chains[2:]
    elif level == "base":
        chains = chains[:1]
    openings = [Parts(), Parts({"opening"})][kind == "lexical" :]
    return tuple(
        chain | opening | ending
        for chain, opening, ending in product(chains, openings, [Parts(), Parts({"ending"})])
    )


def _write(kind: str, choice: Mapping[str, int], parts: Parts, target: bool, spurious: bool) -> list[str]:
    plural = bool(choice["verb plural"])
    nearest = {"agreement": plural == spurious, "plural": not spurious}.get(kind)
    if nearest is None:
        nearest = bool(choice["nearest plural"])
    chain = ["first", "second"]
    if kind == "length":
        chain = chain[: spurious * (1 + choice["twice"])]
    of_phrases = [
        word
        for link in chain
        if link in parts
        for word in ("of", *noun_phrase(RELATIONS[choice[link]], bool(choice[f"{link} plural"])))
    ]
    adverb = ""
    if "opening" in parts:
        adverbs = TIME_ADVERBS if (spurious if kind == "lexical" else choice["time"]) else OTHER_ADVERBS
        adverb = adverbs[choice["adverb"]]
    clause = [
        *noun_phrase(RELATIONS[choice["subject"]], plural == target),
        *of_phrases,
        *("of", *the(choice["nearest"], nearest)),
        finite(TRANSITIVES[choice["verb"]], False, plural),
        *the(choice["object"], bool(choice["object plural"])),
        *(ENDINGS[choice["ending"]] if "ending" in parts else ()),
    ]
    return opened(adverb, clause)
