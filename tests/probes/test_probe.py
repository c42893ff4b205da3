"""The probe orders planted features, censors noise, and agrees with a plain loop of scikit-learn."""

import dataclasses
import warnings
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from probes import blocks, fit_logistic, linear, prequential, probe, raw_design
from tasks.errors import UserError

N, WIDTH = 600, 16
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH)) @ RNG.normal(size=(WIDTH, WIDTH))
SCORE = X[:, :3] / X[:, :3].std(0) + np.array([0.0, 0.5, 2.0]) * RNG.normal(size=(N, 3))
Y = np.concatenate([SCORE > 0, RNG.random((N, 1)) < 0.5], 1)
NAMES = ["clean", "noisy", "faint", "noise"]


def test_features_are_ordered_as_planted_and_only_noise_is_censored():
    results = probe(X, Y, names=NAMES, n=N, seed=0)
    assert [r.name for r in results] == NAMES
    bits = [r.bits_per_label for r in results]
    assert bits == sorted(bits)
    assert [r.censored for r in results] == [False, False, False, True]
    assert [r.accuracy for r in results] == sorted((r.accuracy for r in results), reverse=True)
    for r in results:
        assert r.converged and r.n == N and r.bits_total <= N + 1
        assert r.control_low <= r.control_mean <= r.control_high
    assert results[0].selectivity > 0.3 > abs(results[-1].selectivity)


def test_a_shuffled_label_is_seldom_left_uncensored():
    noise = np.random.default_rng(5).random((N, 20)) < 0.5
    results = probe(X, noise, names=[str(i) for i in range(20)], n=N, seed=0)
    # At most 1 in 10 by the order of ten exchangeable labels: 6 of 20 or more has a probability of 0.01.
    assert sum(not r.censored for r in results) < 6


def test_the_bits_are_those_of_a_plain_loop_of_scikit_learn():
    standard = (X - X.mean(0)) / X.std(0)
    ends = blocks(N)
    curves = prequential(standard, Y, linear(1.0))
    for y, curve in zip(Y.T, curves, strict=True):
        total = float(ends[0])
        for start, end in pairwise(ends):
            if y[:start].min() == y[:start].max():
                total += end - start
                continue
            fit = LogisticRegression(C=1.0, max_iter=1000).fit(standard[:start], y[:start])
            nats = -fit.predict_log_proba(standard[start:end])
            total += nats[np.arange(end - start), y[start:end].astype(int)].sum() / np.log(2)
        assert curve.bits_unmixed == pytest.approx(total, rel=0.01)


def test_equal_seeds_give_equal_results_and_other_seeds_other_rows():
    one, same, other = (probe(X, Y, names=NAMES, n=400, seed=s) for s in (3, 3, 4))
    assert one == same
    assert one[0].bits_total != other[0].bits_total


def test_a_feature_costs_the_same_whichever_features_are_probed_beside_it():
    together = probe(X, Y, names=NAMES, n=N, seed=0)[2]
    (alone,) = probe(X, Y[:, 2:3], names=NAMES[2:3], n=N, seed=0)
    assert alone.bits_total == pytest.approx(together.bits_total, rel=1e-6)
    assert alone.control_low == pytest.approx(together.control_low, rel=1e-6)


def test_several_orders_are_a_mean_with_an_interval():
    one = probe(X, Y, names=NAMES, n=N, seed=0, shuffles=3)
    three = probe(X, Y, names=NAMES, n=N, seed=0, shuffles=3, orders=3)
    assert [np.isnan(r.bits_low) for r in one] == [True] * 4 and {r.orders for r in three} == {3}
    for a, b in zip(one, three, strict=True):
        assert b.bits_low < b.bits_per_label < b.bits_high
        assert abs(a.bits_per_label - b.bits_per_label) < 4 * (b.bits_high - b.bits_low)
        assert b.bits_per_label == pytest.approx(b.bits_total / N) and a.censored == b.censored
        assert b.curve.n_train == a.curve.n_train and b.curve.bits_total == pytest.approx(b.bits_total)
        assert b.control_low <= b.control_mean <= b.control_high
    again = probe(X[:, ::-1], Y, names=NAMES, n=N, seed=0, shuffles=3, orders=3)
    assert [r.bits_total for r in again] == pytest.approx([r.bits_total for r in three], rel=1e-5)


def test_v_information_is_beyond_the_base_rate():
    rare = RNG.random((N, 1)) < 0.1
    clean, rarely = probe(X, np.concatenate([Y[:, :1], rare], 1), names=["clean", "rare"], n=N, seed=0)
    assert rarely.entropy == pytest.approx(0.47, abs=0.1) and abs(rarely.v_information) < 0.1
    assert 0.6 < clean.v_information < clean.entropy == pytest.approx(1, abs=0.01)


def test_flipping_the_labels_and_scaling_or_shifting_the_inputs_change_nothing():
    plain = probe(X, Y, names=NAMES, n=N, seed=0)
    for moved in (probe(X, ~Y, names=NAMES, n=N, seed=0), probe(X * 1e3 - 7, Y, names=NAMES, n=N, seed=0)):
        for a, b in zip(plain, moved, strict=True):
            assert a.bits_total == pytest.approx(b.bits_total, rel=1e-6)
            assert (a.accuracy, a.censored) == (b.accuracy, b.censored)


def test_rounding_noise_in_a_constant_column_is_not_read():
    noise = 1 + 1e-7 * (2 * Y[:, :1] - 1)
    (result,) = probe(np.concatenate([noise, np.ones((N, 1))], 1), Y[:, :1], names=["clean"], n=N, seed=0)
    assert result.censored and result.accuracy < 0.6


def test_a_fit_that_does_not_converge_is_flagged(monkeypatch):
    def cut_short(*args, **options):
        return dataclasses.replace(
            fit_logistic(*args, **options), converged=np.zeros(args[1].shape[1], dtype=bool)
        )

    monkeypatch.setattr(import_module("probes.probe"), "fit_logistic", cut_short)
    assert not any(r.converged for r in probe(X, Y, names=NAMES, n=N, seed=0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": N + 1}, f"valid: 2 to {N}"),
        ({"names": ["one"]}, "for 1 names"),
        ({"X": np.full((N, 2), np.nan)}, "NaN"),
        ({"Y": np.ones((N, 4))}, "'clean' is True in all"),
        ({"Y": np.full((N, 4), 2)}, "0 or 1"),
        ({"shuffles": 0}, "at least one"),
        ({"orders": 0}, "at least one order"),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {"X": X, "Y": Y, "names": NAMES, "n": N, "seed": 0} | change
    with pytest.raises(UserError, match=message), warnings.catch_warnings():
        warnings.simplefilter("error")
        probe(arguments.pop("X"), arguments.pop("Y"), **arguments)


def test_raw_inputs_hold_the_bag_and_every_position_and_nothing_constant():
    ids = [[5, 5, 9], [9, 5, 9], [7, 5, 9]]
    np.testing.assert_array_equal(
        raw_design(ids),
        # bag of 5, bag of 7, bag of 9, then 5, 7, 9 at the first position; the others never vary
        [[2, 0, 1, 1, 0, 0], [1, 0, 2, 0, 0, 1], [1, 1, 1, 0, 1, 0]],
    )
    np.testing.assert_array_equal(raw_design([[1], [1, 2]]), [[0, 0], [1, 1]])


def test_raw_inputs_give_away_position_and_count_but_not_a_comparison():
    ids = RNG.integers(0, 8, size=(N, 6))
    labels = np.stack([ids[:, 0] < 4, (ids == 3).any(1), ids[:, 0] == ids[:, -1]], 1)
    first, contains, equal = probe(
        raw_design(ids.tolist()), labels, names=["first", "contains", "equal"], n=N, seed=0, standardise=False
    )
    assert first.bits_per_label < 0.5 and contains.bits_per_label < 0.5
    assert equal.accuracy <= max(labels[:, 2].mean(), 1 - labels[:, 2].mean()) + 0.02
