"""Diversity by inference: how far outputs contradict each other rather than entail each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.outputs.ngrams import Sets, Statistic
from tasks.errors import UserError

Nli = Callable[[Sequence[str], Sequence[str]], NDArray[np.floating]]
"""Premises and hypotheses to probabilities [pairs, 3] of entailment, neutrality and contradiction."""
PAIRS = 2_000
"""Pairs of a set that are read; of larger sets so many are drawn."""


def nli_diversity(texts: Sequence[str], nli: Nli, partitions: Sequence[Sets], seed: int) -> Statistic:
    """The mean over pairs of a set of `direction` summed over both directions: -2 to 2.

    It is for the sets of these partitions and for parts of them: pairs are drawn here, all of a set's or
    `PAIRS` of them without one twice. Different pairs of texts are read once each way, in one call. Floor:
    the set's own outputs, each beside itself. Ceiling: contradiction for certain.

    References:
        Kirk et al. (2024). Understanding the effects of RLHF on LLM generalisation and diversity. ICLR.
    """
    number = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    which, different = np.array([number[text] for text in texts], np.int64), list(number)
    rng = np.random.default_rng(seed)
    drawn = [
        _pairs(np.flatnonzero(sets == s), rng) for sets in partitions for s in np.unique(sets[sets >= 0])
    ]
    pairs = np.concatenate([*drawn, np.zeros((0, 2), np.intp)])
    inside = np.flatnonzero(np.any(np.stack(partitions) >= 0, axis=0))
    both = np.concatenate([which[pairs], which[pairs[:, ::-1]], np.stack([which[inside]] * 2, axis=1)])
    asked, where = np.unique(both, axis=0, return_inverse=True)
    said = np.asarray(
        nli([different[a] for a in asked[:, 0]], [different[b] for b in asked[:, 1]]), np.float64
    )
    if said.shape != (len(asked), 3) or not np.allclose(said.sum(axis=1), 1, atol=1e-3):
        raise UserError(
            f"the NLI model gave an array {said.shape} for {len(asked)} pairs; three probabilities a pair, of"
            " entailment, neutrality and contradiction, are needed"
        )
    score = direction(said)[where.ravel()]
    of_pair = score[: len(pairs)] + score[len(pairs) : 2 * len(pairs)]
    beside_itself = np.full(len(texts), np.nan)
    beside_itself[inside] = 2 * score[2 * len(pairs) :]
    certain = 2 * direction(np.array([[0.0, 0.0, 1.0]]))[0]

    def of_sets(sets: Sets, count: int) -> NDArray[np.float64]:
        one, other = sets[pairs].T
        kept = (one >= 0) & (one == other)
        value = _means(one[kept], of_pair[kept], count)
        members = np.flatnonzero(sets >= 0)
        floor = _means(sets[members], beside_itself[members], count)
        return np.stack([value, floor, np.full(count, certain)])

    return of_sets


def direction(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """The probability of contradiction if it is the likeliest, less that of entailment if it is; else 0."""
    entail, _, contradict = probabilities.T
    likeliest = probabilities.max(axis=1)
    alone = (probabilities == likeliest[:, None]).sum(axis=1) == 1
    signed: NDArray[np.float64] = np.where(
        contradict == likeliest, contradict, np.where(entail == likeliest, -entail, 0.0)
    )
    return np.where(alone, signed, 0.0)


def _pairs(members: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
    """[pairs, 2]: all pairs of members, or `PAIRS` different ones."""
    m = len(members)
    possible = m * (m - 1) // 2
    if possible <= PAIRS:
        first, second = np.triu_indices(m, 1)
    else:
        # Pair k of all: the second member is the largest j with j (j - 1) / 2 <= k.
        k = rng.choice(possible, PAIRS, replace=False)
        second = ((1 + np.sqrt(1 + 8.0 * k)) / 2).astype(np.int64)
        first = k - second * (second - 1) // 2
    return np.stack([members[first], members[second]], axis=1)


def _means(sets: Sets, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: NDArray[np.float64] = np.bincount(sets, values, minlength=count) / np.bincount(
            sets, minlength=count
        )
    return mean
