"""Writing files so that a power cut leaves them whole and a full disk is told in one line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCKED = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def full_disk(folder: Path | str, *, locked: bool = True) -> Iterator[None]:
    """Say in one line that the disk, or what the user may write of it, is full, or may not be written.

    Without `locked` a lack of permission is not spoken of: it may be one to read.
    """
    try:
        yield
    except OSError as e:
        why = os.strerror(e.errno).lower() if e.errno else ""
        if e.errno in _FULL:
            raise UserError(
                f"{folder}: {why}; nothing finished is lost, free some space and give the same command again"
            ) from e
        if locked and e.errno in _LOCKED:
            raise UserError(
                f"{folder}: cannot be written ({why}); nothing finished is lost, mend its permissions or "
                "choose another --out"
            ) from e
        raise


def write_json(path: Path, value: object) -> None:
    """Write a value so that it survives a power cut once the folder's names do."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def replace_json(path: Path, value: object) -> None:
    """Put a value in a file's place, whole or not at all."""
    partial = path.with_name(f".{path.name}")
    write_json(partial, value)
    os.replace(partial, path)


def replace_bytes(path: Path, content: bytes) -> None:
    """Put what was read elsewhere in a file's place, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
