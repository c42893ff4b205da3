"""The format warm-up: it teaches how answers look, and nothing of when to give which."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from models import LanguageModel, prompt_ids
from models.language_model import weights_hash
from rl_finetune import Settings, answers_to, policy_of, warm_up
from tasks import QUADRANTS, Task, UserError

QUICK = Settings(batch_size=32, learning_rate=1e-2, warmup_steps=200, answers="free")


def test_answers_hold_the_mass_and_both_labels_are_alike(lm: LanguageModel, task: Task) -> None:
    warmed = warm_up(lm, task, QUICK, seed=0)
    policy = policy_of(warmed, task, "free")
    rows = task.inputs.draw([], 200, np.random.default_rng(5), "test")
    prompts = task.inputs.text(rows)
    words = task.answers.words
    assert words
    ids = prompt_ids(warmed, prompts)
    with torch.no_grad():
        p = policy.score(warmed.model, ids, policy.write([words] * len(ids))).log_probs.exp()
    assert p.sum(dim=1).mean() >= 0.985  # reached on other prompts, read on fresh ones
    assert (p[:, 0].mean() - 0.5).abs() < 0.15
    says_one = p[:, 1] / p.sum(dim=1)
    truth = torch.from_numpy(task.target.holds(rows))
    assert (says_one[truth].mean() - says_one[~truth].mean()).abs() < 0.1  # and the feature plays no part
    asked = [task.quadrant(q, 20, np.random.default_rng(1))["prompt"] for q in QUADRANTS]
    read, _ = answers_to(warmed, policy, task, [prompt for part in asked for prompt in part])
    assert min(read) >= 0


def test_the_model_that_comes_in_is_left_alone_and_the_same_seed_gives_the_same_model(
    lm: LanguageModel, task: Task
) -> None:
    before = weights_hash(lm.model)
    one, two, three = (warm_up(lm, task, QUICK, seed=seed) for seed in (0, 0, 1))
    assert weights_hash(lm.model) == before == lm.weights_hash
    assert one.weights_hash == weights_hash(one.model) == two.weights_hash
    assert one.weights_hash not in (three.weights_hash, before)


def test_too_few_steps_are_answered_in_one_line(lm: LanguageModel, task: Task) -> None:
    slow = Settings(batch_size=8, learning_rate=1e-5, warmup_steps=20, answers="free")
    with pytest.raises(UserError, match="raise warmup_steps") as error:
        warm_up(lm, task, slow, seed=0)
    assert "not 0.99" in str(error.value)
    assert "\n" not in str(error.value)
