"""study status, sync, gc: what is in a study's folder."""

from __future__ import annotations

import json
import shutil
import stat
from argparse import Namespace
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext, suppress
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from proclivity.answer import Answer, failures, size, table
from proclivity.disk import full_disk
from proclivity.manifest import COMPACT, JOBS, SINGLE, read_manifest
from proclivity.plan import is_reward_model, note, open_store, plan
from proclivity.remote import mirror
from proclivity.remote import sync as copy
from proclivity.store import CorruptRecord, State, Store
from proclivity.strict import Plain
from proclivity.study import study_from
from tasks.errors import UserError

THREADS = 4
"""Threads that look at the jobs of a study side by side."""
_WHAT = {
    "superseded": "records of other sources or data, moved out of the way",
    "corrupt": "records that were damaged, and made again",
    "unfinished": "what killed runners were writing, and checkpoints of jobs that are done",
}


def status(arguments: Namespace) -> Answer:
    """How far a study is, by its list of jobs and its records: nothing is planned."""
    folder = mirror(arguments.folder)
    if (folder / COMPACT).exists():
        raise UserError(
            f"{folder} holds a study's compact records, of runs done elsewhere; analyze reads them"
        )
    definition = read_manifest(folder)["definition"]
    if definition == SINGLE:
        raise UserError(f"{folder} is a folder of single runs and probes: there is no study that they are of")
    keys, judging = _jobs_in(folder, definition)
    store = open_store(folder)
    found = dict(zip(keys, _standings(store, keys), strict=True))
    states = _counted(found.values())
    judges = _counted(found[key] for key in judging if key in found)
    failed = {key: why for key, (state, why) in found.items() if state == "failed"}
    corrupt = [why for state, why in found.values() if state == "todo" and why]
    data = {
        "study": definition["name"],
        "total": len(keys),
        **states,
        "reward_models": judges,
        "failures": failed,
        "corrupt": corrupt,
    }
    text = f"{definition['name']}: {states['done']} done, {states['failed']} failed, {states['todo']} to do"
    if judging:
        text += f"; of {len(judging)} reward models {judges['done']} are done"
    text += "".join(f"\n{line}; it will be run again" for line in corrupt)
    return Answer(data, text + failures(failed, len(keys)))


def _counted(found: Iterable[tuple[State, str]]) -> dict[str, int]:
    states = Counter[str](state for state, _ in found)
    return {state: states[state] for state in get_args(State)}


def _standings(store: Store, keys: Sequence[str]) -> Iterator[tuple[State, str]]:
    """Where each job stands, and why if it failed or its record is damaged; files are read side by side."""

    def look(part: Sequence[str]) -> list[tuple[State, str]]:
        return [_standing(store, key) for key in part]

    many = -(-len(keys) // THREADS) or 1
    parts = [keys[i : i + many] for i in range(0, len(keys), many)]
    with ThreadPoolExecutor(THREADS) as threads:
        yield from chain.from_iterable(threads.map(look, parts))


def _standing(store: Store, key: str) -> tuple[State, str]:
    try:
        state = store.state(key)
        return state, store.failure(key) if state == "failed" else ""
    except CorruptRecord as e:
        return "todo", str(e)


def _jobs_in(folder: Path, definition: dict[str, Any]) -> tuple[list[str], set[str]]:
    """The keys of a folder's jobs as the last command on it had them, and those that train reward models."""
    try:
        told = json.loads((folder / JOBS).read_text(encoding="utf-8"))
        return list(told["jobs"]), set(told["reward_models"])
    except (OSError, ValueError, KeyError, TypeError):  # of an earlier version, or damaged: worked out again
        name = str(folder / "study.json")
        todo = plan(study_from(definition, name), Plain(name, definition))
        return [j.key for j in todo.jobs], {j.key for j in todo.jobs if is_reward_model(j.config)}


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
