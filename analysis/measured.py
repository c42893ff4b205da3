"""One measurement of a metric: the number, how sure it is, and what the number could have been."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number with its 95 % interval, the floor and ceiling that it is read against, and what it is of."""

    measure: str
    """Name of the measure, with the variant in brackets where there are several."""
    scope: str
    """'per input' (of one input's outputs, averaged over inputs), 'across inputs' or 'questions'."""
    value: float | None
    """The number; None where there is nothing to measure."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    """Upper end."""
    floor: float | None = None
    """The least that it can be on as many outputs, or what else its docs say it is read against."""
    ceiling: float | None = None
    """The most, likewise."""
    n: int = 0
    """Inputs (or questions) that the number is of."""
    outputs: int = 0
    """Outputs that it is of."""
    left_out: int = 0
    """Inputs or outputs that it cannot be of, such as empty ones."""
