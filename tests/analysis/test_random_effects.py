"""Random effects: the model is statsmodels', the posterior is right."""

import warnings

import numpy as np
import pytest
from scipy.special import expit
from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

from analysis.statistics.random_effects import FIXED_SD, LOG_SD, _Model, mixed_logit


def planted(rng, families=12, pairs=40, beta=0.5, answers=1000):
    f = rng.normal(size=families)
    cells = [(t, s) for t in range(families) for s in range(families) if t != s]
    t, s = np.array([cells[i] for i in rng.permutation(len(cells))[:pairs]]).T
    x = f[t] - f[s]
    eta = beta * x + 0.6 * (
        rng.normal(size=families)[t] + rng.normal(size=families)[s] + rng.normal(size=pairs)
    )
    trials = np.full(pairs, float(answers))
    groups = [np.unique(t, return_inverse=True)[1], np.unique(s, return_inverse=True)[1], np.arange(pairs)]
    return (
        rng.binomial(answers, expit(eta)).astype(float),
        trials,
        np.column_stack([np.ones(pairs), x]),
        groups,
    )


def test_the_density_is_that_of_statsmodels_on_single_answers():
    rng = np.random.default_rng(0)
    k, n, fixed, groups = planted(rng, 5, 8, answers=6)
    levels = [np.eye(int(g.max()) + 1)[g] for g in groups]
    number = np.concatenate([np.full(each.shape[1], i) for i, each in enumerate(levels)])
    ours = _Model(k, n, np.hstack([fixed, *levels]), number, 2)
    row = np.repeat(np.arange(8), 6)
    answer = np.concatenate([np.arange(6) < each for each in k]).astype(float)
    theirs = BinomialBayesMixedGLM(
        answer, fixed[row], np.hstack(levels)[row], number, vcp_p=LOG_SD, fe_p=FIXED_SD
    )
    draws = [(rng.normal(size=ours.design.shape[1]), rng.normal(size=3)) for _ in range(5)]
    difference = [
        ours.log_joint(effects, log_sd)
        - theirs.logposterior(np.concatenate([effects[:2], log_sd, effects[2:]]))
        for effects, log_sd in draws
    ]
    assert np.ptp(difference) < 1e-8


def test_what_is_planted_is_found_as_surely_as_is_said():
    """Coverage of 95 % intervals; `benchmarks/regression_coverage.py` has that of the other fits."""
    rng = np.random.default_rng(1)
    found = [mixed_logit(*planted(rng)) for _ in range(25)]
    mean, sd = np.array([[each.mean[1], each.sd[1]] for each in found]).T
    assert all(each.converged for each in found)
    assert abs(mean.mean() - 0.5) < 0.08
    assert np.mean(np.abs(mean - 0.5) < 1.96 * sd) >= 0.8
    assert 0.7 < sd.mean() / mean.std() < 1.5


def test_with_one_group_and_many_answers_it_is_the_regression_of_the_logits():
    """Answers without end: pairs' logits are known, and coefficients have the errors of least squares."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=200)
    eta = 0.3 + 0.7 * x + 0.5 * rng.normal(size=200)
    n = np.full(200, 1e7)
    fixed = np.column_stack([np.ones(200), x])
    found = mixed_logit(np.round(n * expit(eta)), n, fixed, [np.arange(200)])
    fit, residual, *_ = np.linalg.lstsq(fixed, eta, rcond=None)
    spread = float(residual[0]) / 198
    assert found.mean == pytest.approx(fit, abs=0.01)
    assert found.sd == pytest.approx(np.sqrt(spread * np.diag(np.linalg.inv(fixed.T @ fixed))), rel=0.05)
    assert found.effects_sd[0] == pytest.approx(np.sqrt(spread), rel=0.05)


def test_separated_pairs_are_held_by_the_prior():
    x = np.linspace(-2, 2, 20)
    n = np.full(20, 1000.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = mixed_logit(n * (x > 0), n, np.column_stack([np.ones(20), x]), [np.arange(20)])
    assert 0 < found.mean[1] < 4 * FIXED_SD and found.sd[1] < FIXED_SD
