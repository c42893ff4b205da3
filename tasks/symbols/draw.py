"""Drawing symbol sequences: independent, uniform symbols, conditioned on predicates and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from tasks.errors import UserError
from tasks.feature import Feature, Rows, Split, Truth
from tasks.splits import TENTHS, split_of

_CHUNK = 1 << 14
_MOST_DRAWS = 1 << 26


def draw(
    wanted: Sequence[tuple[Feature, bool]],
    n: int,
    rng: Generator,
    *,
    vocabulary: int,
    length: int,
    split: Split | None = None,
) -> Rows:
    """n rows of the base distribution given that every (feature, value) in `wanted` is met.

    Rejection in chunks of fixed size: the first k of n rows are the k rows of a smaller draw. A feature that
    must hold and knows how to `plant` itself serves as the proposal, which leaves the distribution as it is.
    """
    plant = next((f.plant for f, value in wanted if value and f.plant), None)
    kept: list[Rows] = []
    found = drawn = 0
    while found < n:
        rows = rng.integers(
            vocabulary, size=(_CHUNK, length), dtype=np.int8 if vocabulary <= 128 else np.int32
        )
        if plant:
            rows = plant(rows)
        good = matches(rows, wanted)
        if split:
            low, high = TENTHS[split]
            tenth = split_of(rows)
            good &= (tenth >= low) & (tenth < high)
        kept.append(rows[good])
        found += int(good.sum())
        drawn += _CHUNK
        if drawn >= _MOST_DRAWS and found < n:
            asked = ", ".join(f"{'' if value else 'not '}{f.name}" for f, value in wanted)
            raise UserError(f"too rare to draw: {found} of {n} rows with {asked} in {drawn:,} draws")
    return np.concatenate(kept)[:n] if kept else np.empty((0, length), dtype=np.int8)


def matches(rows: Rows, wanted: Sequence[tuple[Feature, bool]]) -> Truth:
    good = np.ones(len(rows), dtype=bool)
    for feature, value in wanted:
        good &= feature.holds(rows) == value
    return good
