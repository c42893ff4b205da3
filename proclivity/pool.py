"""Worker processes: spawned, one thread each, gone when their parent is, replaced when one is killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proclivity.composition import execute, jobs_of
from tasks.errors import one_line

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


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


def attempt(reference: str, config: Mapping[str, Any], folder: Path | None = None) -> Attempt:
    """Do a job, and keep in `folder` what it tuned; whatever it raises is part of the answer."""
    started, clock = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    try:
        result = execute(reference, config)
        if folder:
            jobs_of(reference).save(result, folder)
        # A round trip, so that what is no JSON value is this job's failure and nobody else's.
        parts = [list(result.records), list(result.log or ()), list(result.cells or ())]
        plain = json.loads(json.dumps(parts))
    except (Exception, SystemExit) as e:
        return Attempt(started, time.perf_counter() - clock, error=one_line(e))
    records, log, cells = plain
    return Attempt(started, time.perf_counter() - clock, records=records, log=log, cells=cells)


class Workers:
    """n spawned processes that do jobs; 0 does them in this process."""

    def __init__(self, n: int, reference: str) -> None:
        self.n = n
        self.reference = reference
        self._pool: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())

    def submit(self, config: Mapping[str, Any], folder: Path | None = None) -> Future[Attempt]:
        """Start a job. Raises BrokenProcessPool after a worker was killed: then `rebuild`."""
        if self.n == 0:
            done: Future[Attempt] = Future()
            done.set_result(attempt(self.reference, config, folder))
            return done
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.n, mp_context=context, initializer=_start_worker)
        with _environment():
            return self._pool.submit(attempt, self.reference, config, folder)

    def rebuild(self) -> None:
        """Leave a broken pool; the next job starts another."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def kill(self) -> None:
        """Stop at once, whatever the workers are doing."""
        for child in set(multiprocessing.active_children()) - self._others:
            child.kill()
        self.rebuild()


@contextmanager
def _environment() -> Iterator[None]:
    # Numerical libraries read these when they are loaded, before any initializer of ours could run.
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _start_worker() -> None:
    # Ctrl-C goes to the whole process group; the parent alone decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is for the command's answer; what libraries print goes to standard error, line by line.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
