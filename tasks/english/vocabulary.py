"""Every word that an English task can show."""

from __future__ import annotations

from functools import cache

from tasks.english import polarity
from tasks.english.fillergap import PRONOUNS
from tasks.english.lexicon import CLASSES, CONJUNCTIONS, OTHER_ADVERBS

_FUNCTION_WORDS = "the of . , that who because has have had ever two i"


@cache
def vocabulary() -> tuple[str, ...]:
    """Sorted."""
    found = set(_FUNCTION_WORDS.split()) | {*CONJUNCTIONS, *OTHER_ADVERBS, *PRONOUNS}
    for phrase in (*polarity.NEGATIONS, *polarity.WEAK_NEGATIONS, *polarity.DEFINITES):
        found |= set(phrase.split())
    for entries in CLASSES.values():
        for entry in entries:
            found |= {entry} if isinstance(entry, str) else set(entry)
    return tuple(sorted(found))
