"""Where a study's jobs are done: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import math
import os
from argparse import Namespace
from dataclasses import dataclass

from proclivity.pool import Pool
from proclivity.ray_pool import RayPool
from proclivity.study_head import Resources
from proclivity.workers import Workers
from tasks.errors import UserError


@dataclass(frozen=True)
class Executor:
    """Where jobs are done."""

    workers: int
    """Processes, of which 0 is this one; with Ray the CPUs of a cluster that is started for the command."""
    ray: bool = False
    address: str = ""
    """A cluster that there is already, as Ray writes it."""
    replicas: int = 0
    """Runs that are tuned together as one stacked model, where they can be; 0: as many as pay here."""

    def __str__(self) -> str:
        if self.ray:
            return (
                f"the Ray cluster {self.address}" if self.address else f"a Ray cluster of {self.workers} CPUs"
            )
        return f"{self.workers} workers"

    def jobs_at_once(self, asks: Resources) -> float:
        """How many are done at once; NaN for a cluster that is not joined yet."""
        if self.address:
            return math.nan
        if not self.ray:
            return max(1, min(self.workers, cores()))
        return max(1, int(self.workers / asks.cpus) if asks.cpus else self.workers)

    def start(self, reference: str, asks: Resources) -> Workers:
        """Workers that do jobs by a function's address; what they cannot do at all is refused."""
        if not self.ray:
            return Pool(self.workers, reference)
        return RayPool(reference, asks, cpus=self.workers, address=self.address)


def executor_of(arguments: Namespace) -> Executor:
    """What the options of a command ask for."""
    ray = arguments.executor == "ray"
    if arguments.workers is not None and arguments.workers < ray:
        told = " with --executor ray" if ray else ""
        raise UserError(f"--workers must be {int(ray)} or more{told}")
    if arguments.address and not ray:
        raise UserError("--address is of a Ray cluster: give --executor ray too")
    if arguments.address and arguments.workers is not None:
        raise UserError("--workers is of a cluster that is started here: leave it out with --address")
    workers = cores() if arguments.workers is None else int(arguments.workers)
    return Executor(workers, ray, arguments.address or "", arguments.replicas)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
