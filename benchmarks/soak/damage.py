"""Records that are damaged, disks that are full or read-only, clocks that jump."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

from benchmarks.soak.campaign import FULL_SIZE, Campaign
from benchmarks.soak.field import ENDS_S, Field, contents

NOBODY = 65534
FULL = r"(?m)^proclivity: error: .*(no space left on device|file too large|quota).*nothing finished is lost"
READ_ONLY = r"(?m)^proclivity: error: .*(cannot be written|Read-only file system|Permission denied)"
SET_ASIDE = r"proclivity: note: .*runs/KEY.*moved to .*corrupt/.*to be run again"
DAY = 86_400


def records(campaign: Campaign) -> None:
    """Truncated files, files with a flipped bit and lost files in finished records."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    found = campaign.field(study)
    wrong = found.finish(undisturbed)
    damages: dict[str, Callable[[random.Random, Path], None]] = {
        "truncated": _truncate,
        "a bit flipped": _flip,
        "lost": lambda rng, path: path.unlink(),
    }
    kinds = list(product(("record.json", "log.parquet", "model.safetensors"), damages))
    for name, what in 2 * kinds if campaign.kills >= FULL_SIZE else campaign.rng.sample(kinds, 2):
        path = campaign.rng.choice(sorted((found.folder / "runs").rglob(name)))
        key = path.relative_to(found.folder / "runs").parts[0]
        found.forget(key)
        damages[what](campaign.rng, path)
        wrong = found.ended(found.run(), 0, SET_ASIDE.replace("KEY", key))
        found.spoilt.clear()
        wrong += found.finish(undisturbed)
        campaign.told(f"{name} {what}", "told, moved to corrupt/ and done again", wrong)
    campaign.close(found, wrong)


def _truncate(rng: random.Random, path: Path) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _flip(rng: random.Random, path: Path) -> None:
    value = bytearray(path.read_bytes())
    value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
    path.write_bytes(value)


def full_disk(campaign: Campaign) -> None:
    """A file system of some hundred kilobytes that is full in the middle, and larger afterwards."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    for _ in range(6):
        found = campaign.field(study)
        by = campaign.rng.choice(["size", "nr_inodes"])
        size = f"size={4 * campaign.rng.randrange(15, 170)}k" if by == "size" else "nr_inodes="
        size += "" if by == "size" else str(campaign.rng.randrange(15, 250))
        with _mounted(found.folder, "-t", "tmpfs", "-o", size, "tmpfs") as mounted:
            if not mounted:
                break
            wrong = found.ended(found.run(), 2, FULL)
            _call("mount", "-o", "remount,size=64m,nr_inodes=9999", str(found.folder))
            wrong += found.finish(undisturbed)
        campaign.told("full disk", "no space" if by == "size" else "no inodes", wrong)
        campaign.close(found, wrong)
    for _ in range(4):
        found = campaign.field(study)
        own = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (campaign.rng.randrange(400, 3000), own[1]))
        try:
            command = found.run()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, own)
        wrong = found.ended(command, 2, FULL) + found.finish(undisturbed)
        campaign.told("full disk", "a limit of the size of files", wrong)
        campaign.close(found, wrong)


def read_only(campaign: Campaign) -> None:
    """A half-finished store that can be read and not written: mounted so, or another user's.

    Permissions do not bind root: the commands are without that power.
    """
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    found = campaign.field(study)
    half = found.run()
    while half.running() and len(contents(found.folder)) < 20:
        time.sleep(0.05)
    half.kill()
    half.orphans(ENDS_S)
    wrong = found.look()
    if os.getuid() == 0:
        with _mounted(found.folder, "--bind", str(found.folder), read_only=True) as mounted:
            if mounted:
                wrong += _refused(found)
                campaign.told("read-only store", "mounted so: run refused, status told", wrong)
        for path in (found.folder, *found.folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        wrong = _refused(found, weak=True)
        campaign.told("read-only store", "of another user: run refused, status told", wrong)
        for path in (found.folder, *found.folder.rglob("*")):
            os.chown(path, 0, 0, follow_symlinks=False)
    wrong = found.finish(undisturbed)
    campaign.told("read-only store: to the end", "all jobs done once it can be written", wrong)
    campaign.close(found, wrong)


def _refused(found: Field, *, weak: bool = False) -> list[str]:
    run = found.ended(found.run(weak=weak), 2, READ_ONLY)
    return run + found.ended(found.command("study", "status", str(found.folder), weak=weak), 0, r"\d+ done")


def clocks(campaign: Campaign) -> None:
    """Wall clocks that jump by up to a day, and times of files, under two runners, one of them killed."""
    study = campaign.study()
    undisturbed = campaign.undisturbed(study)
    for n in range(4):
        found = campaign.field(study)
        over = threading.Event()
        jumps = threading.Thread(target=_move_times, args=(found, random.Random(campaign.rng.random()), over))
        jumps.start()
        both = [found.run(workers=1, SOAK_CLOCK=str(campaign.rng.random())) for _ in range(2)]
        wrong: list[str] = []
        if n % 2:
            time.sleep(campaign.rng.uniform(1.2, 3.0))
            both[0].kill()
            wrong += found.look() + [f"left running: {told}" for told in both[0].orphans(ENDS_S)]
        else:
            wrong += found.ended(both[0], 0)
        wrong += found.ended(both[1], 0)
        over.set()
        jumps.join()
        wrong += found.finish(undisturbed)
        campaign.told("clocks jump", "two runners, one killed" if n % 2 else "two runners", wrong)
        campaign.close(found, wrong)


def _move_times(found: Field, rng: random.Random, over: threading.Event) -> None:
    while not over.wait(0.1):
        now = time.time() + rng.uniform(-DAY, DAY)
        for path in (found.folder, *found.folder.glob(".*"), *found.folder.glob(".*/*")):
            with suppress(OSError):
                os.utime(path, (now, now))


def _call(*arguments: str) -> bool:
    return subprocess.run(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def _mounted(folder: Path, *options: str, read_only: bool = False) -> Iterator[bool]:
    """Whether something could be mounted on a folder, which takes root and is not allowed everywhere."""
    folder.mkdir(exist_ok=True)
    mounted = os.getuid() == 0 and _call("mount", *options, str(folder))
    if mounted and read_only:
        _call("mount", "-o", "remount,bind,ro", str(folder))
    try:
        yield mounted
    finally:
        if mounted:
            _call("umount", str(folder))
