"""Studies in object stores: what is copied is whole, nothing there is replaced, it reads like a folder."""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from proclivity import remote
from proclivity.remote import sent_to, sync
from proclivity.store import Store
from tasks.errors import UserError

Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]
URL = "memory://bucket/study"


@pytest.fixture
def bucket() -> Iterator[Any]:
    """fsspec's file system in memory, empty."""
    fs = fsspec.filesystem("memory")
    yield fs
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]


@pytest.fixture
def done(call: Call, write_study: Write, tmp_path: Path) -> Path:
    """A study that is done."""
    out = tmp_path / "done"
    status, _, err = call("study", "run", write_study(), "--out", str(out), "--workers", "0")
    assert status == 0, err
    return out


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is published in a study folder."""
    paths = [path for path in (folder / "runs").rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_there_and_back_is_the_same_study(bucket: Any, done: Path, tmp_path: Path, call: Call) -> None:
    status, text, _ = call("study", "sync", str(done), URL)
    assert status == 0 and "15 records copied" in text
    assert sync(str(done), URL).copied == []  # nothing is sent twice
    back = tmp_path / "back"
    assert len(sync(URL, str(back)).copied) == 15 and files(back) == files(done)
    status, text, _ = call("study", "status", str(back))
    assert status == 0 and "15 done, 0 failed, 0 to do" in text


def test_a_url_is_read_like_a_folder(
    bucket: Any, done: Path, call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROCLIVITY_CACHE", str(tmp_path / "cache"))
    sync(str(done), URL)
    here = json.loads(call("analyze", str(done), "--json")[1])[str(done)]
    there = json.loads(call("analyze", URL, "--json")[1])[URL]
    assert here == there and there
    status, _, err = call("report", URL)
    assert status == 2 and "--out is needed" in err and err.count("\n") == 1
    status, _, err = call("report", URL, "--out", str(tmp_path / "page.html"))
    assert status == 0 and (tmp_path / "page.html").exists(), err


def test_what_is_half_sent_is_not_there(bucket: Any, done: Path, tmp_path: Path) -> None:
    sync(str(done), URL)
    victim = sorted((done / "runs").iterdir())[3].name
    bucket.rm(f"/bucket/study/runs/{victim}/SHA256SUMS")  # digests come last
    back = tmp_path / "back"
    assert victim not in sync(URL, str(back)).copied
    assert sync(str(done), URL).copied == [victim] and sync(URL, str(back)).copied == [victim]


def test_damage_on_either_side_is_named_and_not_copied(bucket: Any, done: Path, tmp_path: Path) -> None:
    sync(str(done), URL)
    one, two = (path.name for path in sorted((done / "runs").iterdir())[:2])
    content = bytearray(bucket.cat_file(f"/bucket/study/runs/{one}/record.json"))
    content[40] ^= 1
    bucket.pipe_file(f"/bucket/study/runs/{one}/record.json", bytes(content))
    back = tmp_path / "back"
    copied = sync(URL, str(back))
    assert len(copied.copied) == 14 and len(copied.damaged) == 1 and one in copied.damaged[0]
    assert not (back / "runs" / one).exists() and list((back / "partial").iterdir()) == []
    path = back / "runs" / two / "record.json"
    path.write_bytes(path.read_bytes()[:-9])
    copied = sync(str(back), "memory://bucket/other")
    assert len(copied.copied) == 13 and two in copied.damaged[0]


def test_nothing_there_is_replaced(bucket: Any, done: Path, tmp_path: Path) -> None:
    """Two stores that both did a job keep their own record of it; a failure gives way to a success."""
    sync(str(done), URL)
    before = dict(bucket.store)
    other = tmp_path / "other"
    sync(URL, str(other))
    key, failed = (path.name for path in sorted((other / "runs").iterdir())[:2])
    mine = Store(other)
    for name in (key, failed):
        (record,) = (mine.read(name) or [])[:1]
        (other / "runs" / name).rename(other / name)
        mine.publish(name, [{**record, "wall_s": 1e6}]) if name == key else mine.publish_failed(
            name, {**record, "status": "failed", "error": "it failed here"}
        )
    assert sync(str(other), URL).copied == []
    assert {k: v.getvalue() for k, v in bucket.store.items()} == {k: v.getvalue() for k, v in before.items()}
    assert sync(URL, str(other)).copied == [failed]
    assert mine.state(failed) == "done" and not (other / "runs" / f"{failed}.failed").exists()
    (record,) = (mine.read(key) or [])[:1]
    assert record["wall_s"] == 1e6


def test_a_second_sender_that_dies_half_way_spoils_nothing(
    bucket: Any, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It looked before the first had sent what it did itself too, with another record."""
    sync(str(done), URL)
    before = {name: file.getvalue() for name, file in bucket.store.items()}
    other = tmp_path / "other"
    sync(URL, str(other))
    for path in sorted((other / "runs").iterdir())[:3]:
        (record,) = (Store(other).read(path.name) or [])[:1]
        path.rename(other / path.name)
        Store(other).publish(path.name, [{**record, "wall_s": 1e6}])
    really = bucket.put_file

    def dies(near: str, far: str, **_: Any) -> None:
        really(near, far)
        raise ConnectionError("the network is down")

    monkeypatch.setattr(bucket, "put_file", dies)
    sync(str(other), URL, sent={"f" * 16})
    assert {name: file.getvalue() for name, file in bucket.store.items()} == before
    assert len(sync(URL, str(tmp_path / "back")).copied) == 15


def test_whose_fault_it_is_is_told_apart(
    bucket: Any, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may not be read is not said to be unwritable; a full disk is the one that is written to."""

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "record.json")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def says(source: str, target: str) -> str:
        with pytest.raises(UserError) as told:
            sync(source, target)
        assert "\n" not in str(told.value)
        return str(told.value)

    here, back = str(done), str(tmp_path / "back")
    with monkeypatch.context() as patch:
        patch.setattr(Store, "damage", denied)
        assert says(here, URL) == f"{here}: record.json: Permission denied"
    with monkeypatch.context() as patch:
        patch.setattr(bucket, "put_file", denied)
        assert says(here, URL).startswith(f"{URL}: cannot be written")
    sync(here, URL)
    with monkeypatch.context() as patch:
        patch.setattr(bucket, "get_file", denied)
        assert says(URL, back) == f"{URL}: record.json: Permission denied"
        patch.setattr(bucket, "get_file", full)
        assert says(URL, back).startswith(f"{back}: no space left on device")


def test_a_copy_is_a_study_all_at_once(
    bucket: Any, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader beside it never sees half of study.json."""
    sync(str(done), URL)
    back, replace = tmp_path / "back", os.replace
    seen = []

    def look(near: Path, to: Path) -> None:
        seen.append((Path(to).name, Path(to).exists(), Path(near).read_bytes()))
        replace(near, to)

    monkeypatch.setattr(os, "replace", look)
    sync(URL, str(back))
    assert ("study.json", False, (done / "study.json").read_bytes()) in seen
    assert (back / "study.json").read_bytes() == (done / "study.json").read_bytes()
    assert not list(back.glob(".study*"))


def test_a_folder_near_by_is_listed_and_not_walked(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {path.name for path in (done / "runs").iterdir()}
    for name in ("not a key", "e" * 16, "f" * 16):
        (done / "runs" / name).mkdir()
    (done / "runs" / min(names) / "SHA256SUMS").unlink()  # of an earlier version
    place = remote.place(str(done))
    monkeypatch.setattr(type(place.fs), "find", None)
    assert place.complete() == names
    assert place.complete({"f" * 16, "d" * 16}) == names | {"f" * 16}  # as it is known, it is not looked into


def test_what_sends_outlives_whatever_happens(
    bucket: Any,
    done: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    really, told = remote.sync, []

    def fails_first(*arguments: Any, **more: Any) -> Any:
        told.append(arguments)
        if len(told) == 2:
            raise RuntimeError("some library\nbroke")
        return really(*arguments, **more)

    sync(str(done), URL)
    monkeypatch.setattr(remote, "sync", fails_first)
    victim = min(path.name for path in (done / "runs").iterdir())
    bucket.rm(f"/bucket/study/runs/{victim}", recursive=True)
    with sent_to(URL, tmp_path, every_s=0.01) as folder:
        (done / "runs" / victim).rename(folder / "runs" / victim)
        limit = time.monotonic() + 20
        while not bucket.exists(f"/bucket/study/runs/{victim}/SHA256SUMS"):
            assert time.monotonic() < limit, "it is dead"
    assert "RuntimeError: some library broke" in capsys.readouterr().err


def test_a_run_is_sent_while_it_goes_on_and_at_its_end(
    bucket: Any, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {path.name for path in (done / "runs").iterdir()}
    victim = min(names)
    sync(str(done), URL)
    bucket.rm(f"/bucket/study/runs/{victim}", recursive=True)
    with sent_to(URL, tmp_path, every_s=0.01) as folder:
        assert {path.name for path in (folder / "runs").iterdir()} == names - {victim}
        (done / "runs" / victim).rename(folder / "runs" / victim)
        while not bucket.exists(f"/bucket/study/runs/{victim}/SHA256SUMS"):
            pass
        (folder / "runs" / max(names)).rename(tmp_path / "late")
        bucket.rm(f"/bucket/study/runs/{max(names)}", recursive=True)
    with sent_to(URL, tmp_path, every_s=1e9) as again:
        assert again == folder  # which stays, for the same command to go on
        (tmp_path / "late").rename(folder / "runs" / max(names))
    assert bucket.exists(f"/bucket/study/runs/{max(names)}/SHA256SUMS")

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("the network is down")

    says = r"network is down.*; nothing is lost.*study sync"
    with pytest.raises(UserError, match=says), sent_to(URL, tmp_path):
        monkeypatch.setattr(remote.Place, "complete", broken)


def test_shards_write_to_a_url_and_each_begins_with_what_is_there(
    bucket: Any, call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("study", "run", write_study(), "--out", URL, "--workers", "0")
    status, _, err = call(*command)
    assert status == 2 and "--shard 1/1" in err and err.count("\n") == 1
    ran = []
    for host, shard in (("one", "1/2"), ("two", "2/2"), ("one", "2/2"), ("three", "1/1")):
        (tmp_path / host).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / host)
        status, text, err = call(*command, "--shard", shard, "--json")
        assert status == 0, err
        ran.append(json.loads(text)["ran"])
    assert ran[0] + ran[1] == 15 and min(ran[:2]) > 0 and ran[2:] == [0, 0]
    assert len(remote.place(URL).complete()) == 15


def test_wrong_places_are_told_in_one_line(bucket: Any, done: Path, call: Call, write_study: Write) -> None:
    sync(str(done), URL)
    other = done.with_name("elsewhere")
    call("study", "run", write_study(pairs={"draw": 2, "seed": 1, "from": "symbolic"}), "--out", str(other))
    for source, target, says in [
        (str(done.parent / "nothing"), URL, "is not a study"),
        ("memory://bucket/nothing", str(done), "is not a study"),
        (str(done), "nosuch://bucket/study", "nosuch"),
        (URL, "memory://other", "one of the two must be a folder"),
        (str(other), URL, "holds another study"),
    ]:
        status, _, err = call("study", "sync", source, target)
        assert status == 2 and says in err and err.count("\n") == 1, err


def test_gc_takes_files_and_what_vanishes_and_a_dry_run_writes_nothing(
    call: Call, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = min(path.name for path in (done / "runs").iterdir())
    (done / "corrupt").mkdir()
    (done / "corrupt" / f"{key}-1").write_text("x" * 1000)  # in place of a record's folder
    gone = done / "superseded" / f"{key}-1"
    gone.mkdir(parents=True)
    (gone / "record.json").write_text("x")

    def everything() -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in (done, *done.rglob("*"))}

    before = everything()
    status, text, _ = call("study", "gc", str(done), "--dry-run", "--json")
    assert status == 0 and json.loads(text)["bytes"] == 1001 and everything() == before
    really = os.lstat

    def vanishes(path: Path) -> os.stat_result:
        if gone.exists():
            shutil.rmtree(gone)  # as by a runner, between two looks
        return really(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", vanishes)
        status, text, err = call("study", "gc", str(done), "--json")
    assert status == 0 and not list((done / "corrupt").iterdir()) and not gone.exists(), err


def test_gc_frees_what_no_study_needs(call: Call, done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = files(done)
    keys = [path.name for path in sorted((done / "runs").iterdir())]
    for name in (f"superseded/{keys[0]}-1", f"corrupt/{keys[1]}-1", f"partial/{keys[2]}.{'0' * 32}"):
        (done / name).mkdir(parents=True)
        (done / name / "record.json").write_text("x" * 1000)
    (done / "scratch" / keys[3]).mkdir(parents=True)  # of a job that is done
    (done / "scratch" / ("f" * 16)).mkdir()  # of one that is not
    status, text, _ = call("study", "gc", str(done), "--dry-run")
    assert status == 0 and "would be freed" in text and (done / "superseded" / f"{keys[0]}-1").exists()
    status, text, _ = call("study", "gc", str(done), "--json")
    told = json.loads(text)
    assert told["bytes"] == 3000 and [row["entries"] for row in told["found"]] == [1, 1, 2]
    assert not list((done / "superseded").iterdir()) and not list((done / "partial").iterdir())
    assert [path.name for path in (done / "scratch").iterdir()] == ["f" * 16] and files(done) == kept
    status, _, err = call("study", "gc", str(done.parent))
    assert status == 2 and "is not a study" in err
