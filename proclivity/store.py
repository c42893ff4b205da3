"""The store: one folder a study, one sub-folder a job, published whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from itertools import count
from pathlib import Path
from typing import Any, Literal

from analysis.sums import SUMS, damage, read_sums, write_sums
from proclivity.claims import Claims
from proclivity.disk import fsync_folder, full_disk, write_json

Record = dict[str, Any]
State = Literal["done", "failed", "todo"]

DISPLAY_ONLY = ("study", "arm")
"""Fields of a job's config that cannot change its result."""
KEY = re.compile(r"[0-9a-f]{16}")
"""What names a job's folder."""


class CorruptRecord(Exception):
    """A record that cannot be what a runner wrote: says which and why."""

    moved_to: Path | None = None

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"runs/{name} {why}")
        self.name = name


def job_key(config: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str:
    """The name of a job's folder: a hash of all that can change its result.

    `fingerprints` are hashes of what the config only names: sources, weights, data.
    """
    told = {name: value for name, value in config.items() if name not in DISPLAY_ONLY}
    text = json.dumps(
        {"config": told, "fingerprints": dict(fingerprints)}, sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Store:
    """The records of one study folder.

    `runs/` holds published records and nothing else: `<key>/` of finished jobs, `<key>.failed/` of failed
    ones, each with the digests of its files. What is being written is in `partial/`, checkpoints of jobs that
    can be taken up again are in `scratch/`, what was moved out of a reader's way in `corrupt/` and
    `superseded/`. `check(record)` raises ValueError when a record is not whole.
    """

    def __init__(self, folder: Path, check: Callable[[object], object] | None = None) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.claims = Claims(folder / ".leases")
        self._check_one = check or (lambda record: None)

    # Reading

    def read(self, key: str) -> list[Record] | None:
        """The records of a finished job: one a run, one a feature and layer of a probe. Else None."""
        return self._read(key, key)

    def state(self, key: str) -> State:
        """Where a job stands; raises CorruptRecord."""
        if self._is_as_published(key) or self.read(key) is not None:
            return "done"
        return "failed" if self._read(f"{key}.failed", key) is not None else "todo"

    def failure(self, key: str) -> str:
        """Why a job failed."""
        records = self._read(f"{key}.failed", key)
        return str(records[0].get("error", "")) if records else ""

    def which_failure(self, key: str) -> object:
        """What tells a job's failure from a later one, though both may say the same; None without one."""
        try:
            # Opened, since a network file system then asks anew.
            with open(self.runs / f"{key}.failed" / "record.json", "rb") as file:
                found = os.fstat(file.fileno())
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def cells(self, key: str) -> list[Record]:
        """The cells of a finished job; none where its task has no more than one spurious feature."""
        path = self.runs / key / "cells.parquet"
        if not path.exists():
            return []
        import pyarrow.parquet as pq

        rows: list[Record] = pq.read_table(path).to_pylist()
        return rows

    def _is_as_published(self, key: str, folder: Path | None = None) -> bool:
        """Whether a finished job's record is, by its digest, the one that was checked and published.

        A fifth of the time that reading it takes: `study status` asks for each of a hundred thousand.
        """
        place = f"{folder or self.runs / key}"
        try:
            with FileIO(f"{place}/record.json") as record, FileIO(f"{place}/{SUMS}") as sums:
                content, told = record.readall(), sums.readall()
        except OSError:
            return False
        line = f"{hashlib.sha256(content).hexdigest()}  record.json\n"
        return line.encode() in told and f'"key": "{key}"'.encode() in content

    def _read(self, name: str, key: str, folder: Path | None = None) -> list[Record] | None:
        path = (folder or self.runs / name) / "record.json"
        if not path.parent.exists():
            return None
        try:
            content = path.read_bytes()
            value = json.loads(content)
        except FileNotFoundError:
            if not path.parent.exists():  # another has just replaced it
                return None
            raise CorruptRecord(name, "holds no record.json") from None
        except NotADirectoryError:
            raise CorruptRecord(name, "is not a folder") from None
        except IsADirectoryError:
            raise CorruptRecord(name, "holds a folder named record.json") from None
        except ValueError as e:
            raise CorruptRecord(name, f"is not JSON ({e})") from e
        try:
            told = read_sums(path.parent).get("record.json")
        except ValueError as e:
            raise CorruptRecord(name, f"has lost its digests: {e}") from e
        if told and told != hashlib.sha256(content).hexdigest():
            raise CorruptRecord(name, "has another record.json than was published: its digest differs")
        records = value if isinstance(value, list) else [value]
        try:
            self.check(records)
        except ValueError as e:
            raise CorruptRecord(name, f"is not whole: {e}") from e
        if any(record.get("key") != key for record in records):
            raise CorruptRecord(name, "holds the record of another key")
        return records

    def check(self, records: Sequence[object]) -> None:
        """Raise ValueError unless the records are whole."""
        if not records:
            raise ValueError("no record")
        for record in records:
            if not isinstance(record, dict):
                raise ValueError("not a mapping")
            self._check_one(record)

    # Writing

    def begun(self, key: str) -> Path:
        """An empty folder for what a job writes itself, to be published beside its records.

        Only the holder of the key's claim asks for it.
        """
        folder = self._place(key)
        with full_disk(self.folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def _place(self, key: str) -> Path:
        # The holder's name too: one that was asleep may wake when another has its claim.
        return self.folder / "partial" / f"{key}.{self.claims.name}"

    def publish(
        self,
        key: str,
        records: Sequence[Record],
        log: Sequence[Record] | None = None,
        cells: Sequence[Record] | None = None,
        beside: Callable[[Path], None] | None = None,
        *,
        begun: bool = False,
    ) -> bool:
        """Make a finished job's records visible, all at once; False when somebody already has.

        `beside(folder)` writes what is to stand beside them, such as a policy. With `begun` what is in the
        folder that `begun` gave stays there.
        """
        with self._partial(key, begun=begun) as folder:
            write_json(folder / "record.json", records[0] if len(records) == 1 else list(records))
            for name, rows in (("log", log), ("cells", cells)):
                if rows:
                    _write_parquet(folder / f"{name}.parquet", rows)
            if beside:
                beside(folder)
            return self._rename(folder, key)

    def publish_failed(self, key: str, record: Record) -> None:
        """Record why a job failed, in place of an earlier failure, unless somebody has finished it."""
        with self._partial(key) as folder:
            write_json(folder / "record.json", record)
            if not (self.runs / key).exists():
                self._rename(folder, f"{key}.failed")

    def adopt(self, name: str, fill: Callable[[Path], None]) -> None:
        """Publish what another store published, copied by `fill(folder)`, unless a record of it is here.

        CorruptRecord when it is not whole.
        """
        key = name.removesuffix(".failed")
        self.claims.begin()  # what is written by those that show no life is removed
        with self._partial(key) as folder:
            fill(folder)
            self._read(name, key, folder)  # digests do not tell that it is whole
            if found := self.damage(name, weights=True, folder=folder):
                raise found
            if not (self.runs / key).exists():
                self._rename(folder, name)

    def scratch(self, key: str) -> Path:
        """A job's own folder for its checkpoints; gone when it has a record."""
        return self.folder / "scratch" / key

    @contextmanager
    def _partial(self, key: str, *, begun: bool = False) -> Iterator[Path]:
        folder = self._place(key)
        try:
            with full_disk(self.folder):
                if not begun:
                    self.begun(key)
                self.runs.mkdir(exist_ok=True)
                yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _rename(self, folder: Path, name: str) -> bool:
        write_sums(folder)
        fsync_folder(folder)
        # A job has one record: a reader must never see a failed and a finished one, nor half of one.
        earlier = folder.with_name(f"{folder.name}.failed")
        with suppress(FileNotFoundError):
            os.rename(self.runs / f"{name.removesuffix('.failed')}.failed", earlier)
        shutil.rmtree(earlier, ignore_errors=True)
        try:
            os.rename(folder, self.runs / name)
        except OSError as e:
            # os.rename replaces an empty folder and no other: of two writers one wins.
            if e.errno in (errno.EEXIST, errno.ENOTEMPTY):
                return False
            raise
        fsync_folder(self.runs)
        shutil.rmtree(self.scratch(name.removesuffix(".failed")), ignore_errors=True)
        return True

    # Moving out of the way

    def sweep(
        self,
        keys: Collection[str],
        needed: Collection[str] = (),
        looked: Callable[[int, int], None] | None = None,
    ) -> tuple[list[CorruptRecord], list[str]]:
        """Ready the folder for a study whose jobs are `keys`.

        Clears what killed writers left, and moves corrupt records and those of no job of the study out of
        `runs/`: the latter's config or source has changed since. The weights of `needed` are read too.
        Returns the corrupt and the superseded.
        """
        scratch = [self.scratch(name) for name in self._names("scratch") if name not in keys]
        for path in (*self.leftovers(), *scratch):
            shutil.rmtree(path, ignore_errors=True)
        corrupt, superseded = [], []
        names = dict.fromkeys(self._names("runs"))
        for n, name in enumerate(names, 1):
            key = name.removesuffix(".failed")
            if key not in keys:
                superseded.append(name)
                self._move(name, "superseded")
            elif key != name and key in names:  # it failed for one runner and was finished by another
                shutil.rmtree(self.runs / name, ignore_errors=True)
            elif found := self.damage(name, weights=key in needed):
                corrupt.append(self.set_aside(found))
            if looked:
                looked(n, len(names))
        return corrupt, superseded

    def damage(self, name: str, *, weights: bool = False, folder: Path | None = None) -> CorruptRecord | None:
        """What is wrong with what a folder of `runs/` holds, or with `folder` that is to become it."""
        try:
            if name.endswith(".failed") or not self._is_as_published(name, folder):
                self._read(name, name.removesuffix(".failed"), folder)
        except CorruptRecord as e:
            return e
        why = damage(folder or self.runs / name, weights=weights)
        return CorruptRecord(name, why) if why else None

    def leftovers(self) -> list[Path]:
        """Folders that killed writers left, and checkpoints of finished jobs."""
        partial = [
            self.folder / "partial" / name
            for name in self._names("partial")
            if "." not in name or self.claims.dead(name.partition(".")[2])
        ]
        finished = [name for name in self._names("scratch") if (self.runs / name).exists()]
        return partial + [self.scratch(name) for name in finished]

    def set_aside(self, found: CorruptRecord) -> CorruptRecord:
        """Move a corrupt record to `corrupt/`."""
        found.moved_to = self._move(found.name, "corrupt")
        return found

    def _names(self, below: str) -> list[str]:
        folder = self.folder / below
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return [name for name in found if KEY.fullmatch(name.partition(".")[0])]

    def _move(self, name: str, where: str) -> Path:
        (self.folder / where).mkdir(exist_ok=True)
        for n in count(1):
            target = self.folder / where / f"{name}-{n}"
            if not target.exists():
                os.rename(self.runs / name, target)
                break
        return target


def _write_parquet(path: Path, rows: Iterable[Record]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    with open(path, "rb") as file:
        os.fsync(file.fileno())
