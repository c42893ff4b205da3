"""Estimating equations: their errors by hand, and no p-value from a fit that did not converge."""

import warnings

import numpy as np
import pytest
from scipy.special import expit

from analysis.statistics.marginal_logit import gee


def rows(seed=0, n=60, groups=12):
    rng = np.random.default_rng(seed)
    group = rng.integers(groups, size=n)
    x = rng.normal(size=n) + rng.normal(size=groups)[group]
    rate = expit(0.4 * x + rng.normal(size=groups)[group] + 0.5 * rng.normal(size=n))
    return rate, np.column_stack([np.ones(n), x]), group


def test_errors_are_mancl_and_derouens():
    rate, design, group = rows()
    (found,) = gee(rate, design, group, ["x"], "GEE", "")
    beta = np.zeros(2)
    for _ in range(50):
        mu = expit(design @ beta)
        bread = (design.T * (mu * (1 - mu))) @ design
        beta = beta + np.linalg.solve(bread, design.T @ (rate - mu))
    mu = expit(design @ beta)
    meat = np.zeros((2, 2))
    for g in np.unique(group):
        d, v = design[group == g], (mu * (1 - mu))[group == g]
        hat = (d * v[:, None]) @ np.linalg.inv(bread) @ d.T
        left = np.linalg.solve(np.eye(len(d)) - hat, (rate - mu)[group == g])
        meat += np.outer(d.T @ left, d.T @ left)
    error = np.sqrt(np.diag(np.linalg.inv(bread) @ meat @ np.linalg.inv(bread)))[1]
    assert found.value == pytest.approx(beta[1], rel=1e-5)
    assert found.error == pytest.approx(error, rel=1e-4)
    assert found.converged and found.groups == 12


def test_separated_rows_have_no_coefficient_and_no_p():
    x = np.linspace(-2, 2, 40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = gee(
            (x > 0).astype(float), np.column_stack([np.ones(40), x]), np.arange(40) % 10, ["x"], "", ""
        )
    assert not found.converged and np.isnan(found.p) and np.isnan(found.value) and found.note


def test_a_fit_that_stopped_early_has_no_p(monkeypatch):
    from statsmodels.genmod.generalized_estimating_equations import GEE

    fit = GEE.fit
    monkeypatch.setattr(GEE, "fit", lambda self, **options: fit(self, ctol=0.0, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = gee(*rows(), ["x"], "", "")
    assert not found.converged and np.isnan(found.p) and "converge" in found.note


def test_too_few_groups_are_told():
    rate, design, group = rows(groups=2)
    (found,) = gee(rate, design, group, ["x"], "", "")
    assert np.isnan(found.p) and "2 groups, 3 are needed" in found.note
