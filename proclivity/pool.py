"""Worker processes: spawned, one thread each, gone when their parent is, replaced when one is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from proclivity.workers import ENVIRONMENT, Attempt, WorkerKilled, attempts


class Pool:
    """n spawned processes that do jobs; 0 does them in this process."""

    def __init__(self, n: int, reference: str) -> None:
        self.n = n
        self.reference = reference
        self._pool: ProcessPoolExecutor | None = None
        self._others = set(multiprocessing.active_children())

    def submit(
        self, configs: Sequence[Mapping[str, Any]], folder: Path | None = None
    ) -> Future[list[Attempt]]:
        """Start a job, or several together.

        When a worker is killed, all that are at work are under suspicion: then `rebuild`.
        """
        answer: Future[list[Attempt]] = Future()
        if self.n == 0:
            answer.set_result(attempts(self.reference, configs, folder))
            return answer
        if self._pool is None:
            self._pool = _processes(self.n)
        try:
            with _environment(), _interrupts_later():
                done = self._pool.submit(attempts, self.reference, configs, folder)
        except BrokenProcessPool:
            raise WorkerKilled(guilty=False) from None
        done.add_done_callback(lambda done: _hand_on(done, answer))
        return answer

    def rebuild(self) -> None:
        """Leave a broken pool; the next job starts another."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def kill(self) -> None:
        """Stop at once, whatever the workers are doing."""
        _kill_but(self._others)
        self.rebuild()


@contextmanager
def spawned(n: int) -> Iterator[Callable[..., Future[Any]]]:
    """Processes for other calls than jobs: what submits one. They are gone at once when this ends."""
    others = set(multiprocessing.active_children())
    pool = _processes(n)

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with _interrupts_later():
            return pool.submit(function, *arguments)

    try:
        yield submit
    finally:
        _kill_but(others)
        pool.shutdown(wait=True, cancel_futures=True)


def _processes(n: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n, mp_context=context, initializer=_start_worker)


def _kill_but(others: Collection[BaseProcess]) -> None:
    for child in set(multiprocessing.active_children()).difference(others):
        child.kill()


def _hand_on(done: Future[list[Attempt]], answer: Future[list[Attempt]]) -> None:
    if done.cancelled():
        answer.cancel()
    elif isinstance(done.exception(), BrokenProcessPool):
        answer.set_exception(WorkerKilled(guilty=False))
    elif (error := done.exception()) is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


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


@contextmanager
def _interrupts_later() -> Iterator[None]:
    # A worker inherits that Ctrl-C waits, until it ignores it: one that is still loading would print a trace.
    resource_tracker.ensure_running()  # which else lets it through again when it is started below
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    # Ctrl-C goes to the whole process group; the parent alone decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Standard output is for the command's answer; what libraries print goes to standard error, line by line.
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
