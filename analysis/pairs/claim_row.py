"""One line of what a study says."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from analysis.statistics.association import Statistic, partial_spearman, slope, spearman
from analysis.statistics.estimate import Estimate

SMALLEST_SLOPE = 0.05
"""Smallest effect of interest: U per doubling of the ratio of bits."""
SMALLEST_USE = 0.1
"""Smallest effect of interest: a difference of U."""


STATISTICS: dict[str, Statistic] = {
    s.__name__.replace("_", " "): s for s in (spearman, partial_spearman, slope)
}
"""Statistics of claims that permute families, by their names in a row."""


@dataclass(frozen=True)
class ClaimRow:
    """One claim about one set of pairs."""

    claim: str
    """H1a (use rises with relative extractability), H1b (the same within a pair, across models that differ in
    pre-training), H2 (so does the evidence needed), average (so does the error averaged over evidence), bits
    (what a dial does to them), use (a method's own), methods (how it differs from that of supervised tuning),
    columns (what a column of the table of methods adds to it), inherits (a policy's use rises with its reward
    model's), or control."""
    arm: str
    method: str
    pairs: str
    """Which pairs: one of `analysis.pairs.claims.SETS`, and of which dial setting where it is one of several.
    Of bits: which features."""
    statistic: str
    x: str
    """What relative extractability was read from: one of `analysis.pairs.claims.X`; or the dial that was
    turned; or the reward model's U; empty for a control."""
    given: str
    """Covariates of a partial correlation; at what methods are equals; or empty."""
    about: str
    """What against what, at which evidence."""
    estimate: Estimate
    status: str
    """same direction / opposite / too small to matter / cannot be told."""
    p_holm: float = math.nan
    """Adjusted over all tests but the primary one; NaN for the primary test and where there is no p."""
    primary: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Flat and fit for JSON: NaN is None."""
        flat = asdict(self)
        flat |= flat.pop("estimate")
        del flat["data"]
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in flat.items()}


def statistic_of(row: ClaimRow) -> Statistic | None:
    """What a row computed: a Spearman correlation with covariates is a partial one. None for other kinds."""
    statistic, data = STATISTICS.get(row.statistic), row.estimate.data
    return partial_spearman if statistic is spearman and data is not None and data.z.shape[1] else statistic
