"""What the runner asks of those that do its jobs, wherever they are, and what they answer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from proclivity.composition import JobResult, execute, jobs_of
from tasks.errors import one_line

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""What a worker process runs under."""


@dataclass(frozen=True)
class Attempt:
    """What came of one try at a job."""

    started: str
    """ISO time."""
    wall_s: float
    """Seconds."""
    error: str = ""
    """Why it failed, in one line; empty when it did not."""
    records: list[dict[str, Any]] = field(default_factory=list)
    log: list[dict[str, Any]] = field(default_factory=list)
    cells: list[dict[str, Any]] = field(default_factory=list)


class WorkerKilled(Exception):
    """A worker process died while it did a job: no answer of the job's own."""

    def __init__(self, *, guilty: bool) -> None:
        super().__init__("its worker process was killed")
        self.guilty = guilty
        """Whether it was this very job's worker; False: one of those that were at work."""


class Workers(Protocol):
    """Those that do jobs, in this process, beside it, or on other machines."""

    @property
    def n(self) -> int:
        """How many jobs they can do at once; it may change. 0: none but this process."""

    def submit(
        self, configs: Sequence[Mapping[str, Any]], folder: Path | None = None
    ) -> Future[list[Attempt]]:
        """Start a job, which keeps in `folder` what it tunes, or several together, which keep nothing.

        The future raises WorkerKilled, or UserError when these workers can do no job at all; so does submit.
        """

    def rebuild(self) -> None:
        """Go on after a WorkerKilled that is not known to be guilty."""

    def kill(self) -> None:
        """Stop at once, whatever they are doing; a second time does nothing."""


def attempts(
    reference: str, configs: Sequence[Mapping[str, Any]], folder: Path | None = None
) -> list[Attempt]:
    """Do a job, or several together; one by one where that fails, such as for memory."""
    if len(configs) == 1:
        return [attempt(reference, configs[0], folder)]
    started, clock = _now(), time.perf_counter()
    try:
        results = jobs_of(reference).execute_together(configs)
    except Exception as e:
        why = one_line(e)
    else:
        return _shared(results, started, (time.perf_counter() - clock) / len(configs))
    # The error is gone by now, and with it the memory that its frames held.
    print(f"proclivity: note: {len(configs)} runs go one by one: {why}", file=sys.stderr)
    return [attempt(reference, config) for config in configs]


def _shared(results: Sequence[JobResult | Exception], started: str, share: float) -> list[Attempt]:
    return [
        Attempt(started, share, error=one_line(result))
        if isinstance(result, Exception)
        else _told(result, started, share)
        for result in results
    ]


def attempt(reference: str, config: Mapping[str, Any], folder: Path | None = None) -> Attempt:
    """Do a job, and keep in `folder` what it tuned; whatever it raises is part of the answer."""
    started, clock = _now(), time.perf_counter()
    try:
        result = execute(reference, config)
        if folder:
            jobs_of(reference).save(result, folder)
    except (Exception, SystemExit) as e:
        return Attempt(started, time.perf_counter() - clock, error=one_line(e))
    return _told(result, started, time.perf_counter() - clock)


def _told(result: JobResult, started: str, wall_s: float) -> Attempt:
    try:
        # A round trip, so that what is no JSON value, or raises as it is read, is this job's failure alone.
        parts = [list(result.records), list(result.log or ()), list(result.cells or ())]
        records, log, cells = json.loads(json.dumps(parts))
    except Exception as e:
        return Attempt(started, wall_s, error=one_line(e))
    return Attempt(started, wall_s, records=records, log=log, cells=cells)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
