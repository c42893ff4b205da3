"""Probes beyond the linear one: a hidden layer, and the whole model."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from models.answers import answer_log_probs
from probes import linear, mlp, prequential, probe, raw_design, variational, whole_model
from probes.variational import INTERCEPT

N, WIDTH = 400, 8
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH))
EASY, XOR, NOISE = X[:, 0] > 0, (X[:, 0] > 0) ^ (X[:, 1] > 0), RNG.random(N) < 0.5
Y = np.stack([EASY, XOR, NOISE], axis=1)


def test_a_hidden_layer_reads_what_no_line_divides() -> None:
    names = ["easy", "xor", "noise"]
    codes = [partial(prequential, predictor=predictor) for predictor in (linear(), mlp())]
    line, net = (probe(X, Y, names=names, n=N, seed=0, code=code, shuffles=4) for code in codes)
    assert [r.censored for r in line] == [False, True, True]
    assert [r.censored for r in net] == [False, False, True]
    assert net[0].bits_per_label < net[1].bits_per_label < 0.9
    assert all(r.bits_total <= N + 1 for r in net)


def test_a_column_is_coded_alike_whatever_stands_beside_it_and_however_its_labels_are_named() -> None:
    together = prequential(X, Y, mlp(steps=50))
    (alone,) = prequential(X, Y[:, 1:2], mlp(steps=50))
    flipped = prequential(X, ~Y, mlp(steps=50))
    assert alone.bits_total == pytest.approx(together[1].bits_total, rel=1e-4)
    for one, other in zip(together, flipped, strict=True):
        assert one.bits_total == pytest.approx(other.bits_total, rel=1e-4)


def test_a_heavy_penalty_leaves_a_coin() -> None:
    (curve,) = prequential(X, Y[:, :1], mlp(1e6, steps=100))
    assert curve.bits_unmixed == pytest.approx(N, rel=0.05)


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=10, n_positions=8, n_embd=32, n_layer=1, n_head=2, resid_pdrop=0.0)
    return GPT2LMHeadModel(config).eval()


def prompts(n: int) -> Any:
    rng, rows = np.random.default_rng(1), np.empty(n, dtype=object)
    rows[:] = [rng.integers(2, 10, size=rng.integers(3, 7)).tolist() for _ in range(n)]
    return rows


def test_the_whole_model_learns_block_by_block_and_stays_as_it_was(model: Any) -> None:
    rows = prompts(300)
    labels = np.array([[row[-1] > 5, row[0] % 2 == 0] for row in rows])
    before = {name: p.clone() for name, p in model.state_dict().items()}
    code = partial(prequential, predictor=whole_model(model, [[0], [1]]))
    found = probe(rows, labels, names=["last", "first"], n=300, seed=0, shuffles=1, code=code)
    assert found[0].accuracy > 0.95 and not found[0].censored
    assert found[0].bits_per_label < found[1].bits_per_label
    assert found[0].control_low > 0.95
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())


def test_the_log_odds_are_those_of_a_model_tuned_on_what_was_seen(model: Any) -> None:
    """With nothing to learn from but one pass at no learning rate, they are the model's own."""
    rows, labels = prompts(20), np.arange(20)[:, None] % 2
    predict = whole_model(model, [[0], [1]], learning_rates=(1e-12,), passes=1)
    log_odds, converged = predict(rows[:10], labels[:10], rows[10:])
    own = answer_log_probs(model, list(rows[10:]), [[0], [1]]).detach().double()
    np.testing.assert_allclose(log_odds[0, :, 0], own[:, 1] - own[:, 0], atol=1e-4)
    assert converged.all()
    coin, _ = predict(rows[:1], labels[:1], rows[10:])
    assert not coin.any(), "one label alone teaches nothing"


def test_a_tuning_that_diverges_is_a_coin_and_says_so(model: Any) -> None:
    rows, labels = prompts(40), np.arange(40)[:, None] % 2
    predict = whole_model(model, [[0], [1]], learning_rates=(1e30,))
    log_odds, converged = predict(rows[:20], labels[:20], rows[20:])
    assert not converged.any() and not log_odds.any()


def test_the_variational_code_ranks_as_the_others_do_and_needs_no_order() -> None:
    score = X[:, :3] + np.array([0.0, 1.0, 4.0]) * np.random.default_rng(3).normal(size=(N, 3))
    labels = np.concatenate([score > 0, NOISE[:, None]], axis=1)
    names = ["clean", "noisy", "faint", "noise"]
    found = probe(X, labels, names=names, n=N, seed=0, shuffles=4, code=variational)
    bits = [r.bits_per_label for r in found]
    assert bits == sorted(bits) and [r.censored for r in found] == [False, False, False, True]
    assert all(r.converged and r.bits_total <= N + 1 and np.isnan(r.accuracy) for r in found)
    again = variational(X[::-1], labels[::-1])
    flipped = variational(X, ~labels)
    for one, other, third in zip(variational(X, labels), again, flipped, strict=True):
        assert one.bits_total == pytest.approx(other.bits_total, abs=0.05)
        assert one.bits_total == pytest.approx(third.bits_total, abs=0.05)


def test_the_variational_code_is_an_upper_bound_on_the_evidence_and_close_to_it() -> None:
    """With one weight the evidence is an integral, which quadrature gives."""
    x, labels, l2 = X[:60, :1], (X[:60, 0] + RNG.normal(size=60) > 0).astype(int), 2.0
    a, b = np.meshgrid(np.linspace(-25, 25, 801), np.linspace(-6, 6, 801), indexing="ij")
    log_prior = -0.5 * (INTERCEPT * a**2 + l2 * b**2) + 0.5 * np.log(INTERCEPT * l2) - np.log(2 * np.pi)
    sign = 2 * labels - 1
    log_joint = log_prior - sum(np.logaddexp(0, -s * (a + b * v)) for s, v in zip(sign, x[:, 0], strict=True))
    cell = (50 / 800) * (12 / 800)
    exact = -np.log2(np.exp(log_joint).sum() * cell)
    (curve,) = variational(x, labels[:, None], l2)
    assert exact < curve.bits_unmixed < exact + 1.5


def test_the_whole_model_s_bits_do_not_depend_on_which_word_means_which_label(model: Any) -> None:
    rows = prompts(60)
    labels = np.array([[row[-1] > 5] for row in rows])
    (one,) = prequential(rows, labels, whole_model(model, [[0], [1]]))
    (other,) = prequential(rows, ~labels, whole_model(model, [[1], [0]]))
    np.testing.assert_allclose(one.bits_mixed, other.bits_mixed, rtol=1e-4)


def test_all_codes_agree_on_features_an_order_of_magnitude_apart(model: Any) -> None:
    """A token's class, and that of another token flipped so often that a tenth of its signal is left."""
    n, rng = 200, np.random.default_rng(2)
    ids = rng.integers(2, 10, size=(n, 4))
    rows = np.empty(n, dtype=object)
    rows[:] = ids.tolist()
    labels = np.stack([ids[:, 3] > 5, (ids[:, 1] > 5) ^ (rng.random(n) < 0.45)], axis=1)
    design = raw_design(ids.tolist())
    curves = {
        "linear": prequential(design, labels, linear()),
        "mlp": prequential(design, labels, mlp()),
        "variational": variational(design, labels),
        "finetune": prequential(rows, labels, whole_model(model, [[0], [1]])),
    }
    for code, (strong, faint) in curves.items():
        assert strong.bits_per_label < faint.bits_per_label - 0.25, code
