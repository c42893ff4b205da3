"""Claims: one holder at a time, given up by the dead and by them alone, whatever clocks say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from proclivity import claims as module
from proclivity.claims import Claims
from tasks.errors import UserError

KEY = "0123456789abcdef"

HOLD = """
import sys
from pathlib import Path
from proclivity.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""


class Clock:
    """A monotonic clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is another machine's: locks tell nothing, beats alone do."""
    boots = iter(range(10**9))
    monkeypatch.setattr(module, "_machine", lambda: b"boot %012d\n" % next(boots))


def test_a_claim_is_one_processes_and_dies_with_it(tmp_path: Path, environment: dict[str, str]) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), KEY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdout.readline() == "True\n"
    claims = Claims(tmp_path)
    assert not claims.take(KEY)
    assert claims.take("f" * 16) and claims.take("f" * 16)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert claims.take(KEY)  # at once: its lock is gone
    assert claims.tidy() == 2  # its link and its file
    claims.close()
    assert [path.name for path in tmp_path.iterdir()] == ["holders"]


def test_what_is_given_back_can_be_taken(tmp_path: Path) -> None:
    one, other = Claims(tmp_path), Claims(tmp_path)
    assert one.take(KEY) and not other.take(KEY)
    one.release(KEY)
    assert other.take(KEY) and not one.take(KEY)
    one.release(KEY)  # not his: nothing happens
    assert not one.take(KEY)
    other.close()
    assert one.take(KEY)
    one.close()


def test_of_two_that_saw_one_give_back_one_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one has seen claim 0, which is given back; the quick one makes 0 anew, the slow one 1."""
    first, quick, slow = (Claims(tmp_path) for _ in range(3))
    assert first.take(KEY)
    readlink, symlink = os.readlink, os.symlink

    def given_back(path: Path) -> str:
        monkeypatch.setattr(os, "readlink", readlink)
        first.release(KEY)
        return readlink(path)

    def taken_before(name: str, path: Path) -> None:
        monkeypatch.setattr(os, "symlink", symlink)
        assert quick.take(KEY)
        symlink(name, path)

    monkeypatch.setattr(os, "readlink", given_back)
    monkeypatch.setattr(os, "symlink", taken_before)
    assert not slow.take(KEY)
    quick.release(KEY)
    assert slow.take(KEY)
    for claims in (first, quick, slow):
        claims.close()


@pytest.mark.usefixtures("elsewhere")
def test_a_silent_holder_elsewhere_loses_its_claim_by_the_readers_clock_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    silent, reader = Claims(tmp_path, beat_s=1e9), Claims(tmp_path, clock, lease_s=60)
    assert silent.take(KEY) and not reader.take(KEY)
    # Wall clocks and the times of files may jump as they like.
    monkeypatch.setattr(time, "time", lambda: 1e12)
    os.utime(tmp_path / "holders" / silent.name, (1, 1))
    clock.now = 59
    assert not reader.take(KEY)
    clock.now = 60
    assert reader.take(KEY)
    silent.release(KEY)  # what it has lost it cannot give back
    third = Claims(tmp_path)
    assert not third.take(KEY)
    for claims in (silent, reader, third):
        claims.close()


@pytest.mark.usefixtures("elsewhere")
def test_a_beating_holder_elsewhere_keeps_its_claim(tmp_path: Path) -> None:
    clock = Clock()
    holder, reader = Claims(tmp_path, beat_s=0.01), Claims(tmp_path, clock, lease_s=60)
    assert holder.take(KEY)
    for _ in range(20):
        assert not reader.take(KEY)
        clock.now += 1000
        before = (tmp_path / "holders" / holder.name).read_bytes()
        while (tmp_path / "holders" / holder.name).read_bytes() == before:
            time.sleep(0.001)
    holder.close()
    assert reader.take(KEY)
    reader.close()


@pytest.mark.usefixtures("elsewhere")
def test_a_beating_holder_whose_file_can_only_be_read_keeps_its_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As another user's. Root may write all files, so what opens them refuses."""
    clock = Clock()
    holder, reader = Claims(tmp_path, beat_s=1e9), Claims(tmp_path, clock, lease_s=60)
    assert holder.take(KEY)

    def only_read(path: Path, mode: str = "r", **more: Any) -> Any:
        if "r+" in mode and path.name == holder.name:
            raise PermissionError(13, "Permission denied", str(path))
        return open(path, mode, **more)

    monkeypatch.setattr(module, "open", only_read, raising=False)
    for count in range(5):
        assert not reader.take(KEY)
        clock.now += 59
        holder._beat(count)
    assert not reader.take(KEY)
    clock.now += 60  # now it is silent
    assert reader.take(KEY)
    for claims in (holder, reader):
        claims.close()


@pytest.mark.usefixtures("elsewhere")
def test_of_many_that_see_a_holder_dead_one_takes_over(tmp_path: Path) -> None:
    """Again and again, at once: never two at work on a key whose holder beats."""
    rounds, keys = 20, [f"{n:016x}" for n in range(5)]
    won: list[tuple[int, str]] = []
    clock = Clock()
    for n in range(rounds):
        dead = Claims(tmp_path, beat_s=1e9)
        readers = [Claims(tmp_path, clock, lease_s=60) for _ in range(6)]
        assert all(dead.take(key) for key in keys)
        assert not any(reader.take(key) for reader in readers for key in keys)
        clock.now += 61
        start = threading.Barrier(len(readers))

        def race(reader: Claims, n: int = n, start: threading.Barrier = start) -> None:
            start.wait()
            for key in keys:
                if reader.take(key):
                    won.append((n, key))

        threads = [threading.Thread(target=race, args=(reader,)) for reader in readers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for claims in (dead, *readers):
            claims.close()
    assert Counter(won) == {(n, key): 1 for n in range(rounds) for key in keys}


def test_a_file_system_without_links_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "symlink", no_links)
    with pytest.raises(UserError, match="no symbolic links"):
        Claims(tmp_path / "study" / ".leases").take(KEY)


def test_a_second_runner_is_told_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)
    one, other = Claims(tmp_path), Claims(tmp_path)
    with one.alone():
        waiting = threading.Thread(target=lambda: other.alone().__enter__())
        waiting.start()
        time.sleep(0.3)
        assert waiting.is_alive()
    waiting.join()
    assert capsys.readouterr().err.count("another runner is setting it up") == 1
    other.close()
    one.close()
