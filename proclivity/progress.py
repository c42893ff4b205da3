"""Progress on stderr when it is a terminal, silence when it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from proclivity.composition import ReportProgress


class Tick(Protocol):
    def __call__(self, done: int, failed: int) -> None:
        """So many jobs are done and so many have failed, in all."""


@contextmanager
def job_bar(what: str, total: int, done: int) -> Iterator[Tick]:
    """A bar over jobs: done of total, jobs a minute, time left, failures."""
    if not sys.stderr.isatty():
        yield lambda done, failed: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("[red]{task.fields[failures]}"),
        console=Console(stderr=True),
        speed_estimate_period=120,
    ) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="", failures="")

        def tick(done: int, failed: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(
                task,
                completed=done,
                rate=f"{60 * speed:.0f}/min" if speed else "",
                failures=f"{failed} failed" if failed else "",
            )

        yield tick


@contextmanager
def step_bar() -> Iterator[ReportProgress]:
    """A bar for each thing reported, by its name."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True)) as bar:
        known: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in known:
                known[what] = bar.add_task(what, total=total)
            bar.update(known[what], completed=done, total=total)

        yield report
