"""study sync, study gc: a study's folder, and what is in it besides its study."""

from __future__ import annotations

import shutil
import stat
from argparse import Namespace
from contextlib import closing, nullcontext, suppress
from pathlib import Path

from proclivity.answer import Answer, size, table
from proclivity.disk import full_disk
from proclivity.manifest import read_manifest
from proclivity.plan import note, open_store
from proclivity.remote import sync as copy
from tasks.errors import UserError

_WHAT = {
    "superseded": "records of other sources or data, moved out of the way",
    "corrupt": "records that were damaged, and made again",
    "unfinished": "what killed runners were writing, and checkpoints of jobs that are done",
}


def sync(arguments: Namespace) -> Answer:
    """Copy the records that one place has and another lacks."""
    done = copy(arguments.source, arguments.target)
    for why in done.damaged:
        note(f"not copied: {why}")
    data = {
        "source": arguments.source,
        "target": arguments.target,
        "copied": len(done.copied),
        "damaged": done.damaged,
    }
    text = f"{arguments.target}: {len(done.copied)} records copied from {arguments.source}"
    return Answer(data, text, status=1 if done.damaged else 0)


def gc(arguments: Namespace) -> Answer:
    """Remove what no study needs any more; published records stay, and what a living runner is at."""
    folder = Path(arguments.folder)
    read_manifest(folder)
    for name in (*_WHAT, "partial", "scratch", ".leases"):
        if (folder / name).is_symlink():
            raise UserError(f"{folder / name} is a link: what it leads to is no part of the study")
    store = open_store(folder)
    alone = nullcontext() if arguments.dry_run else store.claims.alone()
    with closing(store.claims), full_disk(folder), alone:
        found = {
            "superseded": _inside(folder / "superseded"),
            "corrupt": _inside(folder / "corrupt"),
            "unfinished": store.leftovers(),
        }
        bytes_ = {name: sum(map(_bytes, paths)) for name, paths in found.items()}
        if not arguments.dry_run:
            for path in (path for paths in found.values() for path in paths):
                _remove(path)
        claims = store.claims.tidy(dry=arguments.dry_run)
    total = sum(bytes_.values())
    rows = [
        {"what": name, "entries": len(paths), "bytes": bytes_[name], "which are": _WHAT[name]}
        for name, paths in found.items()
    ]
    removed = not arguments.dry_run
    data = {"folder": folder, "found": rows, "claims": claims, "bytes": total, "removed": removed}
    shown = table([{**row, "bytes": size(bytes_[str(row["what"])])} for row in rows])
    said = "freed" if removed else "would be freed"
    return Answer(data, f"{shown}\n{folder}: {size(total)} {said}, {claims} claims of the dead")


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _bytes(path: Path) -> int:
    files = [path] if path.is_symlink() or not path.is_dir() else path.rglob("*")
    return sum(map(_size, files))


def _size(path: Path) -> int:
    try:
        found = path.lstat()
    except FileNotFoundError:  # a runner has just removed it itself
        return 0
    return 0 if stat.S_ISDIR(found.st_mode) else found.st_size


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)
