"""Preference pairs with evidence, all of them or those of one half of the sources."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from tasks.errors import UserError
from tasks.evidence import Evidence
from tasks.task import Task

HALVES = (0, 1, 2)
"""All pairs, the first half, the second half."""
_MOST_DRAWN = 32
"""Pairs drawn at most, as a multiple of those wanted, to fill a half."""


def half_of(source: str) -> int:
    """The half, 1 or 2, in which a source is: always the same, so that the halves share no source."""
    return crc32(source.encode()) % 2 + 1


def preference_pairs(
    task: Task, evidence: Evidence, n: int, seed: Sequence[int], *, ties: float = 0.0, half: int = 0
) -> dict[str, list[Any]]:
    """n training pairs as columns: those of a mixture, and `chosen`, `rejected` and `tie`.

    With `half` 1 or 2 only sources of that half, in the mixture's very numbers of each cell and label.
    """
    if not hasattr(task, "preferences"):
        raise UserError(
            f"{getattr(task, 'name', task)} has no preferences, which a reward model is trained on"
        )
    if half not in HALVES:
        raise UserError(f"--half must be 1 or 2, not {half}")
    roles = list(task.roles)
    drawn = n if half == 0 else 3 * n
    while True:
        rng = np.random.default_rng(list(seed))
        pairs: dict[str, list[Any]] = task.preferences(evidence, drawn, rng, ties).to_dict()
        if half == 0:
            return pairs
        left = Counter({place: k for place, k in evidence.joint(n, len(task.others)).items() if k})
        kept = []
        for i, source in enumerate(pairs["source"]):
            place = tuple(pairs[role][i] for role in roles), pairs["label"][i]
            if half_of(source) == half and left[place] > 0:
                left[place] -= 1
                kept.append(i)
        if len(kept) == n:
            return {name: [column[i] for i in kept] for name, column in pairs.items()}
        if drawn >= n * _MOST_DRAWN:
            raise UserError(f"{task.name}: half {half} of its sources gives {len(kept)} pairs, not {n}")
        drawn *= 2
