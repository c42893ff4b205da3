"""Differences of a few seeds: what is known of their mean."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from pandas import Series

from analysis.statistics.decisions import UNKNOWN, status
from analysis.statistics.seeds import paired


@pytest.mark.parametrize("values", [[0.3, 0.3], [0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2], [-2.0] * 5])
def test_equal_differences_have_the_p_of_sign_flips_and_no_interval(values: list[float]) -> None:
    mean, low, high, p, n = paired(Series(values))
    flips = [np.mean(np.array(signs) * values) for signs in product((1, -1), repeat=n)]
    assert p == np.mean(np.abs(flips) > abs(mean) - 1e-9)
    assert math.isnan(low) and math.isnan(high) and mean == pytest.approx(values[0])
    assert status(low, high, p, smallest=0.01) == UNKNOWN


def test_no_difference_at_all_is_none_and_small_spread_is_spread() -> None:
    assert paired(Series([0.0, 0.0]))[3] == 1.0 and math.isnan(paired(Series([0.0, 0.0]))[1])
    assert paired(Series([0.3, 0.3 + 1e-9, 0.3]))[3] < 1e-6
