"""Seconds of our training loop, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models import LanguageModel
from rl_finetune import Method, Settings, finetune
from tasks import Task


def seconds_of_steps(
    lm: LanguageModel,
    task: Task,
    rows: Mapping[str, Any],
    method: Method,
    settings: Settings,
    *,
    clock: Callable[[], float],
    untimed: int,
) -> list[float]:
    """From the end of each step to the end of the next, but for the first `untimed`."""
    ends: list[float] = []
    finetune(lm, task, rows, method, settings, seed=0, observe=lambda *_: ends.append(clock()))
    return [float(seconds) for seconds in np.diff(ends)[untimed - 1 :]]
