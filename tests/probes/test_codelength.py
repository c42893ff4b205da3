"""The code's theorems: coins, oracles, adversaries, mixtures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from probes import LossCurve, blocks, linear, prequential, variational

N = 300
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.random.default_rng(1).integers(0, 2, size=(N, 2))


def oracle(sign):
    """Knows every label (or, with the other sign, is always wrong)."""

    def predict(seen, labels, following):
        start = len(seen)
        truth = Y[start : start + len(following)]
        return sign * np.where(truth == 1, np.inf, -np.inf), np.ones(2, dtype=bool)

    return predict


def coin(seen, labels, following):
    return np.zeros((len(following), labels.shape[1])), np.ones(labels.shape[1], dtype=bool)


def test_blocks_are_those_of_voita_and_titov_and_cover_any_number_of_rows():
    assert blocks(2000) == (2, 4, 8, 16, 32, 64, 125, 250, 500, 1000, 2000)
    for n in range(1, 400):
        ends = blocks(n)
        assert ends[-1] == n and ends[0] >= 1 and list(ends) == sorted(set(ends))


def test_a_coin_costs_exactly_one_bit_a_label():
    for curve in prequential(X, Y, coin):
        assert curve.bits_total == N == curve.bits_unmixed == curve.n
        assert curve.accuracy == 0.5
        assert curve.surplus_description_length(1.0) == 0 and curve.surplus_description_length(0.0) == N


def test_a_perfect_predictor_costs_the_first_block_and_at_most_the_mixture_s_bit():
    for curve in prequential(X, Y, oracle(+1)):
        assert curve.bits_unmixed == curve.n_eval[0]
        assert curve.n_eval[0] <= curve.bits_total <= curve.n_eval[0] + 1
        assert curve.accuracy == 1
        assert curve.sample_complexity(0.5) == curve.n_eval[0]


def test_a_predictor_that_is_always_wrong_and_certain_costs_n_plus_one_bits():
    for curve in prequential(X, Y, oracle(-1)):
        assert curve.bits_total == pytest.approx(N + 1, abs=1e-9)
        assert curve.bits_unmixed > 1e99
        assert curve.accuracy == 0
        assert curve.sample_complexity(0.5) == float("inf")


def scripted(log_odds):
    """Answers from a table of log odds, whatever it is shown."""

    def predict(seen, labels, following):
        rows = slice(len(seen), len(seen) + len(following))
        return log_odds[..., rows, :], np.ones(labels.shape[1], dtype=bool)

    return predict


bits = st.integers(0, 1)
probabilities = st.one_of(st.sampled_from([0.0, 1.0, 0.5, 1e-300]), st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(p=arrays(float, (2, 40, 1), elements=probabilities), labels=arrays(int, (40, 1), elements=bits))
def test_no_predictor_costs_more_than_n_plus_one_bits_nor_more_than_one_above_its_own_code(p, labels):
    with np.errstate(divide="ignore"):
        log_odds = np.log(p) - np.log1p(-p)
    rivals = [prequential(X[:40], labels, scripted(one))[0] for one in log_odds]
    (curve,) = prequential(X[:40], labels, scripted(log_odds))
    for c in (*rivals, curve):
        assert c.bits_total <= min(41, c.bits_unmixed + 1) * (1 + 1e-12)
        assert c.bits_total >= min(40, c.bits_unmixed) * (1 - 1e-12)
        assert all(np.isfinite(c.bits_mixed)) and all(np.isfinite(c.bits_probe))
    cheapest = min(c.bits_unmixed for c in rivals)
    assert cheapest * (1 - 1e-12) <= curve.bits_unmixed <= (cheapest + 1) * (1 + 1e-12)


def test_the_mixture_of_rivals_is_the_log_of_the_mean_of_their_probabilities():
    log_odds = np.random.default_rng(2).normal(size=(3, N, 2))
    together = prequential(X, Y, scripted(log_odds))
    alone = [prequential(X, Y, scripted(one)) for one in log_odds]
    for j, curve in enumerate(together):
        bits = np.array([curves[j].bits_unmixed for curves in alone])
        best = bits.min()
        assert curve.bits_unmixed == pytest.approx(best - np.log2(np.mean(2.0 ** (best - bits))))


def test_flipping_every_label_changes_no_cost():
    labels = (X[:, :1] + 0.5 * Y[:, :1] > 0.2).astype(int)
    (one,), (other,) = prequential(X, labels, linear()), prequential(X, 1 - labels, linear())
    np.testing.assert_allclose(one.bits_mixed, other.bits_mixed, rtol=1e-6, atol=1e-6)
    assert one.correct == other.correct


def test_a_predictor_s_nan_is_not_passed_on():
    with pytest.raises(ValueError, match="NaN"):
        prequential(X, Y, scripted(np.full((N, 2), np.nan)))


def test_a_curve_is_the_same_after_a_record():
    (mixed, _), (whole, _) = prequential(X, Y, linear()), variational(X, Y)
    assert LossCurve.from_json(mixed.to_json()) == mixed
    again = LossCurve.from_json(whole.to_json(), converged=False)
    assert again.bits_total == whole.bits_total and np.isnan(again.accuracy) and not again.converged


def curve(*bits_per_label):
    """Blocks of 2, 2, 4, 8, ... labels that cost so much each."""
    sizes = [2, *(2**i for i in range(1, len(bits_per_label)))]
    bits = tuple(m * b for m, b in zip(sizes, bits_per_label, strict=True))
    starts = (0, *np.cumsum(sizes[:-1]).tolist())
    return LossCurve(starts, tuple(sizes), bits, bits, tuple(m / 2 for m in sizes))


@pytest.mark.parametrize(
    ("costs", "interval"),
    [
        ((1, 0.5, 0.4, 0.1), (0, 2)),
        ((1, 0.9, 0.6, 0.5), (4, 8)),
        ((1, 0.9, 0.6, 0.51), (8, np.inf)),
        ((1, 0.9, 0.4, 0.7), (2, 4)),
    ],
)
def test_labels_needed_lie_between_the_two_fits_that_say_so(costs, interval):
    assert curve(*costs).labels_needed(0.5) == interval


@settings(max_examples=60, deadline=None)
@given(costs=arrays(float, 6, elements=st.floats(0, 2)), epsilon=st.floats(0, 1))
def test_fewer_bits_need_more_labels(costs, epsilon):
    one = curve(1.0, *costs)
    low, high = one.labels_needed(epsilon)
    assert low < high == one.sample_complexity(epsilon) or (low, high) == (0, 0)
    assert one.sample_complexity(epsilon / 2) >= high


def test_a_code_without_blocks_says_nothing_of_fewer_labels():
    (whole, _) = variational(X, Y)
    found = [*whole.labels_needed(), whole.sample_complexity(2.0), whole.v_information()]
    assert np.isnan(found).all()


@pytest.mark.parametrize("ones", [0.25, 0.5])
def test_v_information_is_0_at_the_base_rate_and_the_entropy_at_most(ones):
    labels = np.tile([[1]] * int(4 * ones) + [[0]] * int(4 - 4 * ones), (10, 1))
    entropy = -(ones * np.log2(ones) + (1 - ones) * np.log2(1 - ones))

    def constant(seen, so_far, following):
        return np.full((len(following), 1), np.log(ones / (1 - ones))), np.ones(1, dtype=bool)

    (base,) = prequential(X[:40], labels, constant, ends=(8, 20, 40))
    assert base.v_information(entropy) == pytest.approx(0, abs=1e-12)
    (known,) = prequential(X[:40], labels, scripted(np.where(labels, 1e3, -1e3)), ends=(8, 20, 40))
    assert known.v_information(entropy) == entropy
