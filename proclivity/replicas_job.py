"""Runs done together as one stacked model: which go together, how many, and doing them."""

from __future__ import annotations

import gc
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from proclivity import policy_job, run_job
from proclivity.job import Config, JobResult, device_of, load_model
from rl_finetune.settings import settings_from
from tasks.errors import UserError

if TYPE_CHECKING:
    from models.train import Diverged
    from rl_finetune.tuning import Tuning

MOST = 64
"""Runs in a stack, where memory and a timing of the first steps allow as many."""
PAYS = 1.1
"""Twice as many runs in a stack must finish this many times more runs a second to be worth it."""
TIMED = 5
"""Steps by which a stack is timed, after one that is not."""
_OF_A_RUN = ("study", "arm", "seed_data", "seed_tune", "seed_warmup")


def stackable(config: Config) -> str | None:
    """What two runs that may be done together have in common; None for a job that is done alone.

    They differ in seeds, evidence and pair of one language: batches are of one number of prompts.
    """
    from rl_finetune import get_method

    if config["job"] != "run" or {"probe_every", "reward_model"} & set(config):
        return None
    settings = settings_from(dict(config["settings"]))
    native = settings.answers == "constrained" and settings.backend == "native"
    if not native or not get_method(config["method"]).trains:
        return None
    shared = {
        name: value
        for name, value in config.items()
        if name not in _OF_A_RUN and not name.startswith("evidence_")
    }
    head, _, parameters = config["task"].partition(":")
    shared["task"] = [head.rpartition("/")[0] or head, parameters]
    return json.dumps(shared, sort_keys=True)


def chosen(seconds: Callable[[int], float], most: int) -> int:
    """How many runs to stack, by `seconds` of a step of a stack of as many: 1, 2, 4 and so on up to `most`,
    as long as doubling gives `PAYS` times the runs a second."""
    best, spent = 1, seconds(1)
    while 2 * best <= most:
        twice = seconds(2 * best)
        if math.isinf(spent) or 2 * spent < PAYS * twice:
            break
        best, spent = 2 * best, twice
    return best


def automatic(configs: Sequence[Config], workers: int = 1) -> int:
    """How many of these runs, equal in `stackable`, to stack on this machine: 1 on a CPU, where it does not
    pay; on a GPU as many as a worker's share of half its free memory holds and a timing of the first steps
    says. This process holds nothing there afterwards."""
    import torch

    device = device_of(configs[0]["model"], stacked=True)
    if not device.startswith("cuda") or len(configs) < 2:
        return 1
    try:
        return _automatic(configs, device, workers)
    except UserError:  # its layers cannot be stacked, or an answer is of several tokens
        return 1
    finally:
        load_model.cache_clear()
        gc.collect()
        torch.cuda.empty_cache()


def _automatic(configs: Sequence[Config], device: str, workers: int) -> int:
    import torch

    from models.memory import free_memory

    step_seconds(configs[:1], device)  # loads the model, and what the card needs once
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    first = step_seconds(configs[:1], device)
    taken = max(1, torch.cuda.max_memory_allocated(device) - before)
    most = min(MOST, len(configs), max(1, free_memory(device) // 2 // workers // taken))
    return chosen(lambda n: first if n == 1 else step_seconds(configs[:n], device), most)


def step_seconds(configs: Sequence[Config], device: str) -> float:
    """Seconds of a step of runs done together, the median of a few after the first; infinite where none was
    done, as where the first of them diverged."""
    import torch

    from rl_finetune.replicas import tune_together

    ends: list[float] = []

    def observe(*_: object) -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        ends.append(time.perf_counter())

    short = [{**c, "settings": {**c["settings"], "steps": TIMED + 1, "log_points": 0}} for c in configs]
    tunings = [_tuning(run_job.prepared(config, device)) for config in short]
    tunings[0].observe = observe
    tune_together(tunings)
    return statistics.median(b - a for a, b in pairwise(ends)) if len(ends) > 1 else math.inf


def run_together(configs: Sequence[Config]) -> list[JobResult | Diverged]:
    """What `run_tuning` gives for each config alone on the same device, of runs equal in `stackable`; of one
    that diverges, why.

    They are on a GPU where there is one, trained together and measured one after the other. A run's wall time
    is its own and its share of the time together.
    """
    from models.train import Diverged
    from rl_finetune import get_method
    from rl_finetune.replicas import tune_together

    device = device_of(configs[0]["model"], stacked=True)
    runs = [run_job.prepared(config, device) for config in configs]
    start = time.perf_counter()
    outcomes = tune_together([_tuning(run) for run in runs])
    share = (time.perf_counter() - start) / len(runs)
    results: list[JobResult | Diverged] = []
    for run, outcome in zip(runs, outcomes, strict=True):
        if isinstance(outcome, Diverged):
            results.append(outcome)
            continue
        columns = policy_job.columns_of(get_method(run.config["method"]).set(run.settings), run.settings)
        made = policy_job.made_of(outcome, run.policy, run.settings, columns)
        results.append(run_job.finished(run, made, [], time.perf_counter() - run.seconds - share))
    return results


def _tuning(run: run_job.Prepared) -> Tuning:
    from rl_finetune import get_method
    from rl_finetune.tuning import Tuning

    return Tuning(
        run.reference,
        run.task,
        run.rows,
        get_method(run.config["method"]),
        run.settings,
        seed=run.config["seed_tune"],
        control=run.config["control"],
        log_rows=run.log_rows,
    )
