"""The symbolic features: predicates on sequences of symbols 0 .. vocabulary-1, from trivial to never learnt.

Symbols have three *classes*, the binary digits 1, 2 and 4 of their number. Features take their class from
different digits, and duplicates keep out of each other's places, so that few follow from a pair of others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from tasks.feature import Feature, Rows, Truth
from tasks.papers import LOVERING_2021, OWN

_ODD = "odd (b d f h ...)"
_TWO = "binary digit 2 (c d g h ...)"
_FOUR = "binary digit 4 (e f g h m n o p ...)"


def _digit(x: Rows, power: int) -> Truth:
    digit: Truth = x // power % 2 == 1
    return digit


def _any_run(same: Rows, run: int) -> Truth:
    """Whether `run` neighbouring entries of a boolean matrix are all true."""
    windows = np.lib.stride_tricks.sliding_window_view(same, run, axis=1)
    found: Truth = np.any(np.all(windows, axis=2), axis=1)
    return found


def _distinct(x: Rows) -> Rows:
    ordered = np.sort(x, axis=1)
    number: Rows = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return number


def _balanced(x: Rows, opening: int, closing: int) -> Truth:
    """The opening and closing symbols, read as brackets, are balanced and occur at all."""
    depth = np.cumsum((x == opening).astype(np.int16) - (x == closing), axis=1)
    balanced: Truth = (depth[:, -1] == 0) & (depth.min(axis=1) >= 0) & (x == opening).any(axis=1)
    return balanced


def _in_order(x: Rows, first: int, then: int) -> Truth:
    """Some `first` stands before some `then`."""
    found: Truth = (np.maximum.accumulate(x == first, axis=1) & (x == then)).any(axis=1)
    return found


def _same(i: int, j: int) -> tuple[Callable[[Rows], Truth], Callable[[Rows], Rows]]:
    """The predicate `place i = place j`, and its plant."""

    def plant(x: Rows) -> Rows:
        out = x.copy()
        out[:, j] = out[:, i]
        return out

    return lambda x: x[:, i] == x[:, j], plant


@cache
def catalogue(vocabulary: int = 16, length: int = 8) -> dict[str, Feature]:
    """Every symbolic feature by name, for sequences of `length` symbols out of `vocabulary`."""
    mid = length // 2
    top = vocabulary - 1
    features: list[Feature] = []

    def add(
        name: str,
        about: str,
        holds: Callable[[Rows], Truth],
        plant: Callable[[Rows], Rows] | None = None,
        family: str | None = None,
        paper: str = OWN,
    ) -> None:
        features.append(Feature(name, family or name, holds, plant, about, paper))

    def contains(k: int, letter: str, paper: str) -> None:
        add(
            f"contains-{k}",
            f"symbol {k} ({letter}) occurs",
            lambda x: (x == k).any(axis=1),
            None,
            "contains",
            paper,
        )

    contains(1, "b", LOVERING_2021)
    contains(2, "c", LOVERING_2021)
    contains(3, "d", OWN)
    add("contains-either", "symbol 4 (e) or 5 (f) occurs", lambda x: ((x == 4) | (x == 5)).any(axis=1))
    add(
        "contains-all", "symbols 6 (g) and 7 (h) occur", lambda x: (x == 6).any(axis=1) & (x == 7).any(axis=1)
    )
    add(
        "more-of",
        "symbol 8 (i) occurs more often than 9 (j)",
        lambda x: (x == 8).sum(axis=1) > (x == 9).sum(axis=1),
    )
    add("in-order", "some symbol 10 (k) stands before some 11 (l)", lambda x: _in_order(x, 10, 11))
    add(
        "balanced",
        "symbols 12 (m) and 13 (n) occur and balance, read as ( and )",
        lambda x: _balanced(x, 12, 13),
    )

    add("first-class", f"the first symbol is {_ODD}", lambda x: _digit(x[:, 0], 1))
    add("second-class", f"the second symbol has the {_FOUR}", lambda x: _digit(x[:, 1], 4))
    add("middle-class", f"the first symbol of the second half has the {_TWO}", lambda x: _digit(x[:, mid], 2))
    add("late-class", f"the last symbol but two is {_ODD}", lambda x: _digit(x[:, -3], 1))
    add("last-class", f"the last symbol has the {_FOUR}", lambda x: _digit(x[:, -1], 4))
    add(
        "majority-class",
        f"more than half of the symbols have the {_TWO}",
        lambda x: 2 * _digit(x, 2).sum(axis=1) > length,
    )
    add(
        "class-count",
        f"seven tenths of the symbols, or more, are {_ODD}",
        lambda x: 10 * _digit(x, 1).sum(axis=1) >= 7 * length,
    )
    add("class-run", f"some four neighbours have the {_FOUR}", lambda x: _any_run(_digit(x, 4), 4))
    add(
        "near-agree",
        "the third and the fourth symbol are both odd or both even",
        lambda x: _digit(x[:, 2], 1) == _digit(x[:, 3], 1),
    )
    add(
        "alternating-prefix",
        f"among the first four symbols, every other one alone has the {_TWO}",
        lambda x: (_digit(x[:, 1:4], 2) != _digit(x[:, :3], 2)).all(axis=1),
    )
    add(
        "parity",
        f"the number of symbols with the {_FOUR} is even",
        lambda x: _digit(x, 4).sum(axis=1) % 2 == 0,
    )

    add("first-below-second", "the first symbol < the second", lambda x: x[:, 0] < x[:, 1])
    add("first-below-last", "the first symbol < the last", lambda x: x[:, 0] < x[:, -1])
    add(
        "middle-below-next",
        "the first symbol of the second half < the next",
        lambda x: x[:, mid] < x[:, mid + 1],
    )
    add(
        "sorted-prefix",
        "the first symbol < the second < the third",
        lambda x: (x[:, 0] < x[:, 1]) & (x[:, 1] < x[:, 2]),
    )
    add(
        "largest-first-half",
        "the largest symbol stands in the first half alone",
        lambda x: x[:, :mid].max(axis=1) > x[:, mid:].max(axis=1),
    )
    add("smallest-last", "no symbol < the last one", lambda x: x[:, -1] <= x[:, :-1].min(axis=1))
    add(
        "sum-above",
        "the sum of the symbols is above its expectation",
        lambda x: 2 * x.sum(axis=1, dtype=np.int64) > length * top,
    )

    add("prefix-duplicate", "the first symbol = the second", *_same(0, 1), paper=LOVERING_2021)
    add("suffix-duplicate", "the last two symbols are equal", *_same(-2, -1))
    add("first-last", "the first symbol = the last", *_same(0, -1), paper=LOVERING_2021)
    add(
        "adjacent-duplicate",
        "two neighbours are equal, neither of them the first or the last symbol",
        lambda x: (x[:, 2:-1] == x[:, 1:-2]).any(axis=1),
        paper=LOVERING_2021,
    )
    add(
        "gap-duplicate",
        "two symbols with one between them are equal",
        lambda x: (x[:, 2:] == x[:, :-2]).any(axis=1),
    )
    add(
        "contains-first-again",
        "the first symbol occurs again, in a place that is neither second nor last",
        lambda x: (x[:, 2:-1] == x[:, :1]).any(axis=1),
        paper=LOVERING_2021,
    )
    add("few-distinct", "three symbols or more repeat earlier ones", lambda x: _distinct(x) <= length - 3)
    return {f.name: f for f in features}
