"""How many bits a sequence of labels costs when a probe, retrained as it goes, encodes them.

The prequential (online) code of Voita & Titov 2020, mixed with a fair coin.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Predictor = Callable[
    [NDArray[np.floating], NDArray[np.int64], NDArray[np.floating]],
    tuple[NDArray[np.float64], NDArray[np.bool_]],
]
"""From the X so far (rows, d), its labels (rows, k) and the next X, the log odds (nats) of label one for the
next rows (next rows, k), and which columns converged (k,). Rival probes come as a leading axis of the log
odds; their codes are mixed evenly."""

VOITA_PERCENT = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.25, 12.5, 25.0, 50.0, 100.0)
"""Where the blocks end, in per cent of the rows (Voita & Titov 2020, section 3.2)."""

CERTAIN = 1e100
"""Log odds of a predictor that gives a label no probability at all: finite, so that sums stay numbers."""


@dataclass(frozen=True)
class LossCurve:
    """What each block of labels cost, in order; every measure of extractability is a function of it.

    The first block has no probe yet and is coded by a coin.

    References: Voita & Titov 2020 (arXiv:2003.12298); Whitney et al. 2020 (arXiv:2009.07368).
    """

    n_train: tuple[int, ...]
    """Labels seen before each block."""
    n_eval: tuple[int, ...]
    """Labels in each block."""
    bits_probe: tuple[float, ...]
    """Bits of each block under the probe alone, or under the even Bayes mixture of rival probes."""
    bits_mixed: tuple[float, ...]
    """Bits of each block under the even Bayes mixture of the probe's code and a fair coin's."""
    correct: tuple[float, ...]
    """Labels guessed right in each block, by the rival that was cheapest before it; a tie counts half."""
    converged: bool = True
    """Whether every fit behind the curve converged."""

    @property
    def n(self) -> int:
        """Labels coded."""
        return sum(self.n_eval)

    @property
    def bits_total(self) -> float:
        """Bits of all labels under the mixture (minimum description length): at most n + 1."""
        return sum(self.bits_mixed)

    @property
    def bits_unmixed(self) -> float:
        """Bits of all labels under the probe alone: unbounded."""
        return sum(self.bits_probe)

    @property
    def bits_per_label(self) -> float:
        """`bits_total` divided by the number of labels."""
        return self.bits_total / self.n

    @property
    def accuracy(self) -> float:
        """Share guessed right in the last block: trained on half of the rows, tested on the rest."""
        return self.correct[-1] / self.n_eval[-1]

    def to_json(self) -> str:
        """A list of [n_train, n_eval, bits_probe, bits_mixed, correct], one a block; NaN is null."""
        columns = (self.n_train, self.n_eval, self.bits_probe, self.bits_mixed, self.correct)
        rows = zip(*columns, strict=True)
        return json.dumps([[None if math.isnan(x) else x for x in row] for row in rows])

    @classmethod
    def from_json(cls, text: str, converged: bool = True) -> LossCurve:
        """The curve in the column `curve` of a probe's record; whether its fits converged is in another."""
        rows = [[math.nan if x is None else x for x in row] for row in json.loads(text)]
        n_train, n_eval, bits_probe, bits_mixed, correct = zip(*rows, strict=True)
        return cls(n_train, n_eval, bits_probe, bits_mixed, correct, converged)

    def surplus_description_length(self, epsilon: float) -> float:
        """Bits paid by the probe above `epsilon` bits per label, summed over blocks (Whitney et al. 2020)."""
        return sum(max(0.0, b - epsilon * m) for b, m in zip(self.bits_probe, self.n_eval, strict=True))

    def sample_complexity(self, epsilon: float) -> float:
        """Fewest labels seen at which the probe pays at most `epsilon` bits per label; infinite if never.

        NaN for a curve of one block, whose labels were all coded at once. References: Whitney et al. 2020.
        """
        if len(self.n_eval) == 1:
            return math.nan
        costs = zip(self.n_train, self.n_eval, self.bits_probe, strict=True)
        return min((float(seen) for seen, m, b in costs if b <= epsilon * m), default=math.inf)

    def labels_needed(self, epsilon: float = 0.5) -> tuple[float, float]:
        """The interval (low, high] of labels in which the probe comes down to `epsilon` bits per label.

        High is the sample complexity, low the block start before it: between the two no probe was fitted.
        (low, infinity] if it never comes down. Of the whole-model probe, this is its *reach*.
        """
        high = self.sample_complexity(epsilon)
        if math.isnan(high):
            return math.nan, math.nan
        return max((float(seen) for seen in self.n_train if seen < high), default=0.0), high

    def v_information(self, entropy: float = 1.0) -> float:
        """Bits per label that the probe, trained on the blocks before the last, knows of the last one's.

        The labels' `entropy` (bits per label; 1 if half of them are 1) minus their held-out cross-entropy.
        Below 0 where the probe does worse than the labels' base rate; NaN for a curve of one block. The
        pointwise information of Ethayarajh et al. is that of one label, of which this is the mean.

        References: Xu et al. 2020 (arXiv:2002.10689); Ethayarajh et al. 2022 (arXiv:2110.08420).
        """
        return math.nan if len(self.n_eval) == 1 else entropy - self.bits_probe[-1] / self.n_eval[-1]


def blocks(n: int, percent: Sequence[float] = VOITA_PERCENT) -> tuple[int, ...]:
    """The row at which each block ends, the last one at `n`.

    Blocks double, so that the cost of all refits is about twice the last one's and a probe is judged on
    early and late rows alike. Ends are rounded up; blocks that few rows leave empty are dropped.
    At n = 2,000: 2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 2000.
    """
    ends = {int(np.ceil(round(n * p / 100, 9))) for p in percent}
    return tuple(sorted(ends | {n}))


def prequential(
    X: NDArray[np.floating],
    Y: NDArray[np.generic],
    predictor: Predictor,
    ends: Sequence[int] | None = None,
) -> list[LossCurve]:
    """Code each 0/1 column of `Y` (n, k) given the rows of `X` (n, d), in their order: one curve a column.

    Each block is coded by the predictor fitted on all blocks before it, the first one by a coin at 1 bit
    a label. The whole sequence is then coded by the mixture (2^-probe bits + 2^-n) / 2, which costs at most
    1 bit more than the cheaper of the two, hence never more than n + 1 bits. Rival probes are likewise
    mixed, which chooses among m of them for at most log2(m) bits and never looks ahead.
    """
    labels = np.asarray(Y, dtype=np.int64)
    ends = blocks(len(labels)) if ends is None else tuple(ends)
    starts = (0, *ends[:-1])
    costs, hits = [], []
    converged = np.ones(labels.shape[1], dtype=bool)
    for start, end in zip(starts, ends, strict=True):
        truth = labels[start:end]
        log_odds = np.zeros(truth.shape)
        if start:
            log_odds, fitted = predictor(X[:start], labels[:start], X[start:end])
            converged &= fitted
            if np.isnan(log_odds).any():
                raise ValueError("the predictor gave NaN for log odds")
            log_odds = np.clip(log_odds, -CERTAIN, CERTAIN)
        margin = np.where(truth == 1, log_odds, -log_odds)
        costs.append(np.logaddexp2(0.0, -margin / np.log(2)).sum(-2))
        hits.append(((margin > 0) + 0.5 * (margin == 0)).sum(-2))
    paid = _stacked(costs).cumsum(0)
    leader = np.concatenate([np.zeros_like(paid[:1]), paid[:-1]]).argmin(1, keepdims=True)
    correct = np.take_along_axis(_stacked(hits), leader, 1)[:, 0]
    probe = np.log2(paid.shape[1]) - np.logaddexp2.reduce(-paid, axis=1)
    bits = np.diff(probe, axis=0, prepend=0.0)
    seen = np.asarray(ends, dtype=np.float64)[:, None]
    mixed = np.diff(1.0 - np.logaddexp2(-probe, -seen), axis=0, prepend=0.0)
    sizes = tuple(end - start for start, end in zip(starts, ends, strict=True))
    return [
        LossCurve(starts, sizes, tuple(b.tolist()), tuple(m.tolist()), tuple(c.tolist()), bool(ok))
        for b, m, c, ok in zip(bits.T, mixed.T, correct.T, converged, strict=True)
    ]


def _stacked(blocks: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Shape (blocks, rivals, k), whether or not a block's predictor had rivals."""
    return np.stack(np.broadcast_arrays(*(np.atleast_2d(block) for block in blocks)))
