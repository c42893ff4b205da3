"""Jobs as tasks of a Ray cluster: one that is started for the command, or one that there is."""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any

from proclivity.job import KEPT
from proclivity.study_head import Resources
from proclivity.workers import ENVIRONMENT, Attempt, WorkerKilled
from tasks import INCLUDE
from tasks.errors import UserError, one_line

SHARED_ENVIRONMENT = ("PROCLIVITY_", "HF_", "TRANSFORMERS_")
"""What variables begin with that are the same on every node."""
OBJECT_STORE = 100_000_000
"""Bytes of memory for answers on their way, of which one holds a record and a log."""
LOOK_S = 2.0
"""Seconds for which the number of nodes is believed."""
PATIENCE_S = 10.0
"""Seconds that a network file system is given to show a folder that was just made."""


class RayPool:
    """Workers on a Ray cluster. A job goes to Ray when a node has room for it: none waits there for another,
    while some other runner could do it."""

    def __init__(self, reference: str, asks: Resources, *, cpus: int, address: str = "") -> None:
        self.reference = reference
        self.asks = asks
        self._seen = (0, -math.inf)
        self._open = ExitStack()
        try:
            self._ray = _connect(self._open, cpus, address)
            self._do = self._task()
            self._refuse_too_much()
        except BaseException:
            self.kill()
            raise

    @property
    def n(self) -> int:
        """How many jobs fit on the nodes that there are now."""
        slots, when = self._seen
        if time.monotonic() - when > LOOK_S:
            try:
                slots = sum(fits(node["Resources"], self.asks) for node in self._nodes())
            except Exception as e:
                raise _lost(e) from e
            self._seen = (slots, time.monotonic())
        return slots

    def submit(
        self, configs: Sequence[Mapping[str, Any]], folder: Path | None = None
    ) -> Future[list[Attempt]]:
        """Start a job, or several together. What they read and write must be on the node they come to."""
        paths = [
            {name: os.path.abspath(config[name]) for name in (*KEPT, "scratch") if _is_path(config, name)}
            for config in configs
        ]
        needed = [
            path if name in KEPT else os.path.dirname(os.path.dirname(path))
            for each in paths
            for name, path in each.items()
        ]
        needed += [os.path.abspath(folder)] if folder else []
        needed += filter(None, os.environ.get(INCLUDE, "").split(os.pathsep))
        keep = os.path.abspath(folder) if folder else None
        placed = [{**config, **each} for config, each in zip(configs, paths, strict=True)]
        arguments = (self.reference, placed, keep, needed, PATIENCE_S)
        answer: Future[list[Attempt]] = Future()
        try:
            done = self._do.remote(arguments).future()
        except Exception as e:
            raise _lost(e) from e
        done.add_done_callback(lambda done: self._hand_on(done, answer))
        return answer

    def rebuild(self) -> None:
        """Ray replaces workers by itself."""

    def kill(self) -> None:
        """Leave the cluster, which ends our tasks there; one that was started here ends with them."""
        self._open.close()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _refuse_too_much(self) -> None:
        if self.n == 0:
            nodes = self._nodes()
            told = "; ".join(sorted(_told(node) for node in nodes)[:5])
            more = f" and {len(nodes) - 5} more" if len(nodes) > 5 else ""
            raise UserError(
                f"one job asks for {self.asks}, which no node of the cluster has: it has {told}{more}; "
                "see resources in the study's file"
            )

    def _task(self) -> Any:
        """The task, in a form that a worker can load before it knows where our packages are."""
        asks = {"num_cpus": self.asks.cpus, "num_gpus": self.asks.gpus, "max_retries": 0}
        environment = {n: v for n, v in os.environ.items() if n.startswith(SHARED_ENVIRONMENT)}
        environment |= ENVIRONMENT  # one thread whatever is asked for: more give other numbers
        environment |= {} if self.asks.gpus else {"CUDA_VISIBLE_DEVICES": ""}
        home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        here = os.getcwd()
        drivers = {"", here, os.path.dirname(os.path.realpath(sys.argv[0]))} - {home}

        # Sent by value, as it has no name in a module: nothing of ours is imported before the path is right.
        def do(arguments: tuple[Any, ...]) -> Any:
            import importlib.util
            import os
            import socket
            import sys

            # Ray puts the command's folders first, and `tasks` or `models` there may be the user's own.
            asked = os.environ.get("PYTHONPATH", "").split(os.pathsep)
            sys.path[:] = [path for path in sys.path if path in asked or path not in drivers]
            if importlib.util.find_spec("proclivity") is None:
                sys.path.append(home)
            os.environ.update(environment)
            if os.path.isdir(here):
                os.chdir(here)
            try:
                return importlib.import_module("proclivity.node").on_node(*arguments)
            except ImportError as e:
                return f"node {socket.gethostname()} cannot do jobs: {e}"

        return self._ray.remote(**asks)(do)

    def _hand_on(self, done: Future[list[Attempt] | str], answer: Future[list[Attempt]]) -> None:
        of = self._ray.exceptions
        killed = (of.WorkerCrashedError, of.OutOfMemoryError, of.NodeDiedError, of.ObjectLostError)
        try:
            found = done.result()
            if isinstance(found, str):
                raise UserError(found)
            answer.set_result(found)
        except killed:
            answer.set_exception(WorkerKilled(guilty=True))
        except UserError as e:
            answer.set_exception(e)
        except Exception as e:  # a job's own errors are in its Attempt
            answer.set_exception(_lost(e))


def fits(has: Mapping[str, float], asks: Resources) -> int:
    """How many jobs fit on a node at once."""
    slots = []
    if asks.cpus:
        slots.append(int(has.get("CPU", 0.0) / asks.cpus + 1e-6))
    if asks.gpus:  # a job's part is of one GPU; a third of it three times is one, whatever the rounding
        whole = max(1.0, asks.gpus)
        slots.append(int(has.get("GPU", 0.0) / whole + 1e-6) * int(whole / asks.gpus + 1e-6))
    return min(slots)


def _told(node: Mapping[str, Any]) -> str:
    has = node["Resources"]
    return f"{node['NodeManagerHostname']} with {has.get('CPU', 0):g} CPUs and {has.get('GPU', 0):g} GPUs"


def _is_path(config: Mapping[str, Any], name: str) -> bool:
    return isinstance(config.get(name), str) and config[name] != ""


def _connect(opened: ExitStack, cpus: int, address: str) -> Any:
    """Join a cluster, or start one; what closes it again goes to `opened`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray.exceptions
    except ImportError as e:
        raise UserError(f"--executor ray needs Ray ({e}): pip install 'proclivity[cluster]'") from e
    # Ray prints there what nodes have to say; standard output is for the command's answer.
    opened.enter_context(redirect_stdout(sys.stderr))
    stop = signal.getsignal(signal.SIGTERM)
    _refuse_silent(address)
    how: dict[str, Any] = {"address": address} if address else _own_cluster(cpus)
    opened.callback(ray.shutdown)
    try:
        ray.init(**how, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as e:
        what = f"--address {address}" if address else "a Ray cluster could not be started"
        hint = "; a cluster that asks for a token takes RAY_AUTH_MODE=token" if address else ""
        raise UserError(f"{what}: {' '.join(str(e).split())}{hint}") from e
    finally:
        signal.signal(signal.SIGTERM, stop)  # Ray's own ends the process before anything is put away
    return ray


def _refuse_silent(address: str) -> None:
    # Ray itself asks for two minutes before it says so.
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as e:  # a host may be no name at all
        why = getattr(e, "strerror", None) or one_line(e)
        raise UserError(f"--address {address}: nothing answers there ({why})") from e


def _own_cluster(cpus: int) -> dict[str, Any]:
    return {
        "address": "local",
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE,
    }


def _lost(error: BaseException) -> UserError:
    return UserError(f"the Ray cluster is lost: {one_line(error)}; what is finished is kept")
