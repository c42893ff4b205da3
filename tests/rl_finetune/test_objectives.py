"""Objectives: gradients against finite differences, against a bandit solved exactly, against brute force."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor
from torch.autograd import gradcheck

from rl_finetune import METHODS, get_method, method_table
from rl_finetune.objectives import (
    batch_baseline,
    entropy,
    group_standardised,
    kl,
    leave_one_out,
    likelihood,
    policy_gradient,
    regularised,
)
from tasks.errors import UserError

REWARDS = torch.tensor([0.2, 0.9], dtype=torch.float64)
"""Of the two arms of the bandit."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def expected_gradient(
    logits: Tensor,
    advantage: Callable[[Tensor], Tensor],
    *,
    prompts: int,
    samples: int,
    beta: float = 0.0,
    reference: Tensor | None = None,
) -> Tensor:
    """Gradient of the policy-gradient loss, averaged exactly over all that could have been sampled."""
    total = torch.zeros_like(logits)
    for arms in itertools.product(range(len(logits)), repeat=prompts * samples):
        theta = logits.clone().requires_grad_()
        log_policy = theta.log_softmax(-1)
        chosen = torch.tensor(arms).view(prompts, samples)
        log_probs, rewards = log_policy[chosen], REWARDS[chosen]
        advantages = advantage(rewards)
        if reference is not None:
            (centre,) = {m.centre for m in METHODS.values() if m.advantage is advantage}
            assert centre
            advantages = regularised(advantages, log_probs, reference[chosen], centre, beta)
        (gradient,) = torch.autograd.grad(policy_gradient(log_probs, advantages), theta)
        total += gradient * log_probs.detach().sum().exp()
    return total


def exact_gradient(logits: Tensor, beta: float = 0.0, reference: Tensor | None = None) -> Tensor:
    """Gradient of the loss -(expected reward - beta KL(policy || reference))."""
    theta = logits.clone().requires_grad_()
    log_policy = theta.log_softmax(-1)
    value = (log_policy.exp() * REWARDS).sum()
    if reference is not None:
        value = value - beta * (log_policy.exp() * (log_policy - reference)).sum()
    (gradient,) = torch.autograd.grad(-value, theta)
    return gradient


BANDIT = torch.tensor([0.7, -0.4], dtype=torch.float64)


def test_gradients_are_those_of_finite_differences() -> None:
    logits, other = drawn(3, 4).requires_grad_(), drawn(3, 4, seed=1).requires_grad_()
    advantages = drawn(3, 4, seed=2)
    assert gradcheck(lambda x: likelihood(x.log_softmax(-1)), logits)
    assert gradcheck(lambda x: policy_gradient(x.log_softmax(-1), advantages), logits)
    assert gradcheck(lambda x: entropy(x.log_softmax(-1)), logits)
    assert gradcheck(lambda x, y: kl(x.log_softmax(-1), y.log_softmax(-1)), (logits, other))


@pytest.mark.parametrize("advantage", [batch_baseline, leave_one_out], ids=["reinforce", "rloo"])
@pytest.mark.parametrize(("prompts", "samples"), [(1, 2), (2, 2), (1, 4), (3, 2)])
def test_the_policy_gradient_of_a_bandit_is_exact(
    advantage: Callable[[Tensor], Tensor], prompts: int, samples: int
) -> None:
    found = expected_gradient(BANDIT, advantage, prompts=prompts, samples=samples)
    torch.testing.assert_close(found, exact_gradient(BANDIT))


def test_a_baseline_that_holds_the_own_reward_is_biased() -> None:
    # What the two above guard against: the mean over the group with the sample itself shrinks the gradient.
    found = expected_gradient(BANDIT, lambda r: r - r.mean(dim=1, keepdim=True), prompts=1, samples=2)
    torch.testing.assert_close(found, exact_gradient(BANDIT) / 2)


@pytest.mark.parametrize("samples", [2, 4])
def test_the_grpo_gradient_of_a_bandit_points_the_same_way(samples: int) -> None:
    found = expected_gradient(BANDIT, group_standardised, prompts=1, samples=samples)
    exact = exact_gradient(BANDIT)
    assert torch.cosine_similarity(found, exact, dim=0).item() == pytest.approx(1)
    tenfold = expected_gradient(BANDIT, lambda r: group_standardised(10 * r), prompts=1, samples=samples)
    torch.testing.assert_close(tenfold, found, rtol=1e-2, atol=0)  # the scale of the reward is lost


@pytest.mark.parametrize("beta", [0.1, 2.0])
@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo"])
def test_the_kl_adds_its_own_gradient_whatever_the_rewards(name: str, beta: float) -> None:
    advantage = METHODS[name].advantage
    assert advantage
    reference = torch.tensor([-0.3, 0.8], dtype=torch.float64).log_softmax(-1)
    found = expected_gradient(BANDIT, advantage, prompts=2, samples=2, beta=beta, reference=reference)
    found -= expected_gradient(BANDIT, advantage, prompts=2, samples=2)
    torch.testing.assert_close(found, exact_gradient(BANDIT, beta, reference) - exact_gradient(BANDIT))


def test_the_penalty_itself_has_no_gradient() -> None:
    log_probs = drawn(2, 3).requires_grad_()
    found = regularised(drawn(2, 3, seed=1), log_probs, drawn(2, 3, seed=2), leave_one_out, 0.5)
    assert not found.requires_grad


def test_leave_one_out_by_brute_force() -> None:
    rewards = drawn(5, 4)
    expected = torch.empty_like(rewards)
    for i, j in itertools.product(range(5), range(4)):
        others = [rewards[i, k] for k in range(4) if k != j]
        expected[i, j] = rewards[i, j] - sum(others) / len(others)
    torch.testing.assert_close(leave_one_out(rewards), expected)


def test_the_baseline_of_reinforce_by_brute_force() -> None:
    rewards = drawn(5, 4)
    expected = torch.empty_like(rewards)
    for i in range(5):
        others = [rewards[k, j] for k in range(5) if k != i for j in range(4)]
        expected[i] = rewards[i] - sum(others) / len(others)
    torch.testing.assert_close(batch_baseline(rewards), expected)


def test_standardised_rewards_are_centred_and_rescaled() -> None:
    rewards = drawn(6, 4)
    advantages = group_standardised(rewards)
    ratio = advantages / (rewards - rewards.mean(dim=1, keepdim=True))
    torch.testing.assert_close(ratio, ratio[:, :1].expand(6, 4))
    assert (ratio > 0).all()
    torch.testing.assert_close(advantages.std(dim=1), torch.ones(6, dtype=torch.float64), atol=1e-3, rtol=0)
    assert not group_standardised(torch.full((2, 4), 0.7, dtype=torch.float64)).abs().max() > 1e-9  # nor NaN


def test_supervised_tuning_is_maximum_likelihood() -> None:
    answers = torch.tensor([0, 2, 2, 1, 2])
    logits = drawn(3).requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood(logits.log_softmax(-1)[answers][:, None]), logits)
    share = torch.bincount(answers, minlength=3) / len(answers)
    torch.testing.assert_close(gradient, logits.softmax(-1).detach() - share)
    at_best = share.log().requires_grad_()  # where the policy says what the demonstrations say
    (gradient,) = torch.autograd.grad(likelihood(at_best.log_softmax(-1)[answers][:, None]), at_best)
    torch.testing.assert_close(gradient, torch.zeros(3), atol=1e-7, rtol=0)


def test_entropy_and_kl_are_those_of_scipy() -> None:
    p, q = drawn(5, 7).log_softmax(-1), drawn(5, 7, seed=1).log_softmax(-1)
    np.testing.assert_allclose(entropy(p), scipy.stats.entropy(p.exp().numpy(), axis=1))
    np.testing.assert_allclose(kl(p, q), scipy.stats.entropy(p.exp().numpy(), q.exp().numpy(), axis=1))


def test_the_table_of_methods() -> None:
    assert [row["name"] for row in method_table()] == [*METHODS, "best-of-n"]
    assert {"sft", "pref-ft", "superhf", "rwr", "rloo", "ppo", "dpo", "ipo", "kto"} < set(METHODS)
    with pytest.raises(UserError, match="unknown method 'rlo'; did you mean 'rloo'"):
        get_method("rlo")


@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo"])
def test_the_table_tells_which_methods_couple_the_prompts_of_a_batch(name: str) -> None:
    method = get_method(name)
    assert method.advantage
    rewards, changed = drawn(3, 2), drawn(3, 2)
    changed[2] += 1
    moved = not torch.equal(method.advantage(rewards)[:2], method.advantage(changed)[:2])
    assert moved == method.batch_coupled


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize("name", ["reinforce", "rloo", "grpo"])
def test_the_table_tells_how_many_samples_a_method_needs(name: str) -> None:
    method = get_method(name)
    assert method.advantage
    enough = method.advantage(drawn(3, method.least_samples))
    assert enough.isfinite().all()
    if method.least_samples > 1:
        assert not method.advantage(drawn(3, method.least_samples - 1)).isfinite().all()
