"""Where each method ends, on a policy whose answers can be enumerated: against closed forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rl_finetune.objectives import (
    best_of,
    clipped,
    dpo,
    filtered,
    ipo,
    ipo_per_token,
    k1,
    k2,
    k3,
    kl,
    kto,
    leave_one_out,
    policy_gradient,
    regularised,
    reward_weighted,
)

REWARDS = torch.tensor([0.1, 1.0, 0.4], dtype=torch.float64)
REFERENCE = torch.tensor([0.5, -0.7, 0.2], dtype=torch.float64).log_softmax(-1)
START = torch.tensor([-0.4, 0.3, 0.9], dtype=torch.float64)
Loss = Callable[[Tensor, Tensor], Tensor]
"""Of log-probabilities of all answers, and of those sampled for one prompt [1, samples]."""


def expected_gradient(theta: Tensor, loss: Loss, samples: int, drawn_from: Tensor | None = None) -> Tensor:
    """Gradient of a loss of samples, averaged exactly over all that could have been sampled."""
    theta = theta.clone().requires_grad_()
    log_policy = theta.log_softmax(-1)
    weigh = log_policy.detach() if drawn_from is None else drawn_from
    total = torch.zeros((), dtype=torch.float64)
    for arms in itertools.product(range(len(theta)), repeat=samples):
        chosen = torch.tensor([arms])
        total = total + weigh[chosen].sum().exp() * loss(log_policy, chosen)
    (gradient,) = torch.autograd.grad(total, theta)
    return gradient


def settle(
    loss: Loss, samples: int, *, drawn_from: Tensor | None = None, rate: float = 1.0, steps: int = 300
) -> Tensor:
    """Log-probabilities after plain gradient descent."""
    theta = START.clone()
    for _ in range(steps):
        theta -= rate * expected_gradient(theta, loss, samples, drawn_from)
    return theta.log_softmax(-1)


def posterior(beta: float, prior: Tensor = REFERENCE) -> Tensor:
    return (prior + REWARDS / beta).log_softmax(-1)


def test_regularised_policy_gradients_end_at_the_posterior() -> None:
    def loss(log_policy: Tensor, chosen: Tensor) -> Tensor:
        log_probs, reference = log_policy[chosen], REFERENCE[chosen]
        advantages = regularised(leave_one_out(REWARDS[chosen]), log_probs, reference, leave_one_out, 0.5)
        return policy_gradient(log_probs, advantages)

    torch.testing.assert_close(settle(loss, 2, steps=250), posterior(0.5), atol=1e-4, rtol=0)


def test_reward_weighted_regression_ends_at_its_weighted_average() -> None:
    def loss(log_policy: Tensor, chosen: Tensor) -> Tensor:
        return reward_weighted(log_policy[chosen], REWARDS[chosen], beta=0.5)

    found = settle(loss, 1, drawn_from=REFERENCE, rate=0.5)
    torch.testing.assert_close(found, posterior(0.5), atol=1e-6, rtol=0)
    most = (REWARDS / 0.5).exp().clamp(max=2.0)  # beyond which no reward weighs more

    def bounded(log_policy: Tensor, chosen: Tensor) -> Tensor:
        return reward_weighted(log_policy[chosen], REWARDS[chosen], beta=0.5, most=2.0)

    found = settle(bounded, 1, drawn_from=REFERENCE)
    torch.testing.assert_close(found, (REFERENCE + most.log()).log_softmax(-1), atol=1e-6, rtol=0)


def best_of_n(log_policy: Tensor, samples: int) -> Tensor:
    """The distribution of the best of n, by brute force."""
    out = torch.zeros_like(log_policy)
    for arms in itertools.product(range(len(log_policy)), repeat=samples):
        out[max(arms, key=lambda a: REWARDS[a])] += log_policy[list(arms)].sum().exp()
    return out


@pytest.mark.parametrize("weight", [0.35, 1.5])
def test_superhf_ends_at_its_fixed_point(weight: float) -> None:
    def loss(log_policy: Tensor, chosen: Tensor) -> Tensor:
        return filtered(log_policy[chosen], REWARDS[chosen]) + weight * kl(REFERENCE, log_policy)

    found = settle(loss, 3, steps=120)
    expected = (best_of_n(found, 3) + weight * REFERENCE.exp()) / (1 + weight)
    torch.testing.assert_close(found.exp(), expected, atol=1e-6, rtol=0)
    assert (found.exp() >= weight / (1 + weight) * REFERENCE.exp() - 1e-6).all()


def test_best_of_n_distillation_ends_at_best_of_n() -> None:
    found = settle(lambda p, chosen: filtered(p[chosen], REWARDS[chosen]), 3, drawn_from=REFERENCE, steps=200)
    torch.testing.assert_close(found.exp(), best_of_n(REFERENCE, 3), atol=1e-4, rtol=0)


def test_equal_bests_share_the_weight() -> None:
    found = best_of(torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.2, 0.1, 0.0]]))
    expected = torch.tensor([[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3], [1, 0, 0]])
    torch.testing.assert_close(found, expected)


def test_ipo_ends_at_its_margin() -> None:
    better = torch.tensor([[1.0, 0.0]], dtype=torch.float64)

    def margin(log_policy: Tensor) -> Tensor:
        return (log_policy - REFERENCE)[1] - (log_policy - REFERENCE)[2]

    pair = torch.tensor([[1, 2]])
    found = settle(lambda p, _: ipo(p[pair], REFERENCE[pair], better, beta=0.25), 1, rate=0.1)
    assert margin(found).item() == pytest.approx(1 / (2 * 0.25))
    tokens = torch.tensor([[2, 5]])
    found = settle(
        lambda p, _: ipo_per_token(p[pair], REFERENCE[pair], better, tokens, beta=0.25), 1, steps=400
    )
    ratios = (found - REFERENCE)[pair] / tokens
    assert (ratios[0, 0] - ratios[0, 1]).item() == pytest.approx(1 / (2 * 0.25), rel=1e-4)


def test_dpo_finds_the_reward_behind_the_preferences() -> None:
    # Of all pairs, the first answer preferred with the probability of Bradley and Terry.
    def loss(log_policy: Tensor, _: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for first, second in itertools.combinations(range(3), 2):
            pair = torch.tensor([[first, second]])
            for won in ([1.0, 0.0], [0.0, 1.0]):
                p = ((REWARDS[first] - REWARDS[second]) * (won[0] - won[1])).sigmoid()
                rewards = torch.tensor([won], dtype=torch.float64)
                total = total + p * dpo(log_policy[pair], REFERENCE[pair], rewards, beta=0.5)
        return total

    torch.testing.assert_close(settle(loss, 1, rate=4.0, steps=150), posterior(0.5), atol=1e-4, rtol=0)


@pytest.mark.parametrize("objective", [dpo, ipo])
def test_pairs_are_all_of_a_prompt_and_equals_say_nothing(objective: Callable[..., Tensor]) -> None:
    log_probs, reference = REFERENCE[None] * 2, START[None]
    rewards = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    found = objective(log_probs, reference, rewards, beta=0.3)
    pairs = [
        objective(log_probs[:, [i, j]], reference[:, [i, j]], rewards[:, [i, j]], beta=0.3)
        for i, j in itertools.combinations(range(3), 2)
    ]
    assert pairs[2] == 0
    torch.testing.assert_close(found, sum(pairs) / 3)
    swapped = objective(log_probs[:, [1, 0]], reference[:, [1, 0]], rewards[:, [1, 0]], beta=0.3)
    torch.testing.assert_close(swapped, pairs[0])


def test_kto_by_the_formula_of_its_paper() -> None:
    log_probs = torch.tensor([[-0.5, -2.0], [-1.0, -0.2]], dtype=torch.float64)
    reference = torch.tensor([[-0.7, -1.0], [-1.5, -0.9]], dtype=torch.float64)
    rewards = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    for elsewhere in (0.3, -0.3):
        z = max(elsewhere, 0.0)
        ratio = log_probs - reference
        desirable = 1 - (0.5 * (ratio - z)).sigmoid()
        undesirable = 1 - (0.5 * (z - ratio)).sigmoid()
        expected = torch.where(rewards == 1, desirable, undesirable).mean()
        found = kto(log_probs, reference, rewards, torch.full((2, 2), elsewhere), beta=0.5)
        torch.testing.assert_close(found, expected)
    equal = kto(log_probs, reference, torch.full((2, 2), 0.7), torch.zeros(2, 2), beta=0.5)
    assert equal == 0  # a batch without a better answer says nothing


def test_clipping_stops_what_has_moved_far_enough() -> None:
    drawn = torch.tensor([[-1.0, -1.0, -1.0, -1.0]], dtype=torch.float64)
    moved = torch.tensor([[0.5, -0.5, 0.5, -0.5]], dtype=torch.float64)  # ratios 1.65 and 0.61
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]], dtype=torch.float64)
    log_probs = (drawn + moved).requires_grad_()
    actions = (drawn[..., None], advantages[..., None])  # each answer is one
    (gradient,) = torch.autograd.grad(clipped(log_probs[..., None], *actions), log_probs)
    assert (gradient != 0).tolist() == [[False, True, True, False]]
    at_first = drawn.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(clipped(at_first[..., None], *actions), at_first)
    (plain,) = torch.autograd.grad(policy_gradient(at_first, advantages), at_first)
    torch.testing.assert_close(gradient, plain)


def exact_kl_gradient(forward: bool) -> Tensor:
    theta = START.clone().requires_grad_()
    log_policy = theta.log_softmax(-1)
    value = kl(REFERENCE, log_policy) if forward else kl(log_policy, REFERENCE)
    (gradient,) = torch.autograd.grad(value, theta)
    return gradient


def in_loss(estimator: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    return expected_gradient(START, lambda p, chosen: estimator(p[chosen], REFERENCE[chosen]).mean(), 1)


def in_reward(estimator: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    def loss(log_policy: Tensor, chosen: Tensor) -> Tensor:
        log_probs, nothing = log_policy[chosen], torch.zeros(1, 2, dtype=torch.float64)
        advantages = regularised(nothing, log_probs, REFERENCE[chosen], leave_one_out, 1.0, estimator)
        return policy_gradient(log_probs, advantages)

    return expected_gradient(START, loss, 2)


def test_the_gradients_of_the_kl_estimators() -> None:
    reverse, forward = exact_kl_gradient(False), exact_kl_gradient(True)
    torch.testing.assert_close(in_reward(k1), reverse)
    torch.testing.assert_close(in_loss(k2), reverse)
    torch.testing.assert_close(in_loss(k1), torch.zeros_like(reverse))
    torch.testing.assert_close(in_loss(k3), forward)
    for biased in (k2, k3):
        assert not torch.allclose(in_reward(biased), reverse, rtol=0.1)


def test_the_values_of_the_kl_estimators() -> None:
    log_policy = START.log_softmax(-1)
    exact = kl(log_policy, REFERENCE)
    for estimator in (k1, k3):
        torch.testing.assert_close((log_policy.exp() * estimator(log_policy, REFERENCE)).sum(), exact)
    assert (k3(log_policy, REFERENCE) >= 0).all()
    assert (k1(log_policy, REFERENCE) < 0).any()


def test_k2_in_the_reward_keeps_a_policy_from_its_reference() -> None:
    # It also punishes answers that are given too seldom; the defect of a published code.
    def penalised(estimator: Callable[[Tensor, Tensor], Tensor]) -> Loss:
        def loss(log_policy: Tensor, chosen: Tensor) -> Tensor:
            nothing = torch.zeros(1, 2, dtype=torch.float64)
            args = (log_policy[chosen], REFERENCE[chosen], leave_one_out, 1.0, estimator)
            return policy_gradient(log_policy[chosen], regularised(nothing, *args))

        return loss

    assert kl(settle(penalised(k1), 2, steps=100), REFERENCE) < 1e-4
    assert kl(settle(penalised(k2), 2, steps=100), REFERENCE) > 0.02
