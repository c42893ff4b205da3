"""Studies in object stores, named by URL: s3://, gs://, hf:// and whatever else fsspec knows."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from argparse import Namespace
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from analysis.sums import SUMS, digested, write_sums
from proclivity.disk import full_disk, replace_bytes
from proclivity.manifest import COMPACT, JOBS, make_folder
from proclivity.plan import note, open_store
from proclivity.progress import step_bar
from proclivity.store import KEY, CorruptRecord, Store
from tasks.errors import UserError, one_line

PUSH_S = 30.0
"""Seconds between two looks at what is to be sent, while a study runs."""
AT_ONCE = 16
"""Records on their way at a time: each is a few small files, and waits for the network most of the time."""
_RECORD, _MANIFEST, _BESIDE = "record.json", "study.json", "learnability.csv"


def is_url(place: str | Path) -> bool:
    """Whether a place is no folder of this machine."""
    return "://" in str(place)


@dataclass(frozen=True)
class Place:
    """A study folder wherever it is."""

    name: str
    fs: Any
    """fsspec's file system."""
    root: str

    def path(self, *parts: str) -> str:
        return "/".join((self.root, *parts))

    def complete(self, known: Collection[str] = ()) -> set[str]:
        """Names of published records: digests are sent last, so a folder that has them is whole.

        Those that are `known` are not looked into, where that saves time.
        """
        if not is_url(self.name):
            # A folder from before there were digests has them made on the way.
            names = [name for name in _listed(Path(self.path("runs"))) if _is_record(name)]
            marks = [(name, Path(self.path("runs", name))) for name in names]
            return {n for n, at in marks if n in known or any((at / m).exists() for m in (SUMS, _RECORD))}
        self.fs.invalidate_cache()
        found = self.fs.find(self.path("runs")) if self.fs.exists(self.path("runs")) else []
        parts = [path.rstrip("/").split("/") for path in found]
        return {
            part[-2] for part in parts if part[-3] == "runs" and part[-1] == SUMS and _is_record(part[-2])
        }


def _listed(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _is_record(name: str) -> bool:
    return KEY.fullmatch(name.removesuffix(".failed")) is not None


def place(name: str) -> Place:
    """A folder or a URL as a place."""
    import fsspec

    with _told(name):
        fs, root = fsspec.core.url_to_fs(name if is_url(name) else str(Path(name).absolute()))
        return Place(name.rstrip("/"), fs, root.rstrip("/"))


@dataclass
class Copied:
    """What a synchronisation did."""

    copied: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    """What was not copied, and why."""


def sync(source: str, target: str, *, sent: set[str] | None = None) -> Copied:
    """Copy what is published at one place and not at another; nothing there is replaced or removed.

    One of the two, at least, is a folder. `sent` is what is known to be there already, and grows.
    """
    if is_url(source) and is_url(target):
        raise UserError("one of the two must be a folder of this machine: sync to one, then from it")
    here, there = place(source), place(target)
    with _told(source):
        if not here.fs.exists(here.path(_MANIFEST)):
            raise UserError(f"{source} is not a study: it has no {_MANIFEST}")
        if here.fs.exists(here.path(COMPACT)):
            raise UserError(f"{source} holds a study's compact records: copy its files as they are")
    _same_study(here, there)
    store = None if is_url(target) else open_store(Path(target))
    if store:
        make_folder(store.folder)
    known = sent if sent is not None else set()
    with _told(target):
        known |= there.complete() if not known else set()
    with _told(source):
        names = sorted(here.complete(known))
    finished = {name for name in known if not name.endswith(".failed")} | set(names)
    todo = [n for n in names if n not in known and not (n.endswith(".failed") and n[:-7] in finished)]
    done = Copied()
    copy = partial(_pull, here, store) if store else partial(_push, Path(source), there)
    for name in (_MANIFEST, _BESIDE, JOBS):
        with _told(source):
            told = here.fs.cat_file(here.path(name)) if here.fs.exists(here.path(name)) else b""
        with _told(target, written=True):
            if told and not there.fs.exists(there.path(name)):
                there.fs.makedirs(there.root, exist_ok=True)
                put = (lambda at, what: replace_bytes(Path(at), what)) if store else there.fs.pipe_file
                put(there.path(name), told)
    try:
        with step_bar() as progress, ThreadPoolExecutor(AT_ONCE) as threads:
            for n, (name, why) in enumerate(zip(todo, threads.map(copy, todo), strict=True), 1):
                if why:
                    done.damaged.append(why)
                else:
                    done.copied.append(name)
                    known.add(name)
                progress("copying records", n, len(todo))
    finally:
        if store:
            store.claims.close()
    return done


def _pull(here: Place, store: Store, name: str) -> str:
    def fill(folder: Path) -> None:
        # A disk that is full is the near one; what may not be read is far.
        with _told(here.name), full_disk(store.folder, locked=False):
            base = here.path("runs", name)
            for path in here.fs.find(base):
                inside = path.split(f"/runs/{name}/", 1)[1]
                if not {"", ".", ".."}.isdisjoint(inside.split("/")):  # an object's name may be anything
                    raise CorruptRecord(name, f"holds {inside}, which leads out of its folder")
                (folder / inside).parent.mkdir(parents=True, exist_ok=True)
                here.fs.get_file(path, str(folder / inside))

    try:
        with _told(str(store.folder), written=True):
            store.adopt(name, fill)
    except CorruptRecord as e:
        return f"{here.name}/{e}"
    return ""


def _push(folder: Path, there: Place, name: str) -> str:
    store, record = open_store(folder), folder / "runs" / name
    with _told(str(folder)):
        if found := store.damage(name, weights=True):
            return f"{folder}/{found}"
        if not (record / SUMS).exists():
            write_sums(record)
        files = digested(record)
    with _told(there.name, written=True):
        there.fs.invalidate_cache()
        if there.fs.exists(there.path("runs", name, SUMS)):  # another has sent it since this one looked
            return ""
        for path in [*files, record / SUMS]:  # its digests last: whoever sees them sees all
            inside = path.relative_to(folder).as_posix()
            there.fs.makedirs(there.path(*inside.split("/")[:-1]), exist_ok=True)
            there.fs.put_file(str(path), there.path(inside))
    return ""


def _same_study(here: Place, there: Place) -> None:
    hashes = []
    for at in (here, there):
        with _told(at.name):
            if at.fs.exists(at.path(_MANIFEST)):
                hashes.append(json.loads(at.fs.cat_file(at.path(_MANIFEST))).get("definition_hash"))
    if len(set(hashes)) > 1:
        raise UserError(f"{there.name} holds another study than {here.name}")


def mirror(name: str) -> Path:
    """A study as a folder to read: itself, or a copy of what a URL holds, kept in the cache."""
    if not is_url(name):
        return Path(name)
    from models import cache_dir

    there = place(name)
    folder = Path(cache_dir()) / "studies" / _digest(there.name)
    with _told(name):
        compact = there.fs.exists(there.path(COMPACT))
        if compact:
            folder.mkdir(parents=True, exist_ok=True)
            for path in there.fs.ls(there.root, detail=False):
                if not there.fs.isdir(path):
                    there.fs.get_file(path, str(folder / path.rpartition("/")[2]))
    if not compact:
        (folder / JOBS).unlink(missing_ok=True)  # so that it is fetched as it is now
        for why in sync(name, str(folder)).damaged:
            note(f"not read: {why}")
    return folder


def beside(arguments: Namespace, name: str) -> Path:
    """Where a command writes: --out, or a name in the study's folder."""
    if arguments.out:
        return Path(arguments.out)
    if is_url(arguments.folder):
        raise UserError(
            f"--out is needed: {arguments.folder} is no folder of this machine to write {name} to"
        )
    return Path(arguments.folder) / name


@contextmanager
def sent_to(url: str, near: Path, every_s: float = PUSH_S) -> Iterator[Path]:
    """A folder near by that begins with what a URL holds; what it publishes is sent there, now and then and
    at the end.

    It stays, so that the same command goes on with what could not be sent.
    """
    there = place(url)
    folder = near / f"{there.name.rpartition('/')[2]}@{_digest(there.name)}"
    with _told(url):
        begun = there.fs.exists(there.path(_MANIFEST))
    if begun:
        for why in sync(url, str(folder)).damaged:
            note(f"not read: {why}")
    sent: set[str] = set()
    over = threading.Event()
    thread = threading.Thread(target=_send, args=(folder, url, sent, over, every_s), daemon=True)
    thread.start()
    try:
        yield folder
    finally:
        over.set()
        thread.join()
        if (folder / _MANIFEST).exists():
            _send_rest(folder, url, sent)


def _send(folder: Path, url: str, sent: set[str], over: threading.Event, every_s: float) -> None:
    while not over.wait(every_s):
        try:
            if (folder / _MANIFEST).exists():
                sync(str(folder), url, sent=sent)
        except Exception as e:  # whatever it is, the study goes on, and the rest is sent at its end
            note(f"{one_line(e)}; trying again")


def _send_rest(folder: Path, url: str, sent: set[str]) -> None:
    try:
        for why in sync(str(folder), url, sent=sent).damaged:
            note(f"not sent: {why}")
    except Exception as e:
        again = f"proclivity study sync {folder} {url}"
        raise UserError(f"{one_line(e)}; nothing is lost, it is all in {folder}; to send it: {again}") from e


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


@contextmanager
def _told(name: str, *, written: bool = False) -> Iterator[None]:
    """What a file system raises, in one line; they raise many kinds."""
    try:
        with full_disk(name, locked=written):
            yield
    except (UserError, CorruptRecord):
        raise
    except ImportError as e:
        raise UserError(f"{name}: {one_line(e)} (pip install 'proclivity[remote]' has them)") from e
    except Exception as e:
        raise UserError(f"{name}: {one_line(e)}") from e
