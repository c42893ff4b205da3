"""Every word that an English task or a review can show, and every word of a review's continuations."""

from __future__ import annotations

from functools import cache

from tasks.english import lexicon, polarity, review_words, sentiment
from tasks.english.fillergap import PRONOUNS

_FUNCTION_WORDS = "the of . , that who because has have had ever two i"
_REVIEW_WORDS = "a film movie review report by / so just it with my in follows finds is set > & *"


@cache
def vocabulary() -> tuple[str, ...]:
    """Sorted; without digits and the marks that are tokens of their own wherever they stand."""
    found = {*_FUNCTION_WORDS.split(), *_REVIEW_WORDS.split()}
    found |= {*lexicon.CONJUNCTIONS, *lexicon.OTHER_ADVERBS, *PRONOUNS, *review_words.ASPECTS}
    for phrase in (*polarity.NEGATIONS, *polarity.WEAK_NEGATIONS, *polarity.DEFINITES, *sentiment.TEMPLATES):
        found |= {word for word in phrase.split() if "{" not in word}
    for words in (*review_words.QUALITIES, *review_words.VERDICTS):
        found |= set(words)
    for entries in (*lexicon.CLASSES.values(), *review_words.CLASSES.values()):
        for entry in entries:
            found |= {entry} if isinstance(entry, str) else set(entry)
    return tuple(sorted(found))
