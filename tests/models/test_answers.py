"""Answer scores: the product rule on any architecture, whatever the padding and the batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

from models import answer_ids, prompt_ids, score_answers
from models.answers import answer_log_probs, next_token_logits, sequence_log_probs
from tasks.errors import UserError

SHAPES = ["gpt2", "gpt_neox", "llama", "gemma2", "t5", "bart"]
RAGGED = ["a b c ?", "d ?", "e f g h i j a ?", "b b ?", "c d e f ?"]
EVEN = ["a b c ?", "d e f ?", "j j j ?"]


def product_rule(model: Any, prompt: list[int], answer: list[int]) -> float:
    """One row, one token at a time, no padding, no cache."""
    total = 0.0
    for k, token in enumerate(answer):
        said = {"input_ids": torch.tensor([prompt + answer[:k]])}
        if model.config.is_encoder_decoder:
            start = model.config.decoder_start_token_id
            said = {
                "input_ids": torch.tensor([prompt]),
                "decoder_input_ids": torch.tensor([[start, *answer[:k]]]),
            }
        with torch.no_grad():
            logits = model(**said).logits[0, -1]
        total += float(logits.log_softmax(-1)[token])
    return total


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("prompts", [RAGGED, EVEN], ids=["ragged", "even"])
@pytest.mark.parametrize("answers", [["amber", "birch"], ["amber coral", "birch", "delta a b"]])
def test_scores_are_the_product_rule(
    random_model: Any, shape: str, prompts: list[str], answers: list[str]
) -> None:
    lm = random_model(shape)
    expected = [
        [product_rule(lm.model, p, a) for a in answer_ids(lm, answers)] for p in prompt_ids(lm, prompts)
    ]
    for batch_size in (1, 2, 512):
        scores = score_answers(lm, prompts, answers, batch_size=batch_size)
        torch.testing.assert_close(scores, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    assert scores.std() > 0.1  # else agreement means little


@pytest.mark.parametrize("shape", SHAPES)
def test_one_token_answers_score_alike_on_both_paths(random_model: Any, shape: str) -> None:
    lm = random_model(shape)
    prompts, (amber, birch) = prompt_ids(lm, RAGGED), answer_ids(lm, ["amber", "birch"])
    fast = answer_log_probs(lm.model, prompts, [amber, birch])
    slow = torch.stack([sequence_log_probs(lm.model, prompts, [a] * 5) for a in (amber, birch)], dim=1)
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", [*SHAPES, "bert", "roberta"])
def test_next_token_logits_do_not_depend_on_the_neighbours_in_a_batch(random_model: Any, shape: str) -> None:
    lm = random_model(shape)
    ids = prompt_ids(lm, RAGGED)
    together = next_token_logits(lm.model, ids)
    alone = torch.cat([next_token_logits(lm.model, [row]) for row in ids])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("shape", ["bert", "roberta"])
def test_an_encoder_has_two_actions_and_no_words(random_model: Any, shape: str) -> None:
    lm = random_model(shape)
    assert answer_ids(lm, ["delta", "unknown word"]) == [[0], [1]]
    with pytest.raises(UserError, match="its action head knows 2 answers"):
        answer_ids(lm, ["amber", "birch", "coral"])
    scores = score_answers(lm, RAGGED, ["amber", "birch"])
    assert torch.allclose(scores.exp().sum(dim=1), torch.ones(len(RAGGED))) and scores.std() > 0.01
    for prompt, row in zip(RAGGED, scores, strict=True):
        alone = lm.model(**lm.tokenizer(prompt, return_tensors="pt")).logits[0].log_softmax(-1)
        torch.testing.assert_close(row, alone.detach(), atol=1e-4, rtol=1e-4)


def test_all_next_words_hold_the_whole_probability(random_model: Any) -> None:
    words = ["a", "b", "c", "?", "amber"]
    lm = random_model("gpt2", words=words)
    ids = prompt_ids(lm, ["a b ?", "c ?"])
    every = answer_log_probs(lm.model, ids, [[k] for k in range(len(words) + 3)])
    torch.testing.assert_close(every.exp().sum(dim=1), torch.ones(2))
    assert (score_answers(lm, ["a b ?"], ["a", "amber"]).exp().sum(dim=1) < 1).all()  # not renormalised


@pytest.mark.parametrize(
    ("answers", "message"),
    [(["amber", "zebra"], "'zebra'"), (["amber", "amber"], "apart"), (["amber", ""], "''")],
)
def test_answers_that_cannot_be_told_are_refused(random_model: Any, answers: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        score_answers(random_model(), EVEN, answers)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [("", "empty prompt"), ("a zebra ?", "'a zebra \\?'"), ("a " * 33, "prompt 1 has 33 tokens; .* most 32")],
)
def test_prompts_that_cannot_be_read_are_refused(random_model: Any, prompt: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        score_answers(random_model(), ["a ?", prompt], ["amber", "birch"])


@pytest.mark.parametrize("unk", ["<unk>", "<none>"])
def test_a_tokenizer_that_names_no_token_for_unknown_words(random_model: Any, unk: str) -> None:
    lm = random_model()
    core = Tokenizer(WordLevel(lm.tokenizer.get_vocab(), unk_token=unk))
    core.pre_tokenizer = WhitespaceSplit()
    lm = replace(lm, tokenizer=PreTrainedTokenizerFast(tokenizer_object=core))
    assert score_answers(lm, ["a ?"], ["amber", "birch"]).shape == (1, 2)
    for prompt, answer in (("a zebra ?", "amber"), ("a ?", "zebra")):
        with pytest.raises(
            UserError, match=r"gpt2: its tokenizer (cannot read|does not know) .*zebra"
        ) as error:
            score_answers(lm, [prompt], [answer, "birch"])
        assert "\n" not in str(error.value)


def test_scores_that_are_no_numbers_are_refused(random_model: Any) -> None:
    lm = random_model()
    with torch.no_grad():
        lm.model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN; check the model's weights"):
        score_answers(lm, EVEN, ["amber", "birch"])
