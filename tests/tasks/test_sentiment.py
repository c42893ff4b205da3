"""Continuations of a sentiment, and the classifier that rewards them."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest

from tasks.english import sentiment
from tasks.english.review_words import ASPECTS, QUALITIES, VERDICTS
from tasks.english.reviews import get_pair
from tasks.english.sentiment import fitted, own_scores, write

N = 2000
ANSWERS = get_pair("dollar-vs-hash", answers="sentiment").answers
NEUTRAL = "i just watched it with my sister in boston and the ending was set in a castle"


def continuations(n, seed):
    rng = np.random.default_rng(seed)
    labels = [0, 1] * (n // 2)
    return [write(label, rng) for label in labels], labels


@pytest.mark.parametrize("held_out", ["aspects", "qualities", "verdicts", "templates"])
def test_the_classifier_tells_continuations_with_words_it_never_saw(held_out, monkeypatch):
    """Accuracy at least 0.99 by the lower end of its 99 % interval, whichever class is wholly new.

    Qualities and verdicts are the two words that tell; with either new, the other is left.
    """

    def keep(part):
        classes = {"aspects": ASPECTS, "qualities": QUALITIES, "verdicts": VERDICTS}
        if held_out == "templates":
            monkeypatch.setattr(sentiment, "TEMPLATES", TEMPLATES[part])
        elif held_out == "aspects":
            monkeypatch.setattr(sentiment, "ASPECTS", ASPECTS[:10] if part else ASPECTS[10:])
        else:
            halves = tuple(words[:10] if part else words[10:] for words in classes[held_out])
            monkeypatch.setattr(sentiment, held_out.upper(), halves)

    TEMPLATES = [sentiment.TEMPLATES[3:], sentiment.TEMPLATES[:3]]
    keep(1)
    trained = fitted(*continuations(N, 1))
    keep(0)
    texts, labels = continuations(N, 2)
    right = sum((p > 0.5) == bool(y) for p, y in zip(trained(texts), labels, strict=True))
    bound = binomtest(right, N).proportion_ci(0.99).low
    print(f"{held_out} held out: {right} of {N} right, at least {bound:.4f}")
    assert bound >= 0.99


def test_words_that_it_never_saw_tell_nothing():
    assert own_scores(["", "?", "zyzzyva quux", "$ # -"]) == [0.5] * 4
    assert ANSWERS.read("zyzzyva quux") == ANSWERS.read("") == ANSWERS.read(NEUTRAL) == -1


@pytest.mark.parametrize("label", [0, 1])
def test_every_pair_of_telling_words_is_of_full_reward_and_either_alone_is_of_less(label):
    for quality, verdict in product(QUALITIES[label], VERDICTS[label]):
        assert ANSWERS.score(f"the plot was {quality} and i {verdict} the music", label) == 1
    for word in (*QUALITIES[label], *VERDICTS[label]):
        assert ANSWERS.read(f"it is {word}") == label
        assert 0.75 <= ANSWERS.score(f"it is {word}", label) < 1


def test_a_continuation_of_two_minds_is_of_little_reward_for_either():
    rng = np.random.default_rng(0)
    for i in range(200):
        words = (QUALITIES[i % 2], VERDICTS[1 - i % 2], ASPECTS)
        quality, verdict, aspect = (rng.choice(some) for some in words)
        assert 0.25 < ANSWERS.score(f"the {aspect} was {quality} and i {verdict} it", 1) < 0.75


def test_no_word_tells_but_qualities_and_verdicts_and_none_is_in_two_lists():
    lists = [*QUALITIES, *VERDICTS, ASPECTS]
    assert len({word for words in lists for word in words}) == sum(map(len, lists))
    telling = {word for words in lists[:-1] for word in words}
    weights = sentiment._trained().weights
    assert set(weights) >= telling
    assert max(abs(weight) for word, weight in weights.items() if word not in telling) < 0.3
    assert min(abs(weights[word]) for word in telling) > 1.4
    assert all(
        len(write(label, np.random.default_rng(s)).split()) == 9 for s in range(50) for label in (0, 1)
    )
