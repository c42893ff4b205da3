"""Intervals over inputs cover what they should, and duplicates of a bootstrap are no way to get one."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.outputs.ngrams import ngram_diversity, ngrams
from analysis.statistics.resampling import bootstrap, jackknife


def test_the_bootstrap_covers_a_mean_and_is_as_wide_as_theory_says() -> None:
    rng, n = np.random.default_rng(0), 200
    samples = rng.exponential(size=(200, n))
    intervals = np.array([bootstrap(sample, 300, 0) for sample in samples])
    assert 0.90 <= np.mean((intervals[:, 0] <= 1) & (intervals[:, 1] >= 1)) <= 0.99
    width = np.mean(intervals[:, 1] - intervals[:, 0])
    assert width == pytest.approx(2 * 1.96 / np.sqrt(n), rel=0.1)


def test_draws_held_at_once_do_not_change_how_many_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    monkeypatch.setattr("analysis.statistics.resampling.HELD", 120)  # two rows at once, the last alone
    seen: list[tuple[int, int]] = []
    draw = np.random.default_rng(0)

    class Spy:
        def integers(self, n: int, size: tuple[int, int]) -> object:
            seen.append(size)
            return draw.integers(n, size=size)

    monkeypatch.setattr("analysis.statistics.resampling.np.random.default_rng", lambda _: Spy())
    bootstrap(values, 1001, 1)
    assert sum(rows for rows, _ in seen) == 1001 and max(rows for rows, _ in seen) == 2


def test_the_jackknife_of_a_mean_is_students_interval() -> None:
    from scipy.stats import t

    values = np.random.default_rng(0).normal(size=40)
    low, high = jackknife(lambda kept: float(values[kept].mean()), 40, 0)
    expected = t.interval(0.95, 39, values.mean(), values.std(ddof=1) / np.sqrt(40))
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def test_the_jackknife_covers_a_diversity_and_the_bootstrap_is_biased_down() -> None:
    """Distinct words of one draw from each of n inputs, whose expectation at n is simulated."""
    rng, n = np.random.default_rng(0), 120
    probabilities = rng.dirichlet(np.full(80, 0.5))

    def draw() -> list[list[str]]:
        return [[f"w{i}" for i in rng.choice(80, 4, p=probabilities)] for _ in range(n)]

    def distinct(texts: list[list[str]], kept: np.ndarray) -> float:
        words = {word for text, keep in zip(texts, kept, strict=True) if keep for word in text}
        return len(words) / (4 * kept.sum())

    every = np.ones(n, dtype=bool)
    truth = np.mean([distinct(draw(), every) for _ in range(400)])
    inside, below = [], []
    for _ in range(150):
        texts = draw()
        statistic = ngram_diversity(ngrams(texts, 1), {1: np.inf})

        def of(kept: np.ndarray, statistic=statistic) -> float:  # type: ignore[no-untyped-def]
            return float(statistic(np.where(kept, 0, -1), 1)[0, 0])

        low, high = jackknife(of, n, 0)
        inside.append(low <= truth <= high)
        again = [texts[i] for i in rng.integers(n, size=n)]
        below.append(distinct(again, every) < distinct(texts, every))
    assert np.mean(inside) >= 0.93
    assert np.mean(below) >= 0.98


def test_too_few_inputs_have_no_interval() -> None:
    assert np.isnan(bootstrap(np.ones(1), 10, 0)).all()
    assert np.isnan(jackknife(lambda kept: 1.0, 2, 0)).all()
