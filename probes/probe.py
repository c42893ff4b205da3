"""How extractable features are: a probe's bits beside those of shuffled labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from scipy.stats import t as student

from probes.codelength import LossCurve, Predictor, prequential
from probes.logistic import SINGLE, fit_logistic
from tasks.errors import UserError

STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""Penalties of the rival probes: the prior variance of a weight on a standardised input is 1 / l2."""

ROUNDING = 1e-5
"""A column whose spread relative to its size is below this is float32 noise, which changes with the batch."""

REVISION = 2
"""Raised by hand when a change of the code changes the bits."""

KINDS = ("linear", "mlp", "finetune", "variational")
"""Logistic regression; one hidden layer; the whole model, tuned; the first by the variational code."""

Code = Callable[[NDArray[Any], NDArray[np.generic]], list[LossCurve]]
"""From the rows of X and 0/1 labels (n, k) to what each column costs."""


@dataclass(frozen=True)
class ProbeResult:
    """What the probe paid for one feature, and for its shuffled controls."""

    name: str
    n: int
    """Labels coded."""
    bits_per_label: float
    """Bits per label of the coin-mixed code: the extractability of the feature."""
    bits_total: float
    """Bits of all n labels, coin-mixed: at most n + 1."""
    bits_unmixed: float
    """Bits of all n labels under the probe alone."""
    control_mean: float
    """Mean over the shuffled controls, bits per label of the coin-mixed code."""
    control_low: float
    """The cheapest shuffled control, bits per label."""
    control_high: float
    """The dearest shuffled control, bits per label."""
    censored: bool
    """Whether the feature is no cheaper than a fair coin or than the cheapest shuffled control."""
    accuracy: float
    """Share right on the last half of the rows, trained on the first half."""
    selectivity: float
    """Accuracy minus the mean accuracy on the shuffled controls (Hewitt & Liang 2019)."""
    converged: bool
    """Whether every fit, the controls' included, reached its optimum."""
    curve: LossCurve
    """Means over the orders, as everything above is."""
    entropy: float
    """Of the n labels, bits per label: 1 if half of them are 1."""
    orders: int = 1
    """Orders of the rows that the labels were coded in."""
    bits_low: float = math.nan
    """Lower end of the 95 % interval of bits per label over the orders; NaN with one."""
    bits_high: float = math.nan
    """Its upper end."""

    @property
    def v_information(self) -> float:
        """What the probe knows of held-out labels, bits per label; see `LossCurve.v_information`."""
        return self.curve.v_information(self.entropy)


def probe(
    X: NDArray[np.floating],
    Y: NDArray[np.generic],
    *,
    names: Sequence[str],
    n: int,
    seed: int,
    shuffles: int = 9,
    code: Code | None = None,
    standardise: bool = True,
    orders: int = 1,
) -> list[ProbeResult]:
    """Probe each 0/1 label column of `Y` (rows, features) on `X` (rows, width): one result a column.

    `code` is that of the labels: `prequential` with `linear()` by default, with `mlp()`, or with
    `whole_model(...)`, whose X are prompts as token ids; or `variational`.

    `seed` draws the order of the rows, of which the first `n` are used, and the `shuffles` permutations
    of the labels; all features share both. Columns of `X` are standardised over the n rows: the inputs
    are known to whoever decodes the labels, so this gives nothing away. Columns that hold nothing but
    rounding become zero.

    With several `orders` the same rows are coded in each of them, with shuffled controls of its own, and all
    that is said is a mean over them; the interval says how much the order matters, and not how much the rows.

    With m shuffles, a label that X says nothing about goes uncensored with a probability of at most
    1 / (m + 1), and less for having to beat the coin too.

    References: Voita & Titov 2020 (arXiv:2003.12298); Hewitt & Liang 2019 (arXiv:1909.03368).
    """
    x, labels = np.asarray(X), np.asarray(Y)
    _check(x, labels, names, n, shuffles, orders)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(x))[:n]
    x, labels = x[rows], labels[rows].astype(np.int64)
    if standardise:
        x = standardised(x)
    for name, column in zip(names, labels.T, strict=True):
        if column.min() == column.max():
            raise UserError(
                f"feature {name!r} is {bool(column[0])} in all {n} rows; a probe needs both values"
            )
    coded = code or partial(prequential, predictor=linear())
    found: list[list[ProbeResult]] = []
    for order in range(orders):
        if order:
            rng = np.random.default_rng([seed, order])
            again = rng.permutation(n)
            x, labels = x[again], labels[again]
        shuffled = [labels[rng.permutation(n)] for _ in range(shuffles)]
        curves = coded(x, np.concatenate([labels, *shuffled], axis=1))
        found.append([_result(name, curves[i :: len(names)], labels[:, i]) for i, name in enumerate(names)])
    return [_mean(results) for results in zip(*found, strict=True)]


def standardised(X: NDArray[Any]) -> NDArray[Any]:
    """Columns with mean 0 and spread 1; 0 where they hold nothing but rounding. Prompts are left alone."""
    if X.dtype == object:
        return X
    x = X.astype(np.float64)
    spread = x.std(0)
    varies = spread > ROUNDING * np.abs(x).max(0)
    return np.asarray((x - x.mean(0)) / np.where(varies, spread, np.inf))


def linear(l2: float | Sequence[float] = STRENGTHS) -> Predictor:
    """Logistic regressions, one for each penalty `l2`; a coin until both labels were seen.

    `l2` is the penalty l2 / 2 * |w|^2 beside the summed log loss in nats, scikit-learn's 1 / C. Several
    are rivals whose codes are mixed for at most log2(how many) bits in all, so no strength is chosen by
    looking at what it is judged on. No single one serves: at n = 2,000 a cleanly planted feature costs
    0.26 bits per label with l2 = 1 and 0.62 with 100 at width 64; at width 768 a noisy one costs 1.44
    with 1 and 0.85 with 100. The mixture is within 2 bits of the best of the four in all.
    """
    strengths = np.atleast_1d(np.asarray(l2, dtype=np.float64))
    if not len(strengths) or not (strengths > 0).all():
        raise UserError(f"l2 = {l2}; a penalty must be above 0, or separable labels have no optimum")

    def predict(
        X: NDArray[np.floating], Y: NDArray[np.int64], X_next: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        log_odds = np.zeros((len(strengths), len(X_next), Y.shape[1]))
        converged = np.ones(Y.shape[1], dtype=bool)
        both = Y.min(0) < Y.max(0)
        if both.any():
            k = int(both.sum())
            fit = fit_logistic(X, np.tile(Y[:, both], len(strengths)), strengths.repeat(k), tol=SINGLE)
            log_odds[:, :, both] = fit.log_odds(X_next).reshape(len(X_next), -1, k).swapaxes(0, 1)
            converged[both] = fit.converged.reshape(-1, k).all(0)
        return log_odds, converged

    return predict


def _result(name: str, curves: Sequence[LossCurve], labels: NDArray[np.int64]) -> ProbeResult:
    curve, controls = curves[0], curves[1:]
    bits = np.array([c.bits_per_label for c in controls])
    return ProbeResult(
        name=name,
        n=curve.n,
        bits_per_label=curve.bits_per_label,
        bits_total=curve.bits_total,
        bits_unmixed=curve.bits_unmixed,
        control_mean=float(bits.mean()),
        control_low=float(bits.min()),
        control_high=float(bits.max()),
        censored=not curve.bits_per_label < min(1.0, float(bits.min())),
        accuracy=curve.accuracy,
        selectivity=curve.accuracy - float(np.mean([c.accuracy for c in controls])),
        converged=all(c.converged for c in curves),
        curve=curve,
        entropy=float(entropy(np.bincount(labels), base=2)),
    )


def _mean(results: Sequence[ProbeResult]) -> ProbeResult:
    """One feature's results over several orders."""
    if len(results) == 1:
        return results[0]
    curves = [r.curve for r in results]
    bits, mixed, correct = (
        tuple(np.mean([getattr(c, name) for c in curves], axis=0).tolist())
        for name in ("bits_probe", "bits_mixed", "correct")
    )
    curve = LossCurve(
        curves[0].n_train, curves[0].n_eval, bits, mixed, correct, all(r.converged for r in results)
    )
    each = np.array([r.bits_per_label for r in results])
    half = float(student.ppf(0.975, len(each) - 1) * each.std(ddof=1) / math.sqrt(len(each)))
    low = min(r.control_low for r in results)
    return replace(
        results[0],
        bits_per_label=curve.bits_per_label,
        bits_total=curve.bits_total,
        bits_unmixed=curve.bits_unmixed,
        control_mean=float(np.mean([r.control_mean for r in results])),
        control_low=low,
        control_high=max(r.control_high for r in results),
        censored=not curve.bits_per_label < min(1.0, low),
        accuracy=curve.accuracy,
        selectivity=float(np.mean([r.selectivity for r in results])),
        converged=curve.converged,
        curve=curve,
        orders=len(results),
        bits_low=curve.bits_per_label - half,
        bits_high=curve.bits_per_label + half,
    )


def _check(
    x: NDArray[Any],
    labels: NDArray[np.generic],
    names: Sequence[str],
    n: int,
    shuffles: int,
    orders: int,
) -> None:
    if x.ndim != (1 if x.dtype == object else 2) or labels.shape != (len(x), len(names)):
        raise UserError(
            f"X is {x.shape} and Y is {labels.shape} for {len(names)} names; "
            "X must be (rows, width) and Y (rows, names)"
        )
    if not 2 <= n <= len(x):
        raise UserError(f"n = {n} rows cannot be probed; valid: 2 to {len(x)}")
    if shuffles < 1:
        raise UserError(f"shuffles = {shuffles}; a probe needs at least one shuffled control")
    if orders < 1:
        raise UserError(f"orders = {orders}; the labels are coded in at least one order")
    if x.dtype != object and not np.isfinite(x).all():
        raise UserError("the representations hold NaN or infinity; check the model's weights and dtype")
    if not np.isin(labels, (0, 1)).all():
        raise UserError("labels must be 0 or 1 (or booleans)")
