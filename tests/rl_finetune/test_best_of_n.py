"""Best of n at inference: its distribution by enumeration, how far it goes, and what it is asked for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from models import LanguageModel, prompt_ids
from rl_finetune import BestOf, Settings, answers_to, count_answers, finetune, get_method, judged, policy_of
from rl_finetune.best_of_n import best_of_n
from rl_finetune.objectives import kl
from tasks import Task, UserError


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)


def enumerated(log_probs: Tensor, rewards: list[float], n: int) -> Tensor:
    """The first of the best, over all that could have been sampled."""
    out = torch.zeros_like(log_probs)
    for arms in itertools.product(range(len(log_probs)), repeat=n):
        out[max(arms, key=lambda arm: rewards[arm])] += log_probs[list(arms)].sum().exp()
    return out


REWARDS = [[0.0, 1.0, 0.3, -2.0], [0.5, 0.5, 0.1, 0.5], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_its_distribution_is_that_of_all_that_could_be_sampled(n: int) -> None:
    log_probs = drawn(4, 4)
    found = best_of_n(log_probs, torch.tensor(REWARDS), n).exp()
    for row, rewards, p in zip(found, REWARDS, log_probs, strict=True):
        torch.testing.assert_close(row, enumerated(p, rewards, n))
    if n == 1:
        torch.testing.assert_close(found, log_probs.exp())
    of_two = best_of_n(log_probs[:, :2].log_softmax(-1), torch.tensor([[0.0, 1.0]] * 4), n).exp()
    p = log_probs[:, :2].softmax(-1)[:, 1]
    torch.testing.assert_close(of_two[:, 1], 1 - (1 - p) ** n)


def test_an_answer_that_is_never_given_is_never_the_best() -> None:
    found = best_of_n(torch.tensor([[-800.0, 0.0], [0.0, -800.0]]), torch.tensor([[1.0, 0.0]] * 2), 4).exp()
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.0], [1.0, 0.0]]))


@pytest.mark.parametrize("n", [1, 2, 16, 1000])
def test_it_goes_no_further_than_its_bound_and_is_never_worse(n: int) -> None:
    log_probs, rewards = (
        drawn(500, 6, seed=1) * 3,
        torch.randn(500, 6, generator=torch.Generator().manual_seed(2)),
    )
    log_probs = log_probs.log_softmax(-1)
    best = best_of_n(log_probs, rewards, n)
    distance = kl(best, log_probs)
    bound = np.log(n) - (n - 1) / n
    assert (distance <= bound + 1e-9).all()
    assert distance.max() > bound / 2
    gain = ((best.exp() - log_probs.exp()) * rewards).sum(-1)
    assert (gain >= -1e-9).all()


def test_an_answer_that_is_hardly_ever_given_is_no_zero_over_zero() -> None:
    log_probs = torch.tensor([[0.0, -300.0], [0.0, -40.0]]).log_softmax(-1)
    for rewards in ([1.0, 0.0], [0.0, 1.0]):
        found = best_of_n(log_probs, torch.tensor([rewards] * 2), 16)
        assert found[:, 0].exp().tolist() == [1.0, 1.0]
        assert not found.isnan().any()


def rows_of(task: Task, n: int) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = task.quadrant("both", n, np.random.default_rng(0)).to_dict()
    return columns | {"label": [i % 2 for i in range(n)]}


def test_constrained_answers_are_counted_by_the_exact_distribution(peaked: LanguageModel, task: Task) -> None:
    policy, rows = policy_of(peaked, task, "constrained"), rows_of(task, 50)
    one, alone = (
        count_answers(peaked, answering, task, rows, peaked.model, batch_size=7)
        for answering in (BestOf(policy, 1, torch.Generator()), policy)
    )
    for name, value in vars(alone).items():
        assert getattr(one, name) == pytest.approx(value, abs=1e-6, nan_ok=True), name
    four = count_answers(peaked, BestOf(policy, 4, torch.Generator()), task, rows, peaked.model)
    p = policy.distribution(peaked.model, prompt_ids(peaked, list(map(str, rows["prompt"])))).detach().exp()
    wrong = 1 - p[torch.arange(50), torch.tensor(rows["label"])]
    assert four.p_error == pytest.approx(float((wrong**4).mean()), rel=1e-4)
    assert 0 < four.kl_reverse <= np.log(4) - 3 / 4


def test_free_answers_are_sampled_n_times_and_the_best_is_given(lm: LanguageModel, task: Task) -> None:
    # A reward that is told nothing of labels: it likes answers of one token.
    rows = rows_of(task, 400)
    free = policy_of(lm, task, "free")

    def share(n: int) -> float:
        best = BestOf(free, n, torch.Generator().manual_seed(0))
        short = judged(task, lambda prompts, said: [float(len(s.split()) == 1) for s in said], "short")
        _, texts = answers_to(lm, best, short, list(map(str, rows["prompt"])))
        return float(np.mean([len(text.split()) == 1 for text in texts]))

    p = share(1)
    assert 0 < p < 0.5
    expected = 1 - (1 - p) ** 8
    assert share(8) == pytest.approx(expected, abs=0.12)
    counts = count_answers(lm, BestOf(free, 2, torch.Generator()), task, rows, lm.model)
    assert np.isnan([counts.kl_reverse, counts.entropy, counts.p_error]).all()


def test_a_learned_reward_chooses_by_what_it_likes(peaked: LanguageModel, task: Task) -> None:
    policy, rows = policy_of(peaked, task, "constrained"), rows_of(task, 50)
    fond = judged(task, lambda prompts, said: [float(s == "birch") for s in said], "fond of birch")
    many = BestOf(policy, 10**6, torch.Generator())
    _, texts = answers_to(peaked, many, fond, list(map(str, rows["prompt"])))
    assert set(texts) == {"birch"}


def test_it_is_no_way_to_tune(lm: LanguageModel, task: Task) -> None:
    with pytest.raises(UserError, match="best-of-n tunes nothing"):
        finetune(lm, task, {"prompt": [], "label": []}, get_method("best-of-n"), Settings(), seed=0)
