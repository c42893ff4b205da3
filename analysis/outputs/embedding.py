"""Diversity by encodings of texts: one less the mean cosine of two outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from analysis.outputs.ngrams import Sets, Statistic
from tasks.errors import UserError

Encode = Callable[[list[str]], NDArray[np.floating]]
"""Texts to vectors [texts, width]."""
HELD = 2**22
"""Numbers of encodings that are held in double precision at once."""


def cosine_diversity(texts: Sequence[str], encode: Encode) -> Statistic:
    """1 - the mean cosine over all pairs of a set's texts, each different text encoded once.

    A text without a word is not encoded, and must be in no set.

    With unit vectors e of M texts the sum over all ordered pairs is |sum e|^2 - M: no pair is looked at.
    Ceiling: vectors at right angles. Vectors of a language model seldom come near it.
    """
    different = list(dict.fromkeys(text for text in texts if text.split()))
    number = {text: i for i, text in enumerate(different)}
    which = np.array([number.get(text, -1) for text in texts])
    vectors = np.asarray(encode(different)) if different else np.zeros((0, 1))
    if vectors.ndim != 2 or len(vectors) != len(different):
        raise UserError(
            f"the encoder gave an array {vectors.shape} for {len(different)} texts; one row a text is needed"
        )
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        text = different[bad[0]]
        raise UserError(f"the encoder has no direction for the text {text!r}: its vector is 0 or NaN")
    block = max(1, HELD // vectors.shape[1])

    def of_sets(sets: Sets, count: int) -> NDArray[np.float64]:
        sizes = np.bincount(sets[sets >= 0], minlength=count)
        total = np.zeros((count, vectors.shape[1]))
        inside = np.flatnonzero(sets >= 0)
        for start in range(0, len(inside), block):
            rows = inside[start : start + block]
            unit = vectors[which[rows]] / norms[which[rows], None]
            total += (
                csr_array((np.ones(len(rows)), (sets[rows], np.arange(len(rows)))), (count, len(rows))) @ unit
            )
        squares = np.einsum("ij,ij->i", total, total)
        return np.stack([_spread(squares, sizes), _spread(sizes**2, sizes), _spread(sizes, sizes)])

    return of_sets


def _spread(square: NDArray[np.floating | np.integer], m: NDArray[np.integer]) -> NDArray[np.float64]:
    """1 - the mean cosine of pairs of m unit vectors, of the square of their sum."""
    with np.errstate(divide="ignore", invalid="ignore"):
        spread: NDArray[np.float64] = np.where(m > 1, 1 - (square - m) / (m * (m - 1.0)), np.nan)
    return spread


def hashed_ngrams(texts: list[str], width: int = 2**12) -> NDArray[np.float32]:
    """An encoder that needs no model: counts of the words, pairs and triples of a text, hashed to a width."""
    from sklearn.feature_extraction.text import HashingVectorizer

    hashing = HashingVectorizer(
        token_pattern=r"\S+", lowercase=False, ngram_range=(1, 3), n_features=width, alternate_sign=False,
        dtype=np.float32,
    )  # fmt: skip
    vectors: NDArray[np.float32] = hashing.transform(texts).toarray()
    return vectors
