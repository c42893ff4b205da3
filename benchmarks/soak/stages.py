"""Where a command is, and the signal that it sends itself there."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections import Counter
from typing import Any

SIGNAL = "SOAK_SIGNAL"
"""`INT:publishing:3`: a signal to the whole process group, as a terminal sends it, when a stage is reached
for the n-th time in a process; `KILL:file:20` to the process alone, just before its 20th change of a file."""
CLOCK = "SOAK_CLOCK"
"""A seed: wall clocks jump by up to a day, forth and back, several times a second."""
LEASE = "SOAK_LEASE"
"""Seconds after which a silent holder of claims has lost them, in place of a minute."""
FOLDER = "SOAK_FOLDER"
"""Files below it count as the store's."""
DAY = 86_400.0
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.utime")
_seen: Counter[str] = Counter()


def reached(stage: str) -> None:
    """Say that a stage is reached; the one that the environment names ends in its signal."""
    name, _, rest = os.environ.get(SIGNAL, "").partition(":")
    wanted, _, times = rest.partition(":")
    if stage != wanted:
        return
    _seen[stage] += 1
    if _seen[stage] != int(times):
        return
    if name == "KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    os.killpg(0, getattr(signal, f"SIG{name}"))
    time.sleep(0.2)  # a process that is not the leader waits to be told


def watch_files() -> None:
    """Let every change of the store's files be a stage."""
    below = os.environ.get(FOLDER, "")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        opened = event == "open" and isinstance(arguments[1], str) and arguments[1][:1] in "wax"
        read = event == "open" and str(arguments[0]).endswith("record.json") and not opened
        if not (opened or read or event in CHANGES) or not any(below in str(a) for a in arguments[:2]):
            return
        if read:
            reached("reading")
            return
        reached("file")
        if event == "os.rename" and "/runs/" in str(arguments[1]):
            reached("publishing")

    sys.addaudithook(hook)


def hasten() -> None:
    """Let claims run out sooner."""
    from proclivity.claims import Claims

    lease = float(os.environ[LEASE])
    Claims.__init__.__kwdefaults__ = {"beat_s": lease / 8, "lease_s": lease}


def jump() -> None:
    """Let the wall clock jump."""
    rng, true = random.Random(os.environ[CLOCK]), time.time
    moved, until = 0.0, true()

    def jumping() -> float:
        nonlocal moved, until
        if true() >= until:
            moved, until = rng.uniform(-DAY, DAY), true() + 0.2
        return true() + moved

    time.time = jumping
