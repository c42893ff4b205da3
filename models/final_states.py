"""The final hidden states of a model: what its head reads, at no pass of their own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.language_model import ACTIONS, decoder_prefix


def head_of(model: Any) -> nn.Module:
    """The last layer: over the vocabulary, or an encoder's over its actions."""
    found: nn.Module | None = model.get_output_embeddings()
    return found or [part for part in model.modules() if getattr(part, "out_features", None) == ACTIONS][-1]


@contextmanager
def reading(model: Any) -> Iterator[list[Tensor]]:
    """What the head reads in each pass made meanwhile [rows, places, width], detached.

    An encoder's head has no places: [rows, width].
    """
    read: list[Tensor] = []
    hook = head_of(model).register_forward_pre_hook(lambda _, given: read.append(given[0].detach()))
    try:
        yield read
    finally:
        hook.remove()


def before_answers(model: Any, states: Tensor, prompts: Sequence[Sequence[int]]) -> Tensor:
    """The states [rows, width] from which the first token of an answer is predicted."""
    if states.dim() == 2:
        return states
    if model.config.is_encoder_decoder:
        return states[:, len(decoder_prefix(model)) - 1]
    if states.shape[1] == 1:  # the head was at the last place alone
        return states[:, 0]
    last = torch.tensor([len(prompt) - 1 for prompt in prompts], device=states.device)
    return states[torch.arange(len(states), device=states.device), last]


def along_completions(model: Any, states: Tensor, places: int) -> Tensor:
    """The states [rows, places, width] from which the tokens of completions are predicted."""
    start = len(decoder_prefix(model)) - 1 if model.config.is_encoder_decoder else 0
    return states[:, start : start + places]
