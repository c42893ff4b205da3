"""Reward models: read at an answer's last token whatever the padding, written as any library reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from transformers import AutoModelForSequenceClassification

from models import LanguageModel, learned_rewards, load, load_reward_model, reward_model_of, save
from models.answers import pad
from models.reward_model import last_token_scores, raw_scores, set_normalisation
from tasks import UserError

ROWS = [[3, 4, 5, 6, 7, 14], [9, 15], [3, 3, 3, 3, 15], [12]]


def with_head(lm: LanguageModel) -> LanguageModel:
    """A reward model whose head is no longer of zeros."""
    made = reward_model_of(lm)
    with torch.no_grad():
        made.model.score.weight.copy_(torch.randn(made.model.score.weight.shape, generator=seeded()))
    return made


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def padded(rows: list[list[int]], before: int, after: int, filling: int) -> tuple[Tensor, Tensor]:
    width = max(map(len, rows)) + before + after
    ids, mask = torch.full((len(rows), width), filling), torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        start = min(before, width - len(row))
        ids[i, start : start + len(row)] = torch.tensor(row)
        mask[i, start : start + len(row)] = 1
    return ids, mask


@pytest.mark.parametrize("shape", ["gpt2", "gpt_neox", "llama"])
@given(before=st.integers(0, 9), after=st.integers(0, 9), filling=st.sampled_from([0, 1, 14]))
@torch.inference_mode()
def test_neither_the_side_nor_the_amount_of_padding_moves_a_score(
    shape: str, random_model: Any, before: int, after: int, filling: int
) -> None:
    model = with_head(random_model(shape, scale=4.0)).model
    alone = torch.cat([raw_scores(model, [row]) for row in ROWS])
    assert alone.std() > 0.05
    torch.testing.assert_close(
        last_token_scores(model, *padded(ROWS, before, after, filling)), alone, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(raw_scores(model, ROWS[::-1]), alone.flip(0), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_it_is_what_a_sequence_classifier_says(random_model: Any) -> None:
    made = with_head(random_model())
    ids, mask = pad(ROWS)  # no row has the padding token, by which others find the last one
    said = made.model(input_ids=ids, attention_mask=mask).logits[:, 0]
    torch.testing.assert_close(raw_scores(made.model, ROWS), said, rtol=1e-4, atol=1e-5)


def test_it_begins_with_the_body_of_the_model_and_no_preference(random_model: Any) -> None:
    lm = random_model()
    torch.rand(3)
    made = reward_model_of(lm)
    assert learned_rewards(made, ["a b ?", "c ?"], ["amber", "birch"]) == [0.0, 0.0]
    states = [m.base_model(torch.tensor([ROWS[0]])).last_hidden_state for m in (lm.model, made.model)]
    torch.testing.assert_close(*states)
    assert made.model.base_model is not lm.model.base_model
    assert made.weights_hash == reward_model_of(lm).weights_hash


def test_it_is_written_and_read_with_its_normalisation(random_model: Any, tmp_path: Path) -> None:
    made = with_head(random_model())
    asked = ["a b ?", "c ?", "a b ?"], ["amber", "birch", ""]
    raw = learned_rewards(made, *asked, batch_size=1)
    set_normalisation(made.model.config, 0.3, 2.0)
    save(made.model, made.tokenizer, tmp_path)
    found = load_reward_model(tmp_path)
    assert learned_rewards(found, *asked) == pytest.approx([(r - 0.3) / 2 for r in raw], rel=1e-4, abs=1e-5)
    assert (tmp_path / "model.safetensors").is_file()
    other = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(other.score.weight, made.model.score.weight)
    assert other.config.num_labels == 1


def test_an_answer_s_reward_is_read_at_its_own_last_token(random_model: Any) -> None:
    made = with_head(random_model())
    asked = made.tokenizer("a b ? amber birch")["input_ids"]
    (found,) = learned_rewards(made, ["a b ?"], ["amber birch"])
    assert found == pytest.approx(raw_scores(made.model, [asked]).item(), rel=1e-5)
    assert found != pytest.approx(learned_rewards(made, ["a b ?"], ["amber"])[0], rel=1e-3)


@pytest.mark.parametrize("shape", ["bert", "roberta"])
@given(rows=st.lists(st.lists(st.integers(3, 17), min_size=1, max_size=9), min_size=1, max_size=5))
@torch.inference_mode()
def test_an_encoder_is_read_as_its_own_classifier_reads_each_row_alone(
    shape: str, random_model: Any, rows: list[list[int]]
) -> None:
    lm = random_model(shape)
    made = reward_model_of(lm).model
    assert raw_scores(made, rows).tolist() == [0.0] * len(rows)
    last = made.classifier if shape == "bert" else made.classifier.out_proj
    last.weight.copy_(torch.randn(last.weight.shape, generator=seeded()))
    alone = torch.stack([made(input_ids=torch.tensor([row])).logits[0, 0] for row in rows])
    torch.testing.assert_close(raw_scores(made, rows), alone, rtol=1e-4, atol=1e-5)
    # All below the last layer is the encoder's own, its pooler or dense layer included.
    for name, weight in lm.model.state_dict().items():
        if weight.shape == made.state_dict()[name].shape:
            assert torch.equal(made.state_dict()[name], weight), name


def test_an_encoder_s_reward_is_that_of_prompt_and_answer_and_is_kept(
    random_model: Any, tmp_path: Path
) -> None:
    made = reward_model_of(random_model("roberta"))
    with torch.no_grad():
        made.model.classifier.out_proj.weight.copy_(torch.randn(1, 16, generator=seeded()))
    asked = (["a b ?", "a b ?"], ["amber", "birch"])
    found = learned_rewards(made, *asked)
    assert found[0] != pytest.approx(found[1], rel=1e-3)
    save(made.model, made.tokenizer, tmp_path)
    assert learned_rewards(load_reward_model(tmp_path), *asked) == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize("shape", ["gpt2", "bert"])
def test_a_reward_model_s_folder_is_no_policy_s(random_model: Any, tmp_path: Path, shape: str) -> None:
    made = reward_model_of(random_model(shape))
    save(made.model, made.tokenizer, tmp_path)
    with pytest.raises(UserError, match=r"it is a reward model, .*finetune --reward-model reads it"):
        load(str(tmp_path))


def test_an_encoder_decoder_is_refused(random_model: Any) -> None:
    with pytest.raises(UserError, match=r"^t5: a reward model is made of a causal .* this is neither"):
        reward_model_of(random_model("t5"))


def test_a_folder_that_holds_none_is_refused(
    random_model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"is no reward model: it holds no config\.json$"):
        load_reward_model(tmp_path / "nowhere")
    lm = random_model()
    save(lm.model, lm.tokenizer, tmp_path / "model")
    capfd.readouterr()
    with pytest.raises(UserError, match=r"model is no reward model: its weights lack score\.weight"):
        load_reward_model(tmp_path / "model")
    assert capfd.readouterr() == ("", "")
    save(reward_model_of(lm).model, lm.tokenizer, tmp_path / "run" / "reward_model")
    kept = tmp_path / "run" / "reward_model"
    with pytest.raises(UserError, match=re.escape(f"did you mean {kept}?")):
        load_reward_model(tmp_path / "run")
    weights = kept / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:200])
    with pytest.raises(UserError, match="reward model's weights are corrupt"):
        load_reward_model(kept)
