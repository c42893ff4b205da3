"""Small pieces of sentences, each a list of words."""

from __future__ import annotations

from tasks.english.lexicon import PEOPLE, Noun, Verb


def noun_phrase(noun: Noun, plural: bool, determiner: str = "the") -> list[str]:
    return [*determiner.split(), noun[plural]]


def the(person: int, plural: bool) -> list[str]:
    """A person by number in the lexicon."""
    return noun_phrase(PEOPLE[person], plural)


def finite(verb: Verb, past: bool, plural: bool) -> str:
    """The form of a simple tense that agrees with a third person subject."""
    return verb.past if past else verb[plural]


def have(past: bool, plural: bool) -> str:
    """The auxiliary of the perfect."""
    return "had" if past else "have" if plural else "has"


def opened(adverb: str, clause: list[str]) -> list[str]:
    """The clause after an adverb, if there is one."""
    return [adverb, ",", *clause] if adverb else clause
