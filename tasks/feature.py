"""A feature: a named predicate on an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]
"""Inputs, one a row: an integer matrix [n, length] for symbols, an object array of strings for text."""
Truth = NDArray[np.bool_]
Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Feature:
    name: str
    """Unique within its input language, as it stands in task names: `contains-2`."""
    family: str
    """Near copies (contains-1, contains-2) share a family; statistics count families, not copies."""
    holds: Callable[[Rows], Truth]
    """Truth of the predicate on every row."""
    plant: Callable[[Rows], Rows] | None = None
    """Turns draws of the base distribution into *exact* draws of it given that the feature holds.

    Only for features so rare that rejection is slow; None means by rejection.
    """
    about: str = ""
    """One plain sentence that says when the feature holds."""
