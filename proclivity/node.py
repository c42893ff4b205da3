"""What a node of a cluster does with a job that comes to it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from proclivity.composition import jobs_of
from proclivity.workers import Attempt, attempts


def on_node(
    reference: str,
    configs: Sequence[Mapping[str, Any]],
    folder: str | None,
    needed: Sequence[str],
    patience: float,
) -> list[Attempt] | str:
    """Do jobs on a node that sees all that they need; or say what it does not see."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    node = f"node {socket.gethostname()}"
    if unseen := _unseen(needed, patience):
        return f"{node} does not see {unseen}: all nodes need the same files under the same names"
    if missing := next(filter(None, map(jobs_of(reference).missing, configs)), ""):
        return f"{node} does not see {missing}: PROCLIVITY_CACHE must name a folder that all nodes share"
    return attempts(reference, configs, Path(folder) if folder else None)


def _unseen(paths: Iterable[str], patience: float) -> str:
    limit = time.monotonic() + patience
    for path in paths:
        while not os.path.exists(path):
            if time.monotonic() > limit:
                return path
            time.sleep(0.2)
    return ""
