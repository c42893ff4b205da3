"""Continuations of a review, and a small classifier of their sentiment.

    the acting was superb and i loved the ending        label 1
    i loathed the script because the plot felt stale    label 0

Two words tell the sentiment, and no others do: a quality and a verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from numpy.random import Generator, default_rng

from tasks.english.review_words import ASPECTS, QUALITIES, VERDICTS

LENGTH = 9
"""Words of a continuation."""
TEMPLATES = (
    "the {one} was {quality} and i {verdict} the {other}",
    "i {verdict} the {one} because the {other} felt {quality}",
    "the {one} seemed {quality} so i {verdict} the {other}",
    "i really {verdict} the {one} with its {quality} {other}",
)
_TRAINED_ON = 4000


def write(label: int, rng: Generator) -> str:
    """A continuation of positive (1) or negative (0) sentiment."""
    one, other = rng.choice(ASPECTS, size=2, replace=False)
    quality, verdict = rng.choice(QUALITIES[label]), rng.choice(VERDICTS[label])
    return str(rng.choice(TEMPLATES)).format(one=one, other=other, quality=quality, verdict=verdict)


@dataclass(frozen=True)
class BagOfWords:
    """The probability that texts are positive, by the weights of the words in them.

    Weights are log-odds; a text of unknown words alone has 0.5.
    """

    weights: dict[str, float]

    def __call__(self, texts: Sequence[str]) -> list[float]:
        logits = (sum(self.weights.get(word, 0.0) for word in sorted({*_words(t)})) for t in texts)
        return [1 / (1 + math.exp(-logit)) for logit in logits]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def fitted(texts: Sequence[str], labels: Sequence[int]) -> BagOfWords:
    """Logistic regression on which words occur, without an intercept."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counts = CountVectorizer(analyzer=_words, binary=True)
    model = LogisticRegression(fit_intercept=False)
    model.fit(counts.fit_transform(texts), labels)
    return BagOfWords(dict(zip(counts.get_feature_names_out(), model.coef_[0].tolist(), strict=True)))


@cache
def _trained() -> BagOfWords:
    rng = default_rng(0)
    labels = [0, 1] * (_TRAINED_ON // 2)
    return fitted([write(label, rng) for label in labels], labels)


def own_scores(texts: Sequence[str]) -> list[float]:
    """The probability that texts are positive, by a classifier trained on continuations of this grammar."""
    return _trained()(texts)
