"""Shards: a study's jobs in n disjoint parts, for as many commands that need not know of one another."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from proclivity.runner import Job
from tasks.errors import UserError


@dataclass(frozen=True)
class Shard:
    """One of the parts."""

    which: int
    """From 1."""
    of: int
    """How many parts there are."""

    def __str__(self) -> str:
        return f"{self.which}/{self.of}"


def read_shard(text: str) -> Shard:
    """A shard as it is written: 3/16."""
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if not found:
        raise UserError(f"--shard {text}: must be two numbers, such as 3/16")
    shard = Shard(int(found[1]), int(found[2]))
    if not 1 <= shard.which <= shard.of:
        raise UserError(f"--shard {text}: the first must be from 1 to the second, such as 1/{shard.of or 1}")
    return shard


def part_of(jobs: Sequence[Job], shard: Shard, seconds: Callable[[Job], float]) -> list[Job]:
    """A shard's jobs, in the order in which they stand.

    Jobs of which one needs another, directly or around, are in one shard, so that no shard waits for another.
    These groups are dealt out, longest first, each to the shard that has least to do so far: the same jobs
    always give the same parts.
    """
    groups = together(jobs)
    took = [seconds(job) for job in jobs]
    known = [s for s in took if not math.isnan(s)]
    usual = fmean(known) if known else 1.0
    long = dict(zip((job.key for job in jobs), (usual if math.isnan(s) else s for s in took), strict=True))
    work = sorted((-math.fsum(long[key] for key in group), min(group), group) for group in groups)
    loads = [(0.0, 0)] * min(shard.of, len(groups))  # seconds and jobs; more would stay empty
    mine: set[str] = set()
    for negative, _, group in work:
        to = loads.index(min(loads))
        loads[to] = (loads[to][0] - negative, loads[to][1] + len(group))
        if to == shard.which - 1:
            mine |= group
    return [job for job in jobs if job.key in mine]


def together(jobs: Sequence[Job]) -> list[set[str]]:
    """The keys of jobs in groups: jobs of two groups do not need one another."""
    group: dict[str, set[str]] = {job.key: {job.key} for job in jobs}
    for job in jobs:
        for needed in job.needs.values():
            one, other = sorted((group[job.key], group[needed]), key=len)
            if one is not other:
                other |= one
                group.update(dict.fromkeys(one, other))
    return list({id(found): found for found in group.values()}.values())
