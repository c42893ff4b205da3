"""The runner: does the jobs that no record answers yet, and publishes what came of them."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from proclivity.expand import Config
from proclivity.job import KEPT, names
from proclivity.manifest import versions
from proclivity.progress import Tick, job_bar
from proclivity.store import DISPLAY_ONLY, Store, job_key
from proclivity.workers import Attempt, WorkerKilled, Workers
from tasks.errors import UserError, one_line

KEEPING = ("reward_model", "stage")
"""Jobs that keep what they trained."""
OWN_KINDS = ("probe", "bandit", "text", "stage")
"""Jobs of which a failed record is of their own kind."""
KILLED = "its worker process was killed, twice (out of memory?)"
POLL_S = 0.2
"""Seconds between looks at what another runner on the folder has finished."""
ROOM_S = 5.0
"""Seconds between looks at whether there is room for more jobs, while none of ours ends."""


@dataclass(frozen=True)
class Job:
    """A config and the key of its record."""

    key: str
    config: Config
    needs: Mapping[str, str] = field(default_factory=dict)
    """Keys of the jobs that train what it starts from or is tuned on, by their names in its config."""


@dataclass
class Tally:
    """Where the jobs of a folder stand."""

    total: int
    done: int = 0
    ran: int = 0
    """How many this runner did itself."""
    failed: dict[str, str] = field(default_factory=dict)
    """Key and reason of each failed job."""

    @property
    def settled(self) -> int:
        return self.done + len(self.failed)


def run_jobs(
    store: Store,
    jobs: Sequence[Job],
    workers: Workers,
    *,
    retry_failed: bool = False,
    stacks: Mapping[str, tuple[str, int]] = MappingProxyType({}),
) -> Tally:
    """Bring every job to a record, finished or failed, together with any other runner on the same folder.

    Jobs of one name in `stacks`, by their keys, go to a worker together, as many as stand there at most.
    Whatever ends this function early, finished jobs stay finished and no other record is left.
    """
    run = _Run(store, jobs, workers, retry_failed, stacks)
    try:
        if run.waiting:
            with job_bar("jobs", run.tally.total, run.tally.settled) as tick:
                run.until_done(tick)
    finally:
        run.workers.kill()
        store.claims.close()
    return run.tally


class _Run:
    def __init__(
        self,
        store: Store,
        jobs: Sequence[Job],
        workers: Workers,
        retry_failed: bool,
        stacks: Mapping[str, tuple[str, int]],
    ) -> None:
        self.store = store
        self.workers = workers
        self.stacks = dict(stacks)
        self.tally = Tally(total=len(jobs))
        self.waiting: deque[Job] = deque()
        self.in_flight: dict[Future[list[Attempt]], list[Job]] = {}
        """What each worker is at: a job, or some together."""
        self.suspects: deque[Job] = deque()
        """In flight when some worker was killed. Each is tried again alone: only the guilty one fails."""
        self.deaths: Counter[str] = Counter()
        """How often a job's own worker, by its key, was killed."""
        self.retrying: dict[str, object] = {}
        """Jobs whose failure that was there at the start does not count, and which one that was."""
        for job in jobs:
            state = store.state(job.key)
            if state == "failed" and retry_failed:
                self.retrying[job.key] = store.which_failure(job.key)
            elif state != "todo":
                self._count(job.key)
                continue
            self.waiting.append(job)

    def until_done(self, tick: Tick) -> None:
        while self.waiting or self.in_flight or self.suspects:
            self._fill()
            if self.in_flight:
                finished, _ = wait(self.in_flight, ROOM_S, return_when=FIRST_COMPLETED)
                taken = [(self.in_flight.pop(future), future) for future in finished]
                killed = [e for _, f in taken if isinstance(e := f.exception(), WorkerKilled)]
                if not all(e.guilty for e in killed):
                    wait(self.in_flight)
                    taken += [(jobs, future) for future, jobs in self.in_flight.items()]
                    self.in_flight = {}
                    self.workers.rebuild()
                try:
                    if all(e.guilty for e in killed):
                        self._fill()  # before publishing, so that no worker waits for the disk
                finally:  # whatever becomes of the workers, what is finished is kept
                    self._settle(taken)
            elif self.waiting:
                time.sleep(POLL_S)  # another runner is at work on what is left
            tick(self.tally.settled, len(self.tally.failed))

    def _fill(self) -> None:
        if self.suspects:
            if not self.in_flight:
                self._submit([self.suspects.popleft()], self.suspects)
            return
        while len(self.in_flight) < max(1, self.workers.n):
            job = self._next()
            if job is None or not self._submit(self._joined(job), self.waiting):
                return

    def _joined(self, job: Job) -> list[Job]:
        """A job, and those waiting that are done together with it; no more than a worker's share."""
        jobs, (name, most) = [job], self.stacks.get(job.key, ("", 1))
        left = [job, *self.waiting, *chain.from_iterable(self.in_flight.values())] if most > 1 else []
        alike = sum(self.stacks.get(each.key, ("", 1))[0] == name for each in left)
        most = min(most, math.ceil(alike / max(1, self.workers.n)))
        while len(jobs) < most and (other := self._next(name)):
            jobs.append(other)
        return jobs

    def _submit(self, jobs: list[Job], queue: deque[Job]) -> bool:
        try:
            configs = [in_scratch(self.store, job.key, self._config(job)) for job in jobs]
            self.in_flight[self.workers.submit(configs, self._folder(jobs[0]))] = jobs
        except WorkerKilled:
            # A worker was killed while idle: nobody's fault, and the jobs have not begun.
            queue.extendleft(reversed(jobs))
            if not self.in_flight:
                self.workers.rebuild()
            return False
        return True

    def _config(self, job: Job) -> Config:
        """The config with the folders of what the job needs in place of their keys."""
        return job.config | {n: str(self.store.runs / key / KEPT[n]) for n, key in job.needs.items()}

    def _folder(self, job: Job) -> Path | None:
        """Where a worker keeps what is trained, for the jobs that need it."""
        return self.store.begun(job.key) if job.config["job"] in KEEPING else None

    def _next(self, name: str = "") -> Job | None:
        """A waiting job that is this runner's now, of those that a name in `stacks` has, or of all."""
        for _ in range(len(self.waiting)):
            job = self.waiting.popleft()
            if name and self.stacks.get(job.key, ("", 1))[0] != name:
                self.waiting.append(job)
            elif self._settled(job):
                self._count(job.key)
            elif self._too_early(job) or not self.store.claims.take(job.key):
                self.waiting.append(job)
            elif self._settled(job):  # published between the look and the claim
                self.store.claims.release(job.key)
                self._count(job.key)
            elif failed := [n for n, key in job.needs.items() if self.store.state(key) == "failed"]:
                key = job.needs[failed[0]]
                what = failed[0].replace("_", " ")
                self._fail(job, f"its {what} {key} failed: {self.store.failure(key)}", None)
                self.store.claims.release(job.key)
            else:
                return job
        return None

    def _too_early(self, job: Job) -> bool:
        """Whether something that a job needs is still to come."""
        states = {key: self.store.state(key) for key in job.needs.values()}
        return any(s == "todo" or (s == "failed" and self._is_retried(key)) for key, s in states.items())

    def _settled(self, job: Job) -> bool:
        state = self.store.state(job.key)
        return state == "done" or (state == "failed" and not self._is_retried(job.key))

    def _is_retried(self, key: str) -> bool:
        """Whether a failed job is still to be tried again, by this runner or by another."""
        return key in self.retrying and self.store.which_failure(key) == self.retrying[key]

    def _count(self, key: str) -> None:
        reason = self.store.failure(key)
        if reason and self.store.read(key) is None:
            self.tally.failed[key] = reason
        else:
            self.tally.done += 1

    def _settle(self, taken: list[tuple[list[Job], Future[list[Attempt]]]]) -> None:
        """Publish what came of jobs; those whose worker was killed are tried once more, one by one.

        Where it is not known whose worker was killed, those that were at work become suspects.
        """
        errors = [future.exception() for _, future in taken]
        killed = sum(isinstance(error, WorkerKilled) for error in errors)
        for (jobs, future), error in zip(taken, errors, strict=True):
            if isinstance(error, WorkerKilled):
                self._died(jobs, error, alone=killed == 1)
                continue
            for i, job in enumerate(jobs):
                if error is None:
                    self._answered(job, future.result()[i])
                elif not isinstance(error, UserError):
                    self._fail(job, one_line(error), None)
                self.store.claims.release(job.key)
        for error in errors:
            if isinstance(error, UserError):  # of the workers, and none of the job's
                raise error

    def _died(self, jobs: list[Job], error: WorkerKilled, *, alone: bool) -> None:
        """What becomes of jobs whose worker may have died of them."""
        if len(jobs) == 1 and (error.guilty or alone):
            self.deaths[jobs[0].key] += 1
        for job in jobs:
            self.stacks.pop(job.key, None)
            if self.deaths[job.key] >= 2:
                self._fail(job, KILLED, None)
            elif error.guilty:
                self.waiting.appendleft(job)
            else:
                self.suspects.append(job)
                continue  # and stays claimed
            self.store.claims.release(job.key)

    def _answered(self, job: Job, attempt: Attempt) -> None:
        if attempt.error:
            self._fail(job, attempt.error, attempt)
        else:
            self._publish(job, attempt)

    def _publish(self, job: Job, attempt: Attempt) -> None:
        records = [stamp(record, job) for record in attempt.records]
        try:
            self.store.check(records)
        except ValueError as e:
            self._fail(job, f"its record is not whole: {e}", attempt)
            return
        begun = job.config["job"] in KEEPING
        self.store.publish(job.key, records, attempt.log, attempt.cells, begun=begun)
        self.tally.done += 1
        self.tally.ran += 1

    def _fail(self, job: Job, reason: str, attempt: Attempt | None) -> None:
        self.store.publish_failed(job.key, failed_record(job, reason, attempt))
        self.retrying.pop(job.key, None)
        self.tally.failed[job.key] = reason
        self.tally.ran += 1


def in_scratch(store: Store, key: str, config: Config) -> Config:
    """A job's config, and the folder of its checkpoints where it keeps any: no part of its key."""
    if config.get("settings", {}).get("backend") != "trl":
        return config
    return {**config, "scratch": str(store.scratch(key).absolute())}


def stamp(record: dict[str, Any], job: Job) -> dict[str, Any]:
    """A record with what only the runner knows: its key, its study, its arm."""
    told: dict[str, Any] = {name: job.config[name] for name in DISPLAY_ONLY if name in job.config}
    return {
        **record,
        **told,
        "key": job.key,
        "config_hash": job_key(job.config, {}),
        "status": "ok",
        "error": "",
    }


def failed_record(job: Job, reason: str, attempt: Attempt | None) -> dict[str, Any]:
    """All that is known of a job that failed: its config, and why."""
    settings = job.config.get("settings", {})
    flat = {name: value for name, value in {**settings, **job.config}.items() if _is_plain(value)}
    times = {"started": attempt.started, "wall_s": attempt.wall_s} if attempt else {}
    return {
        **stamp(flat, job),
        **names(job.config),
        **times,
        "kind": job.config["job"] if job.config["job"] in OWN_KINDS else "run",
        "status": "failed",
        "error": reason,
        "versions": versions(),
    }


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)
