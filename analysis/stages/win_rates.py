"""How often one policy's output is better than another's for the same input, ties at one half."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Groups = NDArray[np.int64]


def win_rates(
    group: Groups, score: Array, other_group: Groups, other_score: Array, groups: int
) -> tuple[Array, Array]:
    """[groups]: P(better) + P(tie) / 2 over all pairs of outputs within a group, and P(tie).

    That is the expectation over one output of either side. Scores count by their order alone. NaN where a
    side has no output. Pairs are counted by sorting: n log n for n outputs, whatever their number per group.

    Args:
        group: [outputs], the input that each output is of, 0 to groups - 1; `other_group` the other side's.
        score: [outputs], without NaN.
    """
    rank = np.unique(np.concatenate([score, other_score]), return_inverse=True)[1].astype(np.int64)
    span = len(rank) + 1
    mine = group * span + rank[: len(score)]
    others = np.sort(other_group * span + rank[len(score) :])
    first = np.searchsorted(others, group * span)
    below = np.searchsorted(others, mine, side="left") - first
    equal = np.searchsorted(others, mine, side="right") - first - below
    pairs = np.bincount(group, minlength=groups) * np.bincount(other_group, minlength=groups)
    wins, ties = (np.bincount(group, counts, minlength=groups) for counts in (below, equal))
    with np.errstate(invalid="ignore"):
        return (wins + ties / 2) / pairs, ties / pairs
