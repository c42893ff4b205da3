"""Tuning in several processes: accelerate launches them, and what they make is read from the run's folder."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from proclivity.job import Config
from tasks.errors import UserError

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune.trl_backend import TunedByTrl

JOB, LIFELINE, OUTCOME, POLICY = "job.json", "lifeline", "outcome.json", "policy"
"""Files of a launch: what is asked; a file that is locked while who asks lives; what came of it."""
_PATIENCE = 10
"""Seconds that processes have to end before they are killed."""


def launch(config: Config, reference: LanguageModel) -> TunedByTrl:
    """Tune as `finetune_with_trl` does, in as many processes as the settings say.

    They are gone when this returns, raises or is killed.
    """
    from rl_finetune import keep_reference
    from rl_finetune.trl_backend import TunedByTrl, with_weights_of

    _check_devices(config["settings"]["processes"])
    with _folder(config) as scratch:
        keep_reference(reference, scratch)  # after which a warm-up is not done again
        folder = scratch / "launch"
        folder.mkdir(exist_ok=True)
        for old in folder.glob("*.json"):
            old.unlink()
        (folder / JOB).write_text(json.dumps({**config, "scratch": str(scratch)}))
        with _off_device(reference):
            _run(folder, config["settings"]["processes"])
        made = json.loads((folder / OUTCOME).read_text())
        tuned = with_weights_of(reference, folder / POLICY)
    return TunedByTrl(
        tuned, made["log"], made["reward"], made["step_s"], made["beta"], made["resumed_from_step"]
    )


def _check_devices(processes: int) -> None:
    """Each process has a GPU of its own, where there are any."""
    import torch

    if 0 < (gpus := torch.cuda.device_count()) < processes:
        raise UserError(f"setting processes {processes} asks for as many GPUs, and there are {gpus} here")


def error_file(folder: Path, rank: int) -> Path:
    """Where a process says why it failed."""
    return folder / f"failed-{rank}.json"


def _run(folder: Path, processes: int) -> None:
    """Launch the processes and wait for them; what one of them failed by is raised here."""
    told = ["--num_processes", str(processes), "--num_machines", "1", "--main_process_port", "0"]
    told += ["--gpu_ids", "all"]
    plain = ["--mixed_precision", "no", "--dynamo_backend", "no"]
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *told, *plain]
    with open(folder / LIFELINE, "w") as held, open(folder / "said.log", "w+") as said:
        fcntl.flock(held, fcntl.LOCK_EX)
        child = subprocess.Popen(
            [*command, "-m", "proclivity.launched", str(folder)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,  # Ctrl-C comes to this process alone
        )
        try:
            status = child.wait()
        except BaseException:
            fcntl.flock(held, fcntl.LOCK_UN)
            _end(child)
            raise
        if status:
            raise RuntimeError(_why(folder, said, processes))


def _environment() -> dict[str, str]:
    """That of this process, and where the package is; a folder `tasks` of the user's is not imported."""
    import torch

    here = str(Path(__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    cpu = {} if torch.cuda.is_available() else {"ACCELERATE_USE_CPU": "true"}
    return {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", **cpu}


def _end(child: subprocess.Popen[bytes]) -> None:
    """Processes see for themselves that nobody holds the lifeline; the launcher is asked, then killed."""
    child.terminate()
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _why(folder: Path, said: IO[str], processes: int) -> str:
    """Why a launch failed, in a line: a process's first error, how it died, or the launcher's last words."""
    errors = [
        json.loads(path.read_text())["error"] for path in sorted(folder.glob("failed-*.json"), key=_written)
    ]
    if errors:
        return str(errors[0])
    said.seek(0)
    text = said.read()
    died = re.search(r"exitcode\s*:\s*(-?\d+)", text)
    if died:
        how = f"was killed by signal {-int(died[1])}" if int(died[1]) < 0 else f"ended with status {died[1]}"
        return f"one of its {processes} processes {how}"
    lines = [line for line in text.splitlines() if line.strip()]
    return f"its {processes} processes could not be launched: {lines[-1].strip() if lines else 'no word'}"


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


@contextmanager
def _folder(config: Config) -> Iterator[Path]:
    """The folder of the run's own, or one that is gone afterwards."""
    if "scratch" in config:
        yield Path(config["scratch"])
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


@contextmanager
def _off_device(lm: Any) -> Iterator[None]:
    """The processes have the GPU to themselves."""
    device = lm.model.device
    lm.model.to("cpu")
    try:
        yield
    finally:
        lm.model.to(device)
