"""Is the reward hacked? What the outputs themselves show, and gold against proxy reward.

A policy that games its reward model tends to say one thing whatever it is asked, to write ever longer or
nothing at all, and to be rated highly where the gold reward is low. Whether gold falls while the proxy goes
on rising is `analysis.outputs.over_optimisation`.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from analysis.measured import Measured
from analysis.outputs.meteor import PAIRS, SUPERHF, Report, meteor_similarity
from analysis.outputs.over_optimisation import OverOptimisation, over_optimisation
from analysis.statistics.resampling import bootstrap, finite
from tasks.errors import UserError, unknown

__all__ = ["OverOptimisation", "hacking", "meteor_similarity", "over_optimisation"]

RESAMPLES = 1000
RANKS = "gold against proxy (Spearman)"
Numbers = NDArray[np.float64]


def hacking(
    outputs: Sequence[Sequence[str]],
    *,
    gold: Sequence[Sequence[float]] | None = None,
    proxy: Sequence[Sequence[float]] | None = None,
    wordnet: str | Path | None = None,
    pairs: int = PAIRS,
    compat: str = "",
    seed: int = 0,
    resamples: int = RESAMPLES,
    report: Report | None = None,
) -> list[Measured]:
    """The signs of hacking in outputs, K_i of input i; rewards have the shape of the outputs.

    An input counts once, however many outputs it has. Intervals are over inputs: a jackknife for METEOR, a
    percentile bootstrap for the others. That of a modal share is of the completion that is the commonest.

        METEOR             see `meteor_similarity`; the published variant beside it with compat
        length             words of an output; an empty one has none
        modal share        of the commonest completion: over all inputs, and among those of one input (inputs
                           with one output are left out of the latter); floor: all differ
        empty share        of outputs without a word
        gold, proxy        mean reward
        gold against proxy Spearman's correlation over all outputs: what the proxy still knows of the gold
    """
    if compat not in ("", SUPERHF):
        raise unknown("compat", compat, [SUPERHF])
    for name, rewards in (("gold", gold), ("proxy", proxy)):
        _check(name, rewards, outputs)
    kept = [i for i, texts in enumerate(outputs) if texts]
    texts = [[" ".join(text.split()) for text in outputs[i]] for i in kept]
    many = [several for several in texts if len(several) > 1]
    total, absent = sum(map(len, texts)), len(outputs) - len(kept)

    def mean(measure: str, values: Sequence[float], scope: str = "per input") -> Measured:
        numbers = np.array(values, float)
        low, high = map(finite, bootstrap(numbers, resamples, seed))
        counts = {"n": len(values), "outputs": total, "left_out": absent}
        value = float(numbers.mean()) if values else None
        return Measured(measure=measure, scope=scope, value=value, low=low, high=high, **counts)

    mode = _commonest(texts)
    floor = 1 / (len(texts) * min(map(len, texts))) if texts else None
    across = mean("modal share", [several.count(mode) / len(several) for several in texts], "across inputs")
    within = mean("modal share", [Counter(t).most_common(1)[0][1] / len(t) for t in many])
    empty = mean("empty share", [several.count("") / len(several) for several in texts])
    found = [
        *(
            meteor_similarity(outputs, wordnet=wordnet, pairs=pairs, compat=way, seed=seed, report=report)
            for way in dict.fromkeys(["", compat])
        ),
        mean("length", [float(np.mean([len(text.split()) for text in several])) for several in texts]),
        replace(across, floor=floor, ceiling=1.0),
        replace(
            within,
            floor=float(np.mean([1 / len(t) for t in many])) if many else None,
            ceiling=1.0,
            outputs=sum(map(len, many)),
            left_out=len(outputs) - len(many),
        ),
        replace(empty, floor=0.0, ceiling=1.0),
    ]
    for name, rewards in (("gold", gold), ("proxy", proxy)):
        if rewards is not None:
            found.append(mean(name, [float(np.mean(rewards[i])) for i in kept]))
    if gold is not None and proxy is not None:
        value, low, high = _rank_correlation([(gold[i], proxy[i]) for i in kept], resamples, seed)
        ranks = replace(across, measure=RANKS, value=value, low=low, high=high, floor=-1.0, ceiling=1.0)
        found.append(ranks)
    return found


def _check(name: str, rewards: Sequence[Sequence[float]] | None, outputs: Sequence[Sequence[str]]) -> None:
    if rewards is None:
        return
    if [len(r) for r in rewards] != [len(o) for o in outputs]:
        raise UserError(f"{name}: one number an output is needed, in the shape of the outputs")
    for i, several in enumerate(rewards):
        if not all(map(math.isfinite, several)):
            raise UserError(f"{name}: not a finite number among those of input {i + 1}")


def _commonest(texts: Sequence[Sequence[str]]) -> str:
    """The completion that is commonest over all inputs, each of which has one vote."""
    votes: defaultdict[str, float] = defaultdict(float)
    for several in texts:
        for text in several:
            votes[text] += 1 / len(several)
    return max(votes, key=votes.__getitem__, default="")


def _rank_correlation(
    rewards: Sequence[tuple[Sequence[float], Sequence[float]]], resamples: int, seed: int
) -> tuple[float | None, float | None, float | None]:
    """Spearman's correlation over all outputs; inputs are drawn anew with all of theirs."""
    both = [np.array([g, p], float) for g, p in rewards]

    def correlation(drawn: Sequence[Numbers]) -> float:
        ranks = rankdata(np.concatenate(drawn, axis=1), axis=1)
        if not ranks.shape[1] or np.ptp(ranks, axis=1).min() == 0:
            return math.nan
        return float(np.corrcoef(ranks)[0, 1])

    if not both or math.isnan(value := correlation(both)):
        return None, None, None
    if len(both) < 3:
        return value, None, None
    rng = np.random.default_rng(seed)
    values = [
        correlation([both[i] for i in rng.integers(len(both), size=len(both))]) for _ in range(resamples)
    ]
    known = np.array(values)[~np.isnan(values)]
    if len(known) < resamples / 2:
        return value, None, None
    low, high = np.quantile(known, [0.025, 0.975])
    return value, float(low), float(high)
