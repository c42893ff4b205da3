"""Models of one architecture as one model: its batch is theirs one after the other, its weights are theirs.

Layers with weights are replaced by stacked ones; all else of an architecture (attention, masks, activations)
sees one batch of rows, which knows of no models. Sums of losses of the parts are separate losses: the models
share no parameter.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm
from transformers.pytorch_utils import Conv1D


class _Layer(nn.Module):
    """A layer of each of several models; inputs [models x rows, ...], parameters [models, ...]."""

    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.weight, self.bias = weight, bias
        self.models = len(weight)

    def apart(self, x: Tensor) -> Tensor:
        return x.reshape(self.models, -1, x.shape[-1])


class _Linear(_Layer):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight.transpose(1, 2)
        return self._times(x, weight)

    def _times(self, x: Tensor, weight: Tensor) -> Tensor:
        rows = self.apart(x)
        out = rows @ weight if self.bias is None else torch.baddbmm(self.bias[:, None], rows, weight)
        return out.view(*x.shape[:-1], -1)


class _Conv1D(_Linear):
    def forward(self, x: Tensor) -> Tensor:
        return self._times(x, self.weight)


class _LayerNorm(_Layer):
    def __init__(self, weight: nn.Parameter, bias: nn.Parameter | None, eps: float) -> None:
        super().__init__(weight, bias)
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        rows = self.apart(layer_norm(x, x.shape[-1:], eps=self.eps))
        scaled = rows * self.weight[:, None]
        return (scaled if self.bias is None else scaled + self.bias[:, None]).view(x.shape)


class _Embedding(_Layer):
    """`size` holds the rows of the batch: positions may be given once for all of them."""

    def __init__(self, weight: nn.Parameter, bias: None, size: list[int]) -> None:
        super().__init__(weight, bias)
        self.size = size

    def forward(self, ids: Tensor) -> Tensor:
        if len(ids) != self.size[0]:
            ids = ids.expand(self.size[0], -1)
        first = torch.arange(self.models, device=ids.device) * self.weight.shape[1]
        numbers = ids.reshape(self.models, -1) + first[:, None]
        return embedding(numbers.view(ids.shape), self.weight.flatten(0, 1))


_KINDS: dict[type, Any] = {
    nn.Linear: _Linear,
    Conv1D: _Conv1D,
    nn.LayerNorm: _LayerNorm,
    nn.Embedding: _Embedding,
}


def _stacks(part: nn.Module) -> bool:
    """Whether a module's own parameters, if it has any, are those of a layer that can be stacked."""
    if not part._parameters or all(p is None for p in part._parameters.values()):
        return True
    if isinstance(part, nn.Embedding):
        return type(part) is nn.Embedding and part.padding_idx is None and part.max_norm is None
    return type(part) in _KINDS and part.weight is not None


def can_stack(model: Any) -> bool:
    """Whether a model's weights are all in layers that can be stacked, and it reads from left to right."""
    return not model.config.is_encoder_decoder and all(map(_stacks, model.modules()))


def stacked(models: Sequence[Any]) -> Any:
    """Models of one architecture as one, with copies of their weights [models, ...].

    Inputs are [models x rows, ...], the rows of the first model first, and equal in number. Parameters that a
    model uses twice stay one.
    """
    size = [0]
    seen: dict[int, nn.Parameter] = {}

    def joined(each: Sequence[nn.Parameter | None]) -> nn.Parameter | None:
        first = each[0]
        if first is None:
            return None
        if id(first) not in seen:
            seen[id(first)] = nn.Parameter(torch.stack([p.detach() for p in each if p is not None]))
        return seen[id(first)]

    whole = copy.deepcopy(models[0])
    parts = [dict(model.named_modules()) for model in models]
    for name, part in parts[0].items():
        if type(part) not in _KINDS or part.weight is None:
            continue
        same: list[Any] = [each[name] for each in parts]
        options: dict[str, Any] = {"size": size} if isinstance(part, nn.Embedding) else {}
        if isinstance(part, nn.LayerNorm):
            options = {"eps": part.eps}
        weight = joined([p.weight for p in same])
        bias = joined([getattr(p, "bias", None) for p in same])
        above, _, own = name.rpartition(".")
        setattr(whole.get_submodule(above), own, _KINDS[type(part)](weight, bias, **options))

    whole.batch_size = size

    def count(model: Any, _: Any, given: dict[str, Any]) -> None:
        model.batch_size[0] = len(given["input_ids"])  # a copy's own, which its embeddings read

    whole.register_forward_pre_hook(count, with_kwargs=True)
    return whole


def share_weights(whole: Any, models: Sequence[Any]) -> None:
    """Let the weights of each model be its part of the stacked ones: what trains these trains it."""
    own = [dict(model.named_parameters()) for model in models]
    for name, together in whole.named_parameters():
        for each, part in zip(own, together.data, strict=True):
            each[name].data = part
