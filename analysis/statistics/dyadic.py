"""Tests and intervals for pairs of features, which are not independent rows.

A feature is the target of one pair and the spurious feature of another, and near copies of it repeat, so a
table of pairs holds far fewer facts than rows. The unit here is the *family*: pairs of the same two families
are averaged first; `analysis.statistics.permutation` tests, and gives intervals, by permuting families.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.association import Array

if TYPE_CHECKING:
    from pandas import DataFrame

FEWEST_FAMILIES = 5
"""Fewer families than this give no p-value and no interval."""
FEWEST_PAIRS = 5
"""The same for pairs of families."""


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
    x_roles: Array
    """[n, 2] the target's value and the spurious feature's, whose difference x is."""
    y: Array
    z: Array
    """[n, k] covariates."""
    z_roles: Array
    """[n, k, 2] the same in two roles; a covariate that belongs to the pair stands at the target."""
    stratum: NDArray[np.intp]
    """[F] which families may take each other's place: those with the same number."""

    def __len__(self) -> int:
        return len(self.y)


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

    def roles_of(covariate: str | tuple[str, str]) -> Array:
        none = np.zeros(len(cells))
        found = (covariate, None) if isinstance(covariate, str) else covariate
        return np.stack([none if name is None else column(name) for name in found], axis=-1)

    x_roles = roles_of(x) if x else np.zeros((len(cells), 2))
    z_roles = np.zeros((len(cells), len(covariates), 2))
    for i, covariate in enumerate(covariates):
        z_roles[:, i] = roles_of(covariate)
    return Dyads(
        [family for _, family in families],
        target, spurious, x_roles[:, 0] - x_roles[:, 1], x_roles, column(y),
        z_roles[..., 0] - z_roles[..., 1], z_roles, _strata(first, second, families),
    )  # fmt: skip


Family = tuple[str, str]
"""The kind of task, and the family's name."""


def _strata(targets: list[Family], spurious: list[Family], families: list[Family]) -> NDArray[np.intp]:
    """The stratum of each family: its kind, and its role where a kind has no family in both."""
    both = {kind for kind, _ in {*targets} & {*spurious}}
    key = [(family[0], family[0] in both or family in targets) for family in families]
    numbers = {each: i for i, each in enumerate(sorted(set(key)))}
    return np.array([numbers[each] for each in key], dtype=np.intp)
