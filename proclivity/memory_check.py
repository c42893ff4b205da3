"""Whether jobs fit into the memory there is, and what would fit where they do not."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from proclivity.job import Config, device_of
from proclivity.memory_needs import distinct, gigabytes, needed
from proclivity.study_head import Resources
from tasks.errors import UserError

OVERRIDE = "PROCLIVITY_ANY_MEMORY"
"""An environment variable: set to 1, runs that should not fit are begun all the same."""
LORA = 16
"""The rank that is proposed."""


def room(device: str, processes: int = 1) -> float:
    """Free bytes of a device; of the fullest of the first GPUs, where a run's processes have one each."""
    import torch

    from models.memory import free_memory

    if not device.startswith("cuda"):
        return float(free_memory("cpu"))
    many = min(processes, torch.cuda.device_count())
    return float(min(map(free_memory, [f"cuda:{i}" for i in range(many)] if many > 1 else [device])))


def need_of(configs: Sequence[Config], workers: int, *, on_gpu: bool = False) -> float:
    """Bytes that the largest of the jobs take of a device, as many of them as there are workers."""
    from models.footprint import PROCESS

    each = []
    for config in configs:
        one = needed(config)
        if one is None:
            continue
        processes = _processes(config)
        if on_gpu:  # the processes of a run have a GPU each
            each.append(one.total)
        else:
            held = one.weights * 2 + PROCESS if processes > 1 else 0.0
            each.append(
                one.total * processes + PROCESS * (processes if processes > 1 or workers else 0) + held
            )
    return sum(sorted(each, reverse=True)[: max(1, workers)])


def check_memory(
    configs: Sequence[Config],
    workers: int = 0,
    asks: Resources | None = None,
    found: Callable[[str, int], float] = room,
) -> None:
    """UserError for jobs that do not fit, with what would; before anything is loaded.

    `workers`: how many of them are done at once; 0 for one, in this process. `asks`: what each asks of Ray,
    which hides the GPUs from jobs that ask for none. Which GPU another will meet is not known: it is not
    checked.
    """
    if os.environ.get(OVERRIDE, "") == "1" or (asks and asks.gpus):
        return
    alike = [config for config in distinct(configs, max(1, workers)) if needed(config)]
    if not alike:
        return
    device = "cpu" if asks else device_of(alike[0]["model"])
    processes = max(map(_processes, alike))
    free, on_gpu = found(device, processes), device.startswith("cuda")
    need = need_of(alike, workers, on_gpu=on_gpu)
    if need <= free:
        return
    cpus = asks.cpus if asks else 1.0
    fits = [f"{way} ({gigabytes(size)})" for way, size in _ways(alike, workers, cpus, free, on_gpu)]
    model = max(alike, key=_size)["model"]
    at_once = f" ({workers} jobs at once)" if workers > 1 else ""
    does = (
        f"fits with {', or '.join(fits)}" if fits else f"no one setting makes it fit, {gigabytes(need)} would"
    )
    gpu = f"the fullest of {processes} GPUs" if processes > 1 else device if ":" in device else "cuda:0"
    place = gpu if on_gpu else "this machine"
    told = f"needs about {gigabytes(need)}{at_once}, {place} has {gigabytes(free)} free"
    raise UserError(f"{model}: {told}; {does} ({OVERRIDE}=1 runs it all the same)")


def _ways(
    configs: Sequence[Config], workers: int, cpus: float, free: float, on_gpu: bool
) -> list[tuple[str, float]]:
    """Changes of one thing with which the jobs fit by the estimate, and what they take then."""
    settings = [c["settings"] for c in configs if "settings" in c]
    changes: list[tuple[str, Mapping[str, Any], int]] = []
    if workers > 1:
        changes += [(f"--workers {int(n * cpus)}", {}, n) for n in range(workers - 1, 0, -1) if n * cpus >= 1]
    if any(s.get("backend") == "trl" and not s.get("lora") for s in settings):
        changes.append((f"--lora {LORA}", {"lora": LORA}, workers))
        changes.append(("--gradient-checkpointing", {"gradient_checkpointing": True}, workers))
    processes = max((s.get("processes", 1) for s in settings), default=1)
    largest = max((s["batch_size"] for s in settings), default=1)
    sizes = [size for k in range(1, 12) if (size := largest >> k) and size % processes == 0]
    changes += [(f"batch_size {size}", {"batch_size": size}, workers) for size in sizes]
    asked = max((s["eval_n"] for s in settings), default=1)
    changes += [(f"eval_n {size}", {"eval_n": size}, workers) for k in range(1, 5) if (size := asked >> k)]
    fitting: dict[str, tuple[str, float]] = {}
    for told, change, at_once in changes:
        changed = [
            {**c, "settings": _changed(c["settings"], change)} if "settings" in c else c for c in configs
        ]
        size_of = need_of(changed, at_once, on_gpu=on_gpu)
        if size_of <= free:  # the least change of each kind
            fitting.setdefault(told.split()[0], (told, size_of))
    return list(fitting.values())


def _changed(settings: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    by_trl = settings.get("backend") == "trl"
    sizes = {k: min(v, settings[k]) for k, v in change.items() if k in ("batch_size", "eval_n")}
    return {**settings, **({} if sizes or not by_trl else change), **sizes}


def _processes(config: Config) -> int:
    return int(config.get("settings", {}).get("processes", 1))


def _size(config: Config) -> float:
    one = needed(config)
    return one.total if one else 0.0
