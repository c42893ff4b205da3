"""Runs per minute one by one and stacked, beside what the machine could do: on this CPU, and on a GPU if any.

    OMP_NUM_THREADS=1 python -m benchmarks.replica_speed [--steps 20] [--stacks 1,2,4,8]
        [--clock wall|processor] [--json]

A run is the default 240 steps of RLOO on the embedded symbols model, its measuring left out; stacks take
turns with runs one by one. FLOP are counted as torch counts those of a step; bytes are the least a step can
move: the weights read forward and backward, their gradients, and AdamW's seven passes. The peaks are
a large product of matrices in float32 and a large copy, measured in the same minute.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.ratio import NotMeasured, Ratio, side_by_side
from models import load
from models.language_model import LanguageModel
from rl_finetune import Settings, get_method
from rl_finetune.replicas import tune_together
from rl_finetune.tuning import Tuning
from tasks import Evidence, get_task

MODEL = "embedded/symbols:steps=300"
TASK = get_task("symbolic/first-last-vs-contains-2")
RUN = Settings().steps
TURNS = 3
UNTIMED = 3
"""First steps of each turn."""


def tunings(lm: LanguageModel, n: int, steps: int) -> list[Tuning]:
    """n tunings that differ in seed and evidence."""
    settings = Settings(steps=steps, log_points=0)
    found = []
    for seed in range(n):
        evidence = Evidence("symmetric", 0.1 * (seed % 4))
        rows = TASK.mixture(evidence, settings.rows, np.random.default_rng(seed)).to_dict()
        found.append(Tuning(lm, TASK, rows, get_method("rloo"), settings, seed=seed))
    return found


def seconds(lm: LanguageModel, n: int, steps: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of each step of n tunings in a stack; of one that is none where n is 0."""
    from models.train import Optimisation, train

    ends: list[float] = []

    def observe(*_: object) -> None:
        if lm.model.device.type == "cuda":
            torch.cuda.synchronize()
        ends.append(clock())

    started = tunings(lm, max(1, n), UNTIMED + steps)
    started[0].observe = observe
    if n:
        tune_together(started)
    else:
        one = started[0]
        train(
            one.tuned.model,
            one.batches(),
            one.loss,
            steps=one.steps,
            optimisation=Optimisation(1e-3),
            observe=one.after,
        )
    return [b - a for a, b in pairwise(ends)][UNTIMED - 1 :]


def work(lm: LanguageModel, n: int) -> tuple[float, float]:
    """FLOP, and the least bytes, of a step of a stack of n."""
    with FlopCounterMode(display=False) as counted:
        tune_together(tunings(lm, n, 1))
    weights = n * sum(p.numel() * p.element_size() for p in lm.model.parameters())
    return float(counted.get_total_flops()), 10.0 * weights


def peaks(device: str, clock: Callable[[], float]) -> tuple[float, float]:
    """FLOP and bytes a second of a large product and a large copy, float32; the best of a few."""
    size = 8192 if device == "cuda" else 1024
    a = torch.randn(size, size, device=device)
    b = torch.randn(16 * size * size if device == "cuda" else 2**26, device=device)
    c = torch.empty_like(b)

    def best(do: Callable[[], object]) -> float:
        found = []
        for _ in range(5):
            start = clock()
            do()
            if device == "cuda":
                torch.cuda.synchronize()
            found.append(clock() - start)
        return min(found)

    return 2 * size**3 / best(lambda: a @ a), 2 * b.numel() * b.element_size() / best(lambda: c.copy_(b))


def measure(device: str, stacks: list[int], steps: int, clock: Callable[[], float]) -> list[dict[str, Any]]:
    lm = load(MODEL, device=device)
    times: dict[int, list[float]] = {n: [] for n in (0, *stacks)}
    for _ in range(TURNS):
        for n, found in times.items():
            found += seconds(lm, n, steps, clock)
    flops, moved = peaks(device, clock)
    rows = []
    for n, found in times.items():
        step, (flop, least) = statistics.median(found), work(lm, max(1, n))
        rows.append(
            {
                "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                "stack": n or "one by one",
                "step_ms": 1000 * step,
                "runs_a_minute": 60 * max(1, n) / (step * RUN),
                "of_peak_flops": flop / step / flops,
                "of_peak_bytes": least / step / moved,
            }
        )
    return rows


def ratios(*, quick: bool) -> list[Ratio]:
    """Runs a minute in a stack beside one by one, on the CPU."""
    return _ratios("cpu", [2] if quick else [2, 8], 3 if quick else 10)


def gpu_ratios(*, quick: bool) -> list[Ratio]:
    """The same on a GPU."""
    if not torch.cuda.is_available():
        raise NotMeasured("no GPU")
    return _ratios("cuda", [8] if quick else [8, 64], 10 if quick else 50)


def _ratios(device: str, stacks: list[int], steps: int) -> list[Ratio]:
    lm = load(MODEL, device=device)
    rates: dict[int, list[float]] = {n: [] for n in (0, *stacks)}
    for _ in range(TURNS):
        for n, found in rates.items():
            step = statistics.median(seconds(lm, n, steps, time.perf_counter))
            found.append(60 * max(1, n) / (step * RUN))
    about = f"RLOO tuned on a {'GPU' if device == 'cuda' else 'CPU'}, a stack of"
    return [side_by_side(f"{about} {n}", rates[n], "one by one", rates[0], None, "runs/min") for n in stacks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--stacks", default="1,2,4,8")
    parser.add_argument("--clock", choices=["wall", "processor"], default="wall")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    stacks = [int(n) for n in arguments.stacks.split(",")]
    clock = time.perf_counter if arguments.clock == "wall" else time.process_time
    rows = measure("cpu", stacks, arguments.steps, clock)
    if torch.cuda.is_available():
        rows += measure("cuda", stacks, arguments.steps, time.perf_counter)
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(
            f"{row['device']}, stack {row['stack']}: {row['step_ms']:.1f} ms a step, "
            f"{row['runs_a_minute']:.1f} runs a minute, {row['of_peak_flops']:.1%} of the FLOP and "
            f"{row['of_peak_bytes']:.1%} of the bytes a second that the machine reaches"
        )
    if not torch.cuda.is_available():
        print("GPU: not measured")


if __name__ == "__main__":
    main()
