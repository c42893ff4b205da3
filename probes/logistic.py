"""L2 logistic regression of many binary label columns on one design matrix, solved together.

The columns (two features, their shuffled controls, every penalty) share one factorisation and every
matrix product. `benchmarks/probe_speed.py` measures this beside a loop of scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class LogisticFit:
    """The optimum of each label column; `k` columns on `d` features."""

    weights: NDArray[np.float64]
    """Shape (d, k)."""
    intercepts: NDArray[np.float64]
    """Shape (k,)."""
    converged: NDArray[np.bool_]
    """Shape (k,): whether the gradient norm of the mean objective came below `tol`."""

    def log_odds(self, X: NDArray[np.floating]) -> NDArray[np.float64]:
        """Log odds (nats) of label one, shape (rows, k)."""
        return np.asarray(X @ self.weights + self.intercepts, dtype=np.float64)


def fit_logistic(
    X: NDArray[np.floating],
    Y: NDArray[np.generic],
    l2: float | NDArray[np.float64] = 1.0,
    *,
    tol: float = 1e-8,
    max_steps: int = 100,
) -> LogisticFit:
    """Minimise, for each column y of `Y`, sum of log losses (nats) + l2 / 2 * |w|^2.

    This is scikit-learn's `LogisticRegression(C=1/l2)`: the intercept is not penalised and `X` (n, d) is
    taken as it is. `Y` (n, k) holds 0 and 1; each column must hold both, or no finite optimum exists.
    `l2`, above 0, is one strength or one for each column.

    Truncated Newton steps with step halving, in float64. The rows are rotated to their singular vectors,
    which leaves the objective unchanged, makes wide data as cheap as their rank, and turns the Hessian
    at equal weights into a diagonal, the preconditioner of the conjugate gradients.
    """
    x = torch.as_tensor(np.asarray(X, dtype=np.float64))
    y = torch.as_tensor(np.asarray(Y, dtype=np.float64))
    mean = x.mean(0)
    left, singular, right = torch.linalg.svd(x - mean, full_matrices=False)
    n, k = y.shape
    design = torch.cat([x.new_ones(n, 1), left * singular], 1)
    gram = torch.cat([x.new_tensor([float(n)]), singular**2])[:, None]
    beta = x.new_zeros(len(gram), k)
    penalties = torch.as_tensor(l2, dtype=x.dtype).expand_as(beta).clone()
    penalties[0] = 0.0
    converged = torch.zeros(k, dtype=torch.bool)
    active = torch.arange(k)
    for step in range(max_steps + 1):
        b, labels, penalty = beta[:, active], y[:, active], penalties[:, active]
        log_odds = design @ b
        p = torch.sigmoid(log_odds)
        gradient = design.T @ (p - labels) + penalty * b
        done = gradient.norm(dim=0) <= tol * n
        converged[active[done]] = True
        if step == max_steps or bool(done.all()):
            break
        active, b, labels, penalty = active[~done], b[:, ~done], labels[:, ~done], penalty[:, ~done]
        log_odds, p, gradient = log_odds[:, ~done], p[:, ~done], gradient[:, ~done]
        direction = _newton_direction(design, p * (1 - p), penalty, gram, gradient)
        beta[:, active] = b + direction * _step_sizes(
            design, labels, penalty, b, log_odds, direction, gradient
        )

    weights = right.T @ beta[1:]
    return LogisticFit(weights.numpy(), (beta[0] - mean @ weights).numpy(), converged.numpy())


def _newton_direction(
    design: Tensor, curvature: Tensor, penalty: Tensor, gram: Tensor, gradient: Tensor
) -> Tensor:
    """Minus the inverse Hessian times the gradient, per column, by preconditioned conjugate gradients."""
    preconditioner = gram * curvature.mean(0) + penalty
    preconditioner = preconditioner.clamp_min(torch.finfo(preconditioner.dtype).tiny)
    target = gradient.norm(dim=0) * 1e-2
    direction = torch.zeros_like(gradient)
    residual = -gradient
    scaled = residual / preconditioner
    search = scaled
    product = (residual * scaled).sum(0)
    for _ in range(len(gradient)):
        curved = design.T @ (curvature * (design @ search)) + penalty * search
        open_ = residual.norm(dim=0) > target
        length = torch.where(open_, product / (search * curved).sum(0), 0.0)
        direction = direction + length * search
        residual = residual - length * curved
        if not bool((residual.norm(dim=0) > target).any()):
            break
        scaled = residual / preconditioner
        previous, product = product, (residual * scaled).sum(0)
        search = scaled + torch.where(open_, product / previous, 0.0) * search
    return direction


def _step_sizes(
    design: Tensor,
    labels: Tensor,
    penalty: Tensor,
    b: Tensor,
    log_odds: Tensor,
    direction: Tensor,
    gradient: Tensor,
) -> Tensor:
    """The largest of 1, 1/2, 1/4, ... that lowers each column's objective enough (Armijo's rule)."""

    def objective(b: Tensor, log_odds: Tensor) -> Tensor:
        loss = torch.nn.functional.softplus(log_odds) - labels * log_odds
        return loss.sum(0) + (penalty * b**2).sum(0) / 2

    start = objective(b, log_odds)
    slope = (gradient * direction).sum(0)
    along = design @ direction
    size = torch.ones_like(start)
    for _ in range(40):
        value = objective(b + size * direction, log_odds + size * along)
        short = value > start + 1e-4 * size * slope + 1e-12 * (1 + start.abs())
        if not bool(short.any()):
            break
        size = torch.where(short, size / 2, size)
    return size
