"""Which of two features a probe goes by that was fitted where they agree, and is asked where they do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probes.probe import linear
from tasks.errors import UserError


def frozen_use(X: NDArray[np.floating], target: NDArray[np.generic], spurious: NDArray[np.generic]) -> float:
    """U of a linear probe of frozen states: the share of conflict rows it answers by the spurious feature.

    `X` (rows, width) is taken as it is; `target` and `spurious` are 0 or 1. The probe is fitted on the rows
    where both say the same, and its answer is the side of 1/2 on which the mean of its probabilities under
    the rival penalties of `linear` lies; exactly 1/2 counts as half. The two kinds of conflict weigh alike.
    """
    says, other = np.asarray(target).astype(np.int64), np.asarray(spurious).astype(np.int64)
    agree = says == other
    if len({*says[agree].tolist()}) < 2 or len({*says[~agree].tolist()}) < 2:
        raise UserError("a frozen probe needs rows of all four quadrants")
    log_odds, _ = linear()(X[agree], says[agree, None], X[~agree])
    probability = (1 / (1 + np.exp(-log_odds[:, :, 0]))).mean(0)
    one = np.where(np.abs(probability - 0.5) < 1e-12, 0.5, probability > 0.5)
    by_spurious = np.where(other[~agree] == 1, one, 1 - one)
    return float(np.mean([by_spurious[other[~agree] == value].mean() for value in (0, 1)]))
