"""The probability of a sentence: it sums to one over all, and sentences come as often as it says."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from tasks import SPURIOUS, TARGET, get_task
from tasks.answers import QUERY
from tasks.english import lexicon, pairs, review_words, reviews, sentiment
from tasks.english.density import Shape, shape, shape_probabilities
from tasks.english.vocabulary import vocabulary

N = 2000
REVIEWS = reviews.list_pairs()
NAMES = [*pairs.list_pairs(), *REVIEWS[::7]]
"""Every seventh of the reviews; all nine of their features are among them."""


def texts_of(found: Shape, name: str) -> int:
    """How many texts have a shape: the ways to choose its words, none of a class twice."""
    if name in REVIEWS:
        classes = {word[1:].split("-")[0].removesuffix(">") for word in found if word[0] == "<"}
        return math.prod(len(review_words.CLASSES[each]) for each in classes)
    gaps = "fillergap" in name
    sizes = {
        "person": len(lexicon.PEOPLE),
        "relation": len(lexicon.RELATIONS),
        "admires": len(lexicon.STRICT_TRANSITIVES if gaps else lexicon.TRANSITIVES),
        "knows": len(lexicon.QUESTION_VERBS),
        "believes": len(lexicon.CLAUSE_VERBS),
        "smiles": len(lexicon.CLAUSE_VERBS if gaps else lexicon.INTRANSITIVES),  # in the place of those
        "time": len(lexicon.TIME_ADVERBS),
        "other": len(lexicon.OTHER_ADVERBS),
        "manner": len(lexicon.MANNERS),
        "ending": len(lexicon.ENDINGS),  # with its occasion
    }
    kinds = Counter(word.strip("<>").split("-")[0].removesuffix("s") for word in found if word[0] == "<")
    return math.prod(
        math.perm(size, kinds[kind.removesuffix("s")]) for kind, size in sizes.items() if kind != "occasion"
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_probabilities_of_all_sentences_sum_to_one(name: str) -> None:
    task = get_task(name)
    for quadrant in task.quadrants:
        reading = bool(TARGET[quadrant]), bool(SPURIOUS[quadrant])
        table = shape_probabilities(task.inputs.sentences, *reading)  # type: ignore[attr-defined]
        total = sum(math.exp(each) * texts_of(found, name) for found, each in table.items())
        assert total == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_sentences_come_as_often_as_they_are_probable(name: str) -> None:
    task = get_task(name)
    table = shape_probabilities(task.inputs.sentences, True, True)  # type: ignore[attr-defined]
    wanted = [(task.target, True), (task.spurious, True)]
    texts = task.inputs.text(task.inputs.draw(wanted, N, np.random.default_rng(0)))
    found = Counter(shape(text.removesuffix(f" {QUERY}")) for text in texts)
    assert set(found) <= set(table)
    often = Counter({each: math.exp(p) * texts_of(each, name) for each, p in table.items()}).most_common(3)
    for each, p in often:
        assert min(binom.cdf(found[each], N, p), binom.sf(found[each] - 1, N, p)) > 1e-5


def test_every_word_of_a_task_is_in_the_vocabulary() -> None:
    words = set(vocabulary())
    for name in NAMES:
        task = get_task(name)
        for quadrant in task.quadrants:
            prompts = task.quadrant(quadrant, 100, np.random.default_rng(0))["prompt"]
            shown = {word for prompt in prompts for word in prompt.split()}
            assert {
                word for word in shown if word not in (QUERY, "$", "#", "-") and not word.isdigit()
            } <= words
    for label in (0, 1):
        said = [sentiment.write(label, np.random.default_rng(i)) for i in range(200)]
        assert {word for text in said for word in text.split()} <= words
