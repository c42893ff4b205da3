"""What came of it: records, use, statistics, claims."""

from analysis.records import SCHEMA, ProbeRecord, RunRecord, Study, read_study, write_compact
from analysis.use import QuadrantCounts, Reliance, Use, reliance, use_of, wilson

__all__ = [
    "SCHEMA",
    "ProbeRecord",
    "QuadrantCounts",
    "Reliance",
    "RunRecord",
    "Study",
    "Use",
    "read_study",
    "reliance",
    "use_of",
    "wilson",
    "write_compact",
]
