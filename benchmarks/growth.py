"""Seconds and memory of `study status`, `analyze` and `report`, as a study grows to 50,000 runs.

    python -m benchmarks --only growth

Studies that never ran: a study file, its plan, and a record and a training log for every job of it, as a
store holds them. Up to 10,000 runs they grow in pairs, methods and seeds; to 50,000 in seeds alone. Every
command is run as its user does, in a process of its own, the start of Python included. The last line of each
command is the exponent of its growth between the two largest studies: 1 where time goes with runs.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ratio import Ratio, alone
from benchmarks.simulated_store import SIZES, planned, write_store

COMMANDS = (("study", "status"), ("analyze",), ("report",))
LIMITS = {("study status", 50_000): 5.0}
"""Seconds."""
LINEAR = 1.1
"""The exponent of growth, at the most."""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    seconds: float
    peak_mb: float


def ratios(*, quick: bool) -> list[Ratio]:
    """Quickly, of the two smallest studies."""
    sizes = list(SIZES)[:2] if quick else list(SIZES)
    costs: dict[str, dict[int, Cost]] = {" ".join(command): {} for command in COMMANDS}
    planning = {}
    with tempfile.TemporaryDirectory() as folder:
        planned(Path(folder), sizes[0])  # what is loaded once
        for runs in sizes:
            start = time.perf_counter()
            todo = planned(Path(folder), runs)
            planning[runs] = time.perf_counter() - start
            where = Path(folder) / str(runs)
            write_store(todo, where)
            for command in COMMANDS:
                costs[" ".join(command)][runs] = cost(*command, str(where))
    found = [alone(f"planning {runs:,} runs", [s], None, "s") for runs, s in planning.items()]
    for name, each in costs.items():
        for runs, one in each.items():
            found.append(alone(f"{name}, {runs:,} runs", [one.seconds], LIMITS.get((name, runs)), "s"))
            found.append(alone(f"{name}, {runs:,} runs, peak memory", [one.peak_mb], None, "MB"))
        seconds = [one.seconds for one in each.values()]
        limit = None if quick else LINEAR
        found.append(alone(f"{name}, exponent of growth", [exponent(sizes, seconds)], limit, ""))
    return found


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Of growth between the last two."""
    return math.log(seconds[-1] / seconds[-2]) / math.log(sizes[-1] / sizes[-2])


def cost(*command: str) -> Cost:
    """Seconds and peak memory of one of our commands, in a process of its own."""
    start = time.perf_counter()
    # By way of a small process: a child begins with the peak of who forked it.
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, sys.executable, "-m", "proclivity", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"proclivity {' '.join(command)}: {done.stderr.strip().splitlines()[-1:]}")
    return Cost(seconds, int(done.stdout) / (1e6 if sys.platform == "darwin" else 1e3))


_MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""
