"""L2 logistic regression of many binary label columns on one design matrix, solved together.

The columns (features, their shuffled controls, every penalty) share one factorisation and every matrix
product. `benchmarks/probe_speed.py` measures this beside a loop of scikit-learn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.errors import UserError

SINGLE = 1e-5
"""Gradient norm of the mean objective that float32 reaches."""
MEMORY = 8
"""Steps that the estimate of the curvature rests on."""


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
    max_steps: int = 1000,
) -> LogisticFit:
    """Minimise, for each column y of `Y`, sum of log losses (nats) + l2 / 2 * |w|^2.

    This is scikit-learn's `LogisticRegression(C=1/l2)`: the intercept is not penalised and `X` (n, d) is
    taken as it is. `Y` (n, k) holds 0 and 1; each column must hold both, or no finite optimum exists.
    `l2`, above 0, is one strength or one for each column. Fits end where the gradient of the mean objective
    has a norm of `tol`: with n rows the sum is then at most (n tol)^2 / (2 l2) above its optimum.

    L-BFGS steps with step halving. The rows are rotated to their principal axes, which leaves the objective
    unchanged, makes wide data as cheap as their rank, and turns the Hessian at equal weights into a diagonal,
    the preconditioner. Steps are taken in float32 as far as that goes, and in float64 from there on.
    """
    x = torch.as_tensor(np.asarray(X, dtype=np.float64))
    if not bool(torch.isfinite(x).all()):
        raise UserError("inputs of a logistic regression must be finite numbers")
    y = torch.as_tensor(np.asarray(Y, dtype=np.float64))
    mean = x.mean(0)
    axes, spread = _principal(x - mean)
    design = torch.cat([x.new_ones(len(x), 1), (x - mean) @ axes], 1)
    gram = torch.cat([x.new_tensor([float(len(x))]), spread])[:, None]
    strength = torch.as_tensor(l2, dtype=x.dtype).expand(y.shape[1])
    penalty = strength.repeat(len(gram), 1)
    penalty[0] = 0.0
    beta = torch.zeros_like(penalty)
    converged = torch.zeros(y.shape[1], dtype=torch.bool)
    for dtype, reach in ((torch.float32, max(tol, SINGLE)), (torch.float64, tol)):
        todo = ~converged
        if todo.any():
            parts = (t.to(dtype) for t in (design, y[:, todo], penalty[:, todo], gram, beta[:, todo]))
            found, done = _descend(*parts, tol=reach, max_steps=max_steps)
            usable = torch.isfinite(found).all(dim=0)
            beta[:, todo] = torch.where(usable, found.double(), 0.0)
            converged[todo] = done & usable & (reach == tol)
    weights = axes @ beta[1:]
    intercepts = beta[0] - mean @ weights
    error = torch.sigmoid(x @ weights + intercepts) - y
    gradient = (x - mean).T @ error + strength * weights
    # What the axes leave out must not matter either, beyond rounding.
    rounding = 1e-11 * len(x) ** 0.5 * (x - mean).norm()
    converged &= gradient.norm(dim=0) <= 10 * tol * len(x) + rounding
    return LogisticFit(weights.numpy(), intercepts.numpy(), converged.numpy())


def _principal(x: Tensor) -> tuple[Tensor, Tensor]:
    """The principal axes of rows around 0 that they spread along, (d, rank), and the squared spread."""
    wide = x.shape[0] < x.shape[1]
    spread, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    eps = torch.finfo(x.dtype).eps
    if bool((spread > spread.max() * len(spread) * eps).all()):
        return (x.T @ vectors / spread.sqrt() if wide else vectors), spread
    # Of columns of very unlike sizes the squares lose the small ones, which the rows themselves have.
    _, sizes, axes = torch.linalg.svd(x, full_matrices=False)
    kept = sizes > sizes.max() * max(x.shape) * eps
    return axes[kept].T, sizes[kept] ** 2


def _descend(
    design: Tensor,
    labels: Tensor,
    penalty: Tensor,
    gram: Tensor,
    beta: Tensor,
    *,
    tol: float,
    max_steps: int,
) -> tuple[Tensor, Tensor]:
    """Each column of beta at its optimum, or as near as it came, and which have reached it."""
    across = design.T.contiguous()
    found, converged = beta.clone(), torch.zeros(beta.shape[1], dtype=torch.bool)
    active = torch.arange(beta.shape[1])
    log_odds = design @ beta
    value = _objective(log_odds, labels, penalty, beta)
    gradient = across @ (torch.sigmoid(log_odds) - labels) + penalty * beta
    past: list[tuple[Tensor, Tensor, Tensor]] = []
    for step in range(max_steps + 1):
        done = gradient.norm(dim=0) <= tol * len(design)
        if bool(done.any()) or step == max_steps:
            found[:, active] = beta
            converged[active[done]] = True
            on = ~done
            if step == max_steps or not bool(on.any()):
                break
            active, past = active[on], [(s[:, on], g[:, on], r[on]) for s, g, r in past]
            beta, log_odds, gradient = beta[:, on], log_odds[:, on], gradient[:, on]
            labels, penalty, value = labels[:, on], penalty[:, on], value[on]
        p = torch.sigmoid(log_odds)
        direction = _direction(gradient, gram * (p * (1 - p)).mean(0) + penalty, past)
        along, slope = design @ direction, (gradient * direction).sum(0)
        size = torch.ones_like(slope)
        slack = value.abs() * (10 * torch.finfo(value.dtype).eps)
        for _ in range(40):
            moved, moved_odds = beta + size * direction, log_odds + size * along
            now = _objective(moved_odds, labels, penalty, moved)
            short = ~(now <= value + 1e-4 * size * slope + slack)  # NaN is no descent
            if not bool(short.any()):
                break
            size = torch.where(short, size / 2, size)
        if bool(short.all()):  # no column can go on
            found[:, active] = beta
            break
        after = across @ (torch.sigmoid(moved_odds) - labels) + penalty * moved
        change, turn = moved - beta, after - gradient
        bend = (change * turn).sum(0)
        curved = bend > torch.finfo(bend.dtype).tiny ** 0.5
        past = [*past[1 - MEMORY :], (change, turn, torch.where(curved, 1 / bend, 0.0))]
        beta, log_odds, value, gradient = moved, moved_odds, now, after
    return found, converged


def _objective(log_odds: Tensor, labels: Tensor, penalty: Tensor, beta: Tensor) -> Tensor:
    loss = torch.nn.functional.softplus(log_odds) - labels * log_odds
    return loss.sum(0) + (penalty * beta**2).sum(0) / 2


def _direction(gradient: Tensor, preconditioner: Tensor, past: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Minus the L-BFGS estimate of the inverse Hessian times the gradient, per column."""
    away, shares = gradient.clone(), []
    for change, turn, inverse in reversed(past):
        shares.append(inverse * (change * away).sum(0))
        away -= shares[-1] * turn
    away /= preconditioner.clamp_min(torch.finfo(preconditioner.dtype).tiny)
    for (change, turn, inverse), share in zip(past, reversed(shares), strict=True):
        away += (share - inverse * (turn * away).sum(0)) * change
    return -away
