"""Seconds of the batched probe against a plain loop of scikit-learn over the same blocks and labels.

    OMP_NUM_THREADS=1 python benchmarks/probe_speed.py [--width 64] [--n 2000] [--shuffles 9] [--json]

Two features and their shuffled controls on Gaussian representations: one planted, one faint. Both sides
do the same fits (every block, penalty and column) and must agree on every column's bits within 1 %.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from probes import STRENGTHS, Predictor, linear, prequential


def scikit_learn_loop(strengths: Sequence[float]) -> Predictor:
    """scikit-learn at its default tolerance, one penalty and one column after the other."""

    def predict(
        X: NDArray[np.floating], Y: NDArray[np.int64], X_next: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        log_odds = np.zeros((len(strengths), len(X_next), Y.shape[1]))
        converged = np.ones(Y.shape[1], dtype=bool)
        for i, l2 in enumerate(strengths):
            for j, y in enumerate(Y.T):
                if y.min() < y.max():
                    fit = LogisticRegression(C=1 / l2, max_iter=1000).fit(X, y)
                    log_odds[i, :, j] = fit.decision_function(X_next)
                    converged[j] &= fit.n_iter_[0] < 1000
        return log_odds, converged

    return predict


def measure(width: int, n: int, shuffles: int, repeats: int, seed: int = 0) -> dict[str, float]:
    """Best seconds of both sides, their ratio, and the largest relative difference in a column's bits."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, width)) @ rng.normal(size=(width, width))
    X = (X - X.mean(0)) / X.std(0)
    score = (X @ rng.normal(size=(width, 2))).T
    score = score / score.std(1, keepdims=True) + np.array([[0.3], [3.0]]) * rng.normal(size=(2, n))
    planted = (score > 0).T.astype(np.int64)
    Y = np.concatenate([planted, *(planted[rng.permutation(n)] for _ in range(shuffles))], axis=1)
    seconds, bits = {}, {}
    for name, predictor in (("probe", linear(STRENGTHS)), ("scikit_learn", scikit_learn_loop(STRENGTHS))):
        seconds[name] = float("inf")
        for _ in range(repeats):
            start = time.perf_counter()
            curves = prequential(X, Y, predictor)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
        bits[name] = np.array([curve.bits_unmixed for curve in curves])
    return {
        "width": width,
        "n": n,
        "columns": Y.shape[1],
        "planted_bits_per_label": float(bits["probe"][0] / n),
        "faint_bits_per_label": float(bits["probe"][1] / n),
        "largest_relative_difference_in_bits": float(np.abs(bits["probe"] / bits["scikit_learn"] - 1).max()),
        "probe_s": seconds["probe"],
        "scikit_learn_s": seconds["scikit_learn"],
        "times_faster": seconds["scikit_learn"] / seconds["probe"],
    }


def main() -> None:
    """Print the measurement; fail if the two sides' bits differ by more than 1 %."""
    parser = argparse.ArgumentParser(description="the batched probe against a loop of scikit-learn")
    parser.add_argument("--width", type=int, default=64, help="width of the representations")
    parser.add_argument("--n", type=int, default=2000, help="labels coded")
    parser.add_argument("--shuffles", type=int, default=9, help="shuffled controls per feature")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many is reported")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(args.width, args.n, args.shuffles, args.repeats)
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:36s} {value:.4g}")
    if result["largest_relative_difference_in_bits"] > 0.01:
        raise SystemExit("the two sides disagree on the bits by more than 1 %")


if __name__ == "__main__":
    main()
