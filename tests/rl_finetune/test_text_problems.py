"""Text problems: preference data of a reference, the reward model made of them, and what is tuned on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import Generator

from models import LanguageModel, learned_rewards
from models.language_model import weights_hash
from models.reward_model import answered_ids, raw_scores
from rl_finetune import Settings, finetune, get_method, normalise, policy_of, train_reward_model
from rl_finetune.learned_reward import judge_of
from rl_finetune.objectives import kl
from rl_finetune.policy import FreePolicy
from rl_finetune.text_measure import preferred, written_by
from rl_finetune.text_pairs import agreement, completions_of, text_pairs
from tasks import Task, UserError
from tasks.feature import Split
from tasks.text_problem import TextProblem
from tests.rl_finetune.conftest import fresh

LETTERS = [*"abcdefgh"]
SHORT = Settings(
    steps=12, batch_size=16, samples_per_prompt=2, answers="free", entropy_bonus=0.0, log_points=0
)


def _prompts(n: int, rng: Generator, split: Split) -> list[str]:
    return [" ".join(rng.choice(LETTERS, size=3)) for _ in range(n)]


def _show(n: int, rng: Generator, split: Split) -> list[tuple[str, str]]:
    """Completions of 0 to 8 letters, all lengths being as likely."""
    said = [" ".join(rng.choice(LETTERS, size=rng.integers(9))) for _ in range(n)]
    return list(zip(_prompts(n, rng, split), said, strict=True))


def _gold(prompts: Any, completions: Any) -> list[float]:
    return [-float(len(text.split())) for text in completions]


PROBLEM = TextProblem("toy/short", _prompts, 12, optimum=0.0, chance=-12.0, show=_show, rewards=_gold)
SKEWED = replace(PROBLEM, coverage=lambda text: float(np.exp(len(text.split()))))


@pytest.fixture(scope="module")
def reference() -> LanguageModel:
    lm = fresh(scale=3.0)
    rows = PROBLEM.demonstrations(80 * 32, np.random.default_rng(0)).to_dict()
    settings = replace(SHORT, steps=80, batch_size=32, learning_rate=3e-3)
    return finetune(lm, PROBLEM, rows, get_method("sft"), settings, seed=0).lm


def data_of(
    lm: LanguageModel, problem: TextProblem, n: int, seed: int
) -> tuple[dict[str, list[str]], list[list[str]]]:
    prompts = _prompts(n * 2, np.random.default_rng(seed), "train")
    drawn = completions_of(lm, problem, prompts, 4, seed)
    return text_pairs(problem, prompts, drawn, n, np.random.default_rng(seed)), drawn


@pytest.fixture(scope="module")
def judge(reference: LanguageModel) -> LanguageModel:
    pairs, _ = data_of(reference, PROBLEM, 60 * 24, 1)
    made = train_reward_model(
        reference, None, pairs, replace(SHORT, steps=60, batch_size=24, learning_rate=3e-3)
    )
    prompts = _prompts(128, np.random.default_rng(9), "validation")
    normalise(made.lm, reference, policy_of(reference, PROBLEM, "free"), prompts, 0)
    return made.lm


def judged(judge: LanguageModel, reference: LanguageModel) -> TextProblem:
    return replace(PROBLEM, rewards=judge_of(judge, reference))


def tuned(
    reference: LanguageModel, problem: TextProblem, method: str, settings: Settings = SHORT, seed: int = 0
) -> LanguageModel:
    pairs, _ = data_of(reference, PROBLEM, settings.rows, 3)
    return finetune(reference, problem, pairs, get_method(method), settings, seed=seed).lm


def mean_length(lm: LanguageModel) -> float:
    prompts = _prompts(400, np.random.default_rng(5), "test")
    return float(np.mean([len(row[0].split()) for row in completions_of(lm, PROBLEM, prompts, 1, 7)]))


def test_a_reference_learns_the_lengths_of_the_demonstrations(reference: LanguageModel) -> None:
    assert mean_length(reference) == pytest.approx(4, abs=1)


def test_the_chosen_completion_is_the_better_one_and_both_are_the_references_own(
    reference: LanguageModel,
) -> None:
    pairs, drawn = data_of(reference, PROBLEM, 200, 2)
    gold = {side: _gold(pairs["prompt"], pairs[side]) for side in ("chosen", "rejected")}
    assert all(c > r for c, r in zip(gold["chosen"], gold["rejected"], strict=True))
    assert {*pairs["chosen"], *pairs["rejected"]} <= {text for row in drawn for text in row}


def test_pairs_of_equal_reward_are_left_out_and_too_few_are_told() -> None:
    texts = [["a", "b"], ["a", "b c"]]
    rng = np.random.default_rng(0)
    pairs = text_pairs(PROBLEM, ["x", "y"], texts, 1, rng)
    assert pairs == {"prompt": ["y"], "chosen": ["a"], "rejected": ["b c"]}
    with pytest.raises(UserError, match="2 prompts give 1 pairs, not 2"):
        text_pairs(PROBLEM, ["x", "y"], texts, 2, rng)


def test_skewed_data_hold_few_short_texts(reference: LanguageModel) -> None:
    shares = []
    for problem in (PROBLEM, SKEWED):
        pairs, _ = data_of(reference, problem, 300, 2)
        lengths = np.array([len(text.split()) for side in ("chosen", "rejected") for text in pairs[side]])
        shares.append(((lengths <= 1).mean(), lengths.mean()))
    assert shares[1][0] < shares[0][0] / 3
    assert shares[1][1] > shares[0][1] + 1


def test_the_reward_model_agrees_with_the_gold_reward_on_held_out_pairs(
    reference: LanguageModel, judge: LanguageModel
) -> None:
    held_out, _ = data_of(reference, PROBLEM, 300, 4)
    assert agreement(judge, held_out) > 0.9 * 300
    swapped = {**held_out, "chosen": held_out["rejected"], "rejected": held_out["chosen"]}
    assert agreement(judge, swapped) < 0.1 * 300


def test_a_learned_reward_depends_neither_on_padding_nor_on_the_batch(judge: LanguageModel) -> None:
    prompts, texts = ["a b c", "d e f", "g h a"], ["", "a b c d e f g h", "b"]
    rows = answered_ids(judge, prompts, texts)
    with torch.inference_mode():
        together = raw_scores(judge.model, rows)
        alone = torch.cat([raw_scores(judge.model, [row]) for row in rows])
    torch.testing.assert_close(together, alone)
    rewards = [learned_rewards(judge, [p], [t])[0] for p, t in zip(prompts, texts, strict=True)]
    assert learned_rewards(judge, prompts, texts) == pytest.approx(rewards, abs=1e-4)


@pytest.mark.parametrize("method", ["rloo", "online-dpo", "pref-ft"])
def test_tuning_makes_texts_shorter(reference: LanguageModel, judge: LanguageModel, method: str) -> None:
    lm = tuned(reference, judged(judge, reference), method, replace(SHORT, steps=30, learning_rate=1e-3))
    assert mean_length(lm) < mean_length(reference) - 1


def test_equal_seeds_give_equal_trajectories(reference: LanguageModel, judge: LanguageModel) -> None:
    problem = judged(judge, reference)
    hashes = [
        weights_hash(tuned(reference, problem, "rloo", replace(SHORT, steps=3), seed).model)
        for seed in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_an_offline_method_asks_no_reward(reference: LanguageModel) -> None:
    """Which completion is the better one is known from the pairs."""

    def refuses(prompts: Any, completions: Any) -> list[float]:
        raise AssertionError

    tuned(reference, replace(PROBLEM, rewards=refuses), "dpo", replace(SHORT, steps=2))


@pytest.mark.parametrize("source", ["policy", "reference"])
def test_a_method_of_pairs_that_samples_asks_the_reward_of_every_answer(
    reference: LanguageModel, source: str
) -> None:
    asked: list[str] = []

    def counted(prompts: Any, completions: Any) -> list[float]:
        asked.extend(completions)
        return _gold(prompts, completions)

    settings = replace(SHORT, steps=2, samples_per_prompt=3, samples_from=source)
    tuned(reference, replace(PROBLEM, rewards=counted), "dpo", settings)
    assert len(asked) == 3 * settings.rows


def test_pairs_the_other_way_round_turn_dpo_round(reference: LanguageModel) -> None:
    pairs, _ = data_of(reference, PROBLEM, SHORT.rows, 3)
    margins = []
    for given in (pairs, {**pairs, "chosen": pairs["rejected"], "rejected": pairs["chosen"]}):
        lm = finetune(reference, PROBLEM, given, get_method("dpo"), SHORT, seed=0).lm
        before, after = preferred(reference, PROBLEM, pairs), preferred(lm, PROBLEM, pairs)
        margins.append((after[0] - after[1]) - (before[0] - before[1]))
    assert margins[0] > 1 and margins[1] < -1


def test_what_is_measured_agrees_with_a_count_by_hand(reference: LanguageModel, judge: LanguageModel) -> None:
    lm = tuned(reference, PROBLEM, "rloo", replace(SHORT, learning_rate=1e-3))
    prompts = _prompts(60, np.random.default_rng(6), "test")
    found = written_by(lm, PROBLEM, prompts, judge_of(judge, reference), reference.model, seed=4)
    policy = FreePolicy(lm, PROBLEM)
    ids = [lm.tokenizer(p)["input_ids"] for p in prompts]
    with torch.inference_mode():
        sampled = policy.sample(lm.model, ids, 1, torch.Generator().manual_seed(4))
        texts = [row[0] for row in sampled.texts]
        distance = 0.0
        for prompt, said in zip(ids, sampled.again, strict=True):
            row = torch.tensor([prompt + said[0]])
            p, q = (m(row).logits[0].log_softmax(-1) for m in (lm.model, reference.model))
            places = range(len(prompt) - 1, row.shape[1] - 1)
            distance += sum(float(kl(p[i], q[i])) for i in places)
    lengths = [len(text.split()) for text in texts]
    assert found.n == 60 and found.length == np.mean(lengths) and found.reward == -found.length
    assert found.reward_sd == pytest.approx(np.std(lengths, ddof=1))
    assert sum(found.lengths.values()) == 60 and max(found.lengths) == max(lengths)
    assert found.reward_learned == pytest.approx(np.mean(learned_rewards(judge, prompts, texts)), abs=1e-4)
    assert found.ended == sum(row[0][-1] == policy.eos for row in sampled.again)
    assert found.kl == pytest.approx(distance / 60, rel=1e-3)
    same = written_by(reference, PROBLEM, prompts, judge_of(judge, reference), reference.model, seed=4)
    assert same.kl == pytest.approx(0, abs=1e-6) and found.kl > 0.01


def test_what_a_text_problem_cannot_do_is_told(lm: LanguageModel, task: Task) -> None:
    rows = {"prompt": ["a b c"] * 4}
    settings = replace(SHORT, steps=1, batch_size=4)
    with pytest.raises(UserError, match="dpo learns from pairs: no column chosen"):
        finetune(lm, PROBLEM, rows, get_method("dpo"), settings, seed=0)
    with pytest.raises(UserError, match="its answers are texts; use answers=free"):
        finetune(lm, PROBLEM, rows, get_method("rloo"), replace(settings, answers="constrained"), seed=0)
    with pytest.raises(UserError, match="no labels to shuffle"):
        finetune(lm, PROBLEM, rows, get_method("rloo"), settings, seed=0, control="shuffled_labels")
    with pytest.raises(UserError, match="has no demonstrations"):
        replace(PROBLEM, show=None).demonstrations(2, np.random.default_rng(0))


def test_a_limit_in_words_leaves_room_for_the_tokens_that_words_are_made_of(
    lm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = replace(PROBLEM, in_words=True)
    assert FreePolicy(lm, told).most == FreePolicy(lm, PROBLEM).most == 12
    real = lm.tokenizer

    def in_pieces(texts: list[str], **options: bool) -> dict[str, list[list[int]]]:
        return {
            "input_ids": [[t for i in ids for t in (i, i)] for ids in real(texts, **options)["input_ids"]]
        }

    pieces = replace(lm, tokenizer=in_pieces)  # type: ignore[arg-type]
    monkeypatch.setattr(in_pieces, "eos_token_id", 1, raising=False)
    assert FreePolicy(pieces, told).most == 24 and FreePolicy(pieces, PROBLEM).most == 12


def test_a_text_that_was_cut_off_has_no_end(lm: LanguageModel) -> None:
    policy = FreePolicy(lm, PROBLEM)
    cut, ended = policy.encode([" ".join("abcdefghabcd"), "a b"])
    assert len(cut) == policy.most and cut[-1] != policy.eos
    assert ended[-1] == policy.eos and len(ended) == 3
    assert policy.decode([cut, ended]) == [" ".join("abcdefghabcd"), "a b"]
