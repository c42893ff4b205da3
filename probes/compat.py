"""Extractability as two papers published it, defects included: what `codelength` is compared with.

Both code labels block by block, as we do, and differ in this:

- the target is probed among rows with the spurious feature, the spurious one among rows without the target;
- the labels are made to alternate, which tells whoever decodes them more than is counted;
- the first block costs a bit a label, the others natural logarithms, and the two are added;
- there is no coin to fall back on;
- `cruz2023` takes the mean over a block's batches (weighted by their rows) of what each costs in sum, so that
  a block of any length costs about as much as one batch, and the whole depends on the size of the batches.

Only the definitions are theirs. The papers tuned the whole model at one learning rate for 10 to 50 passes;
here any probe serves, and rivals are weighed by how well they coded earlier blocks. What Lovering et al. call
loss-AUC is not here: it sums the validation loss along one tuning, which no curve over labels says.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr); Cruz et al. 2023
(https://arxiv.org/abs/2311.04046): the code that was published with them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp

from probes.codelength import CERTAIN, Predictor
from tasks.errors import UserError, unknown

PERCENT = (0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.05, 6.25, 12.5, 25.0, 50.0)
"""Sizes of the blocks, in per cent of the rows."""
BATCH = 64
"""Rows a batch in the runs of Cruz et al. 2023."""

Nats = NDArray[np.float64]


def lovering2021(first: int, later: Sequence[Nats]) -> float:
    """MDL from the length of the first block and the nats of each row of the later ones: all added up."""
    return first + float(sum(block.sum() for block in later))


def cruz2023(first: int, later: Sequence[Nats], batch_size: int = BATCH) -> float:
    """The same, with the weighted mean over a block's batches in place of their sum."""
    total = float(first)
    for block in later:
        starts = np.arange(0, len(block), batch_size)
        sizes = np.diff([*starts, len(block)])
        total += float(np.average(np.add.reduceat(block, starts), weights=sizes))
    return total


COMPAT: Mapping[str, Callable[[int, Sequence[Nats]], float]] = {
    "lovering2021": lovering2021,
    "cruz2023": cruz2023,
}


def published_mdl(
    X: NDArray[Any], labels: NDArray[np.generic], predictor: Predictor, *, compat: str, seed: int
) -> tuple[float, int]:
    """The MDL of 0/1 labels (n,) given the rows of `X` by a paper's definition, and of how many labels it is.

    `X` as the predictor takes it. As many rows of either label are used, in an order that `seed` draws.
    """
    if compat not in COMPAT:
        raise unknown("published definition", compat, COMPAT)
    order = alternating(np.asarray(labels, dtype=np.int64), np.random.default_rng(seed))
    ends = published_blocks(len(order))
    nats = row_nats(X[order], np.asarray(labels, dtype=np.int64)[order], predictor, ends)
    return COMPAT[compat](ends[0], nats), len(order)


def published_rows(role: str, truths: Mapping[str, Sequence[int]]) -> NDArray[np.intp]:
    """The rows on which the papers probed a feature, by the truths of target and spurious feature."""
    held, value = ("spurious", 1) if role == "target" else ("target", 0)
    return np.flatnonzero(np.asarray(truths[held]) == value)


def published_blocks(n: int) -> tuple[int, ...]:
    """The row at which each block ends: sizes are rounded up, and what that adds is missing from the last."""
    sizes = [int(np.ceil(round(n * p / 100, 9))) for p in PERCENT]
    ends = (*np.cumsum(sizes[:-1]).tolist(), n)
    if ends[-2] >= n:
        raise UserError(f"{n} rows are too few for the {len(PERCENT)} blocks of the published definitions")
    return ends


def alternating(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows in random order, their labels 1, 0, 1, 0, ...; what is left of the more frequent is left out."""
    ones, zeros = (rng.permutation(np.flatnonzero(labels == value)) for value in (1, 0))
    fewer = min(len(ones), len(zeros))
    return np.stack([ones[:fewer], zeros[:fewer]], axis=1).ravel()


def row_nats(
    X: NDArray[Any], labels: NDArray[np.int64], predictor: Predictor, ends: Sequence[int]
) -> list[Nats]:
    """What each row costs the predictor fitted on all blocks before its own; the first block is left out."""
    found, paid = [], np.zeros(1)
    for start, end in pairwise(ends):
        log_odds, _ = predictor(X[:start], labels[:start, None], X[start:end])
        rivals = np.clip(log_odds.reshape(-1, end - start), -CERTAIN, CERTAIN)
        nats = np.logaddexp(0.0, np.where(labels[start:end] == 1, -rivals, rivals))
        weights = log_softmax(np.broadcast_to(-paid, len(nats)))
        found.append(-logsumexp(weights[:, None] - nats, axis=0))
        paid = paid + nats.sum(axis=1)
    return found
