"""The batched logistic regression finds scikit-learn's optimum."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from probes import fit_logistic
from probes.logistic import SINGLE
from tasks.errors import UserError


def problem(n, d, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) / np.sqrt(d) + 1
    separable = X @ rng.normal(size=d) > 0.3
    rare = np.arange(n) < 2
    return X, np.stack([separable, rng.random(n) < 0.5, rng.random(n) < 0.8, rare], 1).astype(int)


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
@pytest.mark.parametrize(("n", "d"), [(6, 20), (60, 60), (400, 16)])
def test_the_optimum_is_scikit_learn_s(n, d, l2):
    X, Y = problem(n, d)
    fit = fit_logistic(X, Y, l2)
    assert fit.converged.all()
    for j, y in enumerate(Y.T):
        if 0 < y.sum() < n:
            theirs = LogisticRegression(C=1 / l2, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(
                X, y
            )
            np.testing.assert_allclose(fit.weights[:, j], theirs.coef_[0], atol=1e-4)
            np.testing.assert_allclose(fit.intercepts[j], theirs.intercept_[0], atol=1e-4)


def test_the_gradient_of_the_stated_objective_is_zero_at_the_answer():
    X, Y = problem(200, 30)
    l2 = np.array([0.1, 1.0, 10.0, 100.0])
    fit = fit_logistic(X, Y, l2)
    error = 1 / (1 + np.exp(-fit.log_odds(X))) - Y
    np.testing.assert_allclose(X.T @ error + l2 * fit.weights, 0, atol=1e-4)
    np.testing.assert_allclose(error.sum(0), 0, atol=1e-5)


def test_columns_solved_together_are_those_solved_alone():
    X, Y = problem(150, 12)
    together = fit_logistic(X, Y).weights
    alone = np.concatenate([fit_logistic(X, Y[:, [j]]).weights for j in range(Y.shape[1])], 1)
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_single_precision_gives_the_same_answers():
    X, Y = problem(300, 40)
    quick, exact = fit_logistic(X, Y, tol=SINGLE), fit_logistic(X, Y)
    assert quick.converged.all()
    np.testing.assert_allclose(quick.log_odds(X), exact.log_odds(X), atol=1e-2)
    error = 1 / (1 + np.exp(-quick.log_odds(X))) - Y
    gradient = np.vstack([X.T @ error + quick.weights, error.sum(0)])
    assert np.linalg.norm(gradient, axis=0).max() <= 3 * SINGLE * len(X) * np.abs(X).max()


def test_what_single_precision_cannot_reach_is_finished_in_double():
    """Raw inputs of very unlike sizes: no optimum is worse than that of a solver of second order."""
    X, Y = problem(300, 10)
    for sizes in (np.geomspace(1e-4, 1e4, 10), np.where(np.arange(10), 1.0, 1e8)):
        unlike = X * sizes
        fit, exact = fit_logistic(unlike, Y, tol=SINGLE), fit_logistic(unlike, Y)
        for j, y in enumerate(Y.T):
            theirs = LogisticRegression(solver="newton-cholesky", max_iter=20).fit(unlike, y)
            best = min(
                objective(unlike, y, theirs.coef_[0], theirs.intercept_[0]),
                objective(unlike, y, exact.weights[:, j], exact.intercepts[j]),
            )
            ours = objective(unlike, y, fit.weights[:, j], fit.intercepts[j])
            assert ours <= best * (1 + 1e-4) + 1e-4 or not fit.converged[j]
        assert fit.converged.sum() >= 2


def objective(X, y, weights, intercept):
    log_odds = X @ weights + intercept
    return np.logaddexp(0, log_odds).sum() - (y * log_odds).sum() + (weights**2).sum() / 2


@pytest.mark.parametrize("size", [1e30, 1e38])
def test_what_overflows_single_precision_is_no_nan(size):
    X, Y = problem(60, 5)
    fit = fit_logistic(X * size, Y, tol=SINGLE)
    assert np.isfinite(fit.weights).all() and np.isfinite(fit.intercepts).all()


def test_inputs_that_are_no_numbers_are_refused():
    X, Y = problem(30, 4)
    X[3, 2] = np.inf
    with pytest.raises(UserError, match="finite"):
        fit_logistic(X, Y)


def test_a_fit_cut_short_says_so():
    X, Y = problem(200, 30)
    assert not fit_logistic(X, Y, max_steps=1).converged.any()


def test_badly_scaled_and_repeated_inputs_still_converge():
    X, Y = problem(300, 10)
    X = np.concatenate([X * 100, X, np.ones((300, 1))], 1)
    assert fit_logistic(X, Y, 1e-3).converged.all()
