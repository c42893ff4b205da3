"""What a language model holds at the end of a prompt: one vector per prompt and layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from models.answers import readable_ids
from tasks.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FINAL = -1
"""The final layer after the final norm: what the output matrix reads."""


def representations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    layers: str | Sequence[int] = "last",
    batch_size: int = 256,
) -> dict[int, NDArray[np.float32]]:
    """The hidden state at each prompt's last token: {layer: float32 array (prompts, width)}, rows in order.

    Layer 0 is the embedding, layer i the output of block i, and -1 ("last") the final layer after the
    final norm, as the last numbered layer is too. "all" gives 0, 1, ... and -1 in the last one's place.
    Works for any Hugging Face causal LM; the model is put in evaluation mode meanwhile.

    Prompts are padded here, on the right, where a causal model cannot look: the tokenizer's padding side
    and pad token play no part, and neither does the batch size. One batch is held at a time.
    """
    if not len(prompts):
        raise UserError("no prompts to represent; give at least one")
    ids = readable_ids(model, tokenizer, prompts)
    wanted = _layers(model, layers)
    order = np.argsort([len(row) for row in ids], kind="stable")
    found: dict[int, NDArray[np.float32]] = {}
    decoder = model.get_decoder()
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            tokens, mask = _right_padded([ids[i] for i in chosen])
            with torch.inference_mode():
                out = decoder(
                    input_ids=tokens.to(model.device),
                    attention_mask=mask.to(model.device),
                    output_hidden_states=wanted != [FINAL],
                    use_cache=False,
                )
            last = mask.sum(1) - 1
            for layer in wanted:
                states = out.last_hidden_state if layer == FINAL else out.hidden_states[layer]
                at_end = states[torch.arange(len(chosen)), last].float().cpu().numpy()
                found.setdefault(layer, np.empty((len(ids), at_end.shape[1]), np.float32))[chosen] = at_end
    finally:
        model.train(was_training)
    return found


def _layers(model: PreTrainedModel, layers: str | Sequence[int]) -> list[int]:
    depth = model.config.get_text_config().num_hidden_layers
    if layers == "last":
        return [FINAL]
    if layers == "all":
        return [*range(depth), FINAL]
    valid = f"valid: -1 (final, after the norm) and 0 (embedding) to {depth}"
    if isinstance(layers, str) or not len(layers):
        raise UserError(
            f"layers {layers!r} name no layer; valid: 'last', 'all' or a list of numbers; {valid}"
        )
    for layer in layers:
        if layer not in range(FINAL, depth + 1):
            raise UserError(f"layer {layer} is out of range; {valid}")
    return list(dict.fromkeys(layers))


def _right_padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    tokens = torch.zeros(mask.shape, dtype=torch.long)
    tokens[mask] = torch.tensor([token for row in rows for token in row])
    return tokens, mask.long()
