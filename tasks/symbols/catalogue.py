"""The symbolic features: predicates on sequences of symbols 0 .. vocabulary-1, from trivial to never learnt.

Symbols have three *classes*, the binary digits 1, 2 and 4 of their number. Features take their class from
different digits, and duplicates keep out of each other's places, so that few follow from a pair of others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from tasks.feature import Feature, Rows, Truth


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
    ) -> None:
        features.append(Feature(name, family or name, holds, plant, about))

    for k in (1, 2, 3):
        add(f"contains-{k}", f"symbol {k} occurs", lambda x, k=k: (x == k).any(axis=1), family="contains")  # type: ignore[misc]
    add("contains-either", "symbol 4 or 5 occurs", lambda x: ((x == 4) | (x == 5)).any(axis=1))
    add("contains-all", "symbols 6 and 7 occur", lambda x: (x == 6).any(axis=1) & (x == 7).any(axis=1))
    add("more-of", "more of symbol 8 than of 9", lambda x: (x == 8).sum(axis=1) > (x == 9).sum(axis=1))
    add("in-order", "some symbol 10 stands before some 11", lambda x: _in_order(x, 10, 11))
    add("balanced", "symbols 12 and 13, as brackets, occur and are balanced", lambda x: _balanced(x, 12, 13))

    add("first-class", "the first symbol is odd", lambda x: _digit(x[:, 0], 1))
    add("second-class", "the second symbol has digit 4", lambda x: _digit(x[:, 1], 4))
    add("middle-class", "the middle symbol has digit 2", lambda x: _digit(x[:, mid], 2))
    add("late-class", "the last symbol but two is odd", lambda x: _digit(x[:, -3], 1))
    add("last-class", "the last symbol has digit 4", lambda x: _digit(x[:, -1], 4))
    add("majority-class", "most symbols have digit 2", lambda x: 2 * _digit(x, 2).sum(axis=1) > length)
    add(
        "class-count",
        "seven tenths of the symbols are odd",
        lambda x: 10 * _digit(x, 1).sum(axis=1) >= 7 * length,
    )
    add("class-run", "four neighbours have digit 4", lambda x: _any_run(_digit(x, 4), 4))
    add("near-agree", "places 3 and 4 agree in digit 1", lambda x: _digit(x[:, 2], 1) == _digit(x[:, 3], 1))
    add(
        "alternating-prefix",
        "the first four symbols alternate in digit 2",
        lambda x: (_digit(x[:, 1:4], 2) != _digit(x[:, :3], 2)).all(axis=1),
    )
    add("parity", "the number of symbols with digit 4 is even", lambda x: _digit(x, 4).sum(axis=1) % 2 == 0)

    add("first-below-second", "first < second symbol", lambda x: x[:, 0] < x[:, 1])
    add("first-below-last", "first < last symbol", lambda x: x[:, 0] < x[:, -1])
    add("middle-below-next", "the middle symbol < the next", lambda x: x[:, mid] < x[:, mid + 1])
    add(
        "sorted-prefix", "the first three symbols ascend", lambda x: (x[:, 0] < x[:, 1]) & (x[:, 1] < x[:, 2])
    )
    add(
        "largest-first-half",
        "the largest symbol is in the first half alone",
        lambda x: x[:, :mid].max(axis=1) > x[:, mid:].max(axis=1),
    )
    add("smallest-last", "no symbol < the last", lambda x: x[:, -1] <= x[:, :-1].min(axis=1))
    add(
        "sum-above",
        "the symbols' sum is above its mean",
        lambda x: 2 * x.sum(axis=1, dtype=np.int64) > length * top,
    )

    add("prefix-duplicate", "first = second symbol", *_same(0, 1))
    add("suffix-duplicate", "the last two symbols are equal", *_same(-2, -1))
    add("first-last", "first = last symbol", *_same(0, -1))
    add(
        "adjacent-duplicate",
        "some neighbours are equal, away from both ends",
        lambda x: (x[:, 2:-1] == x[:, 1:-2]).any(axis=1),
    )
    add(
        "gap-duplicate",
        "some symbols two places apart are equal",
        lambda x: (x[:, 2:] == x[:, :-2]).any(axis=1),
    )
    add(
        "contains-first-again",
        "the first symbol occurs again, neither second nor last",
        lambda x: (x[:, 2:-1] == x[:, :1]).any(axis=1),
    )
    add("few-distinct", "three or more symbols are repetitions", lambda x: _distinct(x) <= length - 3)
    return {f.name: f for f in features}
