"""The loss of a batch of answers, on language models: padding, order, splits, the reference, rewards."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import models.answers
from models import LanguageModel
from models.answers import pad, prompt_ids
from models.language_model import weights_hash
from models.train import Diverged
from rl_finetune import METHODS, Batch, Settings, check, finetune, get_method, judged
from rl_finetune.batches import NONE, Rows, Source, rewards_to
from rl_finetune.policy import ConstrainedPolicy, FreePolicy
from rl_finetune.rewards import rewards_of
from tasks import Evidence, Task, UserError
from tests.rl_finetune.conftest import source_for

PROMPTS = ["a b c ?", "b c d a c b a ?", "c c ?", "d a b b ?"]
LABELS = [1, 0, 0, 1]
REWARDS = torch.tensor([[1.0, 0.0, 0.3], [0.2, 0.9, 0.4], [0.0, 0.0, 1.0], [0.6, 0.1, 0.5]])


def source_of(
    lm: LanguageModel, reference: LanguageModel, task: Task, name: str, answers: str, **knobs: Any
) -> Source:
    beta = 0.3 if METHODS[name].kl.place != "none" else 0.0
    return source_for(lm, reference, task, name, Settings(answers=answers, beta=beta, **knobs), 3)


def texts_of(source: Source) -> list[list[str]]:
    """Fixed answers to the prompts, as many as the method would have."""
    if source.method.samples == "demonstrations":
        return [["amber"], ["birch"], ["birch"], ["amber"]]
    many = 2 if source.method.samples == "pairs" else 3
    said = [["amber", "birch", "birch"], ["birch", "amber", "amber"], ["birch", "birch", "amber"]]
    return [row[:many] for row in [*said, ["amber", "birch", "amber"]]]


def gradient(source: Source, lm: LanguageModel, rows: Sequence[int]) -> Tensor:
    """Gradient of the loss of some of the prompts, in that order, in float64."""
    ids = [prompt_ids(lm, [PROMPTS[i]])[0] for i in rows]
    texts = texts_of(source)
    again = source.policy.write([texts[i] for i in rows])
    scored = source.policy.score(source.model, ids, again)
    rewards = NONE if source.method.reward == "none" else REWARDS[list(rows), : scored.log_probs.shape[1]]
    # The policy has moved since they were drawn.
    shift = 0.05 * scored.inside
    earlier = replace(scored, log_probs=scored.log_probs - 0.05, along=scored.actions - shift)
    drawn = source.held(ids, again, rewards.to(scored.log_probs.dtype), earlier)
    parameters = [*lm.model.parameters(), *(source.critic.parameters() if source.critic else ())]
    parts = torch.autograd.grad(source.loss(drawn, scored), parameters, allow_unused=True)
    return torch.cat([p.flatten() for p in parts if p is not None])


@pytest.fixture
def double(lm: LanguageModel, peaked: LanguageModel) -> tuple[LanguageModel, LanguageModel]:
    """A policy and another reference, which is the surer one."""
    return replace(lm, model=lm.model.double()), replace(peaked, model=peaked.model.double())


def same(found: Tensor, expected: Tensor) -> bool:
    # Log-probabilities are float32, whatever the weights.
    return bool((found - expected).norm() < 1e-5 * expected.norm())


@pytest.mark.parametrize("answers", ["constrained", "free"])
@pytest.mark.parametrize("name", METHODS)
def test_padding_changes_no_gradient(
    double: tuple[LanguageModel, LanguageModel],
    task: Task,
    name: str,
    answers: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm, reference = double
    source = source_of(lm, reference, task, name, answers)
    expected = gradient(source, lm, range(4))
    assert expected.norm() > 0

    def wider(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
        ids, mask = pad(rows, value)
        more = torch.full((len(rows), 3), 5)
        return torch.cat([ids, more], dim=1), torch.cat([mask, 0 * more], dim=1)

    monkeypatch.setattr(models.answers, "pad", wider)
    assert same(gradient(source, lm, range(4)), expected)


@pytest.mark.parametrize("answers", ["constrained", "free"])
@pytest.mark.parametrize("name", METHODS)
def test_a_batch_is_the_mean_of_its_parts_unless_the_table_says_that_it_couples(
    double: tuple[LanguageModel, LanguageModel], task: Task, name: str, answers: str
) -> None:
    lm, reference = double
    source = source_of(lm, reference, task, name, answers)
    whole = gradient(source, lm, range(4))
    halves = (gradient(source, lm, [3, 1]) + gradient(source, lm, [2, 0])) / 2
    assert same(halves, whole) == (not source.method.batch_coupled)


@pytest.mark.parametrize(
    "knobs",
    [
        {"kl_in": "loss"},
        {"kl_in": "loss", "kl_estimator": "k3"},
        {"kl_in": "loss", "kl_direction": "forward"},
        {"kl_in": "loss", "kl_estimator": "exact"},
        {"kl_estimator": "k3"},
    ],
    ids=lambda knobs: " ".join(knobs.values()),
)
def test_where_the_kl_enters_couples_nothing_and_changes_the_gradient(
    double: tuple[LanguageModel, LanguageModel], task: Task, knobs: dict[str, str]
) -> None:
    lm, reference = double
    source = source_of(lm, reference, task, "rloo", "constrained", **knobs)
    whole = gradient(source, lm, range(4))
    halves = (gradient(source, lm, [3, 1]) + gradient(source, lm, [2, 0])) / 2
    assert same(halves, whole)
    usual = source_of(lm, reference, task, "rloo", "constrained")
    assert not same(gradient(usual, lm, range(4)), whole)


def test_the_kl_of_superhf_touches_the_label_and_only_kept_answers(
    double: tuple[LanguageModel, LanguageModel], task: Task
) -> None:
    # A published code shifts it by a token, so that a one-token answer has none.
    lm, reference = double
    source = source_of(lm, reference, task, "superhf", "constrained")
    bare = replace(source, method=replace(source.method, beta=0.0))
    penalty = gradient(source, lm, [0]) - gradient(bare, lm, [0])
    ids = prompt_ids(lm, PROMPTS[:1])
    p, q = (source.policy.distribution(m, ids) for m in (lm.model, reference.model))
    exact = 0.3 * (q.detach().exp() * (q.detach() - p)).sum()
    parts = torch.autograd.grad(exact, list(lm.model.parameters()), allow_unused=True)
    assert same(penalty, torch.cat([g.flatten() for g in parts if g is not None]))

    free = source_of(lm, reference, task, "superhf", "free")
    ids, again = prompt_ids(lm, PROMPTS[:1]), free.policy.write([["amber", "birch"]])
    rewards = torch.tensor([[0.0, 1.0]])
    scored = free.policy.score(lm.model, ids, again)
    alone = free.policy.score(lm.model, ids, free.policy.write([["birch"]]))
    drawn = free.held(ids, again, rewards, scored)
    kept = free.held(ids, free.policy.write([["birch"]]), rewards[:, 1:], alone)
    torch.testing.assert_close(free.loss(drawn, scored), free.loss(kept, alone))


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if m.reward == "filter"])
def test_of_free_answers_that_are_filtered_only_the_best_are_gone_back_through(
    double: tuple[LanguageModel, LanguageModel], task: Task, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm, reference = double
    source = source_of(lm, reference, task, name, "free")
    if source.method.samples != "pairs":
        said = [["a", "b", "c"], ["a", "b", "c"], ["c", "b", "a"], ["b", "b", "a"]]
        monkeypatch.setattr(FreePolicy, "say", lambda self, *_: (said, self.write(said)))
    fond = judged(task, lambda _, texts: [float("abc".find(t[0]) + 0.5 * (t > "b")) for t in texts], "fond")
    source = replace(source, task=fond)
    ids = prompt_ids(lm, PROMPTS)
    drawn, scored = source.draw(Rows(PROMPTS, ids, LABELS))
    assert scored.log_probs.shape == drawn.rewards.shape == (4, 1)
    texts = [["amber", "birch"] if y == 0 else ["birch", "amber"] for y in LABELS]
    texts = texts if source.method.samples == "pairs" else said
    rewards = rewards_to(fond, Rows(PROMPTS, ids, LABELS), texts)
    assert drawn.reward == pytest.approx(float(rewards.mean()))
    again = source.policy.write(texts)
    every = source.policy.score(lm.model, ids, again)
    whole = source.loss(source.held(ids, again, rewards, every), every)
    parts = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(lm.model.parameters()))])
        for loss in (whole, source.loss(drawn, scored))
    ]
    assert same(parts[1], parts[0])


def test_of_equal_free_answers_one_is_kept_by_chance(lm: LanguageModel, task: Task) -> None:
    """A pair's first answer is the right one, which a coin in the reward's place must not tell."""
    source = replace(source_of(lm, lm, task, "pref-ft", "free"), control="random_reward")
    prompts, labels = PROMPTS * 100, LABELS * 100
    drawn, _ = source.draw(Rows(prompts, prompt_ids(lm, prompts), labels))
    right = [source.policy.write([[task.answers.words[y]]])[0][0] for y in labels]
    share = np.mean([row[0] == wanted for row, wanted in zip(drawn.again, right, strict=True)])
    assert abs(share - 0.5) < 0.1


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_pairs_are_the_right_answer_and_the_wrong_one(lm: LanguageModel, task: Task, answers: str) -> None:
    source = source_of(lm, lm, task, "dpo", answers)
    drawn, scored = source.draw(Rows(PROMPTS, prompt_ids(lm, PROMPTS), LABELS))
    assert drawn.rewards.tolist() == [[1.0, 0.0]] * 4
    torch.testing.assert_close(drawn.reference, scored.log_probs)
    assert source.loss(drawn, scored).item() == pytest.approx(np.log(2), rel=1e-5)  # no margin yet


def test_a_fixed_pool_is_the_references_answers(lm: LanguageModel, peaked: LanguageModel, task: Task) -> None:
    source = source_of(peaked, lm, task, "rloo", "constrained", samples_from="reference")
    source = replace(source, samples=400)
    rows = Rows(PROMPTS, prompt_ids(lm, PROMPTS), LABELS)
    drawn, scored = source.draw(rows)
    ones = drawn.again.float().mean(dim=1)
    expected = source.policy.distribution(lm.model, rows.ids).exp()[:, 1]
    torch.testing.assert_close(ones, expected.detach(), atol=0.1, rtol=0)
    own = source.policy.score(peaked.model, rows.ids, drawn.again).log_probs
    torch.testing.assert_close(scored.log_probs, own)


def spied(monkeypatch: pytest.MonkeyPatch, source: type, name: str) -> list[Any]:
    calls: list[Any] = []
    before = getattr(source, name)

    def spy(self: Any, *args: Any, **columns: Any) -> Any:
        calls.append(args)
        return before(self, *args, **columns)

    monkeypatch.setattr(source, name, spy)
    return calls


def rows_of(task: Task, n: int) -> dict[str, Any]:
    columns: dict[str, Any] = task.mixture(Evidence(), n, np.random.default_rng(0)).to_dict()
    return columns


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_a_batch_that_is_reused_is_not_sampled_again(
    lm: LanguageModel, task: Task, answers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = ConstrainedPolicy if answers == "constrained" else FreePolicy
    sampled, scored = spied(monkeypatch, kind, "sample"), spied(monkeypatch, kind, "score")
    rewarded = spied(monkeypatch, Task, "reward")
    settings = Settings(steps=3, batch_size=8, reuse=4, answers=answers, log_points=0)
    seen: list[int] = []
    finetune(
        lm,
        task,
        rows_of(task, settings.rows),
        get_method("ppo"),
        settings,
        seed=0,
        observe=lambda step, _: seen.append(step),
    )
    assert settings.rows == 24
    assert len(sampled) == len(rewarded) == 3  # the first of four steps shares the pass that samples
    assert len(scored) == 9
    assert seen == [1, 2, 3]  # batches


def test_clipping_matters_only_where_a_batch_is_reused(lm: LanguageModel, task: Task) -> None:
    rows = rows_of(task, 96)
    hashes = {
        (name, reuse): weights_hash(
            finetune(
                lm,
                task,
                rows,
                get_method(name),
                Settings(steps=6, batch_size=16, reuse=reuse, learning_rate=0.03, log_points=0),
                seed=0,
            ).lm.model
        )
        for name, reuse in itertools.product(("ppo-clip", "rloo"), (1, 4))
    }
    assert hashes["ppo-clip", 4] != hashes["rloo", 4]
    assert hashes["ppo-clip", 1] == hashes["rloo", 1]
    assert hashes["rloo", 1] != hashes["rloo", 4]


class Spoilt(Task):
    """Its rewards go wrong at one completion."""

    how = ""

    def reward(self, prompts: Any, completions: Any, **columns: Any) -> list[float]:
        found = super().reward(prompts, completions, **columns)
        if self.how == "short":
            return found[:-1]
        if "c c ?" in prompts:
            if self.how == "raises":
                raise KeyError("no such word")
            found[list(prompts).index("c c ?")] = float(self.how)
        return found


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raises", "its reward function raised KeyError: 'no such word'"),
        ("nan", "its reward function returned nan"),
        ("inf", "its reward function returned inf"),
        ("short", "its reward function returned 3 rewards for 4 completions"),
    ],
)
def test_a_reward_function_that_goes_wrong_is_named_with_its_example(
    lm: LanguageModel, task: Task, how: str, message: str
) -> None:
    spoilt = Spoilt(task.name, task.target, task.spurious, task.inputs, task.answers)
    object.__setattr__(spoilt, "how", how)
    with pytest.raises(UserError) as error:
        rewards_of(spoilt, PROMPTS, ["amber"] * 4, LABELS)
    assert message in str(error.value)
    assert ("'a b c ?'" if how == "short" else "'c c ?'") in str(error.value)
    assert "'amber'" in str(error.value)
    assert "\n" not in str(error.value)
    if how != "short":
        source = source_of(lm, lm, spoilt, "rloo", "constrained")
        with pytest.raises(UserError, match="prompt 'c c \\?'"):
            source.draw(Rows(PROMPTS, prompt_ids(lm, PROMPTS), LABELS))


@pytest.mark.parametrize("answers", ["constrained", "free"])
@pytest.mark.parametrize("name", ["sft", "rloo", "ppo", "dpo"])
def test_what_explodes_ends_the_run_at_its_step(
    lm: LanguageModel, task: Task, name: str, answers: str
) -> None:
    settings = Settings(steps=20, batch_size=8, learning_rate=1e30, beta=1.0, answers=answers, log_points=0)
    with pytest.raises(Diverged, match=r"(loss|NaN).* at step \d+ of \d+"):
        finetune(lm, task, rows_of(task, settings.rows), get_method(name), settings, seed=0)


@pytest.mark.parametrize("answers", ["constrained", "free"])
@pytest.mark.parametrize("name", METHODS)
def test_weights_that_become_nan_end_the_run_at_the_step_that_meets_them(
    lm: LanguageModel, task: Task, name: str, answers: str
) -> None:
    settings = Settings(steps=3, batch_size=4, beta=0.1, answers=answers, log_points=0)

    def spoil(step: int, tuned: LanguageModel) -> None:
        if step == 2:
            with torch.no_grad():
                next(tuned.model.parameters()).fill_(torch.nan)

    method, rows = get_method(name), rows_of(task, settings.rows)
    with pytest.raises(Diverged, match=f" at step {2 * method.reuse + 1} of {3 * method.reuse}$"):
        finetune(lm, task, rows, method, settings, seed=0, observe=spoil)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", METHODS)
def test_a_loss_that_is_no_number_ends_the_run_before_the_policy_takes_the_step(
    lm: LanguageModel, task: Task, name: str, value: float
) -> None:
    settings = Settings(steps=2, batch_size=4, log_points=0)
    kept = []

    def spoilt(batch: Batch) -> Tensor:
        loss = get_method(name).objective(batch)
        return loss * value if kept else loss

    method = replace(get_method(name), objective=spoilt)
    with pytest.raises(Diverged, match=f"^loss .* at step {method.reuse + 1} of {2 * method.reuse}$"):
        finetune(
            lm,
            task,
            rows_of(task, settings.rows),
            method,
            settings,
            seed=0,
            observe=lambda _, tuned: kept.append(tuned),
        )
    assert all(p.isfinite().all() for p in kept[0].model.parameters())


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("sft", {"samples_from": "policy"}, "sft learns from demonstrations and takes no samples_from"),
        ("dpo", {"kl_in": "loss"}, "dpo has beta in its objective; it takes no kl_in"),
        ("rwr", {"kl_estimator": "k1"}, "rwr has beta in its objective"),
        ("pref-ft", {"kl_direction": "forward"}, "pref-ft has no KL of its own; say kl_in=loss"),
        ("superhf", {"kl_in": "reward"}, "needs a method whose reward is an advantage, unlike superhf"),
        ("superhf", {"kl_in": "none", "beta": 0.1}, "kl_in=none is without a KL"),
        ("rloo", {"kl_estimator": "exact"}, "is of whole distributions and needs kl_in=loss"),
        ("rloo", {"kl_direction": "forward"}, "kl_direction=forward needs kl_in=loss"),
        ("sft", {"kl_in": "loss", "kl_estimator": "k2"}, "kl_estimator=k2 is of answers of the policy"),
        ("rloo", {"prior": "pretrained"}, "prior=pretrained needs kl_in=loss and kl_estimator=exact"),
        ("superhf", {"kl_target": 0.1}, "kl_target is of a KL in the reward of the policy's answers"),
        ("superhf", {"kl_target": 0.1, "samples_from": "reference"}, "of the policy's answers"),
        (
            "rloo",
            {"beta": 0.1, "samples_from": "reference"},
            "a KL in the reward is of the policy's own answers",
        ),
        ("ppo", {"samples_from": "reference"}, "ppo takes ratios to the policy that answered"),
        ("ppo", {"kl_target": 0.1}, "kl_target needs a beta above 0 to begin with"),
        ("kto", {"batch_size": 1}, "kto needs answers after other prompts: a batch_size of at least 2"),
        (
            "online-dpo",
            {"samples_per_prompt": 1},
            "online-dpo needs at least 2 samples_per_prompt",
        ),
    ],
)
def test_knobs_that_do_not_go_together_are_refused(name: str, knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        check(get_method(name), Settings(**knobs), "")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_kl_is_estimated_without_bias_unless_asked_otherwise() -> None:
    def kl_of(name: str, **knobs: Any) -> str:
        return str(get_method(name).set(Settings(**knobs)).kl)

    assert kl_of("rloo") == "reward, KL(policy || reference), k1"
    assert kl_of("rloo", kl_in="loss") == "loss, KL(policy || reference), k2"
    assert kl_of("rloo", kl_in="loss", kl_direction="forward") == "loss, KL(reference || policy), exact"
    assert kl_of("sft", kl_in="loss") == "loss, KL(policy || reference), exact"
    assert kl_of("superhf") == "loss, KL(reference || policy), exact"
    assert kl_of("superhf", kl_direction="reverse") == "loss, KL(policy || reference), exact"


def test_the_prior_is_the_far_end_of_the_kl_in_the_loss(
    double: tuple[LanguageModel, LanguageModel], task: Task
) -> None:
    lm, reference = double
    source = source_of(lm, reference, task, "superhf", "constrained")
    bare = gradient(replace(source, method=replace(source.method, beta=0.0)), lm, range(4))
    assert same(gradient(replace(source, prior=lm.model), lm, range(4)), bare)  # where the KL is 0
    assert not same(gradient(source, lm, range(4)), bare)


def test_tuning_takes_a_prior_of_its_own(lm: LanguageModel, peaked: LanguageModel, task: Task) -> None:
    settings = Settings(steps=2, batch_size=8, log_points=0)
    rows, superhf = rows_of(task, settings.rows), get_method("superhf")
    usual, same_one, other = (
        weights_hash(finetune(lm, task, rows, superhf, settings, seed=0, prior=prior).lm.model)
        for prior in (None, lm, peaked)
    )
    assert usual == same_one != other
