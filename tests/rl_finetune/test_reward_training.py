"""Training reward models: the loss, what they learn, how they are normalised, and what is tuned on them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import LanguageModel, learned_rewards, reward_model_of
from models.language_model import weights_hash
from models.reward_model import answered_ids, raw_scores, set_normalisation
from models.train import Diverged
from rl_finetune import (
    RewardPolicy,
    Settings,
    bradley_terry,
    count_answers,
    finetune,
    get_method,
    judged,
    judged_by,
    normalise,
    policy_of,
    preference_pairs,
    train_reward_model,
)
from tasks import Evidence, RunAnswers, Task, UserError, get_feature, symbol_pair

SHORT = Settings(steps=6, batch_size=16, log_points=0)
LEARN = Settings(steps=60, batch_size=64, learning_rate=1e-2, log_points=0)
HALF = Evidence(rate=0.5)
NUMBERS = st.lists(st.floats(-20, 20), min_size=2, max_size=2)


def pairs_of(task: Task, n: int, seed: int = 0, ties: float = 0.0) -> dict[str, list[Any]]:
    return preference_pairs(task, HALF, n, [seed], ties=ties)


def trained(lm: LanguageModel, task: Task, settings: Settings = LEARN, **options: Any) -> LanguageModel:
    return train_reward_model(lm, task, pairs_of(task, settings.rows, **options), settings).lm


def margins(lm: LanguageModel, pairs: dict[str, list[Any]]) -> torch.Tensor:
    with torch.inference_mode():
        chosen, rejected = (
            raw_scores(lm.model, answered_ids(lm, pairs["prompt"], pairs[side]))
            for side in ("chosen", "rejected")
        )
    return chosen - rejected


@given(scores=NUMBERS, constant=st.floats(-20, 20), target=st.sampled_from([0.5, 1.0]))
def test_the_loss_is_that_of_the_bradley_terry_probability(
    scores: list[float], constant: float, target: float
) -> None:
    chosen, rejected = torch.tensor(scores, dtype=torch.float64)
    targets = torch.tensor([target], dtype=torch.float64)
    found = bradley_terry((chosen - rejected)[None], targets)
    p = 1 / (1 + math.exp(float(rejected - chosen)))
    q = 1 / (1 + math.exp(float(chosen - rejected)))
    assert float(found) == pytest.approx(-target * math.log(p) - (1 - target) * math.log(q))
    moved = bradley_terry(((chosen + constant) - (rejected + constant))[None], targets)
    torch.testing.assert_close(moved, found)
    if target == 0.5:
        torch.testing.assert_close(bradley_terry((rejected - chosen)[None], targets), found)
        assert float(found) >= math.log(2) - 1e-12  # which it is at equal scores


def test_swapping_the_answers_flips_the_sign_of_the_margin_and_of_the_gradient(
    lm: LanguageModel, task: Task
) -> None:
    made = trained(lm, task, SHORT)
    pairs = pairs_of(task, 64, seed=1)
    swapped = {**pairs, "chosen": pairs["rejected"], "rejected": pairs["chosen"]}
    torch.testing.assert_close(margins(made, swapped), -margins(made, pairs))
    other = train_reward_model(lm, task, {**pairs_of(task, 96), **swap(pairs_of(task, 96))}, SHORT).lm
    torch.testing.assert_close(margins(other, pairs), -margins(made, pairs), rtol=1e-2, atol=1e-4)


def swap(pairs: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {"chosen": pairs["rejected"], "rejected": pairs["chosen"]}


def test_equal_pairs_give_equal_weights_and_others_do_not(forgetful: LanguageModel, task: Task) -> None:
    hashes = []
    for seed in (0, 0, 1):
        torch.rand(3)  # what else the process draws plays no part, nor does dropout
        hashes.append(weights_hash(trained(forgetful, task, SHORT, seed=seed).model))
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_easy_feature_is_learnt_and_every_parameter_moves(lm: LanguageModel, task: Task) -> None:
    before = weights_hash(lm.model)
    made = trained(lm, task)
    held_out = task.mixture(HALF, 400, np.random.default_rng(9), "test").to_dict()
    counts = count_answers(made, RewardPolicy(made, task), task, held_out)
    assert counts.errors <= 0.05 * counts.n
    start = dict(reward_model_of(lm).model.named_parameters())
    for name, parameter in made.model.named_parameters():
        assert not torch.equal(parameter, start[name]), name
    assert weights_hash(lm.model) == before


def test_ties_pull_the_margins_to_nothing(lm: LanguageModel, task: Task) -> None:
    held_out = pairs_of(task, 200, seed=5)
    apart = margins(trained(lm, task), held_out).abs().mean()
    pairs = pairs_of(task, LEARN.rows)
    some = [int(i % 2 == 0) for i in range(LEARN.rows)]
    for tie, expected in ((some, math.log(3)), ([1] * LEARN.rows, 0.0)):
        made = train_reward_model(lm, task, {**pairs, "tie": tie}, LEARN).lm
        found = margins(made, held_out).abs().mean()
        assert found < apart / 2
        assert float(found) == pytest.approx(
            expected, abs=0.3
        )  # the margin whose odds are those of the pairs


def test_the_answers_of_a_reward_model_are_those_it_scores_higher(lm: LanguageModel, task: Task) -> None:
    made = trained(lm, task, SHORT)
    rows = task.mixture(HALF, 60, np.random.default_rng(1), "test").to_dict()
    words = task.answers.words
    assert words
    scores = np.array([learned_rewards(made, rows["prompt"], [w] * 60) for w in words])
    counts = count_answers(made, RewardPolicy(made, task), task, rows)
    right = (scores.argmax(axis=0) == rows["label"]).sum()
    assert counts.n - counts.errors == right
    of_label = scores[rows["label"], range(60)] - scores[[1 - y for y in rows["label"]], range(60)]
    assert counts.p_error == pytest.approx(np.mean(1 / (1 + np.exp(of_label))), rel=1e-4)


def test_open_answers_are_ranked_too(lm: LanguageModel) -> None:
    task = symbol_pair("run", get_feature("first-class"), get_feature("parity"), answers="run")
    assert isinstance(task.answers, RunAnswers)
    made = trained(lm, task)
    rows = task.mixture(HALF, 200, np.random.default_rng(1), "test").to_dict()
    assert count_answers(made, RewardPolicy(made, task), task, rows).errors <= 20


def test_the_reference_s_answers_have_mean_0_and_standard_deviation_1(lm: LanguageModel, task: Task) -> None:
    made = trained(lm, task, SHORT)
    prompts = list(task.mixture(Evidence(), 128, np.random.default_rng(3), "validation")["prompt"])
    policy = policy_of(lm, task, "constrained")
    raw = raw_of(made, task, prompts)
    shift, scale = normalise(made, lm, policy, prompts, seed=4)
    assert (shift, scale) == normalise(made, lm, policy, prompts, seed=4)
    generator = torch.Generator().manual_seed(4)
    ids = lm.tokenizer(prompts)["input_ids"]
    said = [row[0] for row in policy.sample(lm.model, ids, 1, generator).texts]
    rewards = learned_rewards(made, prompts, said)
    assert np.mean(rewards) == pytest.approx(0, abs=1e-5)
    assert np.std(rewards) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(raw_of(made, task, prompts), (raw - shift) / scale, rtol=1e-4, atol=1e-5)


def raw_of(lm: LanguageModel, task: Task, prompts: list[str]) -> Any:
    words = task.answers.words or ()
    return np.array([learned_rewards(lm, prompts, [word] * len(prompts)) for word in words])


def test_an_untrained_reward_model_cannot_be_normalised(lm: LanguageModel, task: Task) -> None:
    with pytest.raises(UserError, match="gives every answer the same score"):
        normalise(reward_model_of(lm), lm, policy_of(lm, task, "constrained"), ["a ?", "b ?"], seed=0)


def test_a_score_that_is_no_number_is_told_by_the_answer(lm: LanguageModel, task: Task) -> None:
    made = reward_model_of(lm)
    with torch.no_grad():
        made.model.score.weight.fill_(math.nan)
    with pytest.raises(UserError, match=r"^fresh: the reward model's score of '\w+' after 'a \?' is nan$"):
        normalise(made, lm, policy_of(lm, task, "constrained"), ["a ?", "b ?"], seed=0)
    word = (task.answers.words or ("",))[0]
    with pytest.raises(UserError, match=rf"^fresh: the reward of '{word}' after 'a \?' is nan$"):
        judged_by(task, made, lm).reward(["a ?"], [word])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_that_diverges_says_when(lm: LanguageModel, task: Task) -> None:
    with torch.no_grad():
        lm.model.transformer.wpe.weight[0] = math.inf
    with pytest.raises(Diverged, match="at step 1 of 6"):
        trained(lm, task, SHORT)


def test_a_learned_reward_of_the_wrong_length_is_told_by_the_answer(task: Task) -> None:
    prompts, said = ["a ?", "b ?"], ["amber", "birch"]
    few = judged(task, lambda prompts, completions: [1.0], "mine")
    with pytest.raises(
        UserError, match=r"^mine: 1 rewards for 2 answers, of which 'birch' after 'b \?' is the"
    ):
        few.reward(prompts, said)
    with pytest.raises(
        UserError, match=r"^mine: 3 rewards for 2 answers, of which 'birch' after 'b \?' is the"
    ):
        judged(task, lambda prompts, completions: [1.0] * 3, "mine").reward(prompts, said)


def test_a_policy_follows_the_learned_reward_and_is_counted_by_both(lm: LanguageModel, task: Task) -> None:
    def wrong(prompts: Any, completions: Any) -> list[float]:  # the other label of every prompt
        return [1 - r for r in task.reward(prompts, completions, label=[of[p] for p in prompts])]

    settings = Settings(steps=40, batch_size=64, learning_rate=1e-2, log_points=1)
    rows = task.mixture(HALF, settings.rows, np.random.default_rng(0)).to_dict()
    test = task.mixture(HALF, 200, np.random.default_rng(9), "test").to_dict()
    of = dict(zip(rows["prompt"] + test["prompt"], rows["label"] + test["label"], strict=True))
    inverted = judged(task, wrong, "inverted")
    tuned = finetune(lm, inverted, rows, get_method("rloo"), settings, seed=0, log_rows={"all": test})
    (row,) = tuned.log
    assert tuned.reward > 0.95 and row["reward_train"] > 0.8
    assert row["reward"] < 0.05 and row["reward_learned"] == pytest.approx(1 - row["reward"])
    plain = count_answers(tuned.lm, policy_of(lm, task, "constrained"), task, test)
    assert plain.reward == pytest.approx(row["reward"]) and math.isnan(plain.reward_learned)
    assert inverted.for_seed(1).answers != inverted.answers and inverted.for_seed(1).judge is wrong


def test_the_gold_reward_as_a_judge_is_the_gold_reward(lm: LanguageModel, task: Task) -> None:
    rows = task.mixture(HALF, SHORT.rows, np.random.default_rng(0)).to_dict()
    of = dict(zip(rows["prompt"], rows["label"], strict=True))

    def gold(prompts: Any, completions: Any) -> list[float]:
        return task.reward(prompts, completions, label=[of[p] for p in prompts])

    tuned = [
        finetune(lm, one, rows, get_method("rloo"), SHORT, seed=0).lm
        for one in (task, judged(task, gold, "gold"))
    ]
    assert weights_hash(tuned[0].model) == weights_hash(tuned[1].model)


def test_another_tokenizer_than_the_policy_s_is_refused(lm: LanguageModel, task: Task) -> None:
    made = reward_model_of(lm)
    other = replace(
        lm, tokenizer=type(lm.tokenizer)(tokenizer_object=lm.tokenizer.backend_tokenizer), name="it"
    )
    judged_by(task, made, other)
    other.tokenizer.add_tokens(["zebra"])
    with pytest.raises(UserError, match=r"^fresh: its tokenizer is not that of it; "):
        judged_by(task, made, other)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_one_step_is_that_of_trl(lm: LanguageModel, task: Task, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    made = reward_model_of(lm)
    with torch.no_grad():
        made.model.score.weight.normal_(generator=torch.Generator().manual_seed(0))
    set_normalisation(made.model.config, 0.0, 1.0)
    pairs = pairs_of(task, 8)
    ids = {f"{side}_ids": answered_ids(made, pairs["prompt"], pairs[side]) for side in ("chosen", "rejected")}
    start = {name: p.detach().clone() for name, p in made.model.named_parameters()}

    scores = raw_scores(made.model, ids["chosen_ids"] + ids["rejected_ids"])
    chosen, rejected = scores.chunk(2)
    bradley_terry(chosen - rejected, torch.ones(8)).backward()
    ours = {name: -100 * p.grad for name, p in made.model.named_parameters() if p.grad is not None}
    made.model.zero_grad()

    options: dict[str, Any] = {"disable_dropout": True, "gradient_checkpointing": False, "bf16": False}
    config = RewardConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=8,
        max_steps=1,
        learning_rate=100.0,
        optim="sgd",
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        **options,
    )
    RewardTrainer(
        model=made.model, args=config, train_dataset=Dataset.from_dict(ids), processing_class=made.tokenizer
    ).train()
    change = {name: p.detach() - start[name] for name, p in made.model.named_parameters()}
    assert ours.keys() == change.keys()
    every = sum(value.square().sum() for value in ours.values()) ** 0.5
    for name, expected in ours.items():
        # The last norm's bias adds a constant to all scores: nothing but rounding moves it.
        size = every if name.endswith("ln_f.bias") else expected.norm()
        assert (change[name] - expected).norm() <= 1e-5 * size, name
