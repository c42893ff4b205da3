"""The interval of a correlation by other ways than the default: what hangs on the choice stands beside it."""

from __future__ import annotations

from typing import Any

from analysis.pairs.claim_row import ClaimRow, statistic_of
from analysis.statistics.association import partial_spearman, spearman
from analysis.statistics.estimate import dyadic_jackknife, node_bootstrap

DEFAULT = "permuting families, the default"


def other_intervals(row: ClaimRow) -> list[dict[str, Any]]:
    """One row a way, the default first; none for what is no correlation or has no interval.

    How often each covers is in `benchmarks/README.md`.
    """
    data, statistic = row.estimate.data, statistic_of(row)
    if data is None or statistic is None or statistic not in (spearman, partial_spearman):
        return []
    ends = {
        DEFAULT: (row.estimate.low, row.estimate.high),
        "leaving out families (dyadic jackknife)": dyadic_jackknife(data, statistic),
        "drawing families (node bootstrap)": node_bootstrap(data, statistic),
    }
    return [{"interval by": way, "low": low, "high": high} for way, (low, high) in ends.items()]
