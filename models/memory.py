"""Whether a model's weights fit into the memory there is, told before they are read."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tasks.errors import UserError


def check_fits(name: str, kind: Any, config: Any, dtype: torch.dtype, device: str, **options: Any) -> None:
    """UserError for weights that are larger than the free memory of their device; nothing is allocated."""
    with torch.device("meta"):
        shapes = kind.from_config(config, dtype=dtype, **options)
    needed = sum(p.numel() * p.element_size() for p in shapes.parameters())
    free = free_memory(device)
    if needed > free:
        told = f"{needed / 1e9:.1f} GB as {str(dtype).removeprefix('torch.')}"
        raise UserError(f"{name}: its weights take {told}, and {free / 1e9:.1f} GB are free on {device}")


def free_memory(device: str) -> int:
    """Bytes that can still be had there; of the host, at most its control group's limit."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()  # what was freed and is kept for the next one
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        host = int(found.group(1)) * 1024 if found else 0
    except OSError:
        host = 0
    limits = [host or os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError):  # no control group, or no limit
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits)
