"""Bandits: references, known ends of training, and that seeds side by side are seeds alone."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import cauchy
from torch import Tensor

from rl_finetune import objectives
from rl_finetune.bandit_methods import ABLATED, set_method, without_negative
from rl_finetune.bandit_policies import Arms, Sequences, drawing, generators
from rl_finetune.bandit_problems import ARMS, problem_of, reference_distribution
from rl_finetune.bandit_settings import BanditSettings
from rl_finetune.bandits import Outcome, choose_rate, fitted, tune
from rl_finetune.methods import METHODS, Batch
from tasks.errors import UserError

NONE = torch.empty(0)
SMALL = BanditSettings(steps=6, batch_size=3, samples_per_prompt=4, eval_n=8, fit_steps=20, log_steps=(3,))


def run(
    problem: str, method: str, settings: BanditSettings, rate: float = 1e-2, seeds: tuple[int, ...] = (0, 1)
):
    return tune(problem_of(problem), set_method(method, settings), settings, rate=rate, seeds=seeds)


def test_the_reference_is_the_binned_tanh_of_a_cauchy() -> None:
    edges = np.linspace(-1, 1, ARMS + 1)
    with np.errstate(divide="ignore"):
        expected = np.diff(cauchy.cdf(np.arctanh(edges), loc=-0.7, scale=0.4))
    np.testing.assert_allclose(reference_distribution(), expected, atol=1e-7)
    drawn = np.tanh(cauchy.rvs(loc=-0.7, scale=0.4, size=200_000, random_state=0))
    share = np.histogram(drawn, edges)[0] / len(drawn)
    np.testing.assert_allclose(reference_distribution(), share, atol=0.002)


def test_the_fitted_agent_is_the_reference_on_prompts_it_never_saw() -> None:
    draw = drawing(generators((0, 1), 77))
    target = reference_distribution()
    for kind, net in (("arms", Arms()), ("sequence", Sequences())):
        weights, _ = fitted(kind, (0, 1), 200)
        prompts = net.prompts(50, draw)
        answers = net.sample(weights, prompts, 2, draw)
        choices = net.choices(weights, prompts, answers)
        assert float(objectives.kl(choices, target.log()).mean()) < 1e-3
        assert float((choices.exp() - target).abs().mean()) < 1e-3
        assert (
            float(objectives.kl(net.choices(net.start((0, 1)), prompts, answers), target.log()).min()) > 0.3
        )


@pytest.mark.parametrize("problem", ["arms/R1", "sequence/R2"])
@pytest.mark.parametrize("method", ["online-dpo", "ppo-clip", "bon-distillation", "superhf"])
def test_a_replica_among_others_is_the_replica_alone(problem: str, method: str) -> None:
    together = run(problem, method, replace(SMALL, reuse=2), seeds=(3, 4, 5))
    alone = run(problem, method, replace(SMALL, reuse=2), seeds=(4,))
    for many, one in zip(together.weights, alone.weights, strict=True):
        torch.testing.assert_close(many[1:2], one, atol=1e-4, rtol=1e-3)
    rewards = [p["reward"] for p in together.points if p["seed"] == 4]
    assert rewards == pytest.approx([p["reward"] for p in alone.points], abs=1e-4)
    others = [p["reward"] for p in together.points if p["seed"] == 5]
    assert rewards != pytest.approx(others, abs=1e-6)


def test_the_same_seed_is_the_same_trajectory() -> None:
    first, second = (run("sequence/R1", "online-ipo", SMALL).points for _ in range(2))
    assert str(first) == str(second)  # as text, for NaN is not itself


@pytest.mark.parametrize(
    ("method", "changes", "draws"),
    [
        ("online-bon-distillation", {}, 20),
        ("online-bon-distillation", {"reuse": 5}, 4),
        ("online-bon-distillation", {"reuse": 7}, 3),
        ("online-bon-distillation", {"batches": 10}, 20),
        ("online-bon-distillation", {"batches": 2, "reuse": 5}, 4),
        ("dpo", {"reuse": 20}, 1),
        ("dpo", {}, 20),
    ],
)
def test_reuse_samples_nothing_again(
    monkeypatch: pytest.MonkeyPatch, method: str, changes: dict[str, int], draws: int
) -> None:
    sampled: list[Tensor] = []
    real = Arms.sample

    def sample(self: Arms, weights: list[Tensor], prompts: Tensor, n: int, draw: object) -> Tensor:
        found = real(self, weights, prompts, n, draw)  # type: ignore[arg-type]
        if n == SMALL.samples_per_prompt:
            sampled.append(found)
        return found

    settings = replace(SMALL, steps=20, log_steps=(), **changes)
    fitted("arms", (0, 1), settings.fit_steps)
    monkeypatch.setattr(Arms, "sample", sample)
    outcome = run("arms/R1", method, settings)
    assert outcome.draws == draws
    assert len(sampled) == draws + 2  # and the two sets that are measured
    assert outcome.points[-1]["queries"] == draws * settings.batch_size * settings.samples_per_prompt


def ends(outcome: Outcome) -> Tensor:
    """Probabilities of the arms, a mean over new contexts, [seeds, arms]."""
    prompts = Arms().prompts(100, drawing(generators((0, 1), 77)))
    return Arms().choices(outcome.weights, prompts, prompts).exp()[:, :, 0, 0].mean(1)


def test_regularised_reinforcement_ends_at_the_tilted_reference() -> None:
    settings = BanditSettings(steps=300, samples_per_prompt=100, beta=0.5, log_steps=())
    reference, bump = reference_distribution(), problem_of("arms/R2").bump()
    tilted = (reference.log() + bump / 0.5).log_softmax(-1)
    found = ends(run("arms/R2", "rloo", settings, rate=1e-3)).log()
    assert float(objectives.kl(found, tilted).max()) < 0.03
    assert float(objectives.kl(reference.log(), tilted)) > 0.2


def test_offline_best_of_n_ends_near_the_best_of_n_distribution() -> None:
    n, reference, far = 4, reference_distribution().double(), (torch.arange(ARMS) - 70).abs()
    best = torch.zeros(ARMS, dtype=torch.float64)
    for arm in range(ARMS):
        # Arms as far from the peak on the other side have the same reward, and share.
        level, under = reference[far == far[arm]].sum(), reference[far > far[arm]].sum()
        best[arm] = ((under + level) ** n - under**n) * reference[arm] / level
    assert float(best.sum()) == pytest.approx(1)
    settings = BanditSettings(steps=300, batch_size=50, samples_per_prompt=n, log_steps=())
    found = ends(run("arms/R1", "bon-distillation", settings, rate=1e-3)).double()
    assert float(objectives.kl(best.log(), found.log()).max()) < 0.05
    assert float(objectives.kl(best.log(), reference.log())) > 0.3


def test_probabilities_of_all_continuations_sum_to_one_unless_they_are_scored_as_published() -> None:
    everything = torch.tensor(list(itertools.product(range(4), repeat=3)))[None, None]
    prompts = torch.tensor([[2]])
    sums = {}
    for unshifted in (False, True):
        net = Sequences(4, 3, unshifted=unshifted)
        weights = [3 * w + 0.1 * i for i, w in enumerate(net.start((5,)))]
        weights[3] = weights[3] + torch.randn(weights[3].shape, generator=torch.Generator().manual_seed(0))
        scored = net.log_probs(weights, prompts, everything)
        sums[unshifted] = float(scored.exp().sum())
        # What is sampled is what is scored.
        drawn = net.sample(weights, prompts, 40_000, drawing(generators((5,), 1)))
        place = (drawn * torch.tensor([16, 4, 1])).sum(-1).flatten()
        shares = torch.bincount(place, minlength=64) / len(place)
        if not unshifted:
            torch.testing.assert_close(shares, scored.exp().flatten(), atol=0.01, rtol=0)
    assert sums[False] == pytest.approx(1, abs=1e-5)
    assert abs(sums[True] - 1) > 0.05


def test_a_sequence_of_nothing_but_the_peak_has_reward_one_whatever_its_prompt() -> None:
    prompts, answers = torch.tensor([[0, 70]]), torch.full((1, 2, 1, 9), 70)
    own = problem_of("sequence/R1").rewards(prompts, answers)
    published = problem_of("sequence/R1", "tajwar2024").rewards(prompts, answers)
    torch.testing.assert_close(own, torch.ones(1, 2, 1))
    torch.testing.assert_close(published, torch.tensor([[[0.9], [1.0]]]))


@pytest.mark.parametrize("name", ["dpo", "ipo"])
def test_without_negative_is_the_same_value_and_only_the_winner_moves(name: str) -> None:
    random = torch.Generator().manual_seed(1)
    log_probs, reference = (torch.randn(3, 2, generator=random) for _ in range(2))
    log_probs.requires_grad_()
    rewards = torch.tensor([[1.0, 0.0], [0.2, 0.9], [0.5, 0.5]])
    ones = torch.ones(3, 2)
    batch = Batch(log_probs, log_probs.detach(), reference, rewards, NONE, ones, NONE, 0.1, NONE, NONE)
    full, held = METHODS[name].objective, ABLATED[f"{name}-without-negative"].objective
    torch.testing.assert_close(full(batch), held(batch))
    (both,) = torch.autograd.grad(full(batch), log_probs)
    (won,) = torch.autograd.grad(held(batch), log_probs)
    better = rewards > rewards.flip(-1)
    torch.testing.assert_close(won, torch.where(better, both, 0.0))
    assert float(both[~better].abs().max()) > 0

    four = torch.randn(5, 4, generator=random)
    many = replace(batch, log_probs=four, reference=four.flip(0), rewards=four.sin(), tokens=torch.ones(5, 4))
    torch.testing.assert_close(full(many), without_negative(full)(many))


def test_the_rate_is_the_best_of_those_tried_and_a_diverged_one_is_out() -> None:
    settings = replace(SMALL, steps=30, log_steps=())
    method = set_method("online-bon-distillation", settings)
    rate, rewards = choose_rate(
        problem_of("arms/R2"), method, settings, rates=[1e-5, 1e-2, 1e38], seeds=(1000, 1001)
    )
    assert rate == 1e-2 and rewards[1] > rewards[0] and np.isnan(rewards[2])
    assert choose_rate(problem_of("arms/R2"), method, settings, rates=[0.5], seeds=(1000,)) == (0.5, [])


@pytest.mark.parametrize("name", ["sft", "kto"])
def test_methods_that_a_bandit_has_no_answers_for_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="a bandit has none"):
        set_method(name, SMALL)


def test_a_kl_in_the_reward_of_the_references_answers_is_refused() -> None:
    with pytest.raises(UserError, match="a KL in the reward is of the policy's own answers"):
        set_method("rloo", replace(SMALL, samples_from="reference", beta=0.1))


def test_masses_are_of_all_arms_and_the_far_reward_moves_them() -> None:
    points = run("arms/R2", "online-dpo", replace(SMALL, steps=60, log_steps=())).points
    for point in points:
        whole = point["mass_chosen"] + point["mass_rejected"] + point["mass_never"]
        assert whole == pytest.approx(1, abs=1e-5)
    before, after = points[0], next(p for p in points if p["step"] == 60 and p["seed"] == 0)
    assert before["kl_reverse"] == pytest.approx(0, abs=1e-6) and after["kl_reverse"] > 0.1
    assert after["mass_low"] > before["mass_low"] + 0.1 and after["reward"] > before["reward"] + 0.1
