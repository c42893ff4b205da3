"""What `compile: true` costs and saves on this machine: seconds of compiling, of a step, steps to break even.

    OMP_NUM_THREADS=1 python -m benchmarks.compile_speed [--method rloo] [--steps 60]
        [--clock wall|processor] [--json]

The embedded symbols model and the default batch. Plain and compiled runs take turns; a step's figure is the
median over the turns. Compiling is counted by the wall, once with an empty cache on the disk, and once in a
second process that finds the first one's; a later run in the same process compiles nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.ratio import NotMeasured, Ratio, alone, side_by_side
from models import load
from models.passes import check_compiler
from rl_finetune import Settings, finetune, get_method
from tasks import Evidence, get_task
from tasks.errors import UserError

TURNS = 2
UNTIMED = 5
"""First steps of each turn; the first compiles."""


def measure(method: str, steps: int, clock: str) -> dict[str, Any]:
    now = time.perf_counter if clock == "wall" else time.process_time
    lm, task = load("embedded/symbols:steps=300"), get_task("symbolic/first-last-vs-contains-2")
    times: dict[bool, list[float]] = {False: [], True: []}
    compile_s, later_s = 0.0, 0.0
    for turn in range(TURNS):
        for compiled, found in times.items():
            settings = Settings(steps=UNTIMED + steps, log_points=0, compile=compiled)
            rows = task.mixture(Evidence("symmetric", 0.2), settings.rows, np.random.default_rng(turn))
            ends: list[float] = []
            tuned = finetune(
                lm,
                task,
                rows.to_dict(),
                get_method(method),
                settings,
                seed=turn,
                observe=lambda step, lm, ends=ends: ends.append(now()),  # type: ignore[misc]
            )
            found += [b - a for a, b in pairwise(ends)][UNTIMED - 1 :]
            compile_s, later_s = compile_s or tuned.compile_s, tuned.compile_s
    plain, fast = (statistics.median(times[compiled]) for compiled in (False, True))
    return {
        "plain_ms": 1000 * plain,
        "compiled_ms": 1000 * fast,
        "compile_s": compile_s,
        "later_compile_s": later_s,
        "even_after_steps": round(compile_s / (plain - fast)) if plain > fast else None,
    }


def apart(method: str, steps: int, clock: str, cache: str) -> dict[str, Any]:
    """What `measure` finds in a process of its own, with a cache on the disk."""
    given = ["--method", method, "--steps", str(steps), "--clock", clock, "--once"]
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.compile_speed", *given],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    found: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
    return found


def ratios(*, quick: bool) -> list[Ratio]:
    """A compiled step beside a plain one, and seconds of compiling with an empty cache."""
    try:
        check_compiler()
    except UserError as e:
        raise NotMeasured(str(e)) from e
    with tempfile.TemporaryDirectory() as cache:
        found = apart("rloo", 10 if quick else 50, "wall", cache)
    return [
        side_by_side(
            "a step of RLOO, compiled", [found["compiled_ms"]], "as it is", [found["plain_ms"]], None, "ms"
        ),
        alone("compiling, empty cache", [found["compile_s"]], None, "s"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--method", default="rloo")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    asked = (arguments.method, arguments.steps, arguments.clock)
    if arguments.once:
        print(json.dumps(measure(*asked)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for found in ("empty", "filled"):
            rows.append({"method": asked[0], "cache": found, **apart(*asked, cache)})
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        even = row["even_after_steps"]
        print(
            f"{row['method']}, cache {row['cache']}: {row['compile_s']:.1f} s of compiling "
            f"({row['later_compile_s']:.1f} s in a later run of the process), "
            f"{row['plain_ms']:.1f} ms a step, {row['compiled_ms']:.1f} ms compiled: "
            + ("it never breaks even" if even is None else f"even after {even} steps")
        )


if __name__ == "__main__":
    main()
