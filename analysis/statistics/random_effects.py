"""A logistic regression of counts with random effects: its posterior, by nested Laplace approximations."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from analysis.statistics.association import Array

FIXED_SD, LOG_SD = 2.0, 1.0
"""Standard deviations of the priors, normal around 0, of coefficients and of the logs of the effects' own
standard deviations; statsmodels has the same."""
_NODES = (-np.sqrt(3), 0.0, np.sqrt(3))
_WEIGHTS = (1 / 6, 2 / 3, 1 / 6)
_STEPS, _LEAST = 100, 1e-8


@dataclass(frozen=True)
class Posterior:
    """What the data leave of the priors."""

    mean: Array
    """[k] coefficients, on the logit scale."""
    sd: Array
    effects_sd: Array
    """[g] standard deviation of each group of random effects, at the mode."""
    converged: bool


@dataclass(frozen=True)
class _Model:
    successes: Array
    trials: Array
    design: Array
    """[n, k + all levels] coefficients' columns, then one of 0 and 1 for each random effect."""
    group: NDArray[np.intp]
    """[all levels] which group each random effect belongs to."""
    k: int

    def precision(self, log_sd: Array) -> Array:
        return np.concatenate([np.full(self.k, FIXED_SD**-2), np.exp(-2 * log_sd[self.group])])

    def log_joint(self, effects: Array, log_sd: Array) -> float:
        """Log density of data, effects and standard deviations, but for a constant."""
        eta = self.design @ effects
        likelihood = self.successes @ eta - self.trials @ np.logaddexp(0, eta)
        prior = -0.5 * self.precision(log_sd) @ effects**2 - log_sd[self.group].sum()
        return float(likelihood + prior - 0.5 * (log_sd**2).sum() / LOG_SD**2)

    def mode(self, log_sd: Array, start: Array) -> tuple[Array, Array, bool]:
        """The likeliest effects at given standard deviations, the curvature there, and whether it was found.

        Newton's method on a concave function.
        """
        precision = self.precision(log_sd)
        effects = start
        now = self.log_joint(effects, log_sd)
        for _ in range(_STEPS):
            rate = expit(self.design @ effects)
            slope = self.design.T @ (self.successes - self.trials * rate) - precision * effects
            bend = (self.design.T * (self.trials * rate * (1 - rate))) @ self.design + np.diag(precision)
            step = np.linalg.solve(bend, slope)
            if slope @ step < _LEAST:
                return effects, bend, True
            size = 1.0
            while (then := self.log_joint(effects + size * step, log_sd)) < now - 1e-10 * abs(now):
                size /= 2
                if size < _LEAST:
                    return effects, bend, False
            effects, now = effects + size * step, then
        return effects, bend, False

    def log_marginal(self, log_sd: Array, start: Array) -> tuple[float, Array, Array, bool]:
        """Log posterior density of the standard deviations, by Laplace; effects, coefficients' variances."""
        effects, bend, found = self.mode(log_sd, start)
        density = self.log_joint(effects, log_sd) - 0.5 * float(np.linalg.slogdet(bend)[1])
        return density, effects, np.diag(np.linalg.inv(bend))[: self.k], found


def mixed_logit(
    successes: Array, trials: Array, fixed: Array, groups: Sequence[NDArray[np.intp]]
) -> Posterior:
    """The posterior of logit(rate) = fixed @ coefficients + one random effect of each group.

    The model and the priors are those of statsmodels' BinomialBayesMixedGLM, for counts in place of single
    answers. Its own two approximations are not used: the factored one takes the effects as known when it says
    how sure a coefficient is, and its 95 % intervals cover a coefficient that varies between pairs in 13 to
    40 % of simulated studies; those here in 94 to 97 % (`benchmarks/regression_coverage.py`).

    Args:
        fixed: [n, k], with a constant.
        groups: for each group of effects the level of each row, numbered from 0.

    References:
        H. Rue, S. Martino, N. Chopin (2009), Approximate Bayesian inference for latent Gaussian models by
        using integrated nested Laplace approximations.
    """
    levels = [np.eye(int(group.max()) + 1)[group] for group in groups]
    number = np.concatenate([np.full(each.shape[1], i) for i, each in enumerate(levels)])
    model = _Model(successes, trials, np.hstack([fixed, *levels]), number, fixed.shape[1])
    count = len(levels)

    near = np.zeros(model.design.shape[1])

    def cost(log_sd: Array) -> float:
        nonlocal near
        density, near, *_ = model.log_marginal(log_sd, near)
        return -density

    options = {"eps": 1e-3, "gtol": 1e-3, "ftol": 1e-9}
    # Not alike: two groups that are nearly one have a saddle there.
    start = np.linspace(-0.5, 0.5, count)
    best = minimize(cost, start, method="L-BFGS-B", bounds=[(-6, 6)] * count, options=options)
    spread, proper = _spread(cost, best.x)
    points = np.array(list(itertools.product(_NODES, repeat=count)))
    weights = np.prod(np.array(list(itertools.product(_WEIGHTS, repeat=count))), axis=1)
    parts = [model.log_marginal(best.x + spread @ point, near) for point in points]
    density = np.array([part[0] for part in parts]) + 0.5 * (points**2).sum(1)
    weights = weights * np.exp(density - density.max())
    weights = weights / weights.sum()
    means, variances = np.array([part[1][: model.k] for part in parts]), np.array([part[2] for part in parts])
    mean = weights @ means
    sd = np.sqrt(weights @ (variances + means**2) - mean**2)
    converged = bool(best.success and proper and all(part[3] for part in parts))
    return Posterior(mean, sd, np.exp(best.x), converged)


def _spread(cost: Callable[[Array], float], at: Array, step: float = 0.1) -> tuple[Array, bool]:
    """Square root of the inverse curvature at a minimum, and whether it is one."""
    moves = step * np.eye(len(at))
    curvature = np.array(
        [
            [cost(at + a + b) - cost(at + a - b) - cost(at - a + b) + cost(at - a - b) for b in moves]
            for a in moves
        ]
    ) / (4 * step**2)
    values, vectors = np.linalg.eigh(curvature)
    return vectors / np.sqrt(np.maximum(values, 1 / LOG_SD**2 / 4)), bool(values[0] > 0)
