"""Diversity by counting n-grams: expectation-adjusted distinct n-grams, distinct-n, different outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Sets = NDArray[np.intp]
"""[texts]: the set that each text is in, -1 for none."""
Statistic = Callable[[Sets, int], NDArray[np.float64]]
"""From sets and their number, [3, sets]: value, floor and ceiling; NaN where a set has none.

The floor is what identical outputs would have, the ceiling what outputs of the same lengths would have that
share nothing.
"""
ORDERS = range(1, 6)
"""Lengths of n-grams over which is averaged."""


@dataclass(frozen=True)
class Order:
    """The n-grams of one length in some texts, where they stand; none crosses from text to text."""

    text: NDArray[np.intp]
    """[n-grams]: the text of each."""
    gram: NDArray[np.int64]
    """[n-grams]: a number that equal n-grams share."""
    texts: int

    def counts(self, sets: Sets, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Different n-grams and all n-grams of each set."""
        here = sets[self.text]
        gram, here = self.gram[here >= 0], here[here >= 0]
        kinds = int(gram.max(initial=0)) + 1
        different = np.unique(here * kinds + gram) // kinds
        return np.bincount(different, minlength=count), np.bincount(here, minlength=count)


def ngrams(tokens: Sequence[Sequence[str]], longest: int = ORDERS[-1]) -> dict[int, Order]:
    """The n-grams of texts, by their length, from 1 to the longest."""
    numbers: dict[str, int] = {}
    words = np.array([numbers.setdefault(word, len(numbers)) for text in tokens for word in text], np.int64)
    text = np.repeat(np.arange(len(tokens)), [len(each) for each in tokens])
    gram, found = words.copy(), {}
    start = np.arange(len(words))
    for n in range(1, longest + 1):
        if n > 1:
            start = start[start + n - 1 < len(words)]
            start = start[text[start] == text[start + n - 1]]
            both = gram[start] * len(numbers) + words[start + n - 1]
            gram[start] = np.unique(both, return_inverse=True)[1]
        found[n] = Order(text[start], gram[start], len(tokens))
    return found


def ead(
    different: NDArray[np.integer] | float, total: NDArray[np.integer] | float, possible: float
) -> NDArray[np.float64]:
    """Different n-grams over how many there would be if all were drawn uniformly from the possible ones.

    N / (U (1 - (1 - 1/U)^C)) for N different ones of C in all and U possible ones; NaN without n-grams. For
    an infinite U it is N / C, which is distinct-n. It may exceed 1: uniform draws repeat some.

    References:
        Liu et al. (2022). Rethinking and refining the distinct metric. ACL.
    """
    drawn = np.asarray(total, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = drawn if np.isinf(possible) else -possible * np.expm1(drawn * np.log1p(-1 / possible))
        return np.where(drawn > 0, np.asarray(different) / expected, np.nan)


def ngram_diversity(
    orders: Mapping[int, Order], possible: Mapping[int, float], absent: float = np.nan
) -> Statistic:
    """The mean of `ead` over the lengths of n-grams that are keys of `possible`.

    A length of which a set has no n-gram is left out of its mean, unless `absent` is what it counts as.
    Floor: the longest output of the set (the least diverse of them, if several), as often as the set has
    outputs; no set of these outputs has less. Ceiling: no n-gram twice, as far as there are that many.
    """
    alone = {n: orders[n].counts(np.arange(orders[n].texts), orders[n].texts) for n in possible}
    lengths = orders[1].counts(np.arange(orders[1].texts), orders[1].texts)[1]

    def of_sets(sets: Sets, count: int) -> NDArray[np.float64]:
        sizes = np.bincount(sets[sets >= 0], minlength=count)
        value, floor, ceiling = [], [], []
        for n, u in possible.items():
            different, total = orders[n].counts(sets, count)
            value.append(ead(different, total, u))
            ceiling.append(ead(np.minimum(total, u), total, u))
            own, of_text = alone[n]
            floor.append(ead(own, of_text * sizes[sets], u))
        copies = of_longest(lengths, _mean(floor, absent), sets, count)
        return np.stack([_mean(value, absent), copies, _mean(ceiling, absent)])

    return of_sets


def lengths_found(orders: Mapping[int, Order]) -> Statistic:
    """How many lengths of n-grams a set has any of: over so many its mean is."""

    def of_sets(sets: Sets, count: int) -> NDArray[np.float64]:
        found = np.sum([order.counts(sets, count)[1] > 0 for order in orders.values()], axis=0)
        return np.stack([found.astype(np.float64), *np.full((2, count), np.nan)])

    return of_sets


def of_longest(
    lengths: NDArray[np.int64], values: NDArray[np.float64], sets: Sets, count: int
) -> NDArray[np.float64]:
    """Of each set, the value of its longest text; the lowest where several are as long."""
    inside = np.flatnonzero(sets >= 0)
    longest, found = np.full(count, -1), np.full(count, np.inf)
    np.maximum.at(longest, sets[inside], lengths[inside])
    inside = inside[lengths[inside] == longest[sets[inside]]]
    np.fmin.at(found, sets[inside], values[inside])
    return np.where(np.isfinite(found), found, np.nan)


def _mean(values: Sequence[NDArray[np.float64]], absent: float) -> NDArray[np.float64]:
    """The mean over the lengths of n-grams, of those that there are."""
    table = np.stack(values)
    table[np.isnan(table)] = absent
    there = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(there, table, 0).sum(axis=0) / there.sum(axis=0)
    return mean
