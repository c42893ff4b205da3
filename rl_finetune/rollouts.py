"""Free answers: sampling completions from the full vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.answers import left_pad


@torch.inference_mode()
def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    most: int,
    eos: int,
    generator: torch.Generator | None,
) -> list[list[int]]:
    """One completion a prompt, of at most `most` tokens, up to and including the end token.

    Sampled at temperature 1 from the full vocabulary; the most probable tokens where no generator is given.
    """
    ids, mask, positions = (t.to(model.device) for t in left_pad(prompts))
    cache, taken = None, []
    going = torch.ones(len(prompts), dtype=torch.bool, device=model.device)
    for _ in range(most):
        out = model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        logits, cache = out.logits[:, -1], out.past_key_values
        if generator is None:
            token = logits.argmax(dim=-1, keepdim=True)
        else:
            token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        taken.append(torch.where(going[:, None], token, -1))
        going &= token.squeeze(1) != eos
        if not going.any():
            break
        ids, positions = token, positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(token)], dim=1)
    rows: list[list[int]] = torch.cat(taken, dim=1).tolist()
    return [[t for t in row if t >= 0] for row in rows]
