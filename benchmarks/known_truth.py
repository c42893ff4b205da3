"""Does the test of `analysis` keep its size, does its interval cover, and does it find what is there?

Simulated studies: tables of pairs in which U depends on effects of the target's and the spurious feature's
family and, where an effect is planted, on extractability. Every method sees the same tables. Beside the
default (families permuted, the interval by inverting it) stand its rivals, a jackknife and a bootstrap over
families, and what a reader might run instead: a test of rows, and a bootstrap of both roles crossed.

    python -m benchmarks.known_truth [--studies 500] [--permutations 499] [--effect 0.7] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom, norm, spearmanr

from analysis.pairs.tables import text_table
from analysis.statistics.association import mean, spearman
from analysis.statistics.dyadic import Dyads, dyads
from analysis.statistics.estimate import dyadic_jackknife, family_jackknife, node_bootstrap
from analysis.statistics.permutation import dyadic_permutation
from analysis.use import wilson


@dataclass(frozen=True)
class Design:
    """What a simulated study looks like."""

    families: int
    pairs: int
    copies: int = 1
    """Family number i has 1 + i % copies members, and a pair of families a row for each of its target."""
    wobble: float = 0.15
    """Standard deviation by which a feature's bits vary from pair to pair; of families' own it is 1."""
    roles: float = 0.0
    """Standard deviation of half of what a family costs more as target than as spurious feature."""
    select: bool = False
    """Pairs of two hard features are missing, so that the design depends on x."""
    shared: bool = False
    """A family that wins as spurious feature wins as target too: one effect on U, in both roles."""

    def __str__(self) -> str:
        more = [f"{self.copies} copies"] if self.copies > 1 else []
        more += ["bits of pairs"] if self.wobble > 0.15 else []
        more += ["bits of roles"] if self.roles else []
        more += ["selected by x"] if self.select else []
        more += ["one effect for both roles"] if self.shared else []
        return ", ".join([f"{self.families} families", f"{self.pairs} pairs", *more])


DESIGNS = (
    Design(8, 24), Design(8, 56, shared=True), Design(8, 48, copies=3), Design(8, 24, select=True),
    Design(8, 24, wobble=1.0), Design(8, 56, roles=1.0),
    Design(14, 24), Design(14, 60), Design(14, 182, shared=True), Design(14, 120, copies=3),
    Design(14, 60, select=True), Design(14, 60, wobble=1.0), Design(14, 182, roles=1.0),
    Design(30, 60), Design(30, 300, shared=True), Design(30, 120, copies=3), Design(30, 60, select=True),
    Design(30, 120, wobble=1.0), Design(30, 120, roles=1.0),
)  # fmt: skip


def dyadic_table(
    rng: np.random.Generator,
    families: int,
    pairs: int,
    *,
    effect: float = 0.0,
    copies: int = 1,
    noise: float = 0.5,
    wobble: float = 0.15,
    roles: float = 0.0,
    select: bool = False,
    shared: bool = False,
) -> pd.DataFrame:
    """A table of pairs: columns as `analysis.statistics.dyadic.dyads` reads them, y as U in (0, 1).

    On the latent scale U is `effect` times the standardised difference of the two families' extractability,
    plus an effect of the target's family, one of the spurious feature's, both of variance 1, and noise of the
    pair (all rescaled to variance 1 - effect^2). The rest is as in `Design`.
    """
    f, a, b, h = rng.normal(size=(4, families)) * np.array([1, 1, 1, roles])[:, None]
    b = -a if shared else b
    every = families * (families - 1)
    cells = rng.permutation(every) if every < 10**6 else rng.integers(every, size=4 * pairs)
    t, s = np.divmod(cells, families - 1)
    s += s >= t
    if select:
        t, s = (code[~((f[t] > 0.3) & (f[s] > 0.3))] for code in (t, s))
    rows = np.repeat(np.arange(len(t)), 1 + t % copies)[:pairs]
    copy = np.concatenate([[0], np.where(np.diff(rows) > 0, 0, 1)]) if len(rows) else rows
    t, s, n = t[rows], s[rows], len(rows)
    own = (a[t] + b[s] + noise * rng.normal(size=n)) / math.sqrt(2 + noise**2)
    latent = effect * (f[t] - f[s]) / math.sqrt(2) + math.sqrt(1 - effect**2) * own
    return pd.DataFrame(
        {
            "target_family": t,
            "spurious_family": s,
            "target": [f"{i}-{c}" for i, c in zip(t, copy, strict=True)],
            "spurious": [f"{i}-0" for i in s],
            "x_target": f[t] + h[t] + wobble * rng.normal(size=n),
            "x_spurious": f[s] - h[s] + wobble * rng.normal(size=n),
            "y": norm.cdf(latent),
        }
    )


def simulated(design: Design, effect: float, rng: np.random.Generator) -> pd.DataFrame:
    """One study of a design; drawn anew where selection leaves less than half of its pairs."""
    while True:
        table = dyadic_table(rng, effect=effect, **asdict(design))
        if len(table) >= design.pairs / 2:
            return table


@cache
def truth(design: Design, effect: float) -> float:
    """Spearman's rho of the population, from so many families that pairs are all but independent."""
    if effect == 0:
        return 0.0
    many = {**asdict(design), "families": 200_000, "pairs": 200_000}
    data = dyads(dyadic_table(np.random.default_rng(0), effect=effect, **many))
    return float(spearman(data.x, data.y, data.z, None))


Said = tuple[bool, float, float]
"""Whether a method rejects at 5 %, and its 95 % interval."""


def _by_interval(ends: tuple[float, float]) -> Said:
    low, high = ends
    return low > 0 or high < 0, low, high


def _permutation(table: pd.DataFrame, data: Dyads, permutations: int, seed: int) -> Said:
    found = dyadic_permutation(data, spearman, permutations=permutations, seed=seed)
    return found.p <= 0.05, found.low, found.high


def _jackknife(table: pd.DataFrame, data: Dyads, permutations: int, seed: int) -> Said:
    return _by_interval(dyadic_jackknife(data, spearman))


def _node_bootstrap(table: pd.DataFrame, data: Dyads, permutations: int, seed: int) -> Said:
    return _by_interval(node_bootstrap(data, spearman, resamples=permutations, seed=seed))


def _rows(table: pd.DataFrame, data: Dyads, permutations: int, seed: int) -> Said:
    found = spearmanr(table["x_target"] - table["x_spurious"], table["y"])
    half = norm.ppf(0.975) / math.sqrt(len(table) - 3)
    centre = math.atanh(found.statistic)
    return found.pvalue <= 0.05, math.tanh(centre - half), math.tanh(centre + half)


def _two_roles(table: pd.DataFrame, data: Dyads, permutations: int, seed: int) -> Said:
    """Percentile interval from drawing targets and spurious features apart, as if they were other things."""
    rng = np.random.default_rng(seed)
    x, y = (table["x_target"] - table["x_spurious"]).to_numpy(), table["y"].to_numpy()
    weights = np.ones((permutations, len(y)))
    for role in ("target_family", "spurious_family"):
        names, code = np.unique(table[role], return_inverse=True)
        even = np.full(len(names), 1 / len(names))
        weights *= rng.multinomial(len(names), even, size=permutations)[:, code]
    values = spearman(x, y, np.zeros((len(y), 0)), weights)
    low, high = np.nanquantile(values, [0.025, 0.975])
    return _by_interval((float(low), float(high)))


METHODS: dict[str, Callable[[pd.DataFrame, Dyads, int, int], Said]] = {
    "permutation (default)": _permutation,
    "dyadic jackknife": _jackknife,
    "node bootstrap": _node_bootstrap,
    "rows (naive)": _rows,
    "two roles (naive)": _two_roles,
}
SIZE, COVERAGE = 0.05, 0.93
"""The most that a method may reject of a true null, and the least that its 95 % intervals may cover."""


@dataclass(frozen=True)
class Cell:
    """What a method said in all studies of a design."""

    method: str
    design: Design
    effect: float
    studies: int
    rejected: int
    covered: int
    width: float
    """Median."""

    def to_dict(self) -> dict[str, object]:
        """With Monte-Carlo intervals of both rates."""
        told = {**asdict(self), "design": str(self.design), "truth": truth(self.design, self.effect)}
        for name in ("rejected", "covered"):
            told[f"{name}_low"], told[f"{name}_high"] = wilson(told[name], self.studies)
        return told


def measure(
    design: Design, effect: float, studies: int, permutations: int, methods: tuple[str, ...] = tuple(METHODS)
) -> list[Cell]:
    """All methods on the same studies of one design. No interval covers nothing and rejects nothing."""
    rng = np.random.default_rng([*(int(100 * v) for v in asdict(design).values()), int(100 * effect)])
    rho = truth(design, effect)
    said: dict[str, list[Said]] = {name: [] for name in methods}
    for i in range(studies):
        table = simulated(design, effect, rng)
        data = dyads(table)
        for name in methods:
            said[name].append(METHODS[name](table, data, permutations, i))
    return [
        Cell(
            name, design, effect, studies,
            int(sum(rejects for rejects, _, _ in told)),
            int(sum(low <= rho <= high for _, low, high in told)),
            float(np.nanmedian([high - low for _, low, high in told])),
        )
        for name, told in said.items()
    ]  # fmt: skip


def mean_coverage(design: Design, studies: int) -> dict[str, str]:
    """How often the interval of a mean, which controls are judged by, holds the true 0.5."""
    rng = np.random.default_rng([design.families, design.pairs, design.copies])
    covered = {0.95: 0, 0.9: 0}
    for _ in range(studies):
        data = dyads(simulated(design, 0.0, rng), x=None)
        for confidence in covered:
            low, high = family_jackknife(data, mean, confidence)
            covered[confidence] += low <= 0.5 <= high
    return {"design": str(design)} | {f"{c:.0%}": rate(hits, studies) for c, hits in covered.items()}


def beyond(hits: int, n: int, bound: float, *, above: bool, among: int) -> bool:
    """Whether a rate is on the wrong side of a bound by more than chance: one-sided, 2.5 % among so many."""
    chance = binom.sf(hits - 1, n, bound) if above else binom.cdf(hits, n, bound)
    return bool(chance < 0.025 / among)


def verdicts(cells: list[Cell]) -> Iterator[str]:
    """A line a method on its size and one on its coverage."""
    for name in dict.fromkeys(cell.method for cell in cells):
        ours = [cell for cell in cells if cell.method == name]
        null = [cell for cell in ours if cell.effect == 0]
        large = [c for c in null if beyond(c.rejected, c.studies, SIZE, above=True, among=len(null))]
        narrow = [c for c in ours if beyond(c.covered, c.studies, COVERAGE, above=False, among=len(ours))]
        yield _verdict(f"{name}: size at most {SIZE:.0%}", len(large), len(null), "designs")
        yield _verdict(f"{name}: coverage at least {COVERAGE:.0%}", len(narrow), len(ours), "cells")


def _verdict(what: str, broken: int, n: int, of: str) -> str:
    answer = f"no, not in {broken}" if broken else "yes"
    return f"{what} within Monte-Carlo error in all {n} {of}: {answer}"


def rate(hits: int, n: int) -> str:
    """A rate with its Wilson interval, in per cent."""
    low, high = wilson(hits, n)
    return f"{100 * hits / n:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def main() -> None:
    """Print rejections and coverage of every method, and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=500, help="simulated studies per design")
    parser.add_argument("--permutations", type=int, default=499, help="permutations, and resamples")
    parser.add_argument("--effect", type=float, default=0.7, help="planted latent correlation")
    parser.add_argument("--json", type=Path, help="also write every number here")
    arguments = parser.parse_args()
    effects = (0.0, arguments.effect)
    cells = [
        cell
        for effect in effects
        for design in DESIGNS
        for cell in measure(design, effect, arguments.studies, arguments.permutations)
    ]
    means = [mean_coverage(design, arguments.studies) for design in DESIGNS]
    for effect in effects:
        here = [cell for cell in cells if cell.effect == effect]
        rejects = f"Rejects at 5 %, effect {effect:g} ({'power' if effect else 'size'})"
        for title, hits in ((rejects, "rejected"), (f"95 % interval covers, effect {effect:g}", "covered")):
            print(f"\n{title}; per cent of studies (Monte-Carlo interval)")
            rows = {str(cell.design): {"design": str(cell.design)} for cell in here}
            for cell in here:
                told = rate(getattr(cell, hits), cell.studies)
                told += f" w {cell.width:.2f}" if hits == "covered" else ""
                rows[str(cell.design)][cell.method] = told
            print(text_table(list(rows.values())))
    print("\nInterval of a mean, which controls are judged by, covers\n" + text_table(means))
    print("\n" + "\n".join(verdicts(cells)))
    if arguments.json:
        every: dict[str, object] = {"cells": [cell.to_dict() for cell in cells], "means": means}
        every["verdicts"] = list(verdicts(cells))
        arguments.json.write_text(json.dumps(every, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
