"""The variational code: what it costs to send a Bayesian linear probe, and the labels by means of it.

Sender and receiver share a prior over weights. The sender pays the divergence of a posterior from that prior,
and the expected cost of the labels under that posterior (bits back). The labels' order plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probes.codelength import LossCurve
from probes.probe import STRENGTHS

TOLERANCE = 1e-5
"""The bound is as good as it gets when an iteration gains less than this many nats a label."""
MOST = 200
INTERCEPT = 0.1
"""Penalty of the intercept, in place of `l2`."""


def variational(
    X: NDArray[np.floating], Y: NDArray[np.generic], l2: float | Sequence[float] = STRENGTHS
) -> list[LossCurve]:
    """Code each 0/1 column of `Y` (n, k) given `X` (n, d): one curve of one block a column.

    Weights have a Gaussian prior of variance 1 / l2 and a Gaussian posterior with all its covariances; the
    logistic likelihood is bounded from below by a Gaussian (Jaakkola & Jordan), so that the posterior has a
    closed form and what is coded is an upper bound. Rival priors are mixed evenly, and the mixture with a
    coin as in `prequential`: at most n + 1 bits. There is no held-out row, hence no accuracy.

    References: Voita & Titov 2020 (arXiv:2003.12298), with another posterior; Jaakkola & Jordan 2000.
    """
    x = torch.as_tensor(np.ascontiguousarray(X, dtype=np.float64))
    design = torch.cat([x.new_ones(len(x), 1), x], dim=1)
    n, found = len(x), []
    for column in np.asarray(Y, dtype=np.int64).T:
        labels = torch.as_tensor(column, dtype=x.dtype)
        nats, converged = zip(*(_bound(design, labels, float(s)) for s in np.atleast_1d(l2)), strict=True)
        paid = -np.array(nats) / np.log(2)
        bits = float(np.log2(len(paid)) - np.logaddexp2.reduce(-paid))
        mixed = float(1.0 - np.logaddexp2(-bits, -float(n)))
        found.append(LossCurve((0,), (n,), (bits,), (mixed,), (float("nan"),), all(converged)))
    return found


def _bound(design: Tensor, labels: Tensor, l2: float) -> tuple[float, bool]:
    """The bound on the log evidence of the labels, in nats, and whether it stopped rising."""
    penalty = torch.full((design.shape[1],), l2, dtype=design.dtype)
    penalty[0] = INTERCEPT
    pull = design.T @ (labels - 0.5)
    xi = torch.ones(len(design), dtype=design.dtype)
    last = -float("inf")
    for _ in range(MOST):
        slope = torch.tanh(xi / 2) / (4 * xi)
        precision = 2 * design.T @ (design * slope[:, None])
        precision.diagonal().add_(penalty)
        factor = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve(pull[:, None], factor)[:, 0]
        half = torch.linalg.solve_triangular(factor, design.T, upper=False)
        value = float(
            -factor.diagonal().log().sum()
            + penalty.log().sum() / 2
            + pull @ mean / 2
            + (torch.nn.functional.logsigmoid(xi) - xi / 2 + slope * xi**2).sum()
        )
        if value - last < TOLERANCE * len(design):
            return max(value, last), True
        last = value
        xi = ((half**2).sum(dim=0) + (design @ mean) ** 2).sqrt().clamp_min(1e-9)
    return last, False
