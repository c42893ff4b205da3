"""Use inside the model: its answers after a feature was erased from a state, or swapped for another prompt's.

A state is that of one layer at the place where the answer is read (`answer_site`), numbered as in
`representations`; the later layers go on from the edited state. What reaches the answer past that layer from
other places of the prompt stays as it was, so an edit tells what the state at this place is used for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.answers import answer_ids, chunks, measured, next_token_logits, prompt_ids
from models.language_model import LanguageModel, writes
from probes.extract import FINAL, answer_site
from tasks.errors import UserError

Edit = Callable[[Tensor, slice], Tensor]
"""From the states [rows, width] of these rows of the prompts to the states in their place."""


@dataclass(frozen=True)
class Subspace:
    """What is taken out of states: the affine map x -> x - left @ right @ (x - mean)."""

    left: Tensor
    """[width, rank]."""
    right: Tensor
    """[rank, width]."""
    mean: Tensor
    """[width]."""

    def part(self, states: Tensor) -> Tensor:
        """The part of states that lies in it."""
        away = states - self.mean.to(states)
        return away @ self.right.to(states).T @ self.left.to(states).T

    def erase(self, states: Tensor, rows: slice) -> Tensor:
        return states - self.part(states)

    def swap(self, others: Tensor) -> Edit:
        """The part of the row's own other state, [prompts, width], in place of what a state has."""

        def edit(states: Tensor, rows: slice) -> Tensor:
            return states - self.part(states) + self.part(others[rows].to(states))

        return edit


def feature_subspace(states: NDArray[np.floating], labels: NDArray[Any]) -> Subspace:
    """What must go so that no linear probe reads the labels, and as little more as can be (LEACE).

    References: Belrose et al. 2023 (https://arxiv.org/abs/2306.03819), by the package of its authors.
    """
    from concept_erasure import LeaceEraser

    x = torch.as_tensor(states, dtype=torch.float64)
    found = LeaceEraser.fit(x, torch.as_tensor(np.asarray(labels), dtype=torch.float64))
    return Subspace(found.proj_left, found.proj_right, x.mean(dim=0) if found.bias is None else found.bias)


def random_subspace(states: NDArray[np.floating], seed: int, rank: int = 1) -> Subspace:
    """The control of `feature_subspace`: a direction drawn uniformly where states are white, erased alike."""
    x = torch.as_tensor(states, dtype=torch.float64)
    mean = x.mean(dim=0)
    values, vectors = torch.linalg.eigh(torch.cov(x.T))
    kept = values > values.max() * x.shape[1] * torch.finfo(x.dtype).eps
    values, vectors = values[kept].sqrt(), vectors[:, kept]
    drawn = torch.randn(len(values), rank, generator=torch.Generator().manual_seed(seed), dtype=x.dtype)
    direction = torch.linalg.qr(drawn).Q
    return Subspace((vectors * values) @ direction, direction.T @ (vectors / values).T, mean)


@torch.inference_mode()
def log_odds(
    lm: LanguageModel,
    prompts: Sequence[str],
    words: Sequence[str],
    *,
    layer: int = FINAL,
    edit: Edit | None = None,
    batch_size: int = 512,
) -> NDArray[np.float64]:
    """Log odds, in nats, of label 1 over label 0 by the answers `words` of the two, a layer being edited."""
    zero, one = answer_ids(lm, words)
    if len(zero) > 1 or len(one) > 1:
        raise UserError(f"{lm.name}: inside the model only answers of one token are read; these have more")
    out, start = [], 0
    for part in chunks(prompt_ids(lm, prompts), batch_size):
        rows = slice(start, start + len(part))
        start += len(part)
        with _edited(lm.model, layer, edit, rows):
            logits = next_token_logits(lm.model, part)
        out.append((logits[:, one[0]] - logits[:, zero[0]]).double().cpu())
    return measured(lm, torch.cat(out)).numpy()


@contextmanager
def _edited(model: Any, layer: int, edit: Edit | None, rows: slice) -> Iterator[None]:
    """Within it, the states of a layer at the answer's place are edited."""
    if edit is None:
        yield
        return
    if answer_site(model) == "prompt_mean":
        raise UserError(f"{type(model).__name__} answers by a mean over the prompt, not by one state")
    blocks, whole = _blocks(model)
    place = 0 if answer_site(model) == "first_token" else -1

    def changed(states: Tensor) -> Tensor:
        states = states.clone()
        states[:, place] = edit(states[:, place], rows)
        return states

    def before(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if inputs:
            return (changed(inputs[0]), *inputs[1:]), named
        return inputs, {**named, "hidden_states": changed(named["hidden_states"])}

    def after(module: nn.Module, inputs: tuple[Any, ...], out: Any) -> Any:
        out["last_hidden_state"] = changed(out["last_hidden_state"])
        return out

    if not FINAL <= layer <= len(blocks):
        raise UserError(
            f"layer {layer} is out of range; valid: -1 (final) and 0 (embedding) to {len(blocks)}"
        )
    if layer in (FINAL, len(blocks)):
        hook = whole.register_forward_hook(after)
    else:
        hook = blocks[layer].register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _blocks(model: Any) -> tuple[nn.ModuleList, nn.Module]:
    """The blocks whose states are a model's layers, and the module that gives out the last one's."""
    body = model.get_decoder() if writes(model) else model.base_model
    config: Any = model.config.get_text_config()
    depth = getattr(config, "num_decoder_layers", None) or config.num_hidden_layers
    for module in body.modules():
        for part in module.children():
            if isinstance(part, nn.ModuleList) and len(part) == depth:
                return part, module
    raise UserError(f"{type(model).__name__}: its {depth} layers are no list of blocks, which edits need")
