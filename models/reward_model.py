"""A reward model: a causal language model's body with a scalar head, read at the answer's last token.

It is a sequence classifier of one label, as Hugging Face and TRL have it, and is written and read as one.
Made of an encoder it is that architecture's own classifier, which reads prompt and answer from their first
token. What normalises its scores stands in its configuration.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from models.answers import chunks, pad, prompted, readable_ids
from models.language_model import (
    SCALE,
    SHIFT,
    LanguageModel,
    check_report,
    check_tokenizer,
    has_code,
    weights_hash,
)
from models.shared_prompts import read_after, shares_prompts
from tasks.errors import UserError


def reward_model_of(lm: LanguageModel) -> LanguageModel:
    """A reward model with a copy of a model's body and zeros in its head's last layer: all scores are 0."""
    if lm.model.config.is_encoder_decoder:
        raise UserError(
            f"{lm.name}: a reward model is made of a causal language model or an encoder, and this is neither"
        )
    config = copy.deepcopy(lm.model.config)
    config.num_labels = 1
    if lm.tokenizer.pad_token_id is not None:
        config.pad_token_id = lm.tokenizer.pad_token_id  # by which other libraries find the last token
    set_normalisation(config, 0.0, 1.0)
    with torch.random.fork_rng(devices=[]):
        try:
            model = AutoModelForSequenceClassification.from_config(
                config, dtype=lm.model.dtype, trust_remote_code=False
            )
        except ValueError as e:
            raise UserError(f"{lm.name}: there is no scalar head for its architecture") from e
    model.base_model.load_state_dict(lm.model.base_model.state_dict())
    told = lm.model.state_dict()
    for name, weight in model.state_dict().items():
        if not name.startswith(f"{model.base_model_prefix}."):
            # Of an encoder's action head all but the last layer is of the right shape, and kept.
            same = name in told and told[name].shape == weight.shape
            weight.copy_(told[name]) if same else weight.zero_()
    model = model.to(lm.model.device).eval()
    return replace(lm, model=model, weights_hash=weights_hash(model))


def load_reward_model(folder: str | Path, device: str = "cpu") -> LanguageModel:
    """Read a reward model from its folder. Safetensors only; also one that TRL has trained."""
    name = str(folder)
    check_reward_folder(Path(folder))
    logging.disable_progress_bar()
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # what is wrong with the weights is told below, in one line
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
        read: Any = AutoModelForSequenceClassification.from_pretrained
        model, report = read(name, use_safetensors=True, output_loading_info=True, trust_remote_code=False)
        check_report(report)
        check_tokenizer(model, tokenizer)
        if model.config.num_labels != 1 or model.config.is_encoder_decoder:
            raise ValueError("its head is not the one score of a causal model or an encoder")
    except SafetensorError as e:
        raise UserError(f"{name}: the reward model's weights are corrupt ({e})") from e
    except (OSError, ValueError) as e:
        if has_code(e):
            raise UserError(
                f"{name} comes with code of its own, which is never run for a reward model"
            ) from e
        raise UserError(f"{name} is no reward model: {str(e).strip().splitlines()[0]}") from e
    finally:
        logging.set_verbosity(said)
    return LanguageModel(model.to(device).eval(), tokenizer, name, None, "pretrained", weights_hash(model))


def check_reward_folder(folder: Path) -> None:
    """Refuse a folder that cannot be a reward model's, without reading one."""
    if not (folder / "config.json").is_file():
        kept = folder / "reward_model"
        hint = f"; did you mean {kept}?" if kept.is_dir() else ""
        raise UserError(f"{folder} is no reward model: it holds no config.json{hint}")


def set_normalisation(config: Any, shift: float, scale: float) -> None:
    """Let the reward be (score - shift) / scale."""
    setattr(config, SHIFT, shift)
    setattr(config, SCALE, scale)


def last_token_scores(model: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Raw scores [rows] at the last token that a mask [rows, places] keeps, in float32.

    Neither the side nor the amount of padding, nor what else is in the batch, plays a part.
    """
    places = torch.arange(ids.shape[1], device=ids.device)
    last = (mask * places).argmax(dim=1)
    read = model.base_model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False,
    )
    states = read.last_hidden_state[torch.arange(len(ids), device=ids.device), last]
    scores: Tensor = model.score(states).squeeze(-1).float()
    return scores


def raw_scores(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Raw scores [rows] of token ids, each a prompt and its answer."""
    if not hasattr(model, "score"):
        of_encoder: Tensor = model(**prompted(model, rows)).logits.squeeze(-1).float()
        return of_encoder
    ids, mask = (t.to(model.device) for t in pad(rows))
    return last_token_scores(model, ids, mask)


def completion_ids(lm: LanguageModel, completions: Sequence[str]) -> list[list[int]]:
    """Token ids of completions as they follow a prompt; of an empty one, none."""
    ids: list[list[int]] = lm.tokenizer([" " + c for c in completions], add_special_tokens=False)["input_ids"]
    return ids


def answered_ids(lm: LanguageModel, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
    """Token ids of each prompt with its answer, which are what a reward model reads."""
    asked = readable_ids(lm.model, lm.tokenizer, prompts, lm.name)
    return [p + c for p, c in zip(asked, completion_ids(lm, completions), strict=True)]


@torch.inference_mode()
def learned_rewards(
    lm: LanguageModel,
    prompts: Sequence[str],
    completions: Sequence[str],
    batch_size: int = 512,
    share_prompts: bool = False,
) -> list[float]:
    """Normalised rewards of answers; each different row is read once.

    With `share_prompts` each different prompt of a batch too: faster where many answers follow one, and the
    same but for rounding.
    """
    asked = list(zip(prompts, completions, strict=True))
    different = list(dict.fromkeys(asked))
    if share_prompts and shares_prompts(lm.model):
        found = [_after_prompts(lm, part).cpu() for part in chunks(different, batch_size)]
    else:
        rows = answered_ids(lm, [p for p, _ in different], [c for _, c in different])
        found = [raw_scores(lm.model, part).cpu() for part in chunks(rows, batch_size)]
    config = lm.model.config
    rewards = (torch.cat(found).double() - getattr(config, SHIFT, 0.0)) / getattr(config, SCALE, 1.0)
    of = dict(zip(different, rewards.tolist(), strict=True))
    return [of[row] for row in asked]


def _after_prompts(lm: LanguageModel, asked: Sequence[tuple[str, str]]) -> Tensor:
    """Raw scores of (prompt, answer), each different prompt read once."""
    number = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompt for prompt, _ in asked))}
    states, lengths = read_after(
        lm.model.base_model,
        readable_ids(lm.model, lm.tokenizer, list(number), lm.name),
        [number[prompt] for prompt, _ in asked],
        completion_ids(lm, [answer for _, answer in asked]),
        "last_hidden_state",
    )
    last = states[torch.arange(len(states), device=states.device), lengths]
    scores: Tensor = lm.model.score(last).squeeze(-1).float()
    return scores
