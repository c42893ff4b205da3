"""How much memory it takes to tune, measure or probe a model, told from its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from models.language_model import kind_of

PROCESS = 5e8
"""Bytes of a process before it holds a model: Python and the libraries."""
_HIDDEN, _INNER = 12, 4
"""Values kept for the backward pass by a token and layer, in widths of the stream and of the inner layer."""
_LOGITS, _FORWARD = 4, 3
"""Copies of the logits while training, and while measuring: raw, in 32 bits, normalised, their gradients.
These four numbers are such that estimates come near to what was measured (`benchmarks/README.md`)."""
_SINGLE = 4
"""Bytes of a 32-bit number, which logits are turned into whatever the weights are."""


@dataclass(frozen=True)
class Shape:
    """The numbers of a model that its memory depends on."""

    parameters: int
    layers: int
    hidden: int
    inner: int
    vocabulary: int


@dataclass(frozen=True)
class Load:
    """What is done with a model, in the process that holds it."""

    length: int
    """Tokens of a prompt with its answer."""
    rows: int = 0
    """Sequences of a training batch; 0 where nothing is trained."""
    places: int = 1
    """Places of a sequence at which a training step asks for the whole vocabulary."""
    measured: int = 0
    """Sequences that are answered at once while nothing is trained."""
    measured_places: int = 1
    copies: int = 0
    """Whole models held beside the first one: the policy beside its reference, and so on."""
    lora: int = 0
    """Rank of the adapters that are trained in place of the weights; 0: all weights."""
    recomputed: bool = False
    """Activations are computed a second time in place of being kept."""
    half: bool = False
    """Activations of 16 bits."""
    libraries: float = 0.0
    """Bytes of libraries that are loaded for it alone."""
    split: bool = False
    """The batch is split over processes, which exchange their gradients."""


@dataclass(frozen=True)
class Footprint:
    """Bytes by what they are for, at the peak of one process."""

    weights: float
    copies: float
    """Of further whole models."""
    gradients: float
    optimiser: float
    libraries: float
    activations: float
    """Of a training step, its logits among them, or of measuring, whichever is more."""

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))


def shape_of(config: Any, *, trust_remote_code: bool = False) -> Shape:
    """Told from a Hugging Face configuration; no weights are read or allocated."""
    with torch.device("meta"):
        model = kind_of(config).from_config(config, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    hidden = text.hidden_size
    inner = next(
        (v for n in ("intermediate_size", "n_inner", "d_ff", "ffn_dim") if (v := getattr(text, n, None))),
        4 * hidden,
    )
    layers = text.num_hidden_layers + (
        getattr(text, "num_decoder_layers", 0) if config.is_encoder_decoder else 0
    )
    return Shape(sum(p.numel() for p in model.parameters()), layers, hidden, inner, text.vocab_size)


def footprint(shape: Shape, load: Load, bytes_a_weight: int = 4) -> Footprint:
    """Bytes at the peak, by rule: AdamW keeps two numbers a trained weight, a gradient is as large as its
    weight, and what the backward pass needs is counted by token and layer."""
    weights = float(shape.parameters * bytes_a_weight)
    trained = adapters(shape, load.lora) if load.lora else shape.parameters
    trained *= bytes_a_weight if load.rows else 0
    number = 2 if load.half else bytes_a_weight
    a_layer = (_HIDDEN * shape.hidden + _INNER * shape.inner) * number
    tokens = load.rows * load.length
    kept = tokens * (
        shape.layers * shape.hidden * number + a_layer if load.recomputed else shape.layers * a_layer
    )
    logits = load.rows * load.places * shape.vocabulary * _SINGLE * _LOGITS
    passed = load.measured * load.length * a_layer / 2  # of one layer at a time, and nothing is kept
    answered = load.measured * load.measured_places * shape.vocabulary * _SINGLE * _FORWARD
    return Footprint(
        weights,
        weights * load.copies,
        trained * (2.0 if load.split else 1.0),
        trained * 2.0,
        load.libraries,
        float(max(kept + logits, passed + answered)),
    )


def adapters(shape: Shape, rank: int) -> int:
    """Weights of LoRA's adapters on the attention's input: widths in and out, which are four in all."""
    return 4 * shape.hidden * rank * shape.layers
