"""Jobs that keep one thread busy for a while and leave a record, in place of proclivity.jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from analysis.schema import RunRecord

BLOCK = bytes(2000)
"""Too short for hashlib to let go of the interpreter's lock."""


@dataclass(frozen=True)
class JobResult:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    cells: list[dict[str, Any]] | None = None
    policy: Any = None
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def work(turns: int) -> str:
    """Fixed work on one thread that needs no library, and takes the same time however deep it is called.

    A loop of Python's own does not: in one process it took 4 % more or less by where its frame lay.
    """
    digest = sha256()
    for _ in range(turns * 1000):
        digest.update(BLOCK)
    return digest.hexdigest()


def missing(config: Mapping[str, Any]) -> str:
    """Nothing is prepared for these jobs."""
    return ""


def execute(config: Mapping[str, Any]) -> JobResult:
    """Do the work that a config asks for."""
    work(config["turns"])
    return JobResult([asdict(RunRecord(study="busy", task=config["task"]))])
