"""What diversity is measured with: encoders of texts and NLI models, by name or folder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.outputs.embedding import Encode, hashed_ngrams
from models.answers import cut_ids
from models.entailment import nli_of
from models.language_model import LanguageModel, load
from probes.extract import FINAL, states_of
from tasks.errors import UserError

__all__ = ["HASHED", "encoder", "nli_of", "states_encoder"]
HASHED = "hashed-ngrams"
"""The encoder that is no model."""


def encoder(name: str, *, device: str = "cpu") -> Encode:
    """The encoder of a name: `hashed-ngrams`, or any model that `models.load` reads, by its mean states."""
    return hashed_ngrams if name == HASHED else states_encoder(load(name, device=device))


def states_encoder(lm: LanguageModel, batch_size: int = 256) -> Encode:
    """A model's final hidden states, averaged over a text's tokens, the special ones of its tokenizer too.

    Of an encoder-decoder, its encoder's. Padding plays no part. Texts too long for the model are cut.

    References:
        Reimers & Gurevych (2019). Sentence-BERT: sentence embeddings using Siamese BERT-networks. EMNLP.
    """

    def encode(texts: list[str]) -> NDArray[np.float32]:
        ids = cut_ids(lm.model, lm.tokenizer, texts)
        for text, row in zip(texts, ids, strict=True):
            if not row:
                raise UserError(f"{lm.name}: its tokenizer makes no token of the text {text!r}")
        return states_of(lm.model, ids, batch_size=batch_size, site="mean")[FINAL]

    return encode
