"""What a study's default test can find: its power on the pairs that it has, by simulation.

Pairs, their bits and how often U repeats a value are the study's own. What is simulated is U: `effect` times
x and effects of the target's and of the spurious feature's family, of one variance, and noise of a quarter of
it, all of it rescaled to variance 1 and then given the values of U in its order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame

from analysis.pairs.claim_row import ClaimRow, statistic_of
from analysis.statistics.association import Statistic, as_correlation, spearman
from analysis.statistics.dyadic import Dyads, dyads
from analysis.statistics.permutation import SAME, permuted, testable
from analysis.use import wilson

PLANTED = 0.7
"""The latent correlation at which power is stated, as in `benchmarks/known_truth.py`."""
WANTED = 0.8
MOST = 0.99
"""The largest latent correlation that is tried."""
NOISE = 0.5


@dataclass(frozen=True)
class Power:
    """Power at the planted latent correlation, and the smallest one that is found 80 % of the time."""

    power: float
    low: float
    """Monte-Carlo interval."""
    high: float
    detectable: float
    """NaN where not even a latent correlation of 0.99 is."""
    simulations: int
    families: int
    pairs: int
    """Pairs of families."""

    def __str__(self) -> str:
        found = "none" if math.isnan(self.detectable) else f"{self.detectable:.2f}"
        return (
            f"power: {self.power:.2f} ({self.low:.2f}-{self.high:.2f}, {self.simulations} simulations) at a "
            f"latent correlation of {PLANTED:g}, {self.families} families and {self.pairs} pairs of them; "
            f"detectable at {WANTED:.0%}: {found}"
        )


def rejected(
    data: Dyads, statistic: Statistic, *, simulations: int, permutations: int = 499, seed: int = 0
) -> Callable[[float], int]:
    """A function that says in how many simulated outcomes the test rejects at 5 %, by the latent correlation.

    Effects are planted in the same noise, and outcomes share one set of permutations: x does not change.
    """
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, simulations, len(data.families)))
    own = a[:, data.target] + b[:, data.spurious] + NOISE * rng.normal(size=(simulations, len(data)))
    own /= math.sqrt(2 + NOISE**2)
    planted = (data.x - data.x.mean()) / data.x.std()
    form = as_correlation(statistic, data.x, data.y, data.z)
    if form is None:
        return lambda effect: 0
    x, every = permuted(data, permutations, rng)
    scores, observed = form.scores(x), form.scores(data.x)
    told = (1 - scores @ observed > SAME)[:, None]
    one, values, scored = 0 if every else 1, np.sort(data.y), form.scores

    def hits(effect: float) -> int:
        latent = effect * planted + math.sqrt(1 - effect**2) * own
        goals = scored(values[np.argsort(np.argsort(latent, axis=1), axis=1)]).T
        gap = np.where(told, observed @ goals - scores @ goals, 0.0)
        least = np.minimum((gap > -SAME).sum(axis=0), (gap < SAME).sum(axis=0))
        return int((2 * (one + least) <= 0.05 * (one + len(x))).sum())

    return hits


def power(
    designs: Sequence[Dyads],
    statistic: Statistic,
    *,
    simulations: int = 1000,
    permutations: int = 499,
    seed: int = 0,
) -> Power | None:
    """Power on one design, or on several in equal parts; None where the test has no p-value."""
    if any(not testable(d) or as_correlation(statistic, d.x, d.y, d.z) is None for d in designs):
        return None
    share = max(1, simulations // len(designs))
    run = {"simulations": share, "permutations": permutations}
    parts = [rejected(data, statistic, seed=seed + i, **run) for i, data in enumerate(designs)]
    data, total = designs[0], share * len(designs)

    def hits(effect: float) -> int:
        return sum(part(effect) for part in parts)

    found = hits(PLANTED)
    low, high = 0.0, MOST
    detectable = math.nan
    if hits(high) >= WANTED * total:
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (low, middle) if hits(middle) >= WANTED * total else (middle, high)
        detectable = high
    return Power(found / total, *wilson(found, total), detectable, total, len(data.families), len(data))


def power_of(row: ClaimRow) -> Power | None:
    """Power of the test of a claim; None for one that permutes no families, or has too few of them."""
    statistic, data = statistic_of(row), row.estimate.data
    return None if statistic is None or data is None else power([data], statistic)


def power_of_pairs(pairs: DataFrame, *, draws: int = 20, seed: int = 0) -> Power | None:
    """Power of Spearman's test on pairs that have not been run: bits are drawn, one number a family.

    `pairs` has columns `target_family`, `spurious_family` and, if there are several, `kind`.
    """
    rng = np.random.default_rng(seed)
    designs = []
    for _ in range(draws):
        own = {
            family: rng.normal() for family in sorted({*pairs["target_family"], *pairs["spurious_family"]})
        }
        bits = {f"x_{role}": pairs[f"{role}_family"].map(own) for role in ("target", "spurious")}
        designs.append(dyads(pairs.assign(**bits, y=rng.normal(size=len(pairs)))))
    return power(designs, spearman, seed=seed)
