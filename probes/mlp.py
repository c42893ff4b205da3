"""A probe with one hidden layer: what a feature costs when it need not be read linearly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from probes.codelength import Predictor
from tasks.errors import UserError

HIDDEN = 64
STEPS = 200
LEARNING_RATE = 1e-2
PENALTIES = (1.0, 10.0)
"""Penalties of the rival probes; those on the first layer are divided by its width."""


def mlp(
    l2: float | Sequence[float] = PENALTIES, *, hidden: int = HIDDEN, steps: int = STEPS, seed: int = 0
) -> Predictor:
    """Networks of `hidden` tanh units, one for each penalty; a coin until both labels were seen.

    Full-batch Adam on the summed log loss plus l2 / 2 * |w|^2. All label columns begin at the same weights
    and are trained side by side, without a bearing on each other. The output layer begins at zero: each
    network begins as a coin, and that of flipped labels is its mirror image. Inputs are to be standardised.
    """
    strengths = np.atleast_1d(np.asarray(l2, dtype=np.float64))
    if not len(strengths) or not (strengths >= 0).all():
        raise UserError(f"l2 = {l2}; a penalty cannot be below 0")

    def predict(
        X: NDArray[np.floating], Y: NDArray[np.int64], X_next: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        log_odds = np.zeros((len(strengths), len(X_next), Y.shape[1]))
        both = Y.min(0) < Y.max(0)
        if both.any():
            k = int(both.sum())
            labels = torch.as_tensor(np.tile(Y[:, both], len(strengths)), dtype=torch.float32)
            penalties = torch.as_tensor(strengths.repeat(k), dtype=torch.float32)
            found = _fitted(_inputs(X), labels, penalties, _inputs(X_next), hidden, steps, seed)
            log_odds[:, :, both] = found.reshape(len(X_next), -1, k).swapaxes(0, 1)
        return log_odds, np.ones(Y.shape[1], dtype=bool)

    return predict


def _inputs(X: NDArray[np.floating]) -> torch.Tensor:
    """Rows of about unit length, whatever the width."""
    rows = torch.as_tensor(X, dtype=torch.float32)
    return rows / math.sqrt(X.shape[1])


def _fitted(
    x: torch.Tensor,
    labels: torch.Tensor,
    penalties: torch.Tensor,
    x_next: torch.Tensor,
    hidden: int,
    steps: int,
    seed: int,
) -> NDArray[np.float64]:
    """Log odds [rows of x_next, columns] of one network a column of `labels`."""
    k, width = labels.shape[1], x.shape[1]
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(width, hidden, generator=generator).repeat(k, 1, 1).requires_grad_()
    shift = torch.zeros(k, 1, hidden, requires_grad=True)
    second = torch.zeros(k, hidden, requires_grad=True)
    intercept = torch.zeros(k, 1, requires_grad=True)

    def log_odds(rows: torch.Tensor) -> torch.Tensor:
        units = torch.tanh(torch.einsum("nd,kdh->knh", rows, first) + shift)
        said: torch.Tensor = torch.einsum("knh,kh->kn", units, second) + intercept
        return said

    optimiser = torch.optim.Adam([first, shift, second, intercept], lr=LEARNING_RATE)
    for _ in range(steps):
        said = log_odds(x)
        loss = (torch.nn.functional.softplus(said) - labels.T * said).sum(dim=1)
        size = (first**2).sum(dim=(1, 2)) / width + (second**2).sum(dim=1)
        optimiser.zero_grad()
        ((loss + penalties * size / 2).sum() / len(x)).backward()
        optimiser.step()
    with torch.inference_mode():
        return log_odds(x_next).double().T.numpy()
