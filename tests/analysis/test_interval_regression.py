"""Interval-censored regression: least squares where nothing is censored, planted values where much is."""

import warnings

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import CensoredData, norm

from analysis.statistics.dyadic import dyads
from analysis.statistics.interval_regression import fit_intervals, interval_regression
from analysis.statistics.linear_regression import design_of, linear_regression
from benchmarks.known_truth import dyadic_table

CUTS = np.array([0.0, 1.0, 2.0, 4.0])


def cut(y):
    place = np.searchsorted(CUTS, y)
    return np.append(-np.inf, CUTS)[place], np.append(CUTS, np.inf)[place]


def planted(seed=0, n=400, sd=1.0):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return design, design @ [1.0, 0.8, -0.5] + sd * rng.normal(size=n)


def test_without_censoring_it_is_least_squares_to_the_last_error():
    data = dyads(dyadic_table(np.random.default_rng(0), 12, 50, effect=0.5))
    (ours,) = interval_regression(data.y, data.y, design_of(data), (data.target, data.spurious), ["x"], "")
    (reference,) = linear_regression(data, ["x"], "")
    for name in ("value", "error", "low", "high", "p"):
        assert getattr(ours, name) == pytest.approx(getattr(reference, name), rel=1e-6), name


def test_it_is_the_maximum_of_the_likelihood():
    design, y = planted()
    low, high = cut(y)
    low[:50], high[:50] = y[:50], y[:50]

    def cost(params):
        centre, sd = design @ params[:3], np.exp(params[3])
        chance = norm.cdf((high - centre) / sd) - norm.cdf((low - centre) / sd)
        with np.errstate(divide="ignore"):
            return -np.where(low == high, norm.logpdf(y, centre, sd), np.log(chance)).sum()

    options = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 5000, "maxfev": 5000}
    best = minimize(cost, [1.0, 1.0, 0.0, 0.0], method="Nelder-Mead", options=options)
    found = fit_intervals(low, high, design, np.ones((1, len(y))))[0]
    assert found == pytest.approx(best.x, abs=1e-5)


def test_without_terms_it_is_what_scipy_fits():
    _, y = planted(3)
    low, high = cut(y)
    data = CensoredData.interval_censored(low, high)
    found = fit_intervals(low, high, np.ones((len(y), 1)), np.ones((1, len(y))))[0]
    centre, sd = norm.fit(data)
    assert found == pytest.approx([centre, np.log(sd)], abs=1e-3)


def test_planted_coefficients_come_back():
    found = np.array([fit_intervals(*cut(y), d, np.ones((1, 400)))[0] for d, y in map(planted, range(20))])
    assert found.mean(0) == pytest.approx([1.0, 0.8, -0.5, 0.0], abs=0.06)


def test_a_row_of_weight_0_is_not_there_and_units_do_not_matter():
    design, y = planted(1, 60)
    low, high = cut(y)
    weights = np.ones((2, 60))
    weights[1, :20] = 0
    both = fit_intervals(low, high, design, weights)
    part = fit_intervals(low[20:], high[20:], design[20:], np.ones((1, 40)))[0]
    assert both[1] == pytest.approx(part, abs=1e-8) and both[0] != pytest.approx(part, abs=1e-3)
    scaled = fit_intervals(1000 * low + 7, 1000 * high + 7, design * [1, 1e-3, 1], np.ones((1, 60)))[0]
    assert scaled[1] == pytest.approx(1e6 * both[0, 1]) and scaled[0] == pytest.approx(1000 * both[0, 0] + 7)


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (np.full(40, -3.0), "every pair is left-censored"),
        (np.full(40, 9.0), "every pair is right-censored"),
        (np.full(40, 1.5), "the same in every pair"),
        (np.where(np.arange(40) < 20, -3.0, 9.0), "no maximum"),
    ],
)
def test_what_says_too_little_is_told_and_raises_no_warning(y, why):
    target, spurious = np.arange(40) % 8, (np.arange(40) + 1 + np.arange(40) // 8) % 8
    design = np.column_stack([np.ones(40), np.arange(40.0)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = interval_regression(*cut(y), design, (target, spurious), ["x"], "")
    assert not found.converged and np.isnan(found.value) and np.isnan(found.p) and why in found.note
