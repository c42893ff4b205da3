"""What the test of models within pairs can find, before any has been run: its power by simulation.

What features cost, and the own effects of targets' and of spurious features' families on U, are random walks
over the models, as along a training; with noise, and on the scale of `analysis.pairs.power`.
"""

from __future__ import annotations

import math

import numpy as np
from pandas import DataFrame

from analysis.pairs.power import MOST, NOISE, PLANTED, WANTED, Power
from analysis.pairs.within_pairs import Cells, within_slope
from analysis.statistics.association import Array
from analysis.statistics.dyadic import FEWEST_FAMILIES
from analysis.statistics.dyadic_errors import Codes, dyadic_errors, family_codes
from analysis.use import wilson


def power_over_models(
    pairs: DataFrame, models: int, *, simulations: int = 1000, seed: int = 0
) -> Power | None:
    """Power where every pair is tuned from every model and every run learns; None without a p-value.

    `pairs` has columns `kind`, `target_family` and `spurious_family`.
    """
    target, spurious = family_codes(pairs)
    families = len(np.unique(np.concatenate([target, spurious])))
    if families < FEWEST_FAMILIES or models < 3:
        return None

    def found(effect: float) -> int:
        rng = np.random.default_rng(seed)
        return sum(rejects(simulated(target, spurious, models, effect, rng)) for _ in range(simulations))

    hits, low, high, detectable = found(PLANTED), 0.0, MOST, math.nan
    if found(high) >= WANTED * simulations:
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (low, middle) if found(middle) >= WANTED * simulations else (middle, high)
        detectable = high
    interval = wilson(hits, simulations)
    return Power(hits / simulations, *interval, detectable, simulations, families, len(pairs))


def rejects(cells: Cells, level: float = 0.05) -> bool:
    """Whether the slope within pairs differs from 0, by dyadic-robust errors."""
    errors = dyadic_errors(
        lambda out: within_slope(cells.x, cells.y, cells.pair, 1 - out)[:, None],
        cells.target, cells.spurious, cells.model,
    )  # fmt: skip
    value = within_slope(cells.x, cells.y, cells.pair, np.ones((1, len(cells.y))))
    return bool(errors.p(value)[0] <= level)


def simulated(target: Codes, spurious: Codes, models: int, effect: float, rng: np.random.Generator) -> Cells:
    """Cells of every pair and model; without an effect, x and U drift each by themselves."""
    many = int(max(target.max(), spurious.max())) + 1
    bits, a, b = rng.normal(size=(3, many, models)).cumsum(axis=2)
    shape = (len(target), models)
    x = _scaled(bits[target] - bits[spurious])
    own = _scaled(a[target] + b[spurious] + NOISE * rng.normal(size=shape))
    y = effect * x + math.sqrt(1 - effect**2) * own
    pair, model = np.indices(shape)
    return Cells(
        pair.ravel(),
        model.ravel(),
        np.repeat(target, models),
        np.repeat(spurious, models),
        x.ravel(),
        y.ravel(),
    )


def _scaled(values: Array) -> Array:
    """Less the pairs' means, at variance 1."""
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / centred.std())
