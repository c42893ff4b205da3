"""Errors over shared families: the formula by brute force, the jackknife, and what they cover."""

import numpy as np
import pytest
from scipy.stats import t as student

from analysis.statistics.dyadic import dyads
from analysis.statistics.dyadic_errors import dyadic_errors, dyadic_sandwich
from analysis.statistics.linear_regression import design_of, least_squares
from benchmarks.known_truth import dyadic_table


def some(families=9, pairs=30, seed=0, **options):
    return dyads(dyadic_table(np.random.default_rng(seed), families, pairs, **options))


def influence_of(data):
    design = design_of(data)
    inverse = np.linalg.inv(design.T @ design)
    return design * (data.y - design @ inverse @ design.T @ data.y)[:, None] @ inverse


@pytest.mark.parametrize("by_model", [False, True])
def test_the_sandwich_is_the_double_sum_over_rows_that_share_something(by_model):
    data = some()
    rng = np.random.default_rng(1)
    # Rows of the same couple in the same order, in the other, and of a family with itself.
    target = np.concatenate([data.target, data.target[:5], data.spurious[:5], [3]])
    spurious = np.concatenate([data.spurious, data.spurious[:5], data.target[:5], [3]])
    u = rng.normal(size=(len(target), 2))
    model = rng.integers(4, size=len(target)) if by_model else None
    brute = np.zeros((2, 2))
    for i in range(len(target)):
        for j in range(len(target)):
            shared = {target[i], spurious[i]} & {target[j], spurious[j]}
            if shared or (model is not None and model[i] == model[j]):
                brute += np.outer(u[i], u[j])
    assert dyadic_sandwich(u, target, spurious, model) == pytest.approx(brute)


def test_a_family_in_every_row_is_left_out_of_what_is_shared():
    rng = np.random.default_rng(0)
    other = rng.integers(1, 6, size=20)
    target, spurious = np.where(np.arange(20) % 2, 0, other), np.where(np.arange(20) % 2, other, 0)
    u = rng.normal(size=(20, 1))
    brute = sum(float(u[other == f].sum()) ** 2 for f in range(1, 6))
    assert dyadic_sandwich(u, target, spurious)[0, 0] == pytest.approx(brute)
    found = dyadic_errors(lambda out: (1 - out) @ u, target, spurious)
    assert "that family alone" in found.note and found.freedom == 4


def brute_jackknife(data):
    """The error of a slope from leaving out families, less what leaving out couples of them says."""
    ends = [{*pair} for pair in zip(data.target.tolist(), data.spurious.tolist(), strict=True)]

    def variance(ways):
        kept = [[not out(end) for end in ends] for out in ways]
        left = [np.polyfit(data.x[keep], data.y[keep], 1)[0] for keep in kept]
        return (len(left) - 1) * np.var(left)

    families = variance([lambda end, f=f: f in end for f in range(len(data.families))])
    couples = variance([lambda end, c=c: end == c for c in {*map(frozenset, ends)}])
    return np.sqrt(max(families - couples, couples, families / 2))


def test_errors_of_a_slope_are_those_of_the_jackknife():
    for seed in range(5):
        data = some(seed=seed, effect=0.6)
        design = design_of(data)
        errors = dyadic_errors(
            lambda out, d=design, y=data.y: least_squares(d, y, 1 - out), data.target, data.spurious
        )
        assert errors.error[1] == pytest.approx(brute_jackknife(data))


def test_a_negative_sum_is_replaced_by_its_bound_and_said():
    # Two rows of each family that cancel: families vary not at all, couples do.
    target, spurious = np.arange(8), (np.arange(8) + 1) % 8
    u = np.where(np.arange(8) % 2, 1.0, -1.0)[:, None]
    assert dyadic_sandwich(u, target, spurious)[0, 0] < 0
    found = dyadic_errors(lambda out: out @ u, target, spurious)
    assert found.error[0] > 0 and "lower bound" in found.note


def test_corrected_errors_cover_where_the_textbook_ones_do_not():
    covered, textbook, studies = 0, 0, 120
    for seed in range(studies):
        data = some(14, 60, seed=seed)
        design = design_of(data)
        value = least_squares(design, data.y, np.ones((1, len(data))))[0]
        errors = dyadic_errors(
            lambda out, d=design, y=data.y: least_squares(d, y, 1 - out), data.target, data.spurious
        )
        low, high = errors.interval(value)
        covered += low[1] <= 0 <= high[1]
        variance = dyadic_sandwich(influence_of(data), data.target, data.spurious)[1, 1]
        textbook += abs(value[1]) <= student.ppf(0.975, 13) * np.sqrt(max(variance, 0))
    # Binomial standard error 0.02 at 0.95: benchmarks/regression_coverage.py has the numbers of many more.
    assert covered / studies > 0.89 and textbook / studies < 0.89


def test_what_rests_on_one_family_has_no_error():
    data = some()
    only = (data.target == 2) | (data.spurious == 2)
    design = np.column_stack([design_of(data), only.astype(float)])
    errors = dyadic_errors(lambda out: least_squares(design, data.y, 1 - out), data.target, data.spurious)
    assert np.isnan(errors.error[2]) and np.isfinite(errors.error[1])
