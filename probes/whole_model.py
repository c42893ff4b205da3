"""The whole model as the probe: tuned afresh for each block, in the form in which it is tuned as a policy.

Lovering et al. 2021 measured extractability so. The model answers with the words of the two labels, as under
supervised tuning, so that what is probed is what is tuned.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answers import answer_log_probs, chunks
from models.train import Diverged, Optimisation, train
from probes.codelength import Predictor

LEARNING_RATES = (1e-3, 1e-4)
"""Of the rival tunings: no single one serves models of all sizes."""
PASSES = 10
"""Times that a block's training rows are gone through."""
FEWEST_STEPS = 20
BATCH = 32


def whole_model(
    model: Any,
    answers: Sequence[Sequence[int]],
    *,
    learning_rates: Sequence[float] = LEARNING_RATES,
    passes: int = PASSES,
    batch_size: int = BATCH,
    seed: int = 0,
) -> Predictor:
    """Copies of the model, tuned on what was seen; a coin until both labels were.

    `answers`: token ids of the answer of label 0 and of that of label 1. X are prompts as token ids, an array
    of lists. A tuning that diverges leaves its predictions at a coin's and counts as not converged.
    """

    def predict(
        X: NDArray[Any], Y: NDArray[np.int64], X_next: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        log_odds = np.zeros((len(learning_rates), len(X_next), Y.shape[1]))
        converged = np.ones(Y.shape[1], dtype=bool)
        for column, rival in itertools.product(range(Y.shape[1]), range(len(learning_rates))):
            labels = Y[:, column]
            if labels.min() < labels.max():
                try:
                    tuned = _tuned(model, answers, X, labels, learning_rates[rival], passes, batch_size, seed)
                except Diverged:
                    converged[column] = False
                    continue
                log_odds[rival, :, column] = _log_odds(tuned, answers, X_next)
        return log_odds, converged

    return predict


def _tuned(
    model: Any,
    answers: Sequence[Sequence[int]],
    X: NDArray[Any],
    labels: NDArray[np.int64],
    learning_rate: float,
    passes: int,
    batch_size: int,
    seed: int,
) -> Any:
    tuned = copy.deepcopy(model)
    rng = np.random.default_rng(seed)
    steps = max(FEWEST_STEPS, math.ceil(passes * len(X) / batch_size))

    def batches() -> Iterator[NDArray[np.intp]]:
        while True:
            order = rng.permutation(len(X))
            yield from (order[i : i + batch_size] for i in range(0, len(X), batch_size))

    def loss(rows: NDArray[np.intp], step: int) -> Tensor:
        said = answer_log_probs(tuned, [X[i] for i in rows], answers).log_softmax(dim=-1)
        return -said[torch.arange(len(rows)), torch.from_numpy(labels[rows])].mean()

    train(tuned, batches(), loss, steps=steps, optimisation=Optimisation(learning_rate))
    return tuned


@torch.inference_mode()
def _log_odds(model: Any, answers: Sequence[Sequence[int]], X: NDArray[Any]) -> NDArray[np.float64]:
    said = [answer_log_probs(model, part, answers).cpu().double() for part in chunks(list(X), 512)]
    scores = torch.cat(said)
    return np.asarray(scores[:, 1] - scores[:, 0])
