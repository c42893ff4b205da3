"""Which jobs this process is at work on, so that runners on one folder, on any host, share the work."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from proclivity.disk import full_disk
from tasks.errors import UserError

BEAT_S = 5.0
LEASE_S = 60.0
"""A holder that has not beaten for so many seconds of a reader's own clock has lost its claims."""
_PATIENCE_S = 2.0


class Claims:
    """Leases, as names in a folder.

    A claim is a symbolic link that points to its holder's name: made whole or not at all, and by one alone,
    on network file systems too. Its own name is a number, in a folder named by the key; the highest counts,
    and who takes over from the dead makes the next, so that of many who see a holder dead one follows. A
    holder has a file of its own in `holders/` and rewrites it every BEAT_S. A reader that sees it unchanged
    for LEASE_S by its own monotonic clock takes its claims over: no two clocks are compared, and no time that
    a file system tells. On the holder's machine its death is seen at once: its file is locked, and the kernel
    drops the lock however it dies.

    A holder that was only asleep may so come back to a claim that is another's. At worst work is done twice:
    what it publishes is refused when it comes second.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        *,
        beat_s: float = BEAT_S,
        lease_s: float = LEASE_S,
    ) -> None:
        self.folder = folder
        self.name = uuid.uuid4().hex
        """This holder's."""
        self._clock, self._beat_s, self._lease_s = clock, beat_s, lease_s
        self._file: IO[bytes] | None = None
        self._beats = threading.RLock()
        self._stop = threading.Event()
        self._held: dict[str, Path] = {}
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        """What a holder's file held, and since when by this clock."""

    def take(self, key: str) -> bool:
        """Claim a key; False when another has it."""
        if key in self._held:
            return True
        self.begin()
        with _links(self.folder):
            folder = self.folder / key
            try:
                folder.mkdir(exist_ok=True)
                numbers = sorted(int(name) for name in os.listdir(folder) if name.isdigit())
                if numbers and not self._free(folder / str(numbers[-1])):
                    return False
                link = folder / str(numbers[-1] + 1 if numbers else 0)
                os.symlink(self.name, link)
                # One that is given back between the look and the link leaves an empty folder, in which
                # another may begin at 0.
                others = [name for name in os.listdir(folder) if name.isdigit() and name != link.name]
                if not all(self._free(folder / name) for name in others):
                    link.unlink()
                    return False
            except (FileExistsError, FileNotFoundError):
                # Another was quicker, or has just given the claim back and taken the folder away.
                if not self.folder.is_dir():
                    raise UserError(f"{self.folder.parent}: removed while in use") from None
                return False
            self._held[key] = link
            return True

    def release(self, key: str) -> None:
        """Give a claim back."""
        link = self._held.pop(key, None)
        if link is not None:
            link.unlink(missing_ok=True)
            with suppress(OSError):  # claims of the dead, or of who took over, are in it
                link.parent.rmdir()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the one claim that guards the folder's manifest."""
        asked, told = time.monotonic(), False
        while not self.take("manifest"):
            if not told and time.monotonic() - asked > _PATIENCE_S:
                told = True
                print(
                    f"proclivity: note: {self.folder.parent}: another runner is setting it up; waiting for "
                    f"it until it has been silent for {self._lease_s:.0f} s",
                    file=sys.stderr,
                )
            time.sleep(0.02)
        try:
            yield
        finally:
            self.release("manifest")

    def dead(self, holder: str) -> bool:
        """Whether a holder's claims may be taken over."""
        if holder == self.name:
            return False
        text: bytes | None = None
        try:
            with _opened(self.folder / "holders" / holder) as file:
                text = file.read()
                # The lock of a file that is this machine's tells; that of another's may not reach it.
                if text.startswith(_machine()) and _lock(file):
                    return True
        except FileNotFoundError:
            return True  # it is there before the first claim and goes after the last
        except OSError:
            pass  # not to be read just now: no sign of life
        now = self._clock()
        if holder not in self._seen or self._seen[holder][0] != text:
            self._seen[holder] = (text, now)
        return now - self._seen[holder][1] >= self._lease_s

    def tidy(self, *, dry: bool = False) -> int:
        """Remove the claims of the dead and their files, once no other holder lives; how many files."""
        holders = self.folder / "holders"
        others = [path for path in holders.iterdir() if path.name != self.name] if holders.is_dir() else []
        if not others or not all(self.dead(path.name) for path in others):
            return 0
        mine = set(self._held.values())
        links = [path for path in self.folder.glob("*/*") if path.parent != holders and path not in mine]
        for path in () if dry else (*links, *others):
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()
        return len(links) + len(others)

    def close(self) -> None:
        """Give all claims back."""
        for key in list(self._held):
            self.release(key)
        self._stop.set()
        with self._beats:  # no beat is on its way to a file's number that is another's next
            if self._file is not None:
                (self.folder / "holders" / self.name).unlink(missing_ok=True)
                self._file.close()
                self._file = None

    def begin(self) -> None:
        """Show that this holder lives, from now on."""
        with self._beats:
            if self._file is not None:
                return
            holders = self.folder / "holders"
            with full_disk(self.folder.parent):
                holders.mkdir(parents=True, exist_ok=True)
                self._file = open(holders / self.name, "w+b", buffering=0)  # noqa: SIM115 (open until close)
                _lock(self._file)  # before it says whose machine it is of, by which others trust the lock
                self._beat(0)
            self._stop = threading.Event()
            threading.Thread(target=self._beating, args=(self._stop,), daemon=True).start()

    def _beat(self, count: int) -> None:
        with self._beats:
            if self._file is not None:
                os.pwrite(self._file.fileno(), _machine() + b"%020d" % count, 0)
                os.fsync(self._file.fileno())

    def _beating(self, stop: threading.Event) -> None:
        count = 0
        while not stop.wait(self._beat_s):
            count += 1
            try:
                self._beat(count)
            except OSError:
                continue  # a disk that is full for now

    def _free(self, link: Path) -> bool:
        """Whether a claim is nobody's who lives."""
        try:
            return self.dead(os.readlink(link))
        except FileNotFoundError:
            return True


def _opened(path: Path) -> IO[bytes]:
    """A holder's file: as a lock asks for it, or, where it is another user's, to be read."""
    try:
        return open(path, "r+b")
    except FileNotFoundError:
        raise
    except OSError:
        return open(path, "rb")


def _lock(file: IO[bytes]) -> bool:
    """Lock a file for as long as it is open; False when another has it, or there are no locks here."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _machine() -> bytes:
    """What tells this machine, as it runs now, from all others."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return socket.gethostname().encode() + b"\n"


@contextmanager
def _links(folder: Path) -> Iterator[None]:
    """Say in one line what a folder lacks for claims."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.EPERM, errno.ENOSYS, errno.ENOTSUP):
            raise UserError(
                f"{folder.parent}: its file system has no symbolic links, which claims need; use another"
            ) from e
        with full_disk(folder.parent):
            raise
