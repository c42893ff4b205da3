"""Three problems of length: go on with the beginning of an English text, in few words or in the usual number.

    min-length      reward: minus the number of words
    mode-length     reward: minus the distance from the commonest number of words in the data
    skew-length     min-length, of which the preference data hold hardly any short text

A text is long or short whatever it says, so that where the best answers lie relative to the reference, and
whether the preference data show them, is known: of mode-length the best are common, of min-length they are
rare, and of skew-length they are rare and not in the data. Demonstrations are texts of which some break off,
as short as can be: a reference that has learnt from them gives every length, and short ones seldom.

In the paper texts answer instructions, lengths are in tokens, and skewed data are texts cut to a skewed
distribution of lengths; here they are whole ones, of which long ones are taken more often.

References: Tajwar et al. 2024 (https://arxiv.org/abs/2404.14367), section 4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.random import Generator

from tasks.answers import QUERY
from tasks.english import pairs, reviews
from tasks.feature import Split
from tasks.splits import TENTHS, split_of
from tasks.task import Task
from tasks.text_problem import Rewards, TextProblem

OPENING = 4
"""Words of a prompt."""
MOST = 40
"""Tokens of a completion with its end; no text of this grammar has more."""
CUT = 0.15
"""Share of the demonstrations that break off."""
SKEW = 1.5
"""Words by which a completion is longer that is e times as likely to be in skewed data."""


def words_in(text: str) -> int:
    return len(text.split())


def minus_length(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """Of each completion, minus its number of words."""
    return [float(-words_in(text)) for text in completions]


def mode_of(completions: Sequence[str]) -> int:
    """The commonest number of words; of several, the smallest."""
    counts = Counter(map(words_in, completions))
    return min(counts, key=lambda length: (-counts[length], length))


def near(mode: int) -> Rewards:
    """Of each completion, minus the distance of its number of words from `mode`."""

    def rewards(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return [float(-abs(words_in(text) - mode)) for text in completions]

    return rewards


def openings(n: int, rng: Generator, split: Split) -> list[str]:
    """Beginnings of n texts. An opening is in one split, by its words alone."""
    return [opening for opening, _ in _texts(n, rng, split)]


def demonstrations(n: int, rng: Generator, split: Split) -> list[tuple[str, str]]:
    """n openings, and how each text goes on; of a share CUT it breaks off at a word, all being as likely."""
    found = []
    for opening, rest in _texts(n, rng, split):
        kept = int(rng.integers(len(rest))) if rng.random() < CUT else len(rest)
        found.append((opening, " ".join(rest[:kept])))
    return found


def _texts(n: int, rng: Generator, split: Split) -> list[tuple[str, list[str]]]:
    """n texts of any kind, as their opening and the other words."""
    found: list[tuple[str, list[str]]] = []
    low, high = TENTHS[split]
    while len(found) < n:
        each = 1 + 2 * n // len(_kinds())
        texts = [text for task in _kinds() for text in task.inputs.text(task.inputs.draw([], each, rng))]
        words = [text.removesuffix(f" {QUERY}").split() for text in texts]
        begun = [" ".join(row[:OPENING]) for row in words]
        tenth = split_of(np.array(begun, dtype=object)[:, None]).tolist()
        mine = [
            (opening, row[OPENING:])
            for opening, row, part in zip(begun, words, tenth, strict=True)
            if low <= part < high
        ]
        found += [mine[i] for i in rng.permutation(len(mine))[: n - len(found)]]
    return found


@cache
def _kinds() -> list[Task]:
    """Sentences of every kind, and a kind of reviews."""
    sentences = [pairs.get_pair(name.removeprefix("english/")) for name in pairs.list_pairs()]
    return [*sentences, reviews.get_pair("film-vs-opener")]


def _long_ones(completion: str) -> float:
    return math.exp(words_in(completion) / SKEW)


def _mode_length(completions: Sequence[str]) -> TextProblem:
    mode = mode_of(completions)
    return replace(_problem("mode-length"), rewards=near(mode), chance=float(mode - MOST))


def _problem(name: str) -> TextProblem:
    return TextProblem(
        f"lengths/{name}", openings, MOST, optimum=0.0, chance=float(-MOST), show=demonstrations
    )


PROBLEMS = {
    problem.name: problem
    for problem in (
        replace(_problem("min-length"), rewards=minus_length),
        replace(_problem("mode-length"), of_data=_mode_length),
        replace(_problem("skew-length"), rewards=minus_length, coverage=_long_ones),
    )
}
