"""What the front door asks of the floors below, and where it finds it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from proclivity.study_head import Resources

JOBS = "proclivity.jobs"
"""The module that composes tasks, models, probes and methods into jobs. Imports no torch at import time."""

ReportProgress = Callable[[str, int, int], None]
"""(what is being done, steps done, steps in all), called as often as one likes."""


class JobResult(Protocol):
    """What a job leaves behind. Records and log are plain JSON values."""

    @property
    def records(self) -> Sequence[dict[str, Any]]:
        """One row a run; one a feature and layer of a probe."""

    @property
    def log(self) -> Sequence[dict[str, Any]] | None:
        """One row a logged step."""

    @property
    def cells(self) -> Sequence[dict[str, Any]] | None:
        """One row a cell of a task with several spurious features."""

    @property
    def policy(self) -> Any:
        """The tuned model (`.model`, `.tokenizer`); None for a probe. It never leaves the process."""

    @property
    def tables(self) -> Mapping[str, Sequence[dict[str, Any]]]:
        """What stands beside the records, by the names of the files."""


class Jobs(Protocol):
    """The contract of `proclivity.jobs`."""

    SETTINGS: type
    """A dataclass: the settings of a run with their types, defaults and help."""

    def execute(self, config: Mapping[str, Any]) -> JobResult:
        """Do one job, `config["job"]`: "run", "reward_model", "probe" or "use". Called in a worker process.

        A run's `reward_model` is the folder of one; while a study is planned, the job that trains it.
        """

    def save(self, result: JobResult, folder: Path) -> None:
        """Keep a job's tuned model and tables in the folder of its record."""

    def check(self, config: Mapping[str, Any]) -> None:
        """UserError for a job that is known to fail. Asked before any job is done."""

    def fingerprint(self, config: Mapping[str, Any]) -> dict[str, str]:
        """Hashes of what a config only names: sources, weights, data. Asked for every job: cache it."""

    def prepare(self, configs: Sequence[Mapping[str, Any]], progress: ReportProgress) -> None:
        """Do once, before any job, what the jobs share: pre-train embedded models."""

    def check_memory(
        self, configs: Sequence[Mapping[str, Any]], workers: int, asks: Resources | None = None
    ) -> None:
        """UserError for jobs that do not fit into this machine, so many at once; 0: in this process.

        `asks`: what each asks of Ray, if they are done there.
        """

    def missing(self, config: Mapping[str, Any]) -> str:
        """The folder that `prepare` should have made and that is not there; empty when nothing is missing.

        Asked on the machine that is to do the job.
        """

    def stacks(
        self, configs: Sequence[Mapping[str, Any]], replicas: int, progress: ReportProgress, workers: int = 1
    ) -> list[tuple[str, int]]:
        """For each job the name of those that it can be done together with, and how many at once pay: 1 for a
        job that is done alone. `replicas`: as many are asked for, or 0, to be found out on this
        machine, which as many workers share."""

    def execute_together(self, configs: Sequence[Mapping[str, Any]]) -> Sequence[JobResult | Exception]:
        """Do jobs of one name in `stacks`; of one that fails alone, why."""

    def validate_settings(self, settings: Mapping[str, Any], where: str) -> dict[str, Any]:
        """Settings with defaults filled in; UserError that begins with `where` for a wrong one."""

    def estimate(self, config: Mapping[str, Any]) -> float:
        """Seconds that a job will take on one thread, roughly."""

    def learnability(self, configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Rows of the learnability list that the jobs' features stand on; empty when there is none."""


def jobs() -> Jobs:
    """The composition."""
    return jobs_of(JOBS)


def jobs_of(reference: str) -> Jobs:
    """The module of a function's address, `module:function`, which any process can resolve."""
    return cast(Jobs, import_module(reference.partition(":")[0]))


def execute(reference: str, config: Mapping[str, Any]) -> JobResult:
    """Do one job by a function's address."""
    return cast(JobResult, getattr(jobs_of(reference), reference.partition(":")[2])(config))
