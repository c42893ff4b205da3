"""Running a trainer of TRL: watched as the native loop is, and taken up again where it was killed."""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import ProgressCallback, TrainerCallback

from models.train import Diverged
from tasks.errors import UserError

Row = dict[str, Any]
KEPT = "proclivity.json"
"""What we keep in a checkpoint. It is written last: a checkpoint without it is not whole."""
REFERENCE = "reference"
"""The folder of the model that training starts from."""
_CHECKPOINTS = 10
"""How often a run that can be taken up again is kept."""


@dataclass
class Watched:
    """What was seen of a training."""

    log: list[Row] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    """Mean reward of each batch."""
    spent: float = 0.0
    """Seconds in steps, logging left out."""


class Watch(TrainerCallback):
    """Logs at log points, observes each step, stops at a loss that is no number."""

    def __init__(self, seen: Watched, steps: int, look: Callable[[int, float, Any], None]) -> None:
        self.seen = seen
        self.steps = steps
        self.look = look
        """Called with step, loss and model after each step."""
        self._start = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.seen.spent += time.perf_counter() - self._start

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any
    ) -> None:
        if "loss" not in logs:  # the summary at the end
            return
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise Diverged(
                f"loss {loss} and gradient norm {norm} at step {state.global_step} of {self.steps}"
            )
        if not state.is_world_process_zero:  # the first process looks, the others wait for its next step
            return
        training = model.training
        model.eval()
        self.look(state.global_step, loss, model)
        model.train(training)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        gathered(None)  # each process has written its part
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        part = folder / f"{KEPT}.part"
        part.write_text(json.dumps(vars(self.seen)))
        part.rename(folder / KEPT)


def world_size() -> int:
    """How many processes train together."""
    there = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if there else 1


def gathered(value: Any) -> list[Any]:
    """A value of each of the processes that train together, in their order."""
    if (size := world_size()) == 1:
        return [value]
    found: list[Any] = [None] * size
    torch.distributed.all_gather_object(found, value)
    return found


class Bar(ProgressCallback):
    """TRL's bar on a terminal, without the line that it prints each step."""

    def on_log(self, *_: Any, **__: Any) -> None:
        pass


def check_tracker(name: str) -> None:
    """Refuse a tracker that is not installed."""
    from transformers.integrations import integration_utils

    found = sorted(integration_utils.get_available_reporting_integrations())
    if name not in found:
        hint = ": pip install 'proclivity[track]'" if name == "tensorboard" else ""
        raise UserError(f"--report-to {name} is not installed{hint}; installed: {', '.join(found) or 'none'}")


def last_checkpoint(folder: Path) -> tuple[int, Path] | None:
    """The last whole checkpoint in a run's own folder, and its step."""
    steps = {int(p.parent.name.split("-")[1]): p.parent for p in folder.glob(f"checkpoint-*/{KEPT}")}
    return max(steps.items()) if steps else None


def keeping(steps: int) -> dict[str, Any]:
    """Options of a trainer that keeps checkpoints; two, lest it be killed while it writes the later one."""
    return {
        "save_strategy": "steps",
        "save_steps": max(1, round(steps / _CHECKPOINTS)),
        "save_total_limit": 2,
    }


def run(
    make: Callable[[list[Any]], Any], seen: Watched, steps: int, look: Callable[[int, float, Any], None]
) -> tuple[Any, int]:
    """Train with the trainer that `make(callbacks)` gives: the trained model, and the step taken up at.

    What was seen before a kill is added to `seen`. A training that fails for another reason leaves no
    checkpoint: taken up again it would fail again. Of several processes one also fails because another
    was killed, so that there only a divergence or a UserError is such a reason.
    """
    callbacks: list[Any] = [Watch(seen, steps, look), *([Bar()] if sys.stderr.isatty() else [])]
    with _quiet():
        trainer = make(callbacks)
        folder = Path(trainer.args.output_dir)
        found = last_checkpoint(folder)
        if found:
            kept = json.loads((found[1] / KEPT).read_text())
            seen.log[:], seen.rewards[:], seen.spent = kept["log"], kept["rewards"], kept["spent"]
        try:
            trainer.train(resume_from_checkpoint=str(found[1]) if found else None)
        except Exception as e:
            is_nan = isinstance(e, RuntimeError) and "nan" in str(e) and not isinstance(e, Diverged)
            if world_size() == 1 or is_nan or isinstance(e, Diverged | UserError):
                for path in folder.glob("checkpoint-*"):
                    shutil.rmtree(path, ignore_errors=True)
            if is_nan:
                at = trainer.state.global_step + 1
                raise Diverged(f"the policy's probabilities are NaN at step {at} of {steps}") from e
            raise
    return trainer.accelerator.unwrap_model(trainer.model), found[0] if found else 0


@contextmanager
def _quiet() -> Iterator[None]:
    """No advice and no bars from the libraries."""
    import datasets
    from transformers.utils import logging as transformers_logging

    said = transformers_logging.get_verbosity()
    loud = logging.getLogger("trl").level
    bars = not datasets.are_progress_bars_disabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("trl").setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(said)
        logging.getLogger("trl").setLevel(loud)
        if bars:
            datasets.enable_progress_bars()
