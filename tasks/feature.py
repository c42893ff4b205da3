"""A feature: a named predicate on an input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.errors import UserError, one_line

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
    paper: str = ""
    """The paper that it is from, as `papers.py` names it; a shipped feature names one, or is our `OWN`."""

    def __post_init__(self) -> None:
        function = self.holds.function if isinstance(self.holds, _Predicate) else self.holds
        object.__setattr__(self, "holds", _Predicate(self.name, function))


@dataclass(frozen=True)
class _Predicate:
    """A predicate whose every answer is known to be a truth for each row."""

    feature: str
    function: Callable[[Rows], Truth]

    def __call__(self, rows: Rows) -> Truth:
        try:
            truth = self.function(rows)
        except Exception as e:  # a private predicate may raise anything
            raise UserError(f"feature {self.feature!r}: its predicate fails: {one_line(e)}") from e
        if not isinstance(truth, np.ndarray) or truth.dtype != bool or truth.shape != (len(rows),):
            found = f"{truth.dtype} {truth.shape}" if isinstance(truth, np.ndarray) else type(truth).__name__
            raise UserError(
                f"feature {self.feature!r}: its predicate must return a boolean array of shape "
                f"{(len(rows),)}, one truth a row, not {found}"
            )
        return truth
