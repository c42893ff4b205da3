"""One study folder under fire: its commands, and what must hold of it whatever happens to them."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TIMES = ("wall_s", "step_s", "started", "host", "versions")
"""Columns that differ between two runs of one job."""
COMMAND = "SOAK_COMMAND"
"""What tells whose process one is."""
ENDS_S = 15.0
"""Seconds after which what a command started must be gone."""
PATIENCE = 120.0
"""Seconds after which a command is stuck."""
Contents = dict[str, str]
"""Hashes of the files of a published record, by name."""


class Command:
    """A command line in a session of its own."""

    def __init__(self, arguments: list[str], environment: Mapping[str, str], log: Path, weak: bool) -> None:
        self.log = log
        self.mark = f"{COMMAND}={log}".encode()
        with open(log, "wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env={**environment, COMMAND: str(log)},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_weaken if weak else None,
            )

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, seconds: float = PATIENCE) -> int | None:
        """The exit status; None for a command that had to be killed since it was stuck."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill(everyone=True)
            return None

    def running(self) -> bool:
        return self.process.poll() is None

    def kill(self, *, everyone: bool = False) -> bool:
        """SIGKILL to the runner, or to it and its workers; False when it was over before."""
        if not self.running():
            return False
        (os.killpg if everyone else os.kill)(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return True

    def workers(self, name: str = "spawn_main") -> list[int]:
        """Process numbers of the workers that live, by what their command lines hold."""
        return [pid for pid, told in self._started() if name in told and "Agent" not in told]

    def orphans(self, seconds: float) -> list[str]:
        """What outlives the command by so long."""
        limit = time.monotonic() + seconds
        while (left := self._started()) and time.monotonic() < limit:
            time.sleep(0.05)
        for pid, _ in left:
            os.kill(pid, signal.SIGKILL)
        return [told for _, told in left]

    def _started(self) -> list[tuple[int, str]]:
        """What the command has started, by the environment that it handed on, and still lives."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                ours = self.mark in (folder / "environ").read_bytes().split(b"\0")
                told = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if ours and state != "Z":
                found.append((int(folder.name), told))
        return found


def _weaken() -> None:
    """Drop what lets root write where it may not: CAP_DAC_OVERRIDE and its like, from the next program on."""
    drop_from_bounding_set = 24
    for power in (1, 2, 3):
        ctypes.CDLL(None).prctl(drop_from_bounding_set, power)


class Field:
    """A study folder, and all that was ever seen finished in it."""

    def __init__(
        self, base: Path, study: Path, *, jobs: str = "driver", cache: Path | None = None, include: str = ""
    ) -> None:
        base.mkdir(parents=True)
        self.base, self.study, self.folder = base, study, base / "store"
        self.program = "benchmarks.soak.driver" if jobs == "driver" else "proclivity"
        self.ledger = base / "ledger"
        self.ledger.touch()
        self.ledger.chmod(0o666)
        self.seen: dict[str, Contents] = {}
        """Contents of every finished record, as they were when it was first seen."""
        self.spoilt: set[str] = set()
        self.killed = 0
        """Runners that were killed, of two that shared it."""
        self._begun = 0
        self._commands = 0
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "SOAK_LEDGER": str(self.ledger),
            "SOAK_FOLDER": str(self.folder),
            **({"PROCLIVITY_CACHE": str(cache)} if cache else {}),
            **({"PROCLIVITY_INCLUDE": include} if include else {}),
        }

    def command(self, *arguments: str, weak: bool = False, **changes: str) -> Command:
        self._commands += 1
        environment = {**self.environment, **changes}
        log = self.base / f"{self._commands}.log"
        return Command(["-m", self.program, *arguments], environment, log, weak)

    def run(self, *more: str, workers: int = 2, weak: bool = False, **changes: str) -> Command:
        """`study run` on the folder, failed jobs again."""
        told = ("--out", str(self.folder), "--workers", str(workers), "--retry-failed", *more)
        return self.command("study", "run", str(self.study), *told, weak=weak, **changes)

    # What must hold

    def look(self) -> list[str]:
        """What is wrong: a finished record gone, changed, or its job begun again since it was seen."""
        wrong = []
        now = {key: files for key, files in contents(self.folder).items() if key not in self.spoilt}
        for key, was in self.seen.items():
            if key not in now:
                wrong.append(f"finished record {key} is lost")
            elif now[key] != was:
                changed = sorted(name for name in {*was, *now[key]} if was.get(name) != now[key].get(name))
                wrong.append(f"finished record {key} changed: {', '.join(changed)}")
        begun = self.ledger.read_text().split()
        finished = {name for key in self.seen for name in self._names(key)}
        wrong += [f"finished job {name} was begun again" for name in begun[self._begun :] if name in finished]
        self._begun = len(begun)
        self.seen |= {key: files for key, files in now.items() if key not in self.seen}
        return wrong

    def watch(self, seconds: float, command: Command | None = None) -> list[str]:
        """What is wrong at any of many looks, for so long or until a command ends."""
        limit, wrong = time.monotonic() + seconds, self.look()
        while time.monotonic() < limit and (command is None or command.running()):
            time.sleep(min(0.1, max(0.0, limit - time.monotonic())))
            wrong += self.look()
        return list(dict.fromkeys(wrong))

    def twice(self) -> int:
        """How many times a job was begun that had been begun before."""
        begun = self.ledger.read_text().split()
        return len(begun) - len(set(begun))

    def forget(self, key: str) -> None:
        """A record is damaged on purpose, and not looked at until it is mended."""
        self.seen.pop(key, None)
        self.spoilt.add(key)

    def _names(self, key: str) -> list[str]:
        try:
            return [str(row["data_hash"]) for row in rows_of(self.folder / "runs" / key)]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def ended(self, command: Command, status: int, words: str = "", seconds: float = PATIENCE) -> list[str]:
        """What is wrong with how a command ended: its status, its words, what it left running."""
        wrong = self.watch(seconds, command)
        found = command.wait(0.1)
        said = command.said
        wrong += self.look() + [f"left running: {told}" for told in command.orphans(ENDS_S)]
        if found is None:
            return [*wrong, f"stuck for {seconds:.0f} s: {said[-300:]}"]
        if found != status:
            wrong.append(f"exit status {found}, not {status}: {said[-300:]}")
        if not re.search(words, said):
            wrong.append(f"does not say {words!r}: {said[-300:]}")
        if "Traceback (most recent call last)" in said:
            wrong.append(f"a stack trace: {said[-300:]}")
        return wrong

    def finish(self, undisturbed: Mapping[str, Any]) -> list[str]:
        """Go on to the end, twice if jobs had failed, and compare with a study that nothing disturbed."""
        wrong = self.ended(self.run(), 0)
        found = results(self.folder)
        wrong += [f"job {key} has no record" for key in undisturbed if key not in found]
        wrong += [f"record {key} is of no job" for key in found if key not in undisturbed]
        wrong += [
            f"record {key} is not what it is undisturbed"
            for key, result in found.items()
            if key in undisturbed and result != undisturbed[key]
        ]
        for left in ("partial", "scratch"):
            if (self.folder / left).is_dir() and (names := os.listdir(self.folder / left)):
                wrong.append(f"left in {left}: {names[0]}")
        return wrong


def rows_of(folder: Path) -> list[dict[str, Any]]:
    value = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    return value if isinstance(value, list) else [value]


def contents(folder: Path) -> dict[str, Contents]:
    """Hashes of the files of every finished record."""
    runs = folder / "runs"
    names = [n for n in (os.listdir(runs) if runs.is_dir() else []) if re.fullmatch(r"[0-9a-f]{16}", n)]
    found = {}
    for name in names:
        files = [path for path in sorted((runs / name).rglob("*")) if path.is_file()]
        try:
            found[name] = {
                str(path.relative_to(runs / name)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in files
            }
        except FileNotFoundError:  # moved away between the two looks: the next one tells
            continue
    return found


def results(folder: Path) -> dict[str, Any]:
    """What every record holds but for times: its rows, its log, its weights."""
    import pyarrow.parquet as pq

    found: dict[str, Any] = {}
    for path in sorted((folder / "runs").iterdir()):
        try:
            rows = [{k: v for k, v in row.items() if k not in TIMES} for row in rows_of(path)]
            log = path / "log.parquet"
            weights = sorted(path.rglob("*.safetensors"))
            found[path.name] = (
                rows,
                pq.read_table(log).to_pylist() if log.exists() else None,
                [hashlib.sha256(file.read_bytes()).hexdigest() for file in weights],
            )
        except (OSError, ValueError) as e:
            found[path.name] = f"cannot be read: {e}"
    return found
