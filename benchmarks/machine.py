"""The machine that a benchmark ran on, in words that name no host, and how it is made to use one thread."""

from __future__ import annotations

import os
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
}
"""What libraries read when they are loaded."""


@dataclass(frozen=True)
class Machine:
    """What the numbers of a benchmark depend on."""

    cpu: str
    cores: int
    """That this process may use."""
    ram_gb: float
    gpu: str
    os: str
    python: str
    torch: str
    load: float
    """Average over the minute before the start."""

    @property
    def id(self) -> str:
        """CPU model and cores."""
        return f"{self.cpu}, {self.cores} cores"


def machine() -> Machine:
    """This machine."""
    import torch

    ram = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        ram_gb=round(ram, 1),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        os=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        load=round(os.getloadavg()[0], 2),
    )


def _cpu() -> str:
    told = Path("/proc/cpuinfo")
    for line in told.read_text().splitlines() if told.exists() else []:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def one_thread() -> None:
    """One thread here and in child processes, and no word from the libraries."""
    import datasets
    import threadpoolctl  # type: ignore[import-untyped]
    import torch
    import transformers

    os.environ.update(ONE_THREAD)
    threadpoolctl.threadpool_limits(1)
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
