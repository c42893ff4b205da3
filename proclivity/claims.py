"""Which jobs this process is at work on, so that two runners on one folder share the work."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.errors import UserError

_TAKEN = (errno.EACCES, errno.EAGAIN)
_MANIFEST = "0"


class Claims:
    """One locked byte a key, all in one file that is never removed.

    A record lock rather than a file holding a process id: the kernel drops it the moment its holder dies,
    however it dies, so no claim is ever stale and none has to be taken over. The locks belong to the process:
    only one Claims may be open on a file in a process, and its worker processes hold none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[bytes] | None = None

    def take(self, key: str) -> bool:
        """Claim a key (hexadecimal); False when another process has it."""
        if self._file is None:
            self._file = open(self.path, "ab")  # noqa: SIM115 (open as long as a claim is held)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
        except OSError as e:
            if e.errno in _TAKEN:
                return False
            raise UserError(
                f"{self.path.parent}: its file system has no locks ({e.strerror}); use another"
            ) from e
        return True

    def release(self, key: str) -> None:
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _offset(key))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the one lock that guards the folder's manifest."""
        while not self.take(_MANIFEST):
            time.sleep(0.02)
        try:
            yield
        finally:
            self.release(_MANIFEST)

    def close(self) -> None:
        """Give all claims back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _offset(key: str) -> int:
    # File offsets have 63 bits, keys 64.
    return int(key, 16) >> 2
