"""Least squares over pairs of families."""

import dataclasses

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.statistics.association import slope
from analysis.statistics.dyadic import dyads
from analysis.statistics.linear_regression import linear_regression
from benchmarks.known_truth import dyadic_table


def some(seed=0, **options):
    return dyads(dyadic_table(np.random.default_rng(seed), 12, 50, **options))


def test_coefficients_are_those_of_statsmodels():
    data = some()
    data = dataclasses.replace(data, z=np.random.default_rng(1).normal(size=(len(data), 2)))
    rows = linear_regression(data, ["x", "a", "b"], "y ~ x + a + b")
    reference = sm.OLS(data.y, np.column_stack([np.ones(len(data)), data.x, data.z])).fit()
    assert [row.value for row in rows] == pytest.approx(list(reference.params[1:]))
    assert [row.term for row in rows] == ["x", "a", "b"] and all(row.groups == 12 for row in rows)
    assert all(row.low < row.value < row.high and 0 <= row.p <= 1 for row in rows)


def test_without_covariates_it_is_the_slope_of_the_claims():
    data = some(effect=0.7)
    (row,) = linear_regression(data, ["x"], "y ~ x")
    assert row.value == pytest.approx(float(slope(data.x, data.y, data.z, None)))


def test_units_and_order_do_not_matter():
    data = some(effect=0.5)
    data = dataclasses.replace(data, z=np.random.default_rng(1).uniform(0.5, 0.65, size=(len(data), 1)))
    order = np.random.default_rng(2).permutation(len(data))
    moved = dataclasses.replace(
        data, x=100 * data.x[order], y=data.y[order], z=data.z[order],
        target=data.target[order], spurious=data.spurious[order],
    )  # fmt: skip
    first, second = (linear_regression(d, ["x", "z"], "")[0] for d in (data, moved))
    assert second.value * 100 == pytest.approx(first.value) and second.p == pytest.approx(first.p)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: {"z": np.column_stack([2 * d.x])}, "explain all"),
        (lambda d: {"x": np.zeros(len(d))}, "does not vary"),
        (lambda d: {"y": np.ones(len(d))}, "the same in every pair"),
    ],
)
def test_what_cannot_be_fitted_says_why(change, why):
    data = some()
    data = dataclasses.replace(data, **change(data))
    rows = linear_regression(data, ["x", "z"][: 1 + data.z.shape[1]], "")
    assert rows and all(np.isnan(row.value) and not row.converged and why in row.note for row in rows)
