"""Entropies from probabilities cover those of a policy that is known in full."""

from __future__ import annotations

import numpy as np

from analysis.outputs.entropies import entropies


def test_their_intervals_cover_what_they_are_of() -> None:
    """Inputs are drawn with a distribution each over ten texts, of which the policy writes one."""
    rng, n = np.random.default_rng(0), 100

    def policies(inputs: int) -> np.ndarray:
        return np.maximum(rng.dirichlet(np.full(10, 0.5), size=inputs), 1e-12)

    many = policies(100_000)
    marginal = -(many.mean(axis=0) * np.log(many.mean(axis=0))).sum()
    given = -(many * np.log(many)).sum(axis=1).mean()
    truth = {"entropy": given, "marginal entropy": marginal, "information": marginal - given}
    inside: dict[str, list[bool]] = {name: [] for name in truth}
    for seed in range(200):
        p = policies(n)
        p /= p.sum(axis=1, keepdims=True)
        text = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        own, mixed = np.log(p[np.arange(n), text]), np.log(p.mean(axis=0)[text])
        found = entropies([1] * n, own[:, None].tolist(), mixed.tolist(), seed, 200)
        for name, value in truth.items():
            low, high = found[name][-1].low, found[name][-1].high
            assert low is not None and high is not None
            inside[name].append(low <= value <= high)
    for name, covered in inside.items():
        assert np.mean(covered) >= 0.87, name
