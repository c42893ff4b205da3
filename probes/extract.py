"""What a language model holds of a prompt: one vector per prompt and layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answers import prompted, readable_ids
from models.language_model import writes
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FINAL = -1
"""The final layer after the final norm: what the output matrix reads."""
HELD = 2**16
"""Hidden states that are held at once: 200 MB at width 768."""
ANSWER = "answer"
Site = str | int


def answer_site(model: PreTrainedModel) -> str:
    """Where an answer is read: the prompt's last token, its first one, or the decoder's place before it.

    Some encoders are classified by the mean over the prompt.
    """
    if model.config.is_encoder_decoder:
        return "decoder_start"
    if writes(model):
        return "last_prompt"
    return "prompt_mean" if getattr(model.config, "classifier_pooling", "") == "mean" else "first_token"


def representations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    layers: str | Sequence[int] = "last",
    batch_size: int = 256,
    site: Site = ANSWER,
) -> dict[int, NDArray[np.float32]]:
    """The hidden state of each prompt at a site: {layer: float32 array (prompts, width)}, rows in order.

    Layer 0 is the embedding, layer i the output of block i, and -1 ("last") the final layer after the
    final norm, as the last numbered layer is too. "all" gives 0, 1, ... and -1 in the last one's place.
    Works for any Hugging Face causal LM, encoder or encoder-decoder; the model is put in evaluation mode
    meanwhile.

    `site`: "answer" is where the answer is read (see `answer_site`). "first" and "last" are tokens of the
    prompt, special ones included; "mean" is the mean over them; a number is the place of one, from the end
    if negative. An encoder-decoder's layers are its decoder's at the answer, and its encoder's elsewhere.

    Prompts are padded here, on the right, and the padding is masked: the tokenizer's padding side and pad
    token play no part, and neither does the batch size. One batch is held at a time, and the more layers its
    states have the fewer rows are in it, so that memory grows with what is returned alone.
    """
    if not len(prompts):
        raise UserError("no prompts to represent; give at least one")
    return states_of(model, readable_ids(model, tokenizer, prompts), layers, batch_size, site)


def states_of(
    model: PreTrainedModel,
    ids: Sequence[Sequence[int]],
    layers: str | Sequence[int] = "last",
    batch_size: int = 256,
    site: Site = ANSWER,
) -> dict[int, NDArray[np.float32]]:
    """`representations` of token ids, at least one a row."""
    _check_site(site, ids)
    decoding = model.config.is_encoder_decoder and site == ANSWER
    wanted = _layers(model, layers, decoding)
    order = np.argsort([len(row) for row in ids], kind="stable")
    found: dict[int, NDArray[np.float32]] = {}
    was_training = model.training
    model.eval()
    try:
        depth = 1 if wanted == [FINAL] else 1 + _depth(model, decoding)
        for chosen in _batches(order, [len(row) for row in ids], depth, batch_size):
            inputs = prompted(model, [ids[i] for i in chosen])
            with torch.inference_mode():
                states = _states(model, inputs, decoding, every=wanted != [FINAL])
            mask = inputs["decoder_input_ids" if decoding else "attention_mask"]
            mask = torch.ones_like(mask) if decoding else mask
            for layer in wanted:
                rows = _at(states[layer], mask, _place(model, site)).float().cpu().numpy()
                found.setdefault(layer, np.empty((len(ids), rows.shape[1]), np.float32))[chosen] = rows
    finally:
        model.train(was_training)
    return found


def _batches(
    order: NDArray[np.intp], lengths: Sequence[int], depth: int, batch_size: int
) -> Iterator[NDArray[np.intp]]:
    """Rows by rising length: at most `batch_size`, and at most `HELD` states of `depth` layers."""
    start = 0
    while start < len(order):
        rows = batch_size
        while rows > 1 and lengths[order[min(start + rows, len(order)) - 1]] * depth * rows > HELD:
            rows = rows // 2
        yield order[start : start + rows]
        start += rows


def _states(model: Any, inputs: dict[str, Tensor], decoding: bool, *, every: bool) -> Sequence[Tensor]:
    """States [rows, places, width] of the embedding and after each block, the last after the final norm.

    Without `every`, the last alone where an architecture can.
    """
    if model.config.is_encoder_decoder:
        out = model(**inputs, output_hidden_states=True, use_cache=False)
        states: Sequence[Tensor] = out.decoder_hidden_states if decoding else out.encoder_hidden_states
        return states
    if writes(model):
        out = model.get_decoder()(**inputs, output_hidden_states=every, use_cache=False)
    else:
        out = model.base_model(**inputs, output_hidden_states=every)
    return [*(out.hidden_states[:-1] if every else ()), out.last_hidden_state]


def _place(model: PreTrainedModel, site: Site) -> Site:
    if site != ANSWER:
        return site
    return {"first_token": "first", "prompt_mean": "mean"}.get(answer_site(model), "last")


def _at(states: Tensor, mask: Tensor, site: Site) -> Tensor:
    """The states [rows, width] at a site of each row."""
    lengths = mask.sum(dim=1)
    if site == "mean":
        return (states * mask[:, :, None]).sum(dim=1) / lengths[:, None]
    place = {"first": 0, "last": -1}.get(str(site), site)
    places = torch.as_tensor(place, device=mask.device).expand_as(lengths)
    return states[torch.arange(len(states)), torch.where(places < 0, lengths + places, places)]


def _check_site(site: Site, ids: Sequence[Sequence[int]]) -> None:
    if isinstance(site, str):
        if site not in (ANSWER, "first", "last", "mean"):
            raise unknown("site", site, [ANSWER, "first", "last", "mean", "a place such as 3 or -2"])
        return
    shortest = min(map(len, ids))
    if not -shortest <= site < shortest:
        raise UserError(f"site {site} is no place of every prompt; the shortest has {shortest} tokens")


def _depth(model: PreTrainedModel, decoding: bool) -> int:
    config: Any = model.config.get_text_config()
    depth: Any = config.num_hidden_layers
    if decoding:
        depth = getattr(config, "num_decoder_layers", None) or getattr(config, "decoder_layers", depth)
    return int(depth)


def _layers(model: PreTrainedModel, layers: str | Sequence[int], decoding: bool) -> list[int]:
    depth = _depth(model, decoding)
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
