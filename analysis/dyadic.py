"""Tests and intervals for pairs of features, which are not independent rows.

A feature is the target of one pair and the spurious feature of another, and near copies of it repeat, so a
table of pairs holds far fewer facts than rows. The unit here is the *family*: pairs of the same two families
are averaged first, the test permutes families, the interval resamples families.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.association import Array, Statistic

if TYPE_CHECKING:
    from pandas import DataFrame

PERMUTATIONS = 49_999
"""So many that Holm's correction over a hundred tests can still say 0.004."""
FEWEST_FAMILIES = 5
"""Fewer families than this give no p-value and no interval."""
FEWEST_PAIRS = 5
"""The same for pairs of families."""
FEWEST_ORDERS = 120
"""Fewer ways to permute the families than five families have give no p-value."""


@dataclass(frozen=True)
class Dyads:
    """One row per ordered pair of families, F families in all."""

    families: list[str]
    target: NDArray[np.intp]
    """[n] index of the target's family."""
    spurious: NDArray[np.intp]
    """[n] index of the spurious feature's family."""
    x: Array
    """[n] what the target's family has more of than the spurious one's, e.g. log2 bits."""
    of_family: Array
    """[F] each family's own part in x: its mean over all its pairs, in either role."""
    y: Array
    z: Array
    """[n, k] covariates."""
    z_of_family: Array
    """[F, j] the families' own parts in those covariates that have one."""
    stratum: NDArray[np.intp]
    """[F] which families may take each other's place: those with the same number."""

    def __len__(self) -> int:
        return len(self.y)


def _own(codes: list[NDArray[np.intp]], values: list[Array], families: int) -> Array:
    """Mean per family over its appearances in both roles."""
    who, what = np.concatenate(codes), np.concatenate(values)
    return np.bincount(who, what, families) / np.maximum(np.bincount(who, minlength=families), 1)


def dyads(
    table: DataFrame,
    y: str = "y",
    x: tuple[str, str] | None = ("x_target", "x_spurious"),
    covariates: Sequence[str | tuple[str, str]] = (),
) -> Dyads:
    """Average a table of pairs to one row per ordered pair of families.

    Families of different kinds of task are different families, whatever their names, and take no part in each
    other's permutations. Where no family of a kind has both roles (in English phenomena are targets, and
    nothing else is), those of one role take no part in the other's: what they cost differs by design.

    Args:
        table: columns `target_family`, `spurious_family`, and those named below; rows with a NaN among them
            are left out. `kind`, if there is one: the kind of task.
        x: two columns, a value of the target and one of the spurious feature; x is their difference
            (0 everywhere when there is none).
        covariates: a pair of columns like x, or the name of one column that belongs to the pair.
    """
    two = [c for c in covariates if not isinstance(c, str)]
    used = [y, *(x or ()), *itertools.chain(*((c,) if isinstance(c, str) else c for c in covariates))]
    roles = ["target_family", "spurious_family"]
    rows = table.assign(kind=table.get("kind", "")).loc[:, ["kind", *roles, *dict.fromkeys(used)]].dropna()
    rows = rows[np.isfinite(rows[used].to_numpy(float)).all(axis=1)]
    cells = rows.groupby(["kind", *roles], sort=True).mean().reset_index()
    first, second = (list(zip(cells["kind"], cells[role], strict=True)) for role in roles)
    families = sorted({*first, *second})
    code = {family: i for i, family in enumerate(families)}
    target, spurious = (np.array([code[f] for f in named], dtype=np.intp) for named in (first, second))

    def column(name: str) -> Array:
        return np.asarray(cells[name], float)

    def difference(pair: tuple[str, str]) -> Array:
        return column(pair[0]) - column(pair[1])

    def own(pair: tuple[str, str]) -> Array:
        return _own([target, spurious], [column(pair[0]), column(pair[1])], len(families))

    z = [column(c) if isinstance(c, str) else difference(c) for c in covariates]
    of_family = own(x) if x else np.zeros(len(families))
    return Dyads(
        [family for _, family in families],
        target, spurious, difference(x) if x else np.zeros(len(cells)), of_family, column(y),
        np.stack(z, axis=1) if z else np.zeros((len(cells), 0)),
        np.stack([own(c) for c in two], axis=1) if two else np.zeros((len(families), 0)),
        _strata(first, second, families),
    )  # fmt: skip


Family = tuple[str, str]
"""The kind of task, and the family's name."""


def _strata(targets: list[Family], spurious: list[Family], families: list[Family]) -> NDArray[np.intp]:
    """The stratum of each family: its kind, and its role where a kind has no family in both."""
    both = {kind for kind, _ in {*targets} & {*spurious}}
    key = [(family[0], family[0] in both or family in targets) for family in families]
    numbers = {each: i for i, each in enumerate(sorted(set(key)))}
    return np.array([numbers[each] for each in key], dtype=np.intp)


def _orders(stratum: NDArray[np.intp]) -> int:
    """How many orders there are of families that stay in their strata."""
    return math.prod(map(math.factorial, np.bincount(stratum).tolist()))


def _permutations(
    stratum: NDArray[np.intp], most: int, rng: np.random.Generator
) -> tuple[NDArray[np.intp], bool]:
    """All orders of the families when there are at most `most` of them, else a sample; and which it is."""
    places = np.argsort(stratum, kind="stable")
    if every := _orders(stratum) <= most:
        groups = [places[stratum[places] == number].tolist() for number in np.unique(stratum)]
        ways = itertools.product(*(itertools.permutations(group) for group in groups))
        drawn = np.array([list(itertools.chain(*way)) for way in ways], dtype=np.intp)
    else:
        drawn = np.argsort(rng.random((most, len(stratum))) + stratum, axis=1)
    orders = np.empty_like(drawn)
    orders[:, places] = drawn
    return orders, every


def dyadic_permutation(
    data: Dyads, statistic: Statistic, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> float:
    """Two-sided p-value of "which family has which x has nothing to do with y".

    Families are permuted jointly in both roles, as in QAP, but in x and not in y. A table of pairs is sparse
    (some dozens of several hundred ordered pairs): permuting the families of y would move most pairs onto
    cells that were never run, and keeping only those that land on one would throw most of the data away.
    Relative extractability is a difference between two families, x = f[target] - f[spurious] + r, so the
    vector f is permuted across families while the design, y and the small pair-specific remainder r stay.
    Every permuted table has all its cells, and y keeps whatever target and spurious effects its families
    have, so the test is exact when f is exchangeable across families given those. All orders are counted
    where they are few enough (at the default, up to 8 families of one stratum) and p is exact; otherwise the
    observed order counts as one of the permuted ones, so that p is never 0.

    Given covariates that families have a part in (bits on raw inputs, say), only the part of f that a
    least-squares fit on theirs and on the strata leaves is permuted; otherwise the test would also reject for
    an x that goes with y through the covariate alone.

    NaN with fewer than `FEWEST_FAMILIES` families, `FEWEST_PAIRS` pairs of them or `FEWEST_ORDERS` orders.

    References:
        L. Hubert (1987), Assignment methods in combinatorial data analysis.
        D. Dekker, D. Krackhardt, T. Snijders (2007), Sensitivity of MRQAP tests to collinearity and
        autocorrelation conditions, Psychometrika 72 (double semi-partialling).
    """
    count = len(data.families)
    known = np.column_stack([np.eye(data.stratum.max(initial=0) + 1)[data.stratum], data.z_of_family])
    if count < max(FEWEST_FAMILIES, known.shape[1] + 2) or len(data) < FEWEST_PAIRS:
        return math.nan
    if _orders(data.stratum) < FEWEST_ORDERS:
        return math.nan
    free = data.of_family - known @ np.linalg.lstsq(known, data.of_family, rcond=None)[0]
    fixed = data.x - (free[data.target] - free[data.spurious])
    orders, every = _permutations(data.stratum, permutations, np.random.default_rng(seed))
    shuffled = free[orders]
    x = fixed + shuffled[:, data.target] - shuffled[:, data.spurious]
    observed = float(statistic(data.x, data.y, data.z, None))
    drawn = statistic(x, data.y, data.z, None)
    if math.isnan(observed):
        return math.nan
    drawn = drawn[~np.isnan(drawn)]
    slack = 1e-9 * max(1.0, abs(observed))
    one = 0 if every else 1
    above = (one + (drawn >= observed - slack).sum()) / (one + len(drawn))
    below = (one + (drawn <= observed + slack).sum()) / (one + len(drawn))
    return float(min(1.0, 2 * min(above, below)))
