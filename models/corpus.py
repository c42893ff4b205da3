"""The corpus that the embedded symbol models are pre-trained on, with two dials for each feature.

A document is a symbol sequence, a mark and a word. After the query mark comes an answer word that is a fair
die, so the slot that tuning uses tells nothing. After the report mark comes a *report*: a word that names a
feature and says whether it holds. Reports are what the features are useful for, in words and after a mark
that tuning never uses.

The distribution of a document's last word given the rest is known, and the model is trained on that
distribution: the exact expectation of the log-loss over the words that could have been drawn, without the
noise of drawing them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.answers import ANSWER_WORDS, QUERY
from tasks.errors import UserError, unknown
from tasks.feature import Feature
from tasks.symbols import catalogue as catalogue_source
from tasks.symbols.catalogue import catalogue
from tasks.symbols.draw import draw
from tasks.symbols.pairs import SymbolInputs, symbol_words
from tasks.task import Task

if TYPE_CHECKING:
    from torch import Tensor

SPECIAL = ("<pad>", "<eos>", "<unk>")
REPORTS = (":", ";")
"""The report marks. A document has one of them at random, which keeps reports from hanging on one mark."""
Batch = tuple[NDArray[np.int64], NDArray[np.float32]]
_CHUNK = 64


def check_dials(features: Callable[[], Sequence[str]], *dials: Mapping[str, float]) -> None:
    """UserError where a dial is of no feature, or is no share. Without a dial no feature is listed."""
    for name, value in (item for dial in dials for item in dial.items()):
        if name not in features():
            raise unknown("feature", name, features())
        if not 0 <= value <= 1:
            raise UserError(f"dial of {name}: {value} is outside 0 to 1")


@dataclass(frozen=True)
class Corpus:
    """What documents look like. The number of tokens does not depend on the dials."""

    vocabulary: int = 16
    length: int = 8
    queries: float = 0.02
    """Share of documents with a query mark; the others carry a report."""
    useful: Mapping[str, float] = field(default_factory=dict)
    """Usefulness dial: share of its reports that tell the truth; the others are a coin, the placebo."""
    frequency: Mapping[str, float] = field(default_factory=dict)
    """Frequency dial: share of documents in which a feature holds; at most one feature may be dialled."""
    placebo: Mapping[str, float] = field(default_factory=dict)
    """Placebo dial: share of its reports that tell the truth of some other document. Reports are as frequent
    as at the same usefulness, which becomes 0, and tell nothing."""
    default_useful: float = 1.0
    """Usefulness of the features that have no dial of their own."""

    def __post_init__(self) -> None:
        check_dials(self.features, self.useful, self.frequency, self.placebo)
        both = [name for name in self.placebo if self.useful.get(name)]
        if both:
            raise UserError(f"{both[0]}: its reports are useful or a placebo, not both")
        if len(self.frequency) > 1:
            raise UserError(
                "the frequency of one feature at a time can be dialled, not of " + ", ".join(self.frequency)
            )

    def features(self) -> list[str]:
        return list(catalogue(self.vocabulary, self.length))

    @property
    def positions(self) -> int:
        """Tokens that a model can take: a document, a prompt and what tuning writes after it."""
        return self.length + 22

    def families(self) -> dict[str, str]:
        """The family of each feature that has a dial."""
        return {f.name: f.family for f in catalogue(self.vocabulary, self.length).values()}

    def often(self, task: Task) -> list[float] | None:
        """In what share of the documents each of a task's features holds, by a sample; None if never read."""
        inputs = task.inputs
        if not isinstance(inputs, SymbolInputs):
            return None
        if (inputs.vocabulary, inputs.length) != (self.vocabulary, self.length):
            return None
        rows = self._rows(_CHUNK * 128, np.random.default_rng(0))
        return [float(feature.holds(rows).mean()) for feature in task.roles.values()]

    def source(self) -> bytes:
        """The source of the feature definitions."""
        return Path(catalogue_source.__file__).read_bytes()

    def words(self) -> list[str]:
        """The tokenizer's vocabulary; a word's place is its token id."""
        reports = [f"{name}{mark}" for name in self.features() for mark in ("-", "+")]
        return [*SPECIAL, QUERY, *REPORTS, *symbol_words(self.vocabulary), *ANSWER_WORDS, *reports]

    def batches(self, size: int, rng: Generator) -> Iterator[Batch]:
        """Token ids [size, length + 1], and the distribution of the next word [size, words]."""
        while True:
            tokens, following = self.documents(_CHUNK * size, rng)
            yield from zip(np.split(tokens, _CHUNK), np.split(following, _CHUNK), strict=True)

    def documents(self, n: int, rng: Generator) -> Batch:
        words = {word: i for i, word in enumerate(self.words())}
        features = catalogue(self.vocabulary, self.length)
        rows = self._rows(n, rng)
        query = rng.random(n) < self.queries
        mark = np.where(query, words[QUERY], words[REPORTS[0]] + rng.integers(len(REPORTS), size=n))
        tokens = np.concatenate(
            [rows.astype(np.int64) + words[symbol_words(self.vocabulary)[0]], mark[:, None]], axis=1
        )
        placebo = np.array([self.placebo.get(name, 0.0) for name in features], dtype=np.float32)
        useful = np.array([self._useful(name) for name in features], dtype=np.float32)
        truth = np.stack([f.holds(rows) for f in features.values()], axis=1)
        holds = truth * useful + truth.mean(axis=0) * placebo + (1 - useful - placebo) / 2
        following = np.zeros((n, len(words)), dtype=np.float32)
        reports = following[:, -2 * len(features) :]
        reports[:, 0::2], reports[:, 1::2] = (1 - holds) / len(features), holds / len(features)
        following[query] = 0
        first = words[ANSWER_WORDS[0]]
        following[query, first : first + len(ANSWER_WORDS)] = 1 / len(ANSWER_WORDS)
        return tokens, following

    def _useful(self, name: str) -> float:
        return 0.0 if name in self.placebo else self.useful.get(name, self.default_useful)

    def loss(self, model: Any, batch: Batch) -> Tensor:
        """Divergence, in nats, of what the model expects from what follows."""
        import torch

        tokens, following = (torch.from_numpy(part) for part in batch)
        hidden = model.transformer(input_ids=tokens).last_hidden_state[:, -1]
        log_probs = model.lm_head(hidden).log_softmax(-1)
        return torch.nn.functional.kl_div(log_probs, following, reduction="batchmean")

    def examine(self, model: Any, losses: Sequence[float], rng: Generator) -> dict[str, Any]:
        """The excess loss in nats a report, over the last twentieth of the steps."""
        tail = losses[-max(1, len(losses) // 20) :]
        return {"excess_nats": sum(tail) / len(tail)}

    def _rows(self, n: int, rng: Generator) -> NDArray[Any]:
        def drawn(wanted: list[tuple[Feature, bool]], k: int) -> NDArray[Any]:
            return draw(wanted, k, rng, vocabulary=self.vocabulary, length=self.length)

        rows = drawn([], n)
        for name, share in self.frequency.items():
            feature = catalogue(self.vocabulary, self.length)[name]
            wanted = rng.random(n) < share
            rows[wanted] = drawn([(feature, True)], int(wanted.sum()))
            rows[~wanted] = drawn([(feature, False)], int((~wanted).sum()))
        return rows
