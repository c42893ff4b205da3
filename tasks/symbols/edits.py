"""Minimal edits of symbol sequences: flip one feature and hold the other, or (placebo) flip neither."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from tasks.feature import Feature, Rows

_TRIES = 4096


def _variants(row: Rows, size: int, vocabulary: int, rng: Generator) -> Rows:
    """Rows that differ from `row` in exactly `size` places: all of them for size 1, random ones above."""
    length = len(row)
    if size == 1:
        place, shift = np.divmod(np.arange(length * (vocabulary - 1)), vocabulary - 1)
        out = np.repeat(row[None], len(place), axis=0)
        out[np.arange(len(place)), place] = (row[place] + 1 + shift) % vocabulary
        return out
    out = np.repeat(row[None], _TRIES, axis=0)
    places = np.argsort(rng.random((_TRIES, length)), axis=1)[:, :size]
    shifts = rng.integers(1, vocabulary, size=(_TRIES, size))
    which = np.arange(_TRIES)[:, None]
    out[which, places] = (row[places] + shifts) % vocabulary
    return out


def counterfactual(
    row: Rows, flip: Feature, hold: Feature, rng: Generator, *, vocabulary: int, most: int = 4
) -> tuple[Rows, Rows, int] | None:
    """(edited row, placebo row, edit size), or None where at most `most` changes do not do it.

    The edit flips `flip` and holds `hold` in the fewest places; the placebo changes as many places and flips
    neither. Both are drawn uniformly from the candidates of that size.
    """
    was_flip, was_hold = bool(flip.holds(row[None])[0]), bool(hold.holds(row[None])[0])
    for size in range(1, min(most, len(row)) + 1):
        rows = _variants(row, size, vocabulary, rng)
        held = hold.holds(rows) == was_hold
        flipped = flip.holds(rows) != was_flip
        edits, placebos = rows[held & flipped], rows[held & ~flipped]
        if len(edits) and len(placebos):
            return edits[rng.integers(len(edits))], placebos[rng.integers(len(placebos))], size
    return None
