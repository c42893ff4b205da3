"""Records a second of the store; one worker, two, and Ray, at runs of some seconds.

    python -m benchmarks --only store workers ray

Wants a quiet machine: what a neighbour takes of the second core is missing from two workers' gain. Beside
our workers therefore stands the machine's own gain: the same work in one process and in two, without a
runner, taken in the same turn.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from analysis.schema import RunRecord
from benchmarks.busy_jobs import work
from benchmarks.ratio import NotMeasured, Ratio, alone, side_by_side
from proclivity.executors import Executor, cores
from proclivity.plan import open_store
from proclivity.pool import Pool
from proclivity.runner import Job, run_jobs
from proclivity.store import job_key
from proclivity.study_head import Resources
from proclivity.workers import Workers

GAIN = 1.8
"""Times faster that two workers are than one, at the least."""
OVERHEAD = 1.05
"""Times the pool's seconds that Ray may take, on runs of five seconds."""
EXECUTE = "benchmarks.busy_jobs:execute"


def store_ratios(*, quick: bool) -> list[Ratio]:
    """Records a second: published one by one, each made safe from a power cut, and read and checked."""
    n, turns = (50, 1) if quick else (500, 3)
    each = [_of_store(n) for _ in range(turns)]
    published, read = zip(*each, strict=True)
    return [alone("records published", published, None, "/s"), alone("records read", read, None, "/s")]


def _of_store(n: int) -> tuple[float, float]:
    """Records a second, published and read."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        keys = [job_key({"number": i}, {}) for i in range(n)]
        record = asdict(RunRecord(study="busy", task="symbolic/a-vs-b"))
        publishing = _seconds(lambda: [store.publish(key, [record | {"key": key}]) for key in keys])
        reading = _seconds(lambda: [store.read(key) for key in keys])
        store.claims.close()
    return n / publishing, n / reading


def workers_ratios(*, quick: bool) -> list[Ratio]:
    """How much sooner two workers are done than one; and how much sooner two bare processes are."""
    if cores() < 2:
        raise NotMeasured("this process may use one core")
    seconds, jobs, turns = (0.5, 4, 1) if quick else (5.0, 6, 2)
    each = turns_for(seconds)
    gains: dict[str, list[list[float]]] = {"runner": [[], []], "processes": [[], []]}
    for _ in range(turns):
        for n in (1, 2):
            gains["runner"][n - 1].append(runner_seconds(Pool(n, EXECUTE), jobs, each))
            gains["processes"][n - 1].append(process_seconds(n, jobs, each))
    names = f"{jobs} runs of {seconds:g} s, two workers", "the same work in two bare processes"
    limits = (None if quick else GAIN), None
    return [
        side_by_side(name, two, "one", one, limit, "s", times_better=True)
        for name, (one, two), limit in zip(names, gains.values(), limits, strict=True)
    ]


def ray_ratios(*, quick: bool) -> list[Ratio]:
    """Seconds of Ray by those of the pool, both on two workers that have begun: what a run costs more.

    What a cluster takes to begin, once a command, stands beside it.
    """
    if importlib.util.find_spec("ray") is None:
        raise NotMeasured("Ray is not installed")
    seconds, jobs, turns = (0.5, 4, 1) if quick else (5.0, 8, 2)
    each, begin = turns_for(seconds), []
    took: dict[bool, list[float]] = {False: [], True: []}
    with _importable():
        for _ in range(turns):
            for ray in took:
                start = time.perf_counter()
                workers = _Kept(Executor(2, ray=ray).start(EXECUTE, Resources()))
                runner_seconds(workers, 2, 1)  # which loads what jobs load
                begin += [time.perf_counter() - start] if ray else []
                took[ray].append(runner_seconds(workers, jobs, each))
                workers.end()
    name = f"{jobs} runs of {seconds:g} s by Ray"
    limit = None if quick else OVERHEAD
    return [
        side_by_side(name, took[True], "the pool", took[False], limit, "s"),
        alone("a local Ray cluster and its first two jobs", begin, None, "s"),
    ]


class _Kept:
    """Workers that the runner leaves as they are when it is done."""

    def __init__(self, workers: Workers) -> None:
        self.submit, self.rebuild, self.end = workers.submit, workers.rebuild, workers.kill
        self._workers = workers

    @property
    def n(self) -> int:
        return self._workers.n

    def kill(self) -> None:
        """Not yet."""


@contextmanager
def _importable() -> Iterator[None]:
    """The jobs of a benchmark, in workers that import from no folder but the installed and the told ones."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), before]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


def turns_for(seconds: float) -> int:
    """How much work takes so long here."""
    work(5)
    return max(1, round(seconds * 20 / _seconds(lambda: work(20))))


def runner_seconds(workers: Workers, jobs: int, turns: int) -> float:
    """Seconds of the real runner, from the first submission to the last record; a pool's start included."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        configs = [{"job": "run", "task": f"t{i}", "method": "", "turns": turns} for i in range(jobs)]
        todo = [Job(job_key(config, {}), config) for config in configs]
        start = time.perf_counter()
        tally = run_jobs(store, todo, workers)
        seconds = time.perf_counter() - start
    if tally.failed:
        raise RuntimeError(next(iter(tally.failed.values())))
    return seconds


def process_seconds(processes: int, jobs: int, turns: int) -> float:
    """Seconds in which independent processes do the same work, each its share of it."""
    context = multiprocessing.get_context("spawn")
    each = [context.Process(target=work, args=(turns * jobs // processes,)) for _ in range(processes)]
    start = time.perf_counter()
    for process in each:
        process.start()
    for process in each:
        process.join()
    return time.perf_counter() - start


def _seconds(do: Callable[[], object]) -> float:
    start = time.perf_counter()
    do()
    return time.perf_counter() - start
