"""PPO's critic: advantages against brute force, values against means, the policy against its optimum."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import LanguageModel
from models.answers import prompt_ids
from models.final_states import head_of
from rl_finetune import Settings, finetune, get_method, policy_of
from rl_finetune.batches import Rows
from rl_finetune.critic import critic_loss, critic_of, judge
from rl_finetune.objectives import adapted, clipped, gae, kl, policy_gradient, value_loss
from rl_finetune.policy import Scored
from tasks import Evidence, LabelAnswers, Task
from tests.rl_finetune.conftest import source_for

PROMPTS = ["a b c ?", "b c d a c b a ?", "c c ?", "d a b b ?"]
LABELS = [1, 0, 0, 1]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def brute_force(rewards: list[float], values: list[float], decay: float) -> list[float]:
    out = []
    for t in range(len(rewards)):
        total = 0.0
        for k in range(t, len(rewards)):
            after = values[k + 1] if k + 1 < len(values) else 0.0
            total += decay ** (k - t) * (rewards[k] + after - values[k])
        out.append(total)
    return out


@pytest.mark.parametrize("decay", [0.0, 0.95, 1.0])
def test_advantages_are_those_of_two_nested_loops_wherever_an_answer_stands(decay: float) -> None:
    values, inside = drawn(3, 2, 7), torch.zeros(3, 2, 7, dtype=torch.bool)
    rewards = torch.zeros_like(values)
    expected = torch.zeros_like(values)
    for (i, j), (start, length) in zip(
        itertools.product(range(3), range(2)), [(0, 7), (0, 1), (2, 3), (6, 1), (3, 4), (1, 5)], strict=True
    ):
        place = slice(start, start + length)
        inside[i, j, place] = True
        rewards[i, j, place] = drawn(length, seed=start)
        told = brute_force(rewards[i, j, place].tolist(), values[i, j, place].tolist(), decay)
        expected[i, j, place] = torch.tensor(told, dtype=torch.float64)
    torch.testing.assert_close(gae(rewards, values, inside, decay), expected)


def test_advantages_of_a_critic_that_knows_nothing_or_everything() -> None:
    rewards, inside = drawn(4, 1, 5), torch.ones(4, 1, 5, dtype=torch.bool)
    to_come = rewards.flip(-1).cumsum(-1).flip(-1)
    torch.testing.assert_close(gae(rewards, torch.zeros_like(rewards), inside, 1.0), to_come)
    torch.testing.assert_close(
        gae(rewards, drawn(4, 1, 5, seed=1), inside, 1.0)[..., -1:],
        (rewards - drawn(4, 1, 5, seed=1))[..., -1:],
    )
    for decay in (0.0, 0.95, 1.0):
        torch.testing.assert_close(gae(rewards, to_come, inside, decay), torch.zeros_like(rewards))


def said(states: Tensor, samples: int, places: int = 1) -> Scored:
    """Answers of which only the states matter."""
    nothing = torch.zeros(len(states), samples, places)
    inside = torch.ones(len(states), samples, places, dtype=torch.bool)
    return Scored(
        log_probs=nothing.sum(-1), choices=nothing[..., None], inside=inside, along=nothing, states=states
    )


def test_the_advantage_of_a_one_token_answer_is_its_reward_less_the_value_and_the_penalty() -> None:
    critic = nn.Linear(3, 1)
    scored = said(drawn(4, 1, 1, 3).float(), 2)
    rewards, penalty = drawn(4, 2).float(), drawn(4, 2, 1, seed=1).float()
    found = judge(critic, scored, rewards, penalty)
    values = critic(scored.states).view(4, 1)
    torch.testing.assert_close(found.advantages[..., 0], rewards - penalty[..., 0] - values)
    torch.testing.assert_close(found.returns[..., 0], rewards - penalty[..., 0])


def test_the_values_end_at_the_mean_reward_of_each_prompt() -> None:
    # Ten answers a prompt in the proportions of the policy, so that their mean is the expectation.
    rewards = torch.tensor([[1.0] * k + [0.0] * (10 - k) for k in (1, 5, 9)])
    critic = nn.Linear(3, 1)
    nn.init.zeros_(critic.weight)
    optimiser = torch.optim.Adam(critic.parameters(), lr=0.05)
    scored = said(torch.eye(3)[:, None, None], 10)
    for _ in range(60):
        judged = judge(critic, scored, rewards, 0.0)
        for _ in range(4):
            optimiser.zero_grad()
            critic_loss(critic, scored, judged).backward()
            optimiser.step()
    found = critic(torch.eye(3)).squeeze(1)
    torch.testing.assert_close(found, torch.tensor([0.1, 0.5, 0.9]), atol=0.01, rtol=0)


def test_a_value_is_not_pushed_further_than_the_clip() -> None:
    before, returns = torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, 1.0])
    values = torch.tensor([0.1, 0.3, 0.3, -0.3], requires_grad=True)
    (gradient,) = torch.autograd.grad(value_loss(values, before, returns).sum(), values)
    # Too near, too far already, and on the wrong side of it: only the second has done its part.
    torch.testing.assert_close(gradient, torch.tensor([-0.9, 0.0, 1.3, -1.3]))


def test_a_token_that_has_moved_far_enough_stops_and_its_neighbour_goes_on() -> None:
    before = torch.full((1, 1, 3), -1.0)
    actions = (before + torch.tensor([0.5, 0.1, -0.5])).requires_grad_()
    advantages = torch.tensor([[[1.0, 1.0, -1.0]]])
    (gradient,) = torch.autograd.grad(clipped(actions, before, advantages), actions)
    assert (gradient[0, 0] != 0).tolist() == [False, True, False]


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_the_first_step_on_a_batch_is_the_policy_gradient_and_the_critic_moves_no_policy(
    lm: LanguageModel, peaked: LanguageModel, task: Task, answers: str
) -> None:
    source = source_for(lm, peaked, task, "ppo", Settings(answers=answers, beta=0.3), 3)
    batch, scored = source.draw(Rows(PROMPTS, prompt_ids(lm, PROMPTS), LABELS))
    assert source.critic and batch.judged
    policy, critic = list(lm.model.parameters()), list(source.critic.parameters())
    whole = torch.autograd.grad(source.loss(batch, scored), policy, retain_graph=True)
    plain = (
        policy_gradient(scored.actions, batch.advantages) * scored.actions.shape[-1]
    )  # a sum along answers
    for found, expected in zip(whole, torch.autograd.grad(plain, policy, retain_graph=True), strict=True):
        torch.testing.assert_close(found, expected)
    value = critic_loss(source.critic, scored, batch.judged)
    none = torch.autograd.grad(value, policy, retain_graph=True, allow_unused=True)
    assert all(part is None for part in none)
    assert all((part != 0).any() for part in torch.autograd.grad(value, critic))


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_the_critic_reads_what_the_head_reads(peaked: LanguageModel, task: Task, answers: str) -> None:
    policy, ids = policy_of(peaked, task, answers), prompt_ids(peaked, PROMPTS)
    scored = policy.score(peaked.model, ids, policy.write([["amber", "birch"]] * 4))
    assert scored.states is not None and not scored.states.requires_grad
    logits = head_of(peaked.model)(scored.states)
    if answers == "constrained":
        words = [peaked.tokenizer.convert_tokens_to_ids(w) for w in task.answers.words or ()]
        torch.testing.assert_close(logits[..., words].log_softmax(-1), scored.choices, atol=1e-4, rtol=0)
        long = replace(task, answers=LabelAnswers(("amber coral", "birch")))
        phrases = policy_of(peaked, long, "constrained")
        again = phrases.score(peaked.model, ids, phrases.write([["birch"]] * 4))
        torch.testing.assert_close(again.states, scored.states, atol=1e-4, rtol=1e-4)
    else:
        torch.testing.assert_close(logits.log_softmax(-1), scored.choices, atol=1e-4, rtol=0)


def test_it_reads_them_of_an_encoder_and_of_an_encoder_decoder(other: LanguageModel, task: Task) -> None:
    ids = prompt_ids(other, PROMPTS)
    policy = policy_of(other, task, "constrained")
    scored = policy.score(other.model, ids, policy.write([["amber"]] * 4))
    logits = head_of(other.model)(scored.states)
    if other.name == "t5":
        words = [other.tokenizer.convert_tokens_to_ids(w) for w in task.answers.words or ()]
        logits = logits[..., words]
        free = policy_of(other, task, "free")
        said = free.score(other.model, ids, free.write([["amber", "birch"]] * 4))
        torch.testing.assert_close(head_of(other.model)(said.states).log_softmax(-1), said.choices)
    torch.testing.assert_close(logits.log_softmax(-1), scored.choices)
    assert critic_of(other.model)(scored.states).shape == (4, 1, 1, 1)


def test_it_ends_at_the_posterior_of_answers_of_two_tokens() -> None:
    # The expectation over all four answers is exact; the critic is trained beside the policy, from nothing.
    beta, rewards = 0.5, torch.tensor([[0.1, 1.0, 0.4, 0.0]], dtype=torch.float64)
    first, second = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])

    def along(logits: Tensor) -> Tensor:
        """Log-probabilities [1, 4, 2] of the tokens of each answer; logits of the states: start, 0, 1."""
        said = logits.log_softmax(-1)
        return torch.stack([said[0, first], said[1 + first, second]], dim=-1)[None]

    reference = along(drawn(3, 2, seed=3))
    states = torch.eye(3)[torch.stack([torch.zeros(4, dtype=torch.long), 1 + first], dim=-1)][None]
    logits, critic = drawn(3, 2, seed=4).requires_grad_(), nn.Linear(3, 1)
    optimiser = torch.optim.SGD([{"params": [logits], "lr": 0.5}, {"params": critic.parameters(), "lr": 0.3}])
    for _ in range(400):
        before = along(logits).detach()
        share = 4 * before.sum(-1, keepdim=True).exp()
        scored = replace(said(states, 4, 2), along=before)
        judged = judge(critic, scored, rewards, beta * (before - reference))
        for _ in range(2):
            values = critic(states).squeeze(-1)
            errors = value_loss(values, judged.values, judged.returns)
            loss = clipped(along(logits), before, share * judged.advantages) + (share * errors).sum(-1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    found = along(logits).detach().sum(-1)
    expected = (reference.sum(-1) + rewards / beta).softmax(-1)
    assert (reference.sum(-1).exp() - expected).abs().max() > 0.1
    torch.testing.assert_close(found.exp(), expected, atol=0.005, rtol=0)


def test_beta_goes_where_the_kl_should_go() -> None:
    assert adapted(0.5, 2.0, 1.0) > 0.5 > adapted(0.5, 0.5, 1.0) > 0
    assert adapted(0.5, 1.0, 1.0) == 0.5
    assert adapted(0.5, 1.1, 1.0) == pytest.approx(0.5 * 1.01)
    assert adapted(0.5, 50.0, 1.0) == pytest.approx(0.5 * 1.02) == pytest.approx(1 - adapted(0.5, -9.0, 1.0))


@pytest.mark.parametrize("start", [0.05, 5.0])
def test_of_a_policy_at_its_optimum_the_kl_ends_at_the_target(start: float) -> None:
    reference, rewards, beta = drawn(4).log_softmax(-1), drawn(4, seed=1), start
    for _ in range(400):
        policy = (reference + rewards / beta).log_softmax(-1)
        distance = float(kl(policy, reference))
        beta = adapted(beta, distance, 0.2)
    assert distance == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("name", ["ppo", "rloo"])
def test_tuning_moves_beta_from_batch_to_batch(lm: LanguageModel, task: Task, name: str) -> None:
    def beta(target: float) -> float:
        settings = Settings(
            steps=20, batch_size=8, learning_rate=2e-2, log_points=0, beta=0.3, kl_target=target
        )
        rows = task.mixture(Evidence(), settings.rows, np.random.default_rng(0)).to_dict()
        return finetune(lm, task, rows, get_method(name), settings, seed=0).beta

    assert beta(0.0) == 0.3
    assert beta(1e-3) > 0.3
    assert beta(100.0) == pytest.approx(0.3 * 0.98**20)
