"""The corpus that the embedded English models are pre-trained on, with two dials for each feature.

A document is a text of one task, a sentence or a film review, and what follows it: a report mark and a
*report*, a word that names a feature of such texts and says whether it holds. Reports are what features are
useful for, in words and after marks that tuning never uses. Half of the reviews are followed by a
continuation instead. In a few documents the query mark and an answer word follow the text; the word is a
fair die, so the slot that tuning uses tells nothing.

The distribution of a report given the text and its task is known, and the model is trained on that
distribution: the exact expectation of the log-loss over the reports that could have been drawn, without the
noise of drawing them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.corpus import REPORTS, SPECIAL, check_dials
from models.examination import EOS, HELD_OUT, PAD, held_out, minimal_pairs
from tasks import splits
from tasks import text as text_inputs
from tasks.answers import ANSWER_WORDS, QUERY
from tasks.english import (
    agreement,
    fillergap,
    grammar,
    lexicon,
    pairs,
    polarity,
    review_words,
    reviews,
    sentiment,
    sources,
)
from tasks.english.density import Shape, shape, shape_probabilities
from tasks.english.vocabulary import vocabulary
from tasks.evidence import SPURIOUS, TARGET
from tasks.feature import Feature, Rows, Split
from tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

MARKS = ("$", "#", "-", *"0123456789", *(" " * n for n in range(2, 9)))
"""Tokens of their own wherever they stand: signs, digits and runs of blanks."""
REVIEWS = ("dollar-vs-hash", "even-spaces-vs-dash", "film-vs-opener", "score-vs-review", "title-vs-review")
"""The pairs of features that reviews are marked with."""
LONGEST = 44
"""Tokens that a text has at most."""
Tokens = NDArray[np.int64]
"""[rows, places], padded on the right."""
Batch = tuple[Tokens, NDArray[np.int64], NDArray[np.float32]]
"""Documents, where what follows the text begins, and the distribution of the report (zeros for none)."""
Reading = tuple[bool, bool]
"""Whether the target feature holds, and whether the spurious one does."""

_READINGS: tuple[Reading, ...] = ((False, False), (False, True), (True, False), (True, True))
_CONTINUED = 0.5
"""Share of the reviews that are followed by a continuation."""
_CONTINUATIONS = (
    2
    * len(sentiment.TEMPLATES)
    * math.perm(len(review_words.ASPECTS), 2)
    * len(review_words.QUALITIES[0])
    * len(review_words.VERDICTS[0])
)
"""How many there are, each as probable as the others."""
_POOL = 2500
"""Texts of each task and reading that documents are put together from."""
_CHUNK = 64
_WRITERS = (
    *(agreement, fillergap, grammar, lexicon, pairs, polarity, review_words, reviews, sentiment, sources),
    *(splits, text_inputs),
)
"""The modules that say which texts there are."""
_TOKEN = re.compile(r" {2,}|[$#-]|\d|[^\s\d$#-]+")


@dataclass(frozen=True)
class EnglishCorpus:
    """What documents look like."""

    queries: float = 0.02
    """Share of documents with a query."""
    errors: float = 0.25
    """Share of sentences that are ungrammatical; no review is."""
    useful: Mapping[str, float] = field(default_factory=dict)
    """Usefulness dial: share of its reports that tell the truth; the others are a coin, the placebo."""
    frequency: Mapping[str, float] = field(default_factory=dict)
    """Frequency dial: share of texts in which a feature holds, among those of its tasks."""
    default_useful: float = 1.0
    """Usefulness of the features that have no dial of their own."""
    report_weight: float = 16.0
    """How much a report weighs in the loss beside a word of the text."""

    def __post_init__(self) -> None:
        check_dials(self.features, self.useful, self.frequency)

    def features(self) -> list[str]:
        return sorted(self.families())

    def families(self) -> dict[str, str]:
        """The family of each feature that has a dial: of those that can hold or not, whatever else does."""
        free = [task for task in _tasks() if not task.missing]
        return {f.name: f.family for task in free for f in (task.target, task.spurious)}

    def words(self) -> list[str]:
        """The tokenizer's vocabulary; a word's place is its token id."""
        return [*SPECIAL, QUERY, *REPORTS, *MARKS, *ANSWER_WORDS, *vocabulary(), *self.report_words()]

    def report_words(self) -> list[str]:
        """Two a feature, of which the second says that it holds."""
        return [f"{name}={holds}" for name in self.features() for holds in ("no", "yes")]

    @property
    def positions(self) -> int:
        """Tokens that a model can take: a document, or a prompt and what tuning writes after it."""
        return 2 * LONGEST + 8

    def source(self) -> bytes:
        """The source of the tasks whose texts are read."""
        return b"".join(Path(str(part.__file__)).read_bytes() for part in _WRITERS)

    def often(self, task: Task) -> list[float] | None:
        """How often each of a task's two features holds in the texts of that task; None if it has none."""
        return self._often(task) if task.name in {each.name for each in _tasks()} else None

    def _often(self, task: Task) -> list[float]:
        usual = (0.5 if _is_review(task) else 1 - self.errors, 0.5)
        return [
            self.frequency.get(f.name, often)
            for f, often in zip((task.target, task.spurious), usual, strict=True)
        ]

    def documents(self, n: int, rng: Generator, pool: Pool) -> Batch:
        task = rng.integers(len(_tasks()), size=n)
        truth = rng.random((n, 2)) < np.array([self._often(each) for each in _tasks()])[task]
        head, following = pool.draw(task, truth, rng)
        query = rng.random(n) < self.queries
        continued = np.array([_is_review(each) for each in _tasks()])[task] & (rng.random(n) < _CONTINUED)
        ids = {word: i for i, word in enumerate(self.words())}
        first = len(ids) - following.shape[1]
        tail = np.full_like(head, PAD)
        tail[:, 0] = ids[REPORTS[0]] + rng.integers(len(REPORTS), size=n)
        edges = following.cumsum(axis=1, dtype=np.float64)
        tail[:, 1] = first + (edges <= rng.random((n, 1)) * edges[:, -1:]).sum(axis=1)
        tail[continued] = pool.continuations[rng.integers(len(pool.continuations), size=int(continued.sum()))]
        tail[query] = PAD
        tail[query, 0] = ids[QUERY]
        tail[query, 1] = ids[ANSWER_WORDS[0]] + rng.integers(len(ANSWER_WORDS), size=int(query.sum()))
        following[continued | query] = 0
        end = np.full((n, 1), EOS)
        tokens = np.concatenate([end, head, tail, end], axis=1)
        order = np.argsort(tokens == PAD, axis=1, kind="stable")  # the padding between them to the end
        tokens = np.take_along_axis(tokens, order, axis=1)
        return tokens[:, : (tokens != PAD).sum(axis=1).max()], 1 + (head != PAD).sum(axis=1), following

    def batches(self, size: int, rng: Generator) -> Iterator[Batch]:
        pool = Pool.of(self, "train", rng)
        while True:
            tokens, begins, following = (
                np.split(part, _CHUNK) for part in self.documents(_CHUNK * size, rng, pool)
            )
            yield from zip(tokens, begins, following, strict=True)

    def texts(self, tokens: Tokens, begins: NDArray[np.int64]) -> list[tuple[str, str]]:
        """The two parts of documents, without the marks of their ends."""
        words = np.array(self.words(), dtype=object)
        parts = [(row[1:k], row[k:]) for row, k in zip(tokens, begins, strict=True)]
        return [(_joined(words[head]), _joined(words[tail[tail > EOS]])) for head, tail in parts]

    def log_probability(self, head: str, tail: str) -> float:
        """Natural logarithm of the probability of a document by its two parts."""
        total = 0.0
        for task in _tasks():
            p = self._probability(task, head)
            if not p:
                continue
            share = _CONTINUED if _is_review(task) else 0.0
            if tail.startswith(QUERY):
                total += p * self.queries / len(ANSWER_WORDS)
            elif tail[0] in REPORTS:
                word = self.report_words().index(tail.split()[1])
                told = self.reports(task, np.array([[head, ""]], dtype=object))[0, word]
                total += p * (1 - self.queries) * (1 - share) * float(told) / len(REPORTS)
            else:
                total += p * (1 - self.queries) * share / _CONTINUATIONS
        return math.log(total / len(_tasks()))

    def _probability(self, task: Task, text: str) -> float:
        """Of a text of a task, whatever holds of it."""
        total = 0.0
        for reading, p in _probabilities(task, text).items():
            total += p * math.prod(o if h else 1 - o for o, h in zip(self._often(task), reading, strict=True))
        return total

    def reports(self, task: Task, rows: Rows) -> NDArray[np.float32]:
        """The distribution of the reports on texts of a task."""
        names = self.features()
        out = np.zeros((len(rows), 2 * len(names)), dtype=np.float32)
        features = [f for f in _told(task) if f.name in names]
        for feature in features:
            useful = self.useful.get(feature.name, self.default_useful)
            holds = feature.holds(rows) * useful + (1 - useful) / 2
            place = 2 * names.index(feature.name)
            out[:, place], out[:, place + 1] = (1 - holds) / len(features), holds / len(features)
        return out

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """Mean loss in nats a token; a report's is the weighted divergence from its distribution."""
        import torch

        tokens, begins, following = (torch.from_numpy(part) for part in batch)
        tokens = tokens[:, : int((tokens != PAD).sum(dim=1).max())]
        logits = model(input_ids=tokens[:, :-1], attention_mask=tokens[:, :-1] != PAD).logits
        reported = following.sum(dim=1) > 0
        rows, places = reported.nonzero()[:, 0], begins[reported]
        goal = tokens[:, 1:].clone()
        goal[rows, places] = PAD
        words = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), goal.flatten(), ignore_index=PAD, reduction="sum"
        )
        told = logits[rows, places].log_softmax(-1)[:, -following.shape[1] :]
        reports = torch.nn.functional.kl_div(told, following[reported], reduction="sum")
        return (words + self.report_weight * reports) / int((tokens[:, 1:] != PAD).sum())

    def examine(self, model: Any, losses: Sequence[float], rng: Generator) -> dict[str, Any]:
        """How far from the best possible the model is on texts that it has not read."""
        tokens, begins, _ = self.documents(HELD_OUT, rng, Pool.of(self, "test", rng, HELD_OUT // 4))
        best = [self.log_probability(*parts) for parts in self.texts(tokens, begins)]
        return held_out(model, tokens, np.array(best)) | minimal_pairs(model, sentences(), self.encoded, rng)

    def encoded(self, texts: Sequence[str]) -> Tokens:
        """Token ids [texts, LONGEST], as the tokenizer reads the texts."""
        ids = {word: i for i, word in enumerate(self.words())}
        out = np.full((len(texts), LONGEST), PAD, dtype=np.int64)
        for i, text in enumerate(texts):
            row = _TOKEN.findall(text)
            out[i, : len(row)] = [ids[token] for token in row]
        return out


@dataclass(frozen=True)
class Pool:
    """Encoded texts and what is reported of them, by task and by what holds of its two features."""

    cells: Sequence[Mapping[Reading, tuple[Tokens, NDArray[np.float32]]]]
    continuations: Tokens

    @staticmethod
    def of(corpus: EnglishCorpus, split: Split, rng: Generator, size: int = _POOL) -> Pool:
        """`size` texts a cell, of one split."""
        cells: list[dict[Reading, tuple[Tokens, NDArray[np.float32]]]] = []
        for task in _tasks():
            cells.append({})
            for reading in _READINGS:
                wanted = zip((task.target, task.spurious), _there(task, reading), strict=True)
                rows = task.inputs.draw(list(wanted), size, rng, split)
                texts = [text.removesuffix(f" {QUERY}") for text in task.inputs.text(rows)]
                cells[-1][reading] = (corpus.encoded(texts), corpus.reports(task, rows))
        return Pool(cells, corpus.encoded([sentiment.write(i % 2, rng) for i in range(2 * size)]))

    def draw(
        self, task: NDArray[Any], truth: NDArray[np.bool_], rng: Generator
    ) -> tuple[Tokens, NDArray[np.float32]]:
        """A text of each document's task in which its features hold or not, and what is reported of it."""
        first = next(iter(self.cells[0].values()))
        texts, reports = (np.zeros((len(task), part.shape[1]), part.dtype) for part in first)
        place = rng.integers(1 << 62, size=len(task))
        for i, cells in enumerate(self.cells):
            for reading, (tokens, told) in cells.items():
                mine = np.flatnonzero((task == i) & (truth == reading).all(axis=1))
                texts[mine], reports[mine] = (part[place[mine] % len(tokens)] for part in (tokens, told))
        return texts, reports


def _told(task: Task) -> list[Feature]:
    """The features that can be told of every text of a task."""
    inputs: Any = task.inputs
    return list(dict.fromkeys((*inputs.catalogue, task.target, task.spurious)))


def _there(task: Task, reading: Reading) -> Reading:
    """The reading, or the other spurious one where a task cannot have it."""
    missing = [(bool(TARGET[quadrant]), bool(SPURIOUS[quadrant])) for quadrant in task.missing]
    return (reading[0], not reading[1]) if reading in missing else reading


def _joined(tokens: Sequence[str]) -> str:
    return " ".join(tokens).replace("1 0", "10")  # the one number of two digits


@cache
def sentences() -> list[Task]:
    """The tasks whose texts are sentences."""
    return [pairs.get_pair(name.removeprefix("english/")) for name in pairs.list_pairs()]


@cache
def _tasks() -> list[Task]:
    return [*sentences(), *map(reviews.get_pair, REVIEWS)]


def _is_review(task: Task) -> bool:
    return task.name.startswith("reviews/")


def _probabilities(task: Task, text: str) -> dict[Reading, float]:
    """The probability of a text under each reading of a task that it can be."""
    found = shape(text)
    return {reading: math.exp(t[found]) for reading, t in _tables(task.name).items() if found in t}


@cache
def _tables(name: str) -> dict[Reading, dict[Shape, float]]:
    """By what holds of a task's features, the log-probability of a text of each shape."""
    task = next(task for task in _tasks() if task.name == name)
    grammar: Any = task.inputs.sentences  # type: ignore[attr-defined]
    return {reading: shape_probabilities(grammar, *_there(task, reading)) for reading in _READINGS}
