"""Jobs that keep one thread busy for a while and leave a record, in place of proclivity.jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from analysis.schema import RunRecord

TURN = 20_000
"""Squares summed between two looks at how much is done."""


@dataclass(frozen=True)
class JobResult:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    cells: list[dict[str, Any]] | None = None
    policy: Any = None
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def work(turns: int) -> int:
    """Fixed work on one thread, of Python alone: the same everywhere, whatever libraries are installed."""
    return sum(i * i for _ in range(turns) for i in range(TURN))


def missing(config: Mapping[str, Any]) -> str:
    """Nothing is prepared for these jobs."""
    return ""


def execute(config: Mapping[str, Any]) -> JobResult:
    """Do the work that a config asks for."""
    work(config["turns"])
    return JobResult([asdict(RunRecord(study="busy", task=config["task"]))])
