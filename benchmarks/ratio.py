"""What a benchmark finds: how one thing compares with another, and how far it may."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


class NotMeasured(Exception):
    """A benchmark that cannot run on this machine says why."""


@dataclass(frozen=True)
class Ratio:
    """One line of the table."""

    name: str
    ours: float
    """In `unit`."""
    beside: str
    """The peer in words; "" where there is none, and then `ratio` is `ours`."""
    peer: float | None
    """In `unit`."""
    ratio: float
    low: float
    """The smallest of the turns' own ratios."""
    high: float
    """The largest of them."""
    limit: float | None
    """None where there is none."""
    unit: str
    n: int
    """Turns."""
    at_least: bool = False
    """Whether the limit is the least that the ratio may be, and not the most."""

    @property
    def within(self) -> bool | None:
        """Whether the ratio is on the right side of its limit; None without one."""
        if self.limit is None:
            return None
        return self.ratio >= self.limit if self.at_least else self.ratio <= self.limit


def alone(name: str, values: Sequence[float], limit: float | None, unit: str) -> Ratio:
    """What has no peer: a number of each turn."""
    middle = statistics.median(values)
    return Ratio(name, middle, "", None, middle, min(values), max(values), limit, unit, len(values))


def side_by_side(
    name: str,
    ours: Sequence[float],
    beside: str,
    peer: Sequence[float],
    limit: float | None,
    unit: str,
    *,
    times_better: bool = False,
) -> Ratio:
    """A number of each turn of both: ours by the peer's, or with `times_better` the peer's by ours."""
    above, below = (peer, ours) if times_better else (ours, peer)
    each = [a / b if b else math.inf for a, b in zip(above, below, strict=True)]
    middles = statistics.median(ours), statistics.median(peer)
    return Ratio(
        name, middles[0], beside, middles[1], statistics.median(each), min(each), max(each), limit, unit,
        len(each), times_better,
    )  # fmt: skip
