"""study.json: what a folder is a study of, written before its first run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from proclivity.disk import full_disk, replace_json
from tasks.errors import UserError

LIBRARIES = ("proclivity", "torch", "transformers", "datasets", "numpy", "scipy", "scikit-learn", "trl")

SINGLE = {
    "name": "single",
    "paper": "",
    "question": "runs and probes made one by one",
    "scale": "",
    "primary": {},
}
"""What the manifest of a folder of single records says it is a study of."""
COMPACT = "runs.parquet"
"""The file by which a folder of compact records is told from a store."""
JOBS = "jobs.json"
"""The file that names the jobs of a folder's study, so that none has to be planned to see how far it is."""


def versions() -> str:
    """Python and the installed libraries that can move a result, in one string."""
    found = [f"python {platform.python_version()}"]
    for name in LIBRARIES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def describe(definition: Mapping[str, Any], command: str) -> dict[str, Any]:
    """The manifest of a study: its definition, and the hash of its primary test."""
    from analysis.primary import digest, signed
    from analysis.schema import SCHEMA

    return {
        "name": definition["name"],
        "paper": definition["paper"],
        "scale": definition["scale"],
        "schema": SCHEMA,
        **signed(definition["primary"]),
        "definition": definition,
        "definition_hash": digest(definition),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "versions": versions(),
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Make a folder the study's, or see that it already is; a folder of something else is refused.

    The caller holds the folder's lock.
    """
    path = folder / "study.json"
    if path.exists():
        found = read_manifest(folder)
        if found.get("definition_hash") != manifest["definition_hash"]:
            where = difference(found.get("definition"), manifest["definition"])
            raise UserError(f"{folder} holds another study: {where}; choose another --out")
        return
    with full_disk(folder):
        replace_json(path, manifest)


def make_folder(folder: Path) -> None:
    """Create a study folder; one that holds other things is refused."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder")
    if (folder / COMPACT).exists():
        raise UserError(
            f"{folder} holds a study's compact records, which cannot be gone on with; choose another --out"
        )
    if folder.is_dir() and not (folder / "study.json").exists():
        others = [entry.name for entry in folder.iterdir() if not _own(entry.name)]
        if others:
            raise UserError(f"{folder} is no study folder (it holds {sorted(others)[0]}, and no study.json)")
    try:
        with full_disk(folder):
            (folder / ".leases").mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"{folder}: cannot be made ({e.strerror})") from e


_OWN = {
    JOBS,
    "runs",
    "partial",
    "scratch",
    "corrupt",
    "superseded",
    "figures",
    "learnability.csv",
    "report.html",
}


def _own(name: str) -> bool:
    """Whether a study folder holds such an entry, also one whose damaged study.json was moved away."""
    return name in _OWN or name.startswith((".", "study.json", "claims"))


def read_manifest(folder: Path) -> dict[str, Any]:
    """study.json of a study folder."""
    try:
        manifest = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} is not a study: it has no study.json") from None
    except ValueError as e:
        raise UserError(
            f"{folder / 'study.json'} is not JSON ({e}); move it away and run the study again"
        ) from e
    if not isinstance(manifest, dict) or not isinstance(manifest.get("definition"), dict):
        raise UserError(f"{folder / 'study.json'} holds no definition of a study")
    return manifest


def difference(old: object, new: object, where: str = "") -> str:
    """The first place where two definitions differ: "arms.main.seeds is [0] there, [0, 1] here"."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                return difference(old.get(name), new.get(name), f"{where}.{name}".lstrip("."))
    return f"{where or 'its definition'} is {_short(old)} there, {_short(new)} here"


def _short(value: object) -> str:
    text = "absent" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
