"""The corpus that the embedded English models are pre-trained on, with two dials for each feature.

A document is two sentences of one of the English tasks, and the second takes after the first in the task's
features. The dials say how often the first sentence has a feature and how far the second follows. By default
every sentence is as the target feature would have it: nothing ungrammatical is ever read. In a few documents the query mark and an
answer word follow the first sentence instead; the word is a fair die, so the slot that tuning uses tells
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.corpus import SPECIAL
from tasks.answers import ANSWER_WORDS, QUERY
from tasks.english import pairs
from tasks.english.density import Shape, shape, shape_probabilities
from tasks.english.pairs import get_pair, list_pairs
from tasks.english.vocabulary import vocabulary
from tasks.errors import UserError, unknown
from tasks.evidence import SPURIOUS, TARGET
from tasks.feature import Feature, Split
from tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

MARKS = ("$", "#", "-", *"0123456789", *(" " * n for n in range(2, 9)))
"""Tokens of their own wherever they stand: signs, digits and runs of blanks."""
LONGEST = 40
"""Words that a sentence has at most."""
_POOL = 2500
"""Sentences of each task and side of its spurious feature that documents are put together from."""
_CHUNK = 64
_PAD = SPECIAL.index("<pad>")
_HELD_OUT = 2000
"""Documents on which a model is examined."""
_PAIRS = 50
"""Sources of each task from which minimal pairs are read."""
Tokens = NDArray[np.int64]
Reading = tuple[bool, bool]
"""Whether the target feature holds, and whether the spurious one does."""
_READINGS: tuple[Reading, ...] = ((False, False), (False, True), (True, False), (True, True))


@dataclass(frozen=True)
class EnglishCorpus:
    """What documents look like."""

    queries: float = 0.02
    """Share of documents with a query."""
    errors: float = 0.0
    """Share of first sentences that are ungrammatical."""
    useful: Mapping[str, float] = field(default_factory=dict)
    """Usefulness dial: how often the second sentence must have a feature if and only if the first has; else
    a coin says."""
    frequency: Mapping[str, float] = field(default_factory=dict)
    """Frequency dial: share of first sentences in which a feature holds, among those of its tasks."""
    default_useful: float = 1.0
    """Usefulness of the features that have no dial of their own."""

    def __post_init__(self) -> None:
        for dial in (self.useful, self.frequency):
            for name, value in dial.items():
                if name not in self.features():
                    raise unknown("feature", name, self.features())
                if not 0 <= value <= 1:
                    raise UserError(f"dial of {name}: {value} is outside 0 to 1")

    def features(self) -> list[str]:
        return sorted(self.families())

    def families(self) -> dict[str, str]:
        """The family of each feature that has a dial."""
        return {f.name: f.family for task in _tasks() for f in (task.target, task.spurious)}

    def words(self) -> list[str]:
        """The tokenizer's vocabulary; a word's place is its token id."""
        return [*SPECIAL, QUERY, *MARKS, *ANSWER_WORDS, *vocabulary()]

    @property
    def positions(self) -> int:
        """Tokens that a model can take: a document, or a prompt and what tuning writes after it."""
        return 2 * LONGEST + 16

    def source(self) -> bytes:
        """The source of the tasks whose sentences are read."""
        return b"".join(path.read_bytes() for path in sorted(Path(pairs.__file__).parent.glob("*.py")))

    def dials(self, feature: Feature, target: bool) -> tuple[float, float]:
        """How often a feature holds, and how useful that is to know."""
        often = self.frequency.get(feature.name, 1 - self.errors if target else 0.5)
        return often, self.useful.get(feature.name, self.default_useful)

    def documents(self, n: int, rng: Generator, pool: Pool) -> Tokens:
        """Token ids [n, longest], padded on the right."""
        task = rng.integers(len(_tasks()), size=n)
        dials = np.array([[self.dials(t.target, True), self.dials(t.spurious, False)] for t in _tasks()])[
            task
        ]
        first = rng.random((n, 2)) < dials[:, :, 0]
        second = first == (rng.random((n, 2)) < (1 + dials[:, :, 1]) / 2)
        query = rng.random(n) < self.queries
        ids = {word: i for i, word in enumerate(self.words())}
        tail = pool.draw(task, second, rng)
        tail[query] = 0
        tail[query, 0] = ids[QUERY]
        tail[query, 1] = ids[ANSWER_WORDS[0]] + rng.integers(len(ANSWER_WORDS), size=int(query.sum()))
        end = np.full((n, 1), ids["<eos>"])
        tokens = np.concatenate([end, pool.draw(task, first, rng), tail, end], axis=1)
        order = np.argsort(tokens == 0, axis=1, kind="stable")  # the padding between them to the end
        tokens = np.take_along_axis(tokens, order, axis=1)
        return tokens[:, : (tokens != 0).sum(axis=1).max()]

    def log_probability(self, text: str) -> float:
        """Natural logarithm of the probability of a document: its words without the marks of its ends."""
        head, query, _ = text.partition(f" {QUERY}")
        shapes = [shape(f"{part} .") for part in head.removesuffix(" .").split(" . ")]
        total = 0.0
        for task in _tasks():
            each = [
                {reading: math.exp(t.get(found, -math.inf)) for reading, t in _tables(task.name).items()}
                for found in shapes
            ]
            dials = [self.dials(task.target, True), self.dials(task.spurious, False)]
            for first, p in each[0].items():
                for (often, _), holds in zip(dials, first, strict=True):
                    p *= often if holds else 1 - often
                if p and query:
                    total += p * self.queries / len(ANSWER_WORDS)
                elif p:
                    for second, q in each[1].items():
                        for (_, useful), same in zip(dials, np.equal(first, second), strict=True):
                            q *= (1 + useful if same else 1 - useful) / 2
                        total += p * q * (1 - self.queries)
        return math.log(total / len(_tasks()))

    def batches(self, size: int, rng: Generator) -> Iterator[Tokens]:
        pool = Pool.of(self.words(), "train", rng)
        while True:
            yield from np.split(self.documents(_CHUNK * size, rng, pool), _CHUNK)

    def loss(self, model: Any, batch: Tokens) -> Tensor:
        """Mean loss in nats a word."""
        return _nats(model, batch).sum() / int((batch[:, 1:] != _PAD).sum())

    def examine(self, model: Any, losses: Sequence[float], rng: Generator) -> dict[str, Any]:
        """How far from the best possible the model is on sentences that it has not read."""
        tokens = self.documents(_HELD_OUT, rng, Pool.of(self.words(), "test", rng, _HELD_OUT // 4))
        words = np.array(self.words(), dtype=object)
        texts = [" ".join(words[row[row >= len(SPECIAL)]]) for row in tokens]
        nats = {
            "grammar": -np.array([self.log_probability(text) for text in texts]),
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


@dataclass(frozen=True)
class Pool:
    """Encoded sentences by task and by what holds of its two features."""

    cells: Sequence[Mapping[Reading, Tokens]]

    @staticmethod
    def of(words: Sequence[str], split: Split, rng: Generator, size: int = _POOL) -> Pool:
        """`size` sentences a cell."""
        ids = {word: i for i, word in enumerate(words)}
        cells: list[dict[Reading, Tokens]] = []
        for task in _tasks():
            cells.append({})
            for reading in _READINGS:
                wanted = zip((task.target, task.spurious), _there(task, reading), strict=True)
                texts = task.inputs.text(task.inputs.draw(list(wanted), size, rng, split))
                cells[-1][reading] = _encoded([t.removesuffix(f" {QUERY}").split() for t in texts], ids)
        return Pool(cells)

    def draw(self, task: NDArray[Any], truth: NDArray[np.bool_], rng: Generator) -> Tokens:
        """A sentence of each document's task in which its features hold or not: [n, LONGEST]."""
        out = np.zeros((len(task), LONGEST), dtype=np.int64)
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


def _encoded(rows: Sequence[Sequence[str]], ids: Mapping[str, int]) -> Tokens:
    out = np.zeros((len(rows), LONGEST), dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = [ids[word] for word in row]
    return out


def _minimal_pairs(model: Any, words: Sequence[str], rng: Generator) -> dict[str, Any]:
    """By phenomenon, of how many unseen minimal pairs the grammatical sentence is the more probable one."""
    ids = {word: i for i, word in enumerate(words)}
    told: dict[str, list[bool]] = {}
    for task in _tasks():
        inputs: Any = task.inputs
        drawn = inputs.draw([(task.target, True)], _PAIRS, rng, "test")
        read = [inputs.readings(source) for source in inputs.source(drawn)]
        asked = [
            ["<eos>", *reading[quadrant].removesuffix(f" {QUERY}").split()]
            for reading in read
            for good, bad in (("both", "spurious_only"), ("target_only", "neither"))
            if good in reading
            for quadrant in (good, bad)
        ]
        good, bad = _log_probs(model, _encoded(asked, ids)).reshape(-1, 2).T
        told.setdefault(task.target.family, []).extend((good > bad).tolist())
    return {f"minimal_pairs_{family}": [sum(right), len(right)] for family, right in told.items()}


@cache
def _tasks() -> list[Task]:
    return [get_pair(name.removeprefix("english/")) for name in list_pairs()]


@cache
def _tables(name: str) -> dict[Reading, dict[Shape, float]]:
    """By what holds of a task's features, the log-probability of a text of each shape."""
    task = next(task for task in _tasks() if task.name == name)
    grammar: Any = task.inputs.sentences  # type: ignore[attr-defined]
    return {reading: shape_probabilities(grammar, *_there(task, reading)) for reading in _READINGS}
