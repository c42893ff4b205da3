"""Does x go with y, and how steeply? Answered by permuting families, for p and interval alike.

A table of pairs is sparse (some dozens of several hundred ordered pairs), so y is never moved: most of its
pairs would land on cells that were never run. x is, for it can be put together again: what a family costs as
target, less what another costs as spurious feature, plus a small remainder of the pair.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, fields
from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.association import AT_ONCE, Array, Statistic, as_correlation
from analysis.statistics.dyadic import FEWEST_FAMILIES, FEWEST_PAIRS, Dyads

PERMUTATIONS = 49_999
"""So many that Holm's correction over a hundred tests can still say 0.004."""
FEWEST_ORDERS = 120
"""Fewer ways to permute the families than five families have give no p-value."""
SAME = 1e-9
"""Correlations closer than this are equal: the rest is rounding."""


@dataclass(frozen=True)
class Permuted:
    """What the permutations say; NaN where there are too few families, pairs or orders."""

    p: float
    low: float
    high: float


NOTHING = Permuted(math.nan, math.nan, math.nan)

ANSWERS = 2_000
"""How many answers are kept, each with its pairs, some kilobytes: sets of pairs are often equal, and tables
and figures ask the same. A study of a thousand runs asks for fourteen."""


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


def _free(data: Dyads) -> Array:
    """[n, 2] x in both roles without what a least-squares fit on the covariates explains of it.

    The fit is within strata, between which nothing is ever exchanged.
    """
    strata = np.eye(data.stratum.max(initial=0) + 1)[data.stratum]
    design = np.column_stack([data.z, strata[data.target], strata[data.spurious]])
    fit = np.linalg.lstsq(design, data.x, rcond=1e-9)[0][: data.z.shape[1]]
    return np.asarray(data.x_roles - np.einsum("nkr,k->nr", data.z_roles, fit))


def _of_families(data: Dyads, values: Array) -> Array:
    """[F, 2] each family's mean in either role.

    One that has been in one role only is taken to differ from itself in the other as those of its stratum do
    on average that have been in both.
    """
    count = len(data.families)
    codes = (data.target, data.spurious)
    times = np.stack([np.bincount(code, minlength=count) for code in codes], axis=1)
    sums = np.stack([np.bincount(c, v, count) for c, v in zip(codes, values.T, strict=True)], axis=1)
    own = sums / np.maximum(times, 1)
    both = (times > 0).all(axis=1)
    shift = np.zeros(count)
    for number in np.unique(data.stratum):
        known = both & (data.stratum == number)
        if known.any():
            shift[data.stratum == number] = np.mean(own[known, 0] - own[known, 1])
    own[:, 0] = np.where(times[:, 0] > 0, own[:, 0], own[:, 1] + shift)
    own[:, 1] = np.where(times[:, 1] > 0, own[:, 1], own[:, 0] - shift)
    return own


def permuted(data: Dyads, permutations: int, rng: np.random.Generator) -> tuple[Array, bool]:
    """[m, n] x under permuted families and remainders, and whether these are all that there are."""
    free = _free(data)
    own = _of_families(data, free)
    rest = free[:, 0] - free[:, 1] - (own[data.target, 0] - own[data.spurious, 1])
    orders, every = _permutations(data.stratum, permutations, rng)
    alone = np.abs(rest).max(initial=0) < SAME * max(1.0, float(np.abs(data.x).max(initial=0)))
    if every and not alone:
        orders = np.tile(orders, (max(1, permutations // len(orders)), 1))
    x = own[orders[:, data.target], 0] - own[orders[:, data.spurious], 1]
    x += data.x - (free[:, 0] - free[:, 1])
    kind = data.stratum[data.target] * (data.stratum.max(initial=0) + 1) + data.stratum[data.spurious]
    for number in np.unique(kind):
        ours = np.flatnonzero(kind == number)
        moved = np.tile(rest[ours], (len(orders), 1))
        x[:, ours] += rng.permuted(moved, axis=1, out=moved)
    return x, bool(every and alone)


def testable(data: Dyads) -> bool:
    """Whether there are families, pairs and orders enough for a p-value."""
    fewest = max(FEWEST_FAMILIES, 2 + data.z.shape[1] + len(np.unique(data.stratum)))
    enough = len(data.families) >= fewest and len(data) >= FEWEST_PAIRS
    return enough and _orders(data.stratum) >= FEWEST_ORDERS


def dyadic_permutation(
    data: Dyads,
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Permuted:
    """Two-sided p-value of "which family has which x has nothing to do with y", and the interval with it.

    Families are permuted jointly in both roles, as in QAP: an order of the families gives each family's place
    another's two numbers, what that one costs as target and as spurious feature (means over its pairs). What
    these leave of x belongs to a pair and is permuted among pairs. Design and y stay, with whatever target
    and spurious effects y's families have, so the test is exact when families are exchangeable in x given
    those. All orders are counted, and p is exact, where they are few enough (at the default, those of up to 8
    families of one stratum) and pairs have no remainders; otherwise the observed order counts as one of those
    drawn, so that p is never 0.

    The interval holds the slopes b that the same permutations do not reject as the slope of y's scores on x's
    (ranks, or values). With both of unit length, y - b x goes with a permuted x as far as it does with x when
    c - b d >= r - b, where r, c and d are the correlations of x and y, of permuted x and y, of permuted x and
    x. So each permutation rejects on one side of (r - c) / (1 - d), p counts these on either side of 0, and
    the interval ends at two of them: it holds "no association" exactly when p is above 1 - confidence.

    Given covariates, what a least-squares fit on them explains of x stays where it is and the rest is
    permuted; otherwise the test would also reject for an x that goes with y through a covariate alone.

    Why remainders are permuted too: held in place, they enter all permuted x alike, and the slopes are those
    of y on what families cost, not on x. Where half of the variance of x was of pairs, such an interval
    covered in 19 to 90 % of simulated studies. One number a family in place of two leaves a family's part in
    the remainder, and rejects a true null in up to 14 % (`benchmarks/known_truth.py` has such designs).

    NaN with fewer than `FEWEST_FAMILIES` families, `FEWEST_PAIRS` pairs of them or `FEWEST_ORDERS` orders. No
    interval where x and y agree wholly (what they leave shows no spread).

    References:
        L. Hubert (1987), Assignment methods in combinatorial data analysis.
        D. Dekker, D. Krackhardt, T. Snijders (2007), Sensitivity of MRQAP tests to collinearity and
        autocorrelation conditions, Psychometrika 72 (double semi-partialling).
        P. Garthwaite (1996), Confidence intervals from randomization tests, Biometrics 52.
    """
    return _answer(_Asked(_content(data), data), statistic, confidence, permutations, seed)


@dataclass(frozen=True)
class _Asked:
    """Pairs that are equal where their content is."""

    content: bytes
    data: Dyads = field(compare=False)


def _content(data: Dyads) -> bytes:
    """A digest of all that an answer hangs on."""
    digest = sha256()
    for column in fields(data):
        if column.name != "families":
            values = getattr(data, column.name)
            digest.update(f" {values.dtype} {values.shape} ".encode() + values.tobytes())
    return digest.digest()


@lru_cache(maxsize=ANSWERS)
def _answer(asked: _Asked, statistic: Statistic, confidence: float, permutations: int, seed: int) -> Permuted:
    data = asked.data
    form = as_correlation(statistic, data.x, data.y, data.z)
    if form is None or not testable(data):
        return NOTHING
    x, every = permuted(data, permutations, np.random.default_rng(seed))
    own = form.scores(data.x)
    r = float(own @ form.y)
    both = np.column_stack([form.y, own])
    parts = [form.scores(x[i : i + AT_ONCE]) @ both for i in range(0, len(x), AT_ONCE)]
    gap, room = np.array([[r], [1.0]]) - np.concatenate(parts).T
    told = room > SAME
    slopes = np.sort(np.where(np.abs(gap) < SAME, 0.0, gap)[told] / room[told])
    # The observed order, and all that cannot be told from it, speak for every slope.
    silent = int((~told).sum()) + (0 if every else 1)
    total = len(slopes) + silent
    p = 2 * (silent + min((slopes <= 0).sum(), (slopes >= 0).sum())) / total
    last = math.floor((1 - confidence) / 2 * total + SAME) - silent
    low, high = (slopes[last], slopes[-1 - last]) if last >= 0 else (-math.inf, math.inf)
    ends = [max(form.least, form.centre + form.scale * low), min(form.most, form.centre + form.scale * high)]
    if abs(r) > 1 - SAME or not np.isfinite(ends).all():
        ends = [math.nan, math.nan]
    return Permuted(float(min(1.0, p)), float(ends[0]), float(ends[1]))
