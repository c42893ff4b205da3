"""The corpus that the embedded English models are pre-trained on, with two dials for each feature.

A document is two texts of one task, sentences or film reviews, and the second takes after the first in the
task's features; half of the reviews are followed by a continuation instead. The dials say how often the
first text has a feature and how far the second follows. By default every sentence is as its target feature
would have it: nothing ungrammatical is ever read. In a few documents the query mark and an answer word follow
the first text; the word is a fair die, so the slot that tuning uses tells nothing.
"""

from __future__ import annotations

import itertools
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

from models.corpus import SPECIAL, check_dials
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
from tasks.feature import Split
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
_HELD_OUT = 2000
"""Documents on which a model is examined."""
_PAIRS = 50
"""Sources of each task from which minimal pairs are read."""
_WRITERS = (
    *(agreement, fillergap, grammar, lexicon, pairs, polarity, review_words, reviews, sentiment, sources),
    *(splits, text_inputs),
)
"""The modules that say which texts there are."""
_PAD, _EOS = SPECIAL.index("<pad>"), SPECIAL.index("<eos>")
_TOKEN = re.compile(r" {2,}|[$#-]|\d|[^\s\d$#-]+")


@dataclass(frozen=True)
class EnglishCorpus:
    """What documents look like."""

    queries: float = 0.02
    """Share of documents with a query."""
    errors: float = 0.0
    """Share of sentences that are ungrammatical; no review is."""
    useful: Mapping[str, float] = field(default_factory=dict)
    """Usefulness dial: how often the second text must have a feature if and only if the first has; else it is
    drawn like the first. So a feature's frequency is that of its dial in both texts, and a feature that
    always holds, as targets do without errors, is of no use whatever this dial says."""
    frequency: Mapping[str, float] = field(default_factory=dict)
    """Frequency dial: share of texts in which a feature holds, among those of its tasks."""
    default_useful: float = 1.0
    """Usefulness of the features that have no dial of their own."""

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
        return [*SPECIAL, QUERY, *MARKS, *ANSWER_WORDS, *vocabulary()]

    @property
    def positions(self) -> int:
        """Tokens that a model can take: a document, or a prompt and what tuning writes after it."""
        return 2 * LONGEST + 8

    def source(self) -> bytes:
        """The source of the tasks whose texts are read."""
        return b"".join(Path(str(part.__file__)).read_bytes() for part in _WRITERS)

    def dials(self, task: Task) -> list[tuple[float, float]]:
        """How often each of a task's two features holds, and how useful that is to know."""
        usual = (0.5 if _is_review(task) else 1 - self.errors, 0.5)
        return [
            (self.frequency.get(f.name, often), self.useful.get(f.name, self.default_useful))
            for f, often in zip((task.target, task.spurious), usual, strict=True)
        ]

    def documents(self, n: int, rng: Generator, pool: Pool) -> tuple[Tokens, NDArray[np.int64]]:
        """n documents, and where the second part of each begins."""
        task = rng.integers(len(_tasks()), size=n)
        dials = np.array([self.dials(each) for each in _tasks()])[task]
        first = rng.random((n, 2)) < dials[:, :, 0]
        drawn, useful = rng.random((n, 2)), dials[:, :, 1]
        afresh = drawn - useful < dials[:, :, 0] * (1 - useful)
        second = np.where(drawn < useful, first, afresh)
        query = rng.random(n) < self.queries
        continued = np.array([_is_review(each) for each in _tasks()])[task] & (rng.random(n) < _CONTINUED)
        ids = {word: i for i, word in enumerate(self.words())}
        head, tail = pool.draw(task, first, rng), pool.draw(task, second, rng)
        tail[continued] = pool.continuations[rng.integers(len(pool.continuations), size=int(continued.sum()))]
        tail[query] = _PAD
        tail[query, 0] = ids[QUERY]
        tail[query, 1] = ids[ANSWER_WORDS[0]] + rng.integers(len(ANSWER_WORDS), size=int(query.sum()))
        end = np.full((n, 1), _EOS)
        tokens = np.concatenate([end, head, tail, end], axis=1)
        order = np.argsort(tokens == _PAD, axis=1, kind="stable")  # the padding between them to the end
        tokens = np.take_along_axis(tokens, order, axis=1)
        return tokens[:, : (tokens != _PAD).sum(axis=1).max()], 1 + (head != _PAD).sum(axis=1)

    def batches(self, size: int, rng: Generator) -> Iterator[Tokens]:
        pool = Pool.of(self.words(), "train", rng)
        while True:
            yield from np.split(self.documents(_CHUNK * size, rng, pool)[0], _CHUNK)

    def texts(self, tokens: Tokens, begins: NDArray[np.int64]) -> list[tuple[str, str]]:
        """The two parts of documents, without the marks of their ends."""
        words = np.array(self.words(), dtype=object)
        parts = [(row[1:k], row[k:]) for row, k in zip(tokens, begins, strict=True)]
        return [(_joined(words[head]), _joined(words[tail[tail > _EOS]])) for head, tail in parts]

    def log_probability(self, head: str, tail: str) -> float:
        """Natural logarithm of the probability of a document by its two parts."""
        total = 0.0
        for task in _tasks():
            dials, share = self.dials(task), _CONTINUED if _is_review(task) else 0.0
            for first, p in _probabilities(task, head).items():
                for (often, _), holds in zip(dials, first, strict=True):
                    p *= often if holds else 1 - often
                if tail.startswith(QUERY):
                    total += p * self.queries / len(ANSWER_WORDS)
                elif not tail.endswith("."):
                    total += p * (1 - self.queries) * share / _CONTINUATIONS
                elif p:
                    for second, q in _probabilities(task, tail).items():
                        for (often, useful), before, holds in zip(dials, first, second, strict=True):
                            q *= useful * (before == holds) + (1 - useful) * (often if holds else 1 - often)
                        total += p * q * (1 - self.queries) * (1 - share)
        return math.log(total / len(_tasks()))

    def loss(self, model: Any, batch: Tokens) -> Tensor:
        """Mean loss in nats a token."""
        return _nats(model, batch).sum() / int((batch[:, 1:] != _PAD).sum())

    def examine(self, model: Any, losses: Sequence[float], rng: Generator) -> dict[str, Any]:
        """How far from the best possible the model is on texts that it has not read."""
        tokens, begins = self.documents(_HELD_OUT, rng, Pool.of(self.words(), "test", rng, _HELD_OUT // 4))
        nats = {
            "grammar": -np.array([self.log_probability(*parts) for parts in self.texts(tokens, begins)]),
            "model": -_log_probs(model, tokens),
        }
        n = int((tokens[:, 1:] != _PAD).sum())  # with the end, which is told for nothing
        out: dict[str, Any] = {"held_out_documents": len(tokens), "held_out_tokens": n}
        for name, each in nats.items():
            out |= {f"{name}_bits_per_token": each.sum() / n / math.log(2)}
            out |= {f"{name}_perplexity": math.exp(each.sum() / n)}
        excess = (nats["model"] - nats["grammar"]) / math.log(2)
        out["excess_bits_per_document"] = excess.mean()
        out["excess_bits_se"] = excess.std(ddof=1) / math.sqrt(len(excess))
        return out | _minimal_pairs(model, self.words(), rng)


def _nats(model: Any, tokens: Tokens) -> Tensor:
    """Loss of each token but the first [rows, places], 0 where there is none."""
    import torch

    ids = torch.from_numpy(tokens)
    logits = model(input_ids=ids[:, :-1], attention_mask=ids[:, :-1] != _PAD).logits
    nats = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=_PAD, reduction="none"
    )
    return nats.view(len(ids), -1)


def _log_probs(model: Any, tokens: Tokens) -> NDArray[np.float64]:
    """Log-probability of each row after its first token, in nats."""
    import torch

    with torch.inference_mode():
        parts = [_nats(model, part).double().sum(dim=1).numpy() for part in np.array_split(tokens, 8)]
    return -np.concatenate(parts)


def _minimal_pairs(model: Any, words: Sequence[str], rng: Generator) -> dict[str, Any]:
    """By phenomenon, of how many unseen minimal pairs the grammatical sentence is the more probable one."""
    ids = {word: i for i, word in enumerate(words)}
    told: dict[str, list[bool]] = {}
    for task in itertools.filterfalse(_is_review, _tasks()):
        inputs: Any = task.inputs
        drawn = inputs.draw([(task.target, True)], _PAIRS, rng, "test")
        asked = [
            readings[quadrant].removesuffix(inputs.query)
            for readings in map(inputs.readings, inputs.source(drawn))
            for good, bad in (("both", "spurious_only"), ("target_only", "neither"))
            if {good, bad} <= readings.keys()
            for quadrant in (good, bad)
        ]
        tokens = np.pad(_encoded(asked, ids), ((0, 0), (1, 0)), constant_values=_EOS)
        good_one, bad_one = _log_probs(model, tokens).reshape(-1, 2).T
        told.setdefault(task.target.family, []).extend((good_one > bad_one).tolist())
    return {f"minimal_pairs_{family}": [sum(right), len(right)] for family, right in told.items()}


@dataclass(frozen=True)
class Pool:
    """Encoded texts by task and by what holds of its two features, and continuations of reviews."""

    cells: Sequence[Mapping[Reading, Tokens]]
    continuations: Tokens

    @staticmethod
    def of(words: Sequence[str], split: Split, rng: Generator, size: int = _POOL) -> Pool:
        """`size` texts a cell, of one split."""
        ids = {word: i for i, word in enumerate(words)}
        cells: list[dict[Reading, Tokens]] = []
        for task in _tasks():
            cells.append({})
            for reading in _READINGS:
                wanted = zip((task.target, task.spurious), _there(task, reading), strict=True)
                texts = task.inputs.text(task.inputs.draw(list(wanted), size, rng, split))
                cells[-1][reading] = _encoded([text.removesuffix(f" {QUERY}") for text in texts], ids)
        return Pool(cells, _encoded([sentiment.write(i % 2, rng) for i in range(2 * size)], ids))

    def draw(self, task: NDArray[Any], truth: NDArray[np.bool_], rng: Generator) -> Tokens:
        """A text of each document's task in which its features hold or not: [n, LONGEST]."""
        out = np.full((len(task), LONGEST), _PAD, dtype=np.int64)
        place = rng.integers(1 << 62, size=len(task))
        for i, cells in enumerate(self.cells):
            for reading, rows in cells.items():
                mine = np.flatnonzero((task == i) & (truth == reading).all(axis=1))
                out[mine] = rows[place[mine] % len(rows)]
        return out


def _there(task: Task, reading: Reading) -> Reading:
    """The reading, or the other spurious one where a task cannot have it."""
    missing = [(bool(TARGET[quadrant]), bool(SPURIOUS[quadrant])) for quadrant in task.missing]
    return (reading[0], not reading[1]) if reading in missing else reading


def _encoded(texts: Sequence[str], ids: Mapping[str, int]) -> Tokens:
    """Token ids [texts, LONGEST], as the tokenizer reads the texts."""
    out = np.full((len(texts), LONGEST), _PAD, dtype=np.int64)
    for i, text in enumerate(texts):
        row = _TOKEN.findall(text)
        out[i, : len(row)] = [ids[token] for token in row]
    return out


def _joined(tokens: Sequence[str]) -> str:
    return " ".join(tokens).replace("1 0", "10")  # the one number of two digits


@cache
def _tasks() -> list[Task]:
    sentences = [pairs.get_pair(name.removeprefix("english/")) for name in pairs.list_pairs()]
    return [*sentences, *map(reviews.get_pair, REVIEWS)]


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
