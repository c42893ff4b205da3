"""Digests of what a store published, beside it: a bit that flips on a disk or in a copy is seen, not read.

The file is what `sha256sum --check SHA256SUMS` reads.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

SUMS = "SHA256SUMS"


def write_sums(folder: Path) -> None:
    """Write the digests of all files in a folder and below it."""
    partial = folder / f".{SUMS}.{os.getpid()}"  # beside what is published, too: never half a list
    try:
        with open(partial, "w", encoding="utf-8") as file:
            for path in digested(folder):
                file.write(f"{file_digest(path)}  {path.relative_to(folder).as_posix()}\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, folder / SUMS)
    finally:
        partial.unlink(missing_ok=True)


def digested(folder: Path) -> list[Path]:
    """The files of a folder, and below it, that have a digest: all but the list itself."""
    lists = (SUMS, f".{SUMS}")
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(lists))


def read_sums(folder: Path) -> dict[str, str]:
    """Digests by the names of files; empty for a folder published before there were any.

    ValueError when the file is damaged itself.
    """
    try:
        lines = (folder / SUMS).read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as e:
        raise ValueError(f"{SUMS} cannot be read ({e})") from e
    found = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    if not found or any(len(digest) != 64 or not name for name, digest in found.items()):
        raise ValueError(f"{SUMS} is no list of digests")
    return found


def differs(path: Path, content: bytes | None = None) -> str:
    """What tells a file from the one that was published, or ""; `content` is what was read of it."""
    digest = file_digest(path) if content is None else hashlib.sha256(content).hexdigest()
    told = read_sums(path.parent).get(path.name)
    return f"its digest differs from {SUMS}" if told and told != digest else ""


def damage(folder: Path, *, weights: bool = False) -> str:
    """What is wrong with a published folder's files, by their digests, or "".

    Folders in it hold weights, which are read only when asked for.
    """
    try:
        for name, digest in read_sums(folder).items():
            if ("/" not in name or weights) and file_digest(folder / name) != digest:
                return f"has another {name} than was published: its digest differs from {SUMS}"
    except FileNotFoundError as e:
        return f"has lost {Path(e.filename).name}"
    except (ValueError, OSError) as e:
        return str(e)
    return ""


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
