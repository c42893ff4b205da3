"""Reading a sentence: its words looked up in the lexicon, with no knowledge of how it was written."""

from __future__ import annotations

from tasks.answers import QUERY
from tasks.english.lexicon import noun_numbers, verb_forms


def words(text: str) -> list[str]:
    """Without the full stop and the question mark of a prompt."""
    return text.removesuffix(f" {QUERY}").removesuffix(" .").split()


def verbs(found: list[str]) -> list[int]:
    """Places of the finite verbs."""
    return [i for i, word in enumerate(found) if word in verb_forms()]


def plurals(found: list[str]) -> list[bool]:
    """Whether each noun is plural, in order."""
    return [noun_numbers()[word] for word in found if word in noun_numbers()]
