"""Any NLI model of Hugging Face, as a function from pairs of texts to probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.answers import chunks
from models.classifier import read_classifier
from models.language_model import most_tokens, split_revision
from tasks.errors import UserError

LABELS = ("entail", "neutral", "contradict")
"""What the labels' names begin with, in any case."""


def nli_of(
    name: str, *, device: str = "cpu", batch_size: int = 64
) -> Callable[[Sequence[str], Sequence[str]], NDArray[np.float64]]:
    """Premises and hypotheses to probabilities [pairs, 3] of entailment, neutrality and contradiction.

    Of an NLI model by hub name (or NAME@REVISION) or folder, whose configuration names its three labels so.
    Safetensors only. Pairs that are too long for it are cut.
    """
    model, tokenizer = read_classifier(*split_revision(name))
    told = {int(i): str(label) for i, label in model.config.id2label.items()}
    order = [[i for i, label in told.items() if label.lower().startswith(kind)] for kind in LABELS]
    if len(told) != 3 or any(len(found) != 1 for found in order):
        raise UserError(
            f"{name} is no NLI model: its labels are {', '.join(told.values())};"
            " entailment, neutral and contradiction are needed"
        )
    model = model.to(device).eval()
    columns = [found[0] for found in order]

    @torch.inference_mode()
    def nli(premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        said = np.empty((len(premises), 3))
        lengths = [len(a) + len(b) for a, b in zip(premises, hypotheses, strict=True)]
        for part in chunks(np.argsort(lengths, kind="stable").tolist(), batch_size):
            inputs: Any = tokenizer(
                [premises[i] for i in part], [hypotheses[i] for i in part], truncation=True, padding=True,
                max_length=most_tokens(model), padding_side="right", return_tensors="pt",
            ).to(device)  # fmt: skip
            said[part] = model(**inputs).logits.double().softmax(dim=-1)[:, columns].cpu().numpy()
        return said

    return nli
