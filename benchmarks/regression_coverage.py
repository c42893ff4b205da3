"""How often do the intervals of each regression cover what was planted?

Simulated tables of pairs of families, as in `benchmarks.known_truth`, without an effect: the linear fit with
errors that take rows for independent, with the textbook's dyadic-robust ones, and with their jackknife form.
And counts of answers with effects of the target's family, the spurious feature's and the pair: the posterior
by nested Laplace, statsmodels' factored approximation of it, and GEE by either role.

    python -m benchmarks.regression_coverage [--studies 200]
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm
from scipy.stats import t as student

from analysis.pairs.tables import text_table
from analysis.statistics.association import Array
from analysis.statistics.dyadic import dyads
from analysis.statistics.dyadic_errors import dyadic_sandwich
from analysis.statistics.linear_regression import design_of, linear_regression
from analysis.statistics.marginal_logit import gee
from analysis.statistics.random_effects import FIXED_SD, LOG_SD, mixed_logit
from benchmarks.known_truth import dyadic_table, rate

DESIGNS = ((8, 24), (14, 24), (14, 60), (30, 60), (30, 300))
"""Families and pairs."""
ANSWERS = 200
"""Of each pair. Few, so that statsmodels' fit of single answers can be had in a minute."""
BETA = 0.5


def linear(families: int, pairs: int, studies: int) -> dict[str, int]:
    """How many intervals of the slope cover 0."""
    covered = {"rows": 0, "sandwich": 0, "jackknife": 0}
    rng = np.random.default_rng([families, pairs])
    for _ in range(studies):
        data = dyads(dyadic_table(rng, families, pairs))
        (found,) = linear_regression(data, ["x"], "")
        covered["jackknife"] += found.low <= 0 <= found.high
        design = design_of(data)
        inverse = np.linalg.inv(design.T @ design)
        rest = data.y - design @ inverse @ design.T @ data.y
        variance = dyadic_sandwich(design * rest[:, None] @ inverse, data.target, data.spurious)[1, 1]
        by_rows = inverse[1, 1] * float(rest @ rest) / (len(data) - 2)
        for name, v, freedom in (
            ("sandwich", variance, len(data.families) - 1),
            ("rows", by_rows, len(data) - 2),
        ):
            half = student.ppf(0.975, freedom) * np.sqrt(max(v, 0.0))
            covered[name] += abs(found.value) <= half
    return covered


def counted(families: int, pairs: int, rng: np.random.Generator) -> tuple[Array, Array, list[Any]]:
    """Counts of answers by the spurious feature, the design, and target's family, spurious one's and pair."""
    f, a, b = rng.normal(size=(3, families))
    cells = [(t, s) for t in range(families) for s in range(families) if t != s]
    t, s = np.array([cells[i] for i in rng.permutation(len(cells))[:pairs]]).T
    x = f[t] - f[s]
    rate = expit(BETA * x + 0.5 * (a[t] + b[s] + rng.normal(size=pairs)))
    groups = [np.unique(t, return_inverse=True)[1], np.unique(s, return_inverse=True)[1], np.arange(pairs)]
    return rng.binomial(ANSWERS, rate).astype(float), np.column_stack([np.ones(pairs), x]), groups


def factored(k: Array, design: Array, groups: list[Any]) -> tuple[float, float]:
    """Mean and standard deviation of the slope by statsmodels' variational fit of single answers."""
    from scipy.sparse import csr_array
    from statsmodels.genmod.bayes_mixed_glm import BinomialBayesMixedGLM

    levels = [np.eye(int(g.max()) + 1)[g] for g in groups]
    number = np.concatenate([np.full(each.shape[1], i) for i, each in enumerate(levels)])
    row = np.repeat(np.arange(len(k)), ANSWERS)
    answer = (np.tile(np.arange(ANSWERS), len(k)) < k[row]).astype(float)
    model = BinomialBayesMixedGLM(
        answer, design[row], csr_array(np.hstack(levels)[row]), number, vcp_p=LOG_SD, fe_p=FIXED_SD
    )
    size = model.k_fep + model.k_vcp + model.k_vc
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit_vb(mean=np.zeros(size), sd=np.full(size, 0.5))
    return float(fit.fe_mean[1]), float(fit.fe_sd[1])


def logistic(families: int, pairs: int, studies: int, variational: int) -> dict[str, tuple[int, int]]:
    """How many intervals cover the slope that was planted (GEE: the population's slope), and of how many."""
    rng = np.random.default_rng([families, pairs, 1])
    marginal = _marginal(rng)
    names = ("nested Laplace", "factored", "GEE by target", "GEE by spurious")
    covered = {name: [0, 0] for name in names}
    z = float(norm.ppf(0.975))

    def count(name: str, low: float, high: float, truth: float) -> None:
        if not np.isnan(low):
            covered[name][0] += low <= truth <= high
            covered[name][1] += 1

    for i in range(studies):
        k, design, groups = counted(families, pairs, rng)
        found = mixed_logit(k, np.full(pairs, float(ANSWERS)), design, groups)
        count(names[0], found.mean[1] - z * found.sd[1], found.mean[1] + z * found.sd[1], BETA)
        if i < variational:
            mean, sd = factored(k, design, groups)
            count(names[1], mean - z * sd, mean + z * sd, BETA)
        for name, group in zip(names[2:], groups, strict=False):
            (line,) = gee(k / ANSWERS, design, group, ["x"], name, "")
            count(name, line.low, line.high, marginal)
    return {name: (hits, n) for name, (hits, n) in covered.items()}


def _marginal(rng: np.random.Generator, rows: int = 400_000) -> float:
    """The slope of the population's marginal rate, by a fit to very many independent pairs."""
    x = np.sqrt(2) * rng.normal(size=rows)
    rate = expit(BETA * x + 0.5 * np.sqrt(3) * rng.normal(size=rows))
    design, beta = np.column_stack([np.ones(rows), x]), np.zeros(2)
    for _ in range(25):
        mu = expit(design @ beta)
        beta = beta + np.linalg.solve((design.T * (mu * (1 - mu))) @ design, design.T @ (rate - mu))
    return float(beta[1])


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--studies", type=int, default=200, help="simulated studies per design")
    parser.add_argument("--variational", type=int, default=20, help="of these, how many for statsmodels' fit")
    arguments = parser.parse_args()
    first, second = [], []
    for families, pairs in DESIGNS:
        about = {"families": str(families), "pairs": str(pairs)}
        hits = linear(families, pairs, arguments.studies)
        first.append(about | {name: rate(n, arguments.studies) for name, n in hits.items()})
        if pairs <= 60:
            of = logistic(families, pairs, arguments.studies, arguments.variational)
            second.append(about | {name: rate(n, m) if m else "-" for name, (n, m) in of.items()})
    print("Linear: share of 95 % intervals that cover, in per cent (95 % Monte-Carlo interval)")
    print(text_table(first))
    print("\nLogistic: the same")
    print(text_table(second))


if __name__ == "__main__":
    main()
