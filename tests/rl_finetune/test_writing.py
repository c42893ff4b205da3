"""Completions and what is said of them: against scoring each with its whole prompt, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import LanguageModel
from models.reward_model import learned_rewards, reward_model_of
from rl_finetune.objectives import entropy, kl
from rl_finetune.policy import FreePolicy
from rl_finetune.writing import log_probs_after, mixture, written
from tasks.text_problem import TextProblem
from tests.rl_finetune.conftest import fresh

PROMPTS = ["a b c", "d", "e f g h a", "b b"]
PROBLEM = TextProblem("toy/any", lambda n, rng, split: [], 10, optimum=0.0, chance=0.0)


@pytest.fixture(scope="module")
def models() -> tuple[LanguageModel, LanguageModel]:
    """Two different models, by which completions are of every length."""
    lm, reference = fresh(scale=3.0), fresh(scale=2.0)
    for model in (lm, reference):
        with torch.no_grad():
            model.model.lm_head.weight[1] *= 2  # the end
    return lm, reference


def test_sums_along_completions_are_those_of_scoring_each_alone(
    models: tuple[LanguageModel, LanguageModel],
) -> None:
    lm, reference = models
    found = written(lm, PROBLEM, PROMPTS, 9, reference.model, torch.Generator().manual_seed(1))
    policy = FreePolicy(lm, PROBLEM)
    assert len({len(ids) for row in found.ids for ids in row}) > 3
    with torch.inference_mode():
        for i, prompt in enumerate(PROMPTS):
            asked = [lm.tokenizer(prompt)["input_ids"]]
            for k, ids in enumerate(found.ids[i]):
                own = policy.score(lm.model, asked, [[ids]])
                other = policy.score(reference.model, asked, [[ids]])
                spread, away = entropy(own.choices) * own.inside, kl(own.choices, other.choices) * own.inside
                wanted = [float(own.log_probs[0, 0]), float(away.sum()), float(spread.sum())]
                got = [float(values[i, k]) for values in (found.log_prob, found.kl, found.entropy)]
                assert got == pytest.approx(wanted, rel=1e-4, abs=1e-3)
                assert found.tokens[i, k] == len(ids)
                assert found.ended[i, k] == (ids[-1] == policy.eos)


def test_a_policy_is_at_no_distance_from_itself(models: tuple[LanguageModel, LanguageModel]) -> None:
    lm = models[0]
    found = written(lm, PROBLEM, PROMPTS, 2, lm.model, torch.Generator().manual_seed(1))
    assert np.abs(found.kl).max() < 1e-6


def test_a_mixture_is_the_mean_of_the_probabilities_after_each_prompt(
    models: tuple[LanguageModel, LanguageModel],
) -> None:
    lm = models[0]
    texts = ["a b", "", "h c d a", "e"]
    ids = FreePolicy(lm, PROBLEM).encode(texts)
    each = np.array([log_probs_after(lm, PROBLEM, [prompt], [texts])[0] for prompt in PROMPTS])
    assert mixture(lm, PROMPTS, ids) == pytest.approx(np.log(np.exp(each).mean(axis=0)), abs=1e-4)
    unequal = log_probs_after(lm, PROBLEM, PROMPTS, [texts[:1], texts[:3], texts[:2], texts])
    assert [len(row) for row in unequal] == [1, 3, 2, 4]
    assert unequal[3] == pytest.approx(each[3], abs=1e-4) and unequal[1] == pytest.approx(
        each[1, :3], abs=1e-4
    )


def test_rewards_are_the_same_when_prompts_are_shared(models: tuple[LanguageModel, LanguageModel]) -> None:
    judge = reward_model_of(models[0])
    torch.nn.init.normal_(judge.model.score.weight, generator=torch.Generator().manual_seed(2))
    prompts = [p for p in PROMPTS for _ in range(3)]
    said = ["a b", "", "c d e f g h"] * len(PROMPTS)
    alone = learned_rewards(judge, prompts, said)
    assert np.std(alone) > 0.1
    assert learned_rewards(judge, prompts, said, share_prompts=True) == pytest.approx(alone, abs=1e-4)
