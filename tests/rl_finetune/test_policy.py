"""Constrained and free policies: what they sample, how they score it, and what its entropy is."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, entropy
from torch import Tensor

import rl_finetune.policy as policy_module
from models import LanguageModel, answer_ids, prompt_ids, score_answers
from rl_finetune import count_answers, policy_of
from rl_finetune.policy import FreePolicy
from tasks import LabelAnswers, SentimentAnswers, Task, UserError, get_feature, symbol_pair

PROMPTS = ["a b c d e f g h ?", "p ?", "h g f ?"]
LONG = LabelAnswers(("amber coral", "birch"))


def log_probability(model: Any, prompt: list[int], completion: list[int]) -> float:
    with torch.no_grad():
        steps = [model(input_ids=torch.tensor([prompt + completion[:k]])) for k in range(len(completion))]
    return sum(float(out.logits[0, -1].log_softmax(-1)[t]) for out, t in zip(steps, completion, strict=True))


@pytest.mark.parametrize("answers", [LabelAnswers(("amber", "birch")), LONG], ids=["words", "phrases"])
def test_constrained_answers_are_the_full_distribution_renormalised(
    peaked: LanguageModel, task: Task, answers: LabelAnswers
) -> None:
    policy = policy_of(peaked, replace(task, answers=answers), "constrained")
    ids, said = prompt_ids(peaked, PROMPTS), answer_ids(peaked, answers.words)
    found = policy.distribution(peaked.model, ids).exp()
    torch.testing.assert_close(found.sum(dim=1), torch.ones(3))
    whole = np.exp([[log_probability(peaked.model, p, a) for a in said] for p in ids])
    np.testing.assert_allclose(
        found.detach().numpy(), whole / whole.sum(axis=1, keepdims=True), rtol=1e-3, atol=1e-6
    )
    scores = score_answers(peaked, PROMPTS, answers.words, batch_size=2)
    torch.testing.assert_close(found, scores.softmax(dim=1), rtol=1e-4, atol=1e-6)
    assert found.std() > 0.02


def test_constrained_samples_follow_the_distribution_and_are_scored_as_they_were_drawn(
    peaked: LanguageModel, task: Task
) -> None:
    policy = policy_of(peaked, task, "constrained")
    ids = prompt_ids(peaked, PROMPTS)
    drawn = policy.sample(peaked.model, ids, 4000, torch.Generator().manual_seed(0))
    probabilities = policy.distribution(peaked.model, ids).detach().double().exp()
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    words = task.answers.words
    assert words
    for row, p in zip(drawn.texts, probabilities.numpy(), strict=True):
        assert chisquare([row.count(w) for w in words], 4000 * p).pvalue > 1e-3
    torch.testing.assert_close(policy.score(peaked.model, ids, drawn.again).log_probs, drawn.log_probs)
    place = torch.tensor([[words.index(w) for w in row] for row in drawn.texts])
    torch.testing.assert_close(
        drawn.log_probs.double().exp(), probabilities.gather(1, place), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        drawn.entropy.detach().numpy(), entropy(probabilities.numpy(), axis=1), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_given_answers_are_scored_as_samples_that_say_the_same(
    peaked: LanguageModel, task: Task, answers: str
) -> None:
    policy, ids = policy_of(peaked, task, answers), prompt_ids(peaked, PROMPTS)
    drawn = policy.sample(peaked.model, ids, 5, torch.Generator().manual_seed(0))
    said = drawn.texts if answers == "constrained" else [["birch", "amber"]] * 3
    again = policy.write(said)
    found = policy.score(peaked.model, ids, again)
    if answers == "constrained":
        assert torch.equal(again, drawn.again)
        torch.testing.assert_close(found.log_probs, drawn.log_probs)
        assert found.tokens.tolist() == [[1]] * 3
    else:
        for i, j in itertools.product(range(3), range(2)):
            expected = log_probability(peaked.model, ids[i], again[i][j])
            assert found.log_probs[i, j].item() == pytest.approx(expected, rel=1e-3, abs=1e-3)
        assert found.tokens.tolist() == [[2, 2]] * 3  # the word and its end


@pytest.mark.parametrize("answers", [LabelAnswers(("amber", "birch")), LONG], ids=["words", "phrases"])
def test_free_answers_are_scored_by_the_product_rule_with_their_end(
    peaked: LanguageModel, task: Task, answers: LabelAnswers
) -> None:
    policy = policy_of(peaked, replace(task, answers=answers), "free")
    ids, eos = prompt_ids(peaked, PROMPTS), peaked.tokenizer.eos_token_id
    for word, tokens in zip(answers.words, answer_ids(peaked, answers.words), strict=True):
        found = policy.score(peaked.model, ids, policy.write([[word]] * 3)).log_probs[:, 0]
        ended = [log_probability(peaked.model, p, [*tokens, eos]) for p in ids]
        np.testing.assert_allclose(found.detach().numpy(), ended, rtol=1e-4, atol=1e-4)
        open_end = [log_probability(peaked.model, p, tokens) for p in ids]
        assert (np.array(open_end) - ended > 1e-3).all()  # the end token costs something


def test_the_entropy_along_a_demonstration_is_the_sum_of_its_tokens(
    peaked: LanguageModel, task: Task
) -> None:
    policy = policy_of(peaked, replace(task, answers=LONG), "free")
    ids = prompt_ids(peaked, PROMPTS)
    found = policy.score(peaked.model, ids, policy.write([[LONG.words[0]]] * 3)).entropy
    completion = [*answer_ids(peaked, LONG.words)[0], peaked.tokenizer.eos_token_id]
    for prompt, value in zip(ids, found.tolist(), strict=True):
        with torch.no_grad():
            rows = [
                peaked.model(input_ids=torch.tensor([prompt + completion[:k]])).logits[0, -1]
                for k in range(3)
            ]
        assert value == pytest.approx(sum(entropy(r.double().softmax(-1).numpy()) for r in rows), rel=1e-3)


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_a_step_along_the_entropy_of_demonstrations_spreads_the_answers(
    peaked: LanguageModel, task: Task, answers: str
) -> None:
    policy, ids = policy_of(peaked, task, answers), prompt_ids(peaked, PROMPTS)
    said = policy.write([["amber"], ["birch"], ["amber"]])
    before = policy.score(peaked.model, ids, said).entropy.mean()
    before.backward()
    size = sum(p.grad.square().sum() for p in peaked.model.parameters() if p.grad is not None).sqrt()
    with torch.no_grad():
        for parameter in peaked.model.parameters():
            if parameter.grad is not None:
                parameter += 1e-3 * parameter.grad / size
    assert policy.score(peaked.model, ids, said).entropy.mean() > before + 1e-4 * size


def test_the_entropy_of_samples_is_unbiased_in_value_and_gradient(
    peaked: LanguageModel, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six possible completions, given uneven probabilities by six free numbers in place of a model.
    policy = FreePolicy(peaked, task)
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, 0.5, -0.2], dtype=torch.float64, requires_grad=True)

    def scored(model: Any, prompts: Any, completions: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
        choices = logits.log_softmax(-1)
        taken = choices[[row[0] for row in completions]][:, None]
        return choices[None, None], taken, torch.ones_like(taken, dtype=torch.bool)

    nothing = torch.empty(1, 1, 0)
    monkeypatch.setattr(policy_module, "completion_log_probs", scored)
    monkeypatch.setattr(policy_module, "reading", lambda model: nullcontext([nothing]))
    monkeypatch.setattr(policy_module, "along_completions", lambda *_: nothing)
    expected, gradient = torch.zeros((), dtype=torch.float64), torch.zeros(6, dtype=torch.float64)
    for completion in range(6):
        always = [[completion, policy.eos]]
        monkeypatch.setattr(policy_module, "sample", lambda *_, said=always, **__: said)
        spread = policy.sample(None, [[3]], 1, torch.Generator()).entropy
        weight = logits.detach().softmax(-1)[completion]
        expected += weight * spread.item()
        gradient += weight * torch.autograd.grad(spread.sum(), logits)[0]
    exact = -(logits.softmax(-1) * logits.log_softmax(-1)).sum()
    torch.testing.assert_close(expected, exact.detach())
    torch.testing.assert_close(gradient, torch.autograd.grad(exact, logits)[0])


def test_only_the_end_token_is_left_out_of_the_text(peaked: LanguageModel, task: Task) -> None:
    policy = FreePolicy(peaked, task)
    vocabulary = peaked.tokenizer.get_vocab()
    pad, eos, unknown, amber = (vocabulary[word] for word in ("<pad>", "<eos>", "<unk>", "amber"))
    texts = policy.decode([[amber, eos], [amber, pad], [unknown, amber, eos], [eos], [amber, amber]])
    assert [task.answers.read(t) >= 0 for t in texts] == [True, False, False, False, False]
    assert policy.decode(policy.encode(["amber", "birch"])) == ["amber", "birch"]


def test_free_samples_are_scored_as_they_were_drawn(peaked: LanguageModel, task: Task) -> None:
    policy, ids = policy_of(peaked, task, "free"), prompt_ids(peaked, PROMPTS)
    drawn = policy.sample(peaked.model, ids, 5, torch.Generator().manual_seed(0))
    assert [len(row) for row in drawn.texts] == [5, 5, 5]
    for i, j in itertools.product(range(3), range(5)):
        expected = log_probability(peaked.model, ids[i], drawn.again[i][j])
        assert drawn.log_probs[i, j].item() == pytest.approx(expected, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_answer_counts_are_those_of_a_plain_count(peaked: LanguageModel, task: Task, answers: str) -> None:
    policy = policy_of(peaked, task, answers)
    rows = task.quadrant("both", 60, np.random.default_rng(0)).to_dict()
    rows |= {"label": [i % 2 for i in range(60)]}
    other = replace(peaked, model=type(peaked.model)(peaked.model.config).eval())
    counts = count_answers(peaked, policy, task, rows, other.model, batch_size=7)
    ids = prompt_ids(peaked, rows["prompt"])
    p, q = (policy.distribution(m, ids).detach().double().exp().numpy() for m in (peaked.model, other.model))
    words = np.array(
        peaked.tokenizer.convert_ids_to_tokens(list(range(p.shape[1])))
        if answers == "free"
        else task.answers.words
    )
    first = words[p.argmax(axis=1)]
    said = np.array([task.answers.read(w) for w in policy.greedy(peaked.model, ids).texts])
    if answers == "constrained":
        assert [task.answers.read(w) for w in first] == said.tolist()
        wrong = 1 - p[np.arange(60), rows["label"]]
        assert counts.p_error == pytest.approx(wrong.mean(), rel=1e-4)
        assert counts.invalid == 0
    assert counts.n == 60
    assert counts.errors == (said != rows["label"]).sum()
    assert counts.ones == (said == 1).sum()
    assert counts.invalid == (said == -1).sum()
    assert counts.reward == pytest.approx(1 - counts.errors / 60)
    assert counts.entropy == pytest.approx(entropy(p, axis=1).mean(), rel=1e-3)
    assert counts.kl_reverse == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-3)
    assert counts.kl_forward == pytest.approx(entropy(q, p, axis=1).mean(), rel=1e-3)


def test_free_answers_may_be_as_long_as_the_longest_open_answer(peaked: LanguageModel, task: Task) -> None:
    def write(label: int, rng: np.random.Generator) -> str:
        return " ".join("abcdef"[label : rng.integers(2, 7)])

    answers = SentimentAnswers(lambda texts: [0.5] * len(texts), write, length=6)
    assert FreePolicy(peaked, replace(task, answers=answers)).most == 6 + 1


def test_what_a_policy_cannot_do_is_refused(peaked: LanguageModel, task: Task) -> None:
    run = symbol_pair("run", get_feature("first-class"), get_feature("parity"), answers="run")
    with pytest.raises(UserError, match="no closed list; use answers=free"):
        policy_of(peaked, run, "constrained")
    with pytest.raises(UserError, match="does not know the answer word 'zebra'"):
        policy_of(peaked, replace(task, answers=LabelAnswers(("amber", "zebra"))), "constrained")
    peaked.tokenizer.eos_token = None
    with pytest.raises(UserError, match="end-of-text token"):
        policy_of(peaked, task, "free")
