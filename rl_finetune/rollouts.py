"""Free answers: sampling completions from the full vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from models.answers import left_pad, prompted
from models.train import Diverged


@torch.inference_mode()
def sample(
    model: Any,
    prompts: Sequence[Sequence[int]],
    *,
    most: int,
    eos: int,
    generator: torch.Generator | None,
    samples: int = 1,
) -> list[list[int]]:
    """Completions [prompts x samples] of at most `most` tokens, up to and including the end token.

    Each prompt is read once, whatever the number of samples.

    Sampled at temperature 1 from the full vocabulary; the most probable tokens where no generator is given.
    """
    inputs = _read(model, prompts)
    cache: Any = None
    taken: list[torch.Tensor] = []
    going = torch.ones(len(prompts) * samples, dtype=torch.bool, device=model.device)
    for _ in range(most):
        out = model(**inputs, past_key_values=cache, use_cache=True)
        logits, cache = out.logits[:, -1], out.past_key_values
        if not taken and samples > 1:
            logits = logits.repeat_interleave(samples, dim=0)
            cache.batch_repeat_interleave(samples)
            inputs = _repeated(inputs, samples)
        if generator is None:
            token = logits.argmax(dim=-1, keepdim=True)
        else:
            if not taken and logits.isnan().any():
                raise Diverged("the policy's probabilities are NaN")
            token = torch.multinomial(logits.softmax(dim=-1), 1, generator=generator)
        taken.append(torch.where(going[:, None], token, -1))
        going &= token.squeeze(1) != eos
        if not going.any():
            break
        inputs = _said(inputs, token)
    rows: list[list[int]] = torch.cat(taken, dim=1).tolist()
    return [[t for t in row if t >= 0] for row in rows]


def _read(model: Any, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Inputs of the first step; an encoder-decoder reads the prompts once."""
    if model.config.is_encoder_decoder:
        inputs = prompted(model, prompts)
        states = model.get_encoder()(inputs.pop("input_ids"), attention_mask=inputs["attention_mask"])
        return {**inputs, "encoder_outputs": states}
    ids, mask, positions = (t.to(model.device) for t in left_pad(prompts))
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


def _repeated(inputs: dict[str, Any], samples: int) -> dict[str, Any]:
    """Inputs of a prompt that was read, for each of its samples."""
    states = inputs.pop("encoder_outputs", None)
    again = {name: value.repeat_interleave(samples, dim=0) for name, value in inputs.items()}
    if states is None:
        return again
    hidden = states.last_hidden_state.repeat_interleave(samples, dim=0)
    return {**again, "encoder_outputs": type(states)(last_hidden_state=hidden)}


def _said(inputs: dict[str, Any], token: torch.Tensor) -> dict[str, Any]:
    """Inputs of the next step, the earlier ones being in the cache."""
    if "encoder_outputs" in inputs:
        return {**inputs, "decoder_input_ids": token}
    mask = torch.cat([inputs["attention_mask"], torch.ones_like(token)], dim=1)
    return {"input_ids": token, "attention_mask": mask, "position_ids": inputs["position_ids"][:, -1:] + 1}
