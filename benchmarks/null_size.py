"""Do the tests of `analysis` reject a true null 5 % of the time, and do its intervals cover 95 %?

Simulated tables of pairs in which U depends on effects of the target's and the spurious feature's family,
and, in the columns on coverage and power, on extractability. Beside the family permutation and the
dyadic jackknife stand what a reader might run instead: a test on rows, and bootstraps over rows, over both
roles crossed, and over families.

    python -m benchmarks.null_size [--studies 200] [--permutations 399] [--effect 0.7]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import norm, spearmanr

from analysis.association import spearman
from analysis.dyadic import Dyads, dyadic_permutation, dyads
from analysis.estimate import dyadic_jackknife, node_bootstrap
from analysis.tables import text_table
from analysis.use import wilson

DESIGNS = (
    (8, 24, 1, False), (8, 56, 1, False), (14, 24, 1, False), (14, 60, 1, False), (14, 182, 1, False),
    (14, 180, 3, False), (14, 60, 1, True), (30, 60, 1, False), (30, 300, 1, False),
)  # fmt: skip
"""Families, pairs, near copies of each pair, and whether pairs of two hard features are missing."""
RESAMPLES = 400


def dyadic_table(
    rng: np.random.Generator,
    families: int,
    pairs: int,
    *,
    effect: float = 0.0,
    copies: int = 1,
    noise: float = 0.5,
    wobble: float = 0.15,
    select: bool = False,
) -> pd.DataFrame:
    """A sparse table of pairs: columns as `analysis.dyadic.dyads` reads them, y as U in (0, 1).

    On the latent scale U is `effect` times the standardised difference of the two families' extractability,
    plus an effect of the target's family, one of the spurious feature's, both of variance 1, and noise of the
    pair (all rescaled to variance 1 - effect^2). `wobble` is the standard deviation by which a feature's bits
    vary from pair to pair. With `select` pairs of two hard features are missing: the design depends on x.
    """
    f, a, b = rng.normal(size=(3, families))
    cells = [(t, s) for t in range(families) for s in range(families) if t != s]
    if select:
        cells = [(t, s) for t, s in cells if not (f[t] > 0.3 and f[s] > 0.3)]
    drawn = rng.permutation(len(cells))[: max(1, pairs // copies)]
    t, s = np.repeat(np.array([cells[i] for i in drawn]), copies, axis=0).T
    n = len(t)
    own = (a[t] + b[s] + noise * rng.normal(size=n)) / math.sqrt(2 + noise**2)
    latent = effect * (f[t] - f[s]) / math.sqrt(2) + math.sqrt(1 - effect**2) * own
    copy = np.arange(n) % copies
    return pd.DataFrame(
        {
            "target_family": t,
            "spurious_family": s,
            "target": [f"{i}-{c}" for i, c in zip(t, copy, strict=True)],
            "spurious": [f"{i}-0" for i in s],
            "x_target": f[t] + wobble * rng.normal(size=n),
            "x_spurious": f[s] + wobble * rng.normal(size=n),
            "y": norm.cdf(latent),
        }
    )


def _quantiles(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    values = spearman(x, y, np.zeros((len(y), 0)), weights)
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def row_bootstrap(table: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval that takes rows to be independent."""
    x, y = (table["x_target"] - table["x_spurious"]).to_numpy(), table["y"].to_numpy()
    weights = rng.multinomial(len(y), np.full(len(y), 1 / len(y)), size=RESAMPLES)
    return _quantiles(x, y, weights.astype(float))


def two_role_bootstrap(table: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile interval that draws targets and spurious features apart, as if they were other things."""
    x, y = (table["x_target"] - table["x_spurious"]).to_numpy(), table["y"].to_numpy()
    weights = np.ones((RESAMPLES, len(y)))
    for role in ("target_family", "spurious_family"):
        names, code = np.unique(table[role], return_inverse=True)
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
        weights *= drawn[:, code]
    return _quantiles(x, y, weights)


Interval = Callable[[pd.DataFrame, Dyads, np.random.Generator], tuple[float, float]]
INTERVALS: dict[str, Interval] = {
    "row bootstrap": lambda table, data, rng: row_bootstrap(table, rng),
    "two-role bootstrap": lambda table, data, rng: two_role_bootstrap(table, rng),
    "family bootstrap": lambda table, data, rng: node_bootstrap(
        data, spearman, resamples=RESAMPLES, seed=int(rng.integers(1 << 30))
    ),
    "dyadic jackknife": lambda table, data, rng: dyadic_jackknife(data, spearman),
}


def truth(effect: float, copies: int, rng: np.random.Generator) -> float:
    """Spearman's rho of the population: many small independent tables together."""
    tables = [dyadic_table(rng, 100, 300, effect=effect, copies=copies) for _ in range(100)]
    many = pd.concat(tables)
    return float(spearmanr(many["x_target"] - many["x_spurious"], many["y"]).statistic)


def share(hits: int, n: int) -> str:
    """A rate with its Wilson interval, in per cent."""
    low, high = wilson(hits, n)
    return f"{100 * hits / n:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def measure(
    design: tuple[int, int, int, bool], effect: float, studies: int, permutations: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Size (or power) of the tests and coverage of the intervals on one design, one row for each."""
    families, pairs, copies, select = design
    rng = np.random.default_rng([families, pairs, copies, select, int(100 * effect)])
    rho = truth(effect, copies, rng) if effect else 0.0
    rejected = {"row test": 0, "family permutation": 0}
    covered, width = dict.fromkeys(INTERVALS, 0), {name: [0.0] * studies for name in INTERVALS}
    for i in range(studies):
        table = dyadic_table(rng, families, pairs, effect=effect, copies=copies, select=select)
        data = dyads(table)
        p = dyadic_permutation(data, spearman, permutations=permutations, seed=i)
        rejected["family permutation"] += p <= 0.05
        rejected["row test"] += spearmanr(table["x_target"] - table["x_spurious"], table["y"]).pvalue <= 0.05
        for name, interval in INTERVALS.items():
            low, high = interval(table, data, rng)
            covered[name] += low <= rho <= high
            width[name][i] = high - low
    about = {"families": str(families), "pairs": f"{pairs}", "copies": str(copies)}
    about |= {"design": "depends on x" if select else "random", "effect": f"{effect:g}"}
    tests = {name: share(hits, studies) for name, hits in rejected.items()}
    spans = {name: f"{share(covered[name], studies)} w {np.median(width[name]):.2f}" for name in INTERVALS}
    return about | tests, about | spans


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=200, help="simulated studies per design")
    parser.add_argument("--permutations", type=int, default=399, help="permutations per test")
    parser.add_argument("--effect", type=float, default=0.7, help="latent correlation of the second half")
    arguments = parser.parse_args()
    cells = [(design, effect) for effect in (0.0, arguments.effect) for design in DESIGNS]
    # A design that depends on x has another population value, so only its size is asked.
    cells = [(design, effect) for design, effect in cells if not (design[3] and effect)]
    rows = [measure(design, effect, arguments.studies, arguments.permutations) for design, effect in cells]
    print("Share of studies that reject at 5 %, in per cent (95 % Monte-Carlo interval)")
    print(text_table([tests for tests, _ in rows]))
    print("\nShare of 95 % intervals that cover, in per cent (Monte-Carlo interval), median width w")
    print(text_table([spans for _, spans in rows]))


if __name__ == "__main__":
    main()
