"""One line of a regression, or words for why there is none."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Coefficient:
    """One term of one fitted formula. NaN where something cannot be estimated; `note` then says why."""

    fit: str
    """What was fitted, and how."""
    formula: str
    term: str
    value: float = math.nan
    error: float = math.nan
    """Standard error, or posterior standard deviation."""
    low: float = math.nan
    """Lower end of the 95 % interval."""
    high: float = math.nan
    p: float = math.nan
    """Two-sided; NaN of a posterior and of a fit that did not converge."""
    groups: int = 0
    """Groups that the errors allow for: families, or models where they are fewer."""
    converged: bool = True
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def no_fit(fit: str, formula: str, term: str, why: str, groups: int = 0) -> Coefficient:
    """The line of what was not fitted, or fitted in vain."""
    return Coefficient(fit, formula, term, groups=groups, converged=False, note=f"cannot be estimated: {why}")


def line(
    fit: str,
    formula: str,
    term: str,
    value: float,
    error: float,
    interval: tuple[float, float],
    p: float,
    groups: int,
    note: str = "",
) -> Coefficient:
    """The line of a fit that converged, from numpy's numbers."""
    if math.isnan(error):
        note = "no errors: without one of the families it cannot be told"
    low, high = interval
    numbers = (float(value), float(error), float(low), float(high), float(p))
    return Coefficient(fit, formula, term, *numbers, groups, True, note)
