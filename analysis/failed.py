"""Runs and probes that failed, counted by reason."""

from __future__ import annotations

import pandas as pd
from pandas import DataFrame

from analysis.records import Study


def failed_jobs(study: Study) -> DataFrame:
    """One row a reason, the most frequent first; `of` counts all runs, or all probes, finished or not."""
    parts = []
    for what, table in (("run", study.runs), ("probe", study.probes)):
        failed = table[table["status"] == "failed"]
        counts = failed["error"].value_counts(sort=True)
        parts.append(
            DataFrame(
                {"what": what, "count": counts.to_numpy(), "of": len(table), "error": list(counts.index)}
            )
        )
    return pd.concat(parts, ignore_index=True).sort_values("count", ascending=False, kind="stable")
