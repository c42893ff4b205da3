"""Whether the surface of a task's rows tells more than the two features imply."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, default_rng

from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET
from tasks.feature import Feature, Rows
from tasks.given import GivenInputs
from tasks.symbols.draw import matches
from tasks.symbols.pairs import SymbolInputs
from tasks.task import Task
from tasks.text import TextInputs, read_four_ways

MOST = 0.55
"""No classifier may be shown to reach more: the upper 95 % bound of its accuracy on held-out rows."""
ROWS = 3000
"""Held-out rows a classifier. At chance, the bound is above MOST less than once in ten thousand tests."""
_CHUNK = 1 << 14
_MOST_DRAWS = 1 << 22

Tokens = list[str]
_Sentence = tuple[list[str], list[int]]
"""Words, and for each how many shared ones stand before it."""
Reader = Callable[[Sequence[str]], Tokens]
"""What a classifier sees of a row, from its words."""


def _bag(words: Sequence[str]) -> Tokens:
    return [repr(word) for word in sorted(set(words))]


def _positions(words: Sequence[str]) -> Tokens:
    return [f"{word!r} in place {i}" for i, word in enumerate(words, 1)]


def _length(words: Sequence[str]) -> Tokens:
    return [f"{len(words)} words"]


_READERS: dict[str, Reader] = {"bag of words": _bag, "words by position": _positions, "length": _length}


@dataclass(frozen=True)
class Told:
    """How well one classifier told two samples that should be alike."""

    what: str
    right: int
    n: int
    """Held-out rows, a half of each sample."""
    cue: str
    """The token whose frequency differs most."""


def surface(task: Task, seed: int = 0) -> tuple[list[str], int]:
    """Cues that go beyond the features, and the held-out rows of all classifiers.

    Two samples that should be alike are told apart by naive Bayes on words, words by position and length:

    - each quadrant, and rows of the base distribution that happen to have the same two truths. For symbols
      the base is drawn anew, independent and uniform; for other inputs it is what they draw when nothing is
      asked of them;
    - where sentences have four readings: a `both` and a `neither` row side by side, and a `target_only` and a
      `spurious_only` row. What comes with one feature is in either; positions are counted in the words that
      the four readings share. So only what depends on both features at once can tell. Where a feature is
      nothing but the order of the words, which word stands where is what the features mean, and only how
      many stand there is read.

    A cue that comes with one feature in every sentence is part of that feature, and is not told. Rows that
    are given have no base distribution and are not tested.
    """
    if isinstance(task.inputs, GivenInputs):
        return [], 0
    told = [t for q in task.quadrants for t in _against_base(task, q, default_rng([seed, 21]))]
    sentences = read_four_ways(task)
    if sentences and not task.missing:
        told += _interaction(task, sentences, default_rng([seed, 22]))
    return list(_too_well(told)), sum(t.n for t in told)


def _too_well(told: Sequence[Told]) -> Iterator[str]:
    """Those not shown to be at or below MOST, by exact binomial tests with Holm's correction."""
    from scipy.stats import binomtest
    from statsmodels.stats.multitest import multipletests

    tests = [binomtest(t.right, t.n, MOST, alternative="less") for t in told]
    shown, *_ = multipletests([test.pvalue for test in tests], alpha=0.05, method="holm")
    for t, test, at_chance in zip(told, tests, shown, strict=True):
        if not at_chance:
            bound = test.proportion_ci(0.95).high
            yield (
                f"surface cues: {t.what}: {t.right / t.n:.3f} of {t.n} held-out rows, upper 95 % bound "
                f"{bound:.3f} > {MOST}; most telling: {t.cue}"
            )


def _against_base(task: Task, quadrant: str, rng: Generator) -> Iterator[Told]:
    wanted = [(task.target, bool(TARGET[quadrant])), (task.spurious, bool(SPURIOUS[quadrant]))]
    drawn_rng, base_rng, halves = rng.spawn(3)
    base = _base(task, wanted, base_rng)
    drawn = task.inputs.draw(wanted, len(base), drawn_rng)
    texts = [[text.split() for text in task.inputs.text(rows)] for rows in (drawn, base)]
    for name, reader in _READERS.items():
        samples = [[reader(words) for words in sample] for sample in texts]
        yield _told(f"{name} tells {quadrant} from base rows of the same truths", samples, halves)


def _base(task: Task, wanted: Sequence[tuple[Feature, bool]], rng: Generator) -> Rows:
    """Up to ROWS rows of the base distribution with these truths, by rejection alone."""
    inputs = task.inputs
    kept: list[Rows] = []
    for _ in range(_MOST_DRAWS // _CHUNK):
        if isinstance(inputs, SymbolInputs):
            rows = rng.integers(inputs.vocabulary, size=(_CHUNK, inputs.length), dtype=np.int32)
        else:
            rows = inputs.draw([], ROWS, rng)
        kept.append(rows[matches(rows, wanted)])
        if sum(map(len, kept)) >= ROWS:
            break
    found = np.concatenate(kept)[:ROWS]
    if len(found) < ROWS // 2:
        told = ", ".join(f"{'' if value else 'not '}{f.name}" for f, value in wanted)
        raise UserError(f"too rare to compare with the base distribution: {len(found)} rows with {told}")
    return found


def _interaction(task: Task, inputs: TextInputs, rng: Generator) -> Iterator[Told]:
    *streams, halves = rng.spawn(len(QUADRANTS) + 1)
    read: dict[str, list[_Sentence]] = {}
    sources: list[dict[str, str]] = []
    for quadrant, stream in zip(QUADRANTS, streams, strict=True):
        rows = task.quadrant(quadrant, ROWS, stream, None)
        pairs = zip(rows["prompt"], rows["source"], strict=True)
        read[quadrant] = [(text.split(), _places(text, inputs.readings(source))) for text, source in pairs]
        sources += map(inputs.readings, rows["source"])
    order_only = _order_only(sources)
    samples = [
        list(zip(read[one], read[other], strict=True))
        for one, other in (("both", "neither"), ("target_only", "spurious_only"))
    ]
    readers: dict[str, Callable[[Sequence[_Sentence]], Tokens]] = {
        "bag of words": lambda two: _bag([word for words, _ in two for word in words]),
        "words by position": lambda two: (
            [f"{n} words after {k} shared words" for k, n in Counter(k for _, ks in two for k in ks).items()]
            if order_only
            else [f"{word!r} after {k} shared words" for row in two for word, k in zip(*row, strict=True)]
        ),
        "length": lambda two: [f"{sum(len(words) for words, _ in two)} words in two"],
    }
    for name, reader in readers.items():
        tokens = [[reader(two) for two in sample] for sample in samples]
        what = f"{name} tells both with neither from target_only with spurious_only"
        yield _told(what, tokens, halves)


def _order_only(sources: Sequence[dict[str, str]]) -> bool:
    """Whether flipping one of the features never changes which words there are."""

    def alike(one: str, other: str) -> bool:
        return all(sorted(r[one].split()) == sorted(r[other].split()) for r in sources)

    flips_target = alike("both", "spurious_only") and alike("target_only", "neither")
    return flips_target or (alike("both", "target_only") and alike("spurious_only", "neither"))


def _places(text: str, readings: dict[str, str]) -> list[int]:
    """For each word, how many of the words that all four readings share stand before it."""
    first, *others = (reading.split() for reading in readings.values())
    common = first
    for other in others:
        common = _longest_common(common, other)
    places, before = [], 0
    for word in text.split():
        places.append(before)
        before += before < len(common) and word == common[before]
    return places


def _longest_common(one: list[str], other: list[str]) -> list[str]:
    """A longest common subsequence."""
    ends = min(len(one), len(other))
    head = next((i for i in range(ends) if one[i] != other[i]), ends)
    tail = next((i for i in range(ends - head) if one[-1 - i] != other[-1 - i]), ends - head)
    rows, columns = one[head : len(one) - tail], other[head : len(other) - tail]
    left = [[0] * (len(columns) + 1) for _ in range(len(rows) + 1)]  # its length from here on
    for i in reversed(range(len(rows))):
        for j in reversed(range(len(columns))):
            same = rows[i] == columns[j]
            left[i][j] = left[i + 1][j + 1] + 1 if same else max(left[i + 1][j], left[i][j + 1])
    found, i, j = one[:head], 0, 0
    while left[i][j]:
        if rows[i] == columns[j]:
            found.append(rows[i])
            i, j = i + 1, j + 1
        elif left[i + 1][j] >= left[i][j + 1]:
            i += 1
        else:
            j += 1
    return found + one[len(one) - tail :]


def _told(what: str, samples: Sequence[Sequence[Tokens]], rng: Generator) -> Told:
    """Naive Bayes on one half of two samples, asked on the other."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import MultinomialNB

    rows = [tokens for sample in samples for tokens in sample]
    label = np.repeat([0, 1], [len(sample) for sample in samples])
    counts = CountVectorizer(analyzer=_as_it_is, binary=True)
    matrix = counts.fit_transform(rows)
    order = rng.permutation(len(rows))
    learn, ask = order[: len(rows) // 2], order[len(rows) // 2 :]
    fitted = MultinomialNB().fit(matrix[learn], label[learn])
    right = int((fitted.predict(matrix[ask]) == label[ask]).sum())
    share = [np.asarray(matrix[label == k].mean(axis=0)).ravel() for k in (0, 1)]
    cue = int(np.abs(share[0] - share[1]).argmax())
    frequency = f"in {share[0][cue]:.2f} and {share[1][cue]:.2f} of them"
    return Told(what, right, len(ask), f"{counts.get_feature_names_out()[cue]}, {frequency}")


def _as_it_is(tokens: Tokens) -> Tokens:
    return tokens
