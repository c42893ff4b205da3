"""Completions after prompts, each prompt read once, however many completions follow it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from models.answers import left_pad, pad

Ids = Sequence[Sequence[int]]


def shares_prompts(model: Any) -> bool:
    """Whether a model reads from left to right and remembers: a causal language model, or a head on one."""
    config = model.config
    return not config.is_encoder_decoder and getattr(config, "use_cache", None) is not None


def read_after(
    model: Any,
    prompts: Ids,
    of: Sequence[int],
    completions: Ids,
    field: Literal["logits", "last_hidden_state"],
) -> tuple[Tensor, Tensor]:
    """What a model says before each token of completions and after the last, [rows, 1 + tokens, ...].

    `of[i]` is the number of completion i's prompt. The second value [rows] is how many tokens each has.
    Nothing depends on padding or on what else is read.
    """
    device = model.device
    ids, mask, positions = (t.to(device) for t in left_pad(prompts))
    read = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True)
    which = torch.tensor(of, device=device)
    first = getattr(read, field)[which, -1:]
    lengths = torch.tensor([len(each) for each in completions], device=device)
    if not int(lengths.max()):
        return first, lengths
    cache = read.past_key_values
    cache.batch_select_indices(which)
    said, inside = (t.to(device) for t in pad(completions))
    after = model(
        input_ids=said,
        attention_mask=torch.cat([mask[which], inside], dim=1),
        position_ids=positions[which, -1:] + 1 + torch.arange(said.shape[1], device=device),
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first, getattr(after, field)], dim=1), lengths
