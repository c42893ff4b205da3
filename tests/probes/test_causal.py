"""Edits inside the model: what is erased cannot be read, what is swapped in is there, nothing else moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from models import LanguageModel, prompt_ids, score_answers
from models.answers import next_token_logits
from probes import representations
from probes.causal import feature_subspace, log_odds, random_subspace
from tasks.errors import UserError

RNG = np.random.default_rng(0)
N, WIDTH = 800, 12
STATES = RNG.normal(size=(N, WIDTH)) @ RNG.normal(size=(WIDTH, WIDTH)) + 3
FIRST, SECOND = STATES[:, 0] > 3, STATES[:, 1] + STATES[:, 2] > 6
PROMPTS = ["a b c ?", "d e ?", "e f g h i j a ?", "b b ?", "c d e f ?"]
WORDS = ["amber", "birch"]
SHAPES = ["gpt2", "gpt_neox", "llama", "gemma2", "t5", "bart", "bert", "roberta"]


def accuracy(states: Any, labels: Any) -> float:
    half = len(states) // 2
    fit = LogisticRegression(C=1e4, max_iter=5000).fit(states[:half], labels[:half])
    return float(fit.score(states[half:], labels[half:]))


def test_an_erased_feature_cannot_be_read_and_the_other_one_can() -> None:
    found = feature_subspace(STATES, FIRST)
    erased = found.erase(torch.from_numpy(STATES), slice(None)).numpy()
    assert found.left.shape == (WIDTH, 1)
    cross = (erased - erased.mean(0)).T @ (FIRST - FIRST.mean())
    assert np.abs(cross).max() / N < 1e-10, "no linear probe has anything to go by"
    fitted = LogisticRegression(C=1e4, max_iter=5000).fit(erased, FIRST)
    assert fitted.score(erased, FIRST) == pytest.approx(max(FIRST.mean(), 1 - FIRST.mean()), abs=0.03)
    assert accuracy(STATES, FIRST) > 0.95 and accuracy(erased, SECOND) > 0.8


def test_a_random_direction_is_erased_as_wholly_and_leaves_the_feature() -> None:
    x = torch.from_numpy(STATES)
    for seed in range(3):
        control = random_subspace(STATES, seed)
        erased = control.erase(x, slice(None))
        assert torch.allclose(control.part(erased), torch.zeros_like(erased), atol=1e-8), "a projection"
        assert torch.linalg.matrix_rank(torch.cov(erased.T)) == WIDTH - 1
        assert accuracy(erased.numpy(), FIRST) > 0.75
    white = torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T)))
    moved = [((white @ random_subspace(STATES, s).part(x).T) ** 2).sum() / N for s in range(200)]
    assert float(torch.stack(moved).mean()) == pytest.approx(1.0, abs=0.05), "one of twelve white directions"


def test_a_swap_brings_the_feature_of_the_other_and_nothing_else() -> None:
    x, found = torch.from_numpy(STATES), feature_subspace(STATES, FIRST)
    others = x.flip(0)
    swapped = found.swap(others)(x, slice(None))
    assert torch.allclose(found.part(swapped), found.part(others), atol=1e-8)
    assert torch.allclose(found.erase(swapped, slice(None)), found.erase(x, slice(None)), atol=1e-8)
    assert torch.allclose(found.swap(x)(x, slice(None)), x, atol=1e-8), "with oneself nothing changes"


@pytest.mark.parametrize("shape", SHAPES)
def test_an_edit_that_changes_nothing_changes_no_answer(random_model: Any, shape: str) -> None:
    lm: LanguageModel = random_model(shape)
    plain = log_odds(lm, PROMPTS, WORDS, batch_size=2)
    scores = score_answers(lm, PROMPTS, WORDS).double().numpy()
    np.testing.assert_allclose(plain, scores[:, 1] - scores[:, 0], atol=1e-3)
    for layer in (0, 1, 2, -1):
        same = log_odds(lm, PROMPTS, WORDS, layer=layer, edit=lambda states, rows: states, batch_size=2)
        np.testing.assert_array_equal(same, plain)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_states_that_are_edited_are_those_that_are_probed(random_model: Any, shape: str) -> None:
    lm: LanguageModel = random_model(shape)
    found = representations(lm.model, lm.tokenizer, PROMPTS, [0, 1, 2, -1])
    for layer, expected in found.items():
        seen: dict[int, np.ndarray] = {}

        def see(states: torch.Tensor, rows: slice, seen: dict[int, np.ndarray] = seen) -> torch.Tensor:
            seen.update(zip(range(len(PROMPTS))[rows], states.numpy(), strict=True))
            return states

        log_odds(lm, PROMPTS, WORDS, layer=layer, edit=see, batch_size=2)
        np.testing.assert_allclose([seen[i] for i in range(len(PROMPTS))], expected, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_last_layer_alone_decides_and_a_whole_swap_there_brings_the_other_answer(
    random_model: Any, shape: str
) -> None:
    lm: LanguageModel = random_model(shape)
    others = torch.from_numpy(representations(lm.model, lm.tokenizer, PROMPTS[::-1])[-1])
    swapped = log_odds(lm, PROMPTS, WORDS, edit=lambda states, rows: others[rows])
    np.testing.assert_allclose(swapped, log_odds(lm, PROMPTS[::-1], WORDS), atol=1e-3)
    assert np.ptp(swapped) > 0.01
    logits = next_token_logits(lm.model, prompt_ids(lm, PROMPTS))
    log_odds(lm, PROMPTS, WORDS, edit=lambda states, rows: states * 0)
    assert torch.equal(next_token_logits(lm.model, prompt_ids(lm, PROMPTS)), logits), "the edit is gone"


def test_what_cannot_be_edited_is_said(random_model: Any) -> None:
    lm: LanguageModel = random_model("gpt2")
    with pytest.raises(UserError, match=r"layer 3 is out of range; valid: -1 .* and 0 .* to 2"):
        log_odds(lm, PROMPTS, WORDS, layer=3, edit=lambda states, rows: states)
    with pytest.raises(UserError, match="only answers of one token are read"):
        log_odds(lm, PROMPTS, ["amber", "birch coral"])
