"""What a probe can read without any model: the tokens themselves, the baseline of every probe."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def raw_design(token_ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Bag of tokens beside a one-hot of every position (from the left): shape (rows, features), counts.

    Rows may differ in length; a missing position is all zeros. Columns that are the same in every row
    are dropped. Probe it with `standardise=False`: dividing a rare token's column by its small standard
    deviation would make it the loudest.
    """
    lengths = [len(row) for row in token_ids]
    tokens = np.full((len(lengths), max(lengths, default=0)), -1)
    for row, ids in zip(tokens, token_ids, strict=True):
        row[: len(ids)] = ids
    vocabulary = np.unique(tokens[tokens >= 0])
    at_position = [tokens[:, [i]] == vocabulary for i in range(tokens.shape[1])]
    bag = np.zeros((len(tokens), len(vocabulary)), np.float32)
    for hot in at_position:
        bag += hot
    varying = [part[:, (part != part[:1]).any(0)].astype(np.float32) for part in (bag, *at_position)]
    return np.concatenate(varying, axis=1)
