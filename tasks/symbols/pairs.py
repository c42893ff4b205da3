"""The symbolic tasks: every ordered pair of features of different families whose four quadrants exist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.random import Generator

from tasks.answers import QUERY, Answers, LabelAnswers, RunAnswers
from tasks.errors import UserError, unknown
from tasks.evidence import QUADRANTS
from tasks.feature import Feature, Rows, Split, Truth
from tasks.splits import split_of
from tasks.symbols.catalogue import catalogue
from tasks.symbols.draw import draw
from tasks.symbols.edits import counterfactual
from tasks.task import Task

_SAMPLE = 1 << 15
_LEAST_SHARE = 0.001
"""A quadrant exists when at least this share of the base distribution lies in it."""


@cache
def symbol_words(vocabulary: int) -> tuple[str, ...]:
    """The words of symbols 0, 1, 2, ...: letters while they last, then s26, s27, ..."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return tuple(letters[k] if k < len(letters) else f"s{k}" for k in range(vocabulary))


@dataclass(frozen=True)
class SymbolInputs:
    """Sequences of `length` symbols, independent and uniform over `vocabulary`; written `c f a ... ?`."""

    vocabulary: int = 16
    length: int = 8

    @property
    def catalogue(self) -> tuple[Feature, ...]:
        """Features that can be told of every sequence."""
        return tuple(catalogue(self.vocabulary, self.length).values())

    @property
    def legend(self) -> str:
        """How symbols, which features know by number, are written."""
        first, second, *_, last = symbol_words(self.vocabulary)
        return f"symbol 0 is {first}, 1 is {second}, ... {self.vocabulary - 1} is {last}"

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows:
        return draw(wanted, n, rng, vocabulary=self.vocabulary, length=self.length, split=split)

    def text(self, rows: Rows) -> list[str]:
        words = np.array(symbol_words(self.vocabulary), dtype=object)
        return [" ".join(row) + " " + QUERY for row in words[rows].tolist()]

    def source(self, rows: Rows) -> list[str]:
        return [row.tobytes().hex() for row in rows]

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        return counterfactual(row, flip, hold, rng, vocabulary=self.vocabulary)


@cache
def _truth_table(vocabulary: int, length: int) -> tuple[tuple[str, ...], Truth]:
    """Every feature's truth on one fixed sample of the base distribution: [rows, features]."""
    features = catalogue(vocabulary, length)
    rows = np.random.default_rng(0).integers(vocabulary, size=(_SAMPLE, length), dtype=np.int32)
    return tuple(features), np.stack([f.holds(rows) for f in features.values()], axis=1)


@cache
def _shares(vocabulary: int, length: int) -> dict[tuple[str, str], dict[str, float]]:
    """Share of each quadrant for every ordered pair (target, spurious)."""
    names, truth = _truth_table(vocabulary, length)
    held = truth.astype(np.float32)
    both = held.T @ held / len(held)
    alone = np.diag(both)
    share = {"both": both, "target_only": alone[:, None] - both, "spurious_only": alone[None] - both}
    share["neither"] = 1 - both - share["target_only"] - share["spurious_only"]
    return {
        (t, s): {q: float(share[q][i, j]) for q in QUADRANTS}
        for i, t in enumerate(names)
        for j, s in enumerate(names)
    }


def missing_quadrants(target: str, spurious: str, vocabulary: int = 16, length: int = 8) -> list[str]:
    """The quadrants of a pair that do not exist, or are rarer than one row in a thousand."""
    return [q for q, share in _shares(vocabulary, length)[target, spurious].items() if share < _LEAST_SHARE]


def list_pairs(vocabulary: int = 16, length: int = 8) -> list[str]:
    """Names of all symbolic tasks, sorted."""
    features = catalogue(vocabulary, length)
    return sorted(
        f"symbolic/{t}-vs-{s}"
        for t, s in _shares(vocabulary, length)
        if features[t].family != features[s].family and not missing_quadrants(t, s, vocabulary, length)
    )


COIN = Feature(
    "coin", "coin", lambda rows: split_of(rows, 2) == 1, about="a fair coin that the row's content tosses"
)
"""No feature at all: in the task `F-vs-coin` the feature F stands alone."""


def get_symbol_feature(name: str, vocabulary: int = 16, length: int = 8) -> Feature:
    features = {**catalogue(vocabulary, length), COIN.name: COIN}
    if name not in features:
        raise unknown("feature", name, features)
    return features[name]


def symbol_pair(
    name: str,
    target: Feature,
    spurious: Feature,
    *,
    others: Sequence[Feature] = (),
    vocabulary: int = 16,
    length: int = 8,
    answers: str = "label",
) -> Task:
    """A task on symbol sequences from any two features, or more: `others` are further spurious ones.

    `answers`: label (a word) or run (of symbols).
    """
    ways: dict[str, Answers] = {"label": LabelAnswers(), "run": RunAnswers(symbol_words(vocabulary))}
    if answers not in ways:
        raise unknown("way to answer", answers, ways)
    inputs = SymbolInputs(vocabulary, length)
    return Task(name, target, spurious, inputs, ways[answers], others=tuple(others))


def get_pair(
    pair: str, *, also: Sequence[str] = (), vocabulary: int = 16, length: int = 8, answers: str = "label"
) -> Task:
    """The task named `target-vs-spurious`, with further spurious features by name."""
    target_name, _, spurious_name = pair.partition("-vs-")
    name = f"symbolic/{pair}"
    if not spurious_name:
        raise UserError(f"{name!r} is no pair: symbolic tasks are named symbolic/TARGET-vs-SPURIOUS")
    target = get_symbol_feature(target_name, vocabulary, length)
    spurious = get_symbol_feature(spurious_name, vocabulary, length)
    others = [get_symbol_feature(other, vocabulary, length) for other in also]
    families = Counter(feature.family for feature in (target, spurious, *others))
    for family, number in families.items():
        if number > 1:
            told = "both" if number == 2 and not also else number
            raise UserError(f"{name}: {told} features are of the family {family!r}; each needs its own")
    alone = COIN in (target, spurious)
    missing = [] if alone else missing_quadrants(target_name, spurious_name, vocabulary, length)
    if missing:
        raise UserError(
            f"{name}: impossible pair, no row or fewer than one in a thousand is {' or '.join(missing)}"
        )
    task = symbol_pair(
        name, target, spurious, others=others, vocabulary=vocabulary, length=length, answers=answers
    )
    if others:
        _refuse_rare_cells(task, vocabulary, length)
    return task


def _refuse_rare_cells(task: Task, vocabulary: int, length: int) -> None:
    rows = np.random.default_rng(0).integers(vocabulary, size=(_SAMPLE, length), dtype=np.int32)
    truth = np.stack([feature.holds(rows) for feature in task.roles.values()], axis=1)
    for cell in task.cells:
        if (truth == np.array(cell, dtype=bool)).all(axis=1).mean() < _LEAST_SHARE:
            told = ", ".join(
                f"{'' if v else 'not '}{f.name}" for f, v in zip(task.roles.values(), cell, strict=True)
            )
            raise UserError(
                f"{task.name}: impossible features, no row or fewer than one in a thousand has {told}"
            )


def alone(task: Task, name: str, role: str) -> Task:
    """The task on one of its features, the target or the spurious one, with a coin for the other."""
    if role not in task.roles:
        raise unknown("role", role, task.roles)
    return replace(task, name=name, target=task.roles[role], spurious=COIN, missing=(), others=())


def third_feature(task: Task, n: int = 2000) -> tuple[str, float] | None:
    """The feature of a third family that best tells `both` from `neither`, and its accuracy on n rows.

    Of the features that its inputs' `catalogue` names.
    """
    inputs = task.inputs
    features: Sequence[Feature] = getattr(inputs, "catalogue", ())
    if not features:  # rows of a file, or of a language of one's own
        return None
    rng = np.random.default_rng([len(task.name), n])
    pair = (task.target, task.spurious)
    rows = [inputs.draw([(f, value) for f in pair], n // 2, rng) for value in (True, False)]
    best, accuracy = "", 0.5
    for feature in features:
        if feature.family in {f.family for f in task.roles.values()}:
            continue
        right = (feature.holds(rows[0]).mean() + 1 - feature.holds(rows[1]).mean()) / 2
        if max(right, 1 - right) > accuracy:
            best, accuracy = feature.name, float(max(right, 1 - right))
    return best, accuracy
