"""How well a language model has learnt a corpus of known probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.corpus import SPECIAL

if TYPE_CHECKING:
    from tasks.task import Task

HELD_OUT = 2000
"""Documents on which a model is examined."""
PAD, EOS = SPECIAL.index("<pad>"), SPECIAL.index("<eos>")
_PAIRS = 50
"""Sources of each task from which minimal pairs are read."""
_BATCHES = 8


def held_out(model: Any, tokens: NDArray[np.int64], best: NDArray[np.float64]) -> dict[str, Any]:
    """Bits and perplexity of the grammar, which knows, and of the model; `best` in nats a document.

    The end of a document counts as a token, and is told for nothing.
    """
    nats = {"grammar": -best, "model": -log_probabilities(model, tokens)}
    n = int((tokens[:, 1:] != PAD).sum())
    out: dict[str, Any] = {"held_out_documents": len(tokens), "held_out_tokens": n}
    for name, each in nats.items():
        out |= {f"{name}_bits_per_token": each.sum() / n / math.log(2)}
        out |= {f"{name}_perplexity": math.exp(each.sum() / n)}
    excess = (nats["model"] - nats["grammar"]) / math.log(2)
    out["excess_bits_per_document"] = excess.mean()
    out["excess_bits_se"] = excess.std(ddof=1) / math.sqrt(len(excess))
    return out


def minimal_pairs(
    model: Any, tasks: Sequence[Task], encoded: Callable[[Sequence[str]], NDArray[np.int64]], rng: Generator
) -> dict[str, Any]:
    """By phenomenon, of how many unseen minimal pairs the grammatical sentence is the more probable one."""
    told: dict[str, list[bool]] = {}
    for task in tasks:
        inputs: Any = task.inputs
        drawn = inputs.draw([(task.target, True)], _PAIRS, rng, "test")
        asked = [
            readings[quadrant].removesuffix(inputs.query)
            for readings in map(inputs.readings, inputs.source(drawn))
            for good, bad in (("both", "spurious_only"), ("target_only", "neither"))
            if {good, bad} <= readings.keys()
            for quadrant in (good, bad)
        ]
        tokens = np.pad(encoded(asked), ((0, 0), (1, 0)), constant_values=EOS)
        good_one, bad_one = log_probabilities(model, tokens).reshape(-1, 2).T
        told.setdefault(task.target.family, []).extend((good_one > bad_one).tolist())
    return {f"minimal_pairs_{family}": [sum(right), len(right)] for family, right in told.items()}


def log_probabilities(model: Any, tokens: NDArray[np.int64]) -> NDArray[np.float64]:
    """Log-probability of each row after its first token, in nats."""
    import torch

    out = []
    with torch.inference_mode():
        for part in map(torch.from_numpy, np.array_split(tokens, _BATCHES)):
            logits = model(input_ids=part[:, :-1], attention_mask=part[:, :-1] != PAD).logits
            nats = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), part[:, 1:].flatten(), ignore_index=PAD, reduction="none"
            )
            out.append(-nats.view(len(part), -1).double().sum(dim=1).numpy())
    return np.concatenate(out)
