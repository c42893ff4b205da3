"""Which feature will win, before tuning: a hierarchical logistic regression on bits, evidence and method.

What is predicted is **expected U**, the chance that a conflict row is answered by the spurious feature, for a
policy of a pair, model, evidence and method. It is the primary target because it is what the policy does and
wastes no run: a policy with U 0.45 and one with 0.05 are different answers to "will it use the spurious
feature?", and both lie below 0.5. The chance that U is above 0.5 comes with it.

The form was chosen by thought and not by score. With x the relative extractability and
s = log2(1 + rate / 1 %),

    logit p = x (b1 + b2 s + m1[method]) + s (b3 + b4 s + b5 [one-sided] + m2[method])
              + v[family of spurious] - v[family of target] + w[model] + c[pair on a model]

- At no evidence, target and spurious feature have the same rows and exchanging them turns U into 1 - U. So x
  and the families enter antisymmetrically and nothing else does: no intercept, and no offset of a method
  except through x and s. (A model's own part w is the exception, for languages in which the roles differ.)
- Evidence acts by its logarithm, with curvature, as counter-examples have diminishing returns; it may act
  more where x is large. Kinds of evidence differ in slope, since all are the same where there is none.
- v, w, c, m1, m2 are drawn from normal distributions whose spreads are fitted; b1 to b5 have a normal prior
  of spread 2.

Fitted as `analysis.statistics.quasi_likelihood` says; every spread starts from one imagined level at 1/2, so
that with one model or one method theirs is little more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pandas import DataFrame
from scipy.special import expit
from scipy.stats import norm
from scipy.stats import t as student

from analysis.statistics.quasi_likelihood import Array, Problem, quadratic

RATE = 0.01
"""The rate of evidence at which s is 1."""
DRAWS, ANSWERS = 2000, 1000
KINDS = ("one_sided", "one_sided_balanced")


@dataclass(frozen=True)
class Form:
    """What a prediction goes by."""

    signal: str = "relative"
    """Column of x; empty for evidence and method alone, which then may have an intercept."""

    def columns(self, rows: DataFrame) -> dict[str, Array]:
        """The fixed effects' columns."""
        s = strength(rows["evidence"])
        about = {"s": s, "s squared": s * s}
        about |= {f"s, {k}": s * (rows["evidence_kind"] == k).to_numpy(float) for k in KINDS}
        if not self.signal:
            return {"1": np.ones(len(rows)), **about}
        x = rows[self.signal].to_numpy(float)
        return {"x": x, "x s": x * s, **about}

    def effects(self, rows: DataFrame) -> dict[str, list[tuple[Sequence[str], Array]]]:
        """The random effects: for each spread, (levels, weights) pairs that add up."""
        s, one = strength(rows["evidence"]), np.ones(len(rows))
        x = rows[self.signal].to_numpy(float) if self.signal else one
        return {
            "family": [(list(rows["spurious_family"]), one), (list(rows["target_family"]), -one)],
            "model": [(list(rows["weights_hash"]), one)],
            "method, by x": [(list(rows["method"]), x)],
            "method, by s": [(list(rows["method"]), s)],
        }


def strength(evidence: object) -> Array:
    """s of rates of evidence."""
    return np.log2(1 + np.asarray(evidence, float) / RATE)


@dataclass(frozen=True)
class Fit:
    """The fitted regression."""

    form: Form
    names: tuple[tuple[str, str], ...]
    """Of each effect: ("", column) of a fixed one, (spread, level) of a random one."""
    effects: Array
    covariance: Array
    """Of the effects; the larger, direction by direction as asked, of two: see `variance`."""
    robust: Array
    """The same by leaving out families one at a time, to first order."""
    spreads: dict[str, float]
    """Fitted standard deviations, in logits; `pair` is that of a pair on a model."""
    dispersion: float
    """Of U around its chance: 0, U is p; 1, it is 0 or 1."""
    converged: bool
    n: int

    def design(self, rows: DataFrame) -> tuple[Array, dict[str, Array]]:
        """Columns of the known effects [n, q], and by spread the variance of unknown levels [n]."""
        place = {name: i for i, name in enumerate(self.names)}
        Z, new = np.zeros((len(rows), len(self.names))), dict[str, Array]()
        for name, column in self.form.columns(rows).items():
            Z[:, place["", name]] = column
        for spread, parts in self.form.effects(rows).items():
            new[spread] = np.zeros(len(rows))
            for levels, weights in parts:
                at = np.array([place.get((spread, level), -1) for level in levels])
                known = at >= 0
                np.add.at(Z, (np.flatnonzero(known), at[known]), weights[known])
                new[spread][~known] += (weights[~known] * self.spreads[spread]) ** 2
        return Z, new

    def latent(self, rows: DataFrame) -> tuple[Array, Array, Array]:
        """Mean of the logit of a chance, standard deviation of what is not known of it, and its degrees of
        freedom (Satterthwaite's), [n] each; the spread of pairs is not in it."""
        Z, new = self.design(rows)
        known = self.variance(Z)
        parts = [(known, self.levels("family")), *((v, self.levels(name)) for name, v in new.items())]
        total = known + sum(new.values())
        with np.errstate(divide="ignore", invalid="ignore"):
            freedom = total**2 / sum(v**2 / max(count - 1, 1) for v, count in parts)
        return Z @ self.effects, np.sqrt(total), np.where(total > 0, freedom, np.inf)

    def levels(self, spread: str) -> int:
        """How many levels a spread was fitted on."""
        return sum(name == spread for name, _ in self.names)

    def variance(self, Z: Array) -> Array:
        """What is not known of the effects: the larger of the posterior and the leave-family-out variance."""
        return np.maximum(quadratic(Z, self.covariance), quadratic(Z, self.robust))

    def leverage(self, rows: DataFrame) -> Array:
        """How far rows lie from those fitted on: the posterior variance of their fixed part."""
        fixed = [i for i, (spread, _) in enumerate(self.names) if not spread]
        Z, _ = self.design(rows)
        C = self.covariance[np.ix_(fixed, fixed)]
        return quadratic(Z[:, fixed], C)


@dataclass(frozen=True)
class Predicted:
    """What is expected of new pairs, [n] each."""

    U: Array
    """Expected U: the chance that a conflict row is answered by the spurious feature."""
    U_low: Array
    """Lower end of its interval: what is not known of the effects, of new families, a new model or method."""
    U_high: Array
    above: Array
    """Chance that U is above 0.5."""
    low: Array
    """Lower end of the interval in which U of one policy is expected; this one can be seen to hold or not."""
    high: Array


def predict(fit: Fit, rows: DataFrame, *, confidence: float = 0.95, seed: int = 0) -> Predicted:
    """Expected U of rows with its interval, and the interval for the U of one policy.

    By simulation: the latent logit has the uncertainty of the effects, the spread of every family, model and
    method that is not known and of the pair; U is Beta around its chance with the fitted dispersion, and is
    measured on 1,000 conflict rows, so that a U of exactly 0 or 1 can lie in its interval. Spreads were
    fitted on few levels: the interval of expected U is Student's for that.
    """
    rng = np.random.default_rng(seed)
    mean, unknown, freedom = fit.latent(rows)
    sd = np.sqrt(unknown**2 + fit.spreads["pair"] ** 2)
    # Quantiles in place of draws, in a random order: the same for all rows, and exact in the mean.
    z = rng.permutation(norm.ppf((np.arange(DRAWS) + 0.5) / DRAWS))
    p = np.clip(expit(mean[:, None] + sd[:, None] * z), 1e-9, 1 - 1e-9)
    size = 1 / min(fit.dispersion, 0.99) - 1
    U = rng.binomial(ANSWERS, rng.beta(p * size, (1 - p) * size)) / ANSWERS
    tail = (1 - confidence) / 2
    low, high = np.quantile(U, [tail, 1 - tail], axis=1)
    # Over pairs the chance rises with the latent logit, so its quantiles are those of the logit.
    ends = [mean + sign * student.ppf(1 - tail, freedom) * unknown for sign in (-1, 1)]
    U_low, U_high = (expit(end[:, None] + fit.spreads["pair"] * z).mean(axis=1) for end in ends)
    return Predicted(p.mean(axis=1), U_low, U_high, (U > 0.5).mean(axis=1), low, high)


def fit(rows: DataFrame, form: Form | None = None) -> Fit:
    """Fit the regression on rows of `prediction_rows`."""
    form = form or Form()
    rows = rows.sort_values(["task", "weights_hash"], kind="stable")
    fixed = form.columns(rows)
    names, columns, group = [("", name) for name in fixed], list(fixed.values()), [-1] * len(fixed)
    kinds = form.effects(rows)
    for g, (spread, parts) in enumerate(kinds.items()):
        for level in sorted({level for levels, _ in parts for level in levels}):
            names.append((spread, level))
            columns.append(sum((np.array(ls) == level) * w for ls, w in parts))
            group.append(g)
    cells = rows.groupby(["task", "weights_hash"], sort=True).ngroup().to_numpy(np.intp)
    problem = Problem(np.stack(columns, axis=1), rows["U"].to_numpy(float), cells, np.array(group))
    found = problem.solve(len(kinds))
    families = [rows[role].to_numpy(str) for role in ("target_family", "spurious_family")]
    spreads = dict(zip([*kinds, "pair"], np.sqrt(found.variances).tolist(), strict=True))
    return Fit(
        form, tuple(names), found.effects, found.covariance, problem.left_out(found, families),
        spreads, found.dispersion, found.converged, len(rows),
    )  # fmt: skip
