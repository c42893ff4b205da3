"""The store: whole records or none, one a key, whatever happens to the writer."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import sums
from proclivity.store import CorruptRecord, Store, job_key
from tasks.errors import UserError

KEY = "0123456789abcdef"
RECORD = {"key": KEY, "kind": "run", "U": 0.25}


def must_have_use(record: Any) -> None:
    if "U" not in record:
        raise ValueError("missing columns U")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, must_have_use)


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
configs = st.dictionaries(st.text(), plain_values, max_size=5)


@given(config=configs, study=st.text(), arm=st.text(), field=st.text(), fingerprint=st.text())
def test_key_is_that_of_all_that_can_change_the_result(
    config: dict[str, Any], study: str, arm: str, field: str, fingerprint: str
) -> None:
    key = job_key(config, {"source": "a"})
    shuffled = dict(reversed(list(config.items())))
    if not {"study", "arm"} & set(config):
        assert job_key({**shuffled, "study": study, "arm": arm}, {"source": "a"}) == key
    if field not in {"study", "arm"}:
        assert job_key({**config, field: ["something new"]}, {"source": "a"}) != key
    assert (job_key(config, {"source": fingerprint}) == key) == (fingerprint == "a")
    assert len(key) == 16 and int(key, 16) >= 0


def test_what_is_published_is_read_back_and_never_replaced(store: Store) -> None:
    assert store.state(KEY) == "todo"
    assert store.publish(KEY, [RECORD], log=[{"step": 1}])
    assert not store.publish(KEY, [{**RECORD, "U": 0.75}])
    assert store.read(KEY) == [RECORD]
    assert store.state(KEY) == "done"
    assert sorted(path.name for path in (store.runs / KEY).iterdir()) == [
        "SHA256SUMS",
        "log.parquet",
        "record.json",
    ]
    assert list((store.folder / "partial").iterdir()) == []


def test_a_finished_job_has_no_failed_record(store: Store) -> None:
    for reason in ("one", "two"):
        store.publish_failed(KEY, {**RECORD, "error": reason})
        assert (store.state(KEY), store.failure(KEY)) == ("failed", reason)
    store.publish(KEY, [RECORD])
    assert [path.name for path in store.runs.iterdir()] == [KEY]


@pytest.mark.parametrize("full_at", [1, 2, 3, 4])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_one_line_and_no_record(
    store: Store, monkeypatch: pytest.MonkeyPatch, full_at: int, number: int
) -> None:
    """Whichever write it happens at (record, log, digests, folder), nothing shows; it can be done later."""
    writes = 0
    fsync = os.fsync

    def full(handle: int) -> None:
        nonlocal writes
        writes += 1
        if writes == full_at:
            raise OSError(number, os.strerror(number))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="nothing finished is lost") as caught:
        store.publish(KEY, [RECORD], log=[{"step": 1}])
    assert "\n" not in str(caught.value)
    assert list(store.runs.iterdir()) == []
    monkeypatch.setattr(os, "fsync", fsync)
    assert store.publish(KEY, [RECORD])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"key": "0123456789abc', "is not JSON"),
        ("", "is not JSON"),
        ("\xff\xfe", "is not JSON"),
        ("[]", "no record"),
        ("[3]", "not a mapping"),
        (json.dumps({**RECORD, "key": "f" * 16}), "another key"),
        (json.dumps({"key": KEY}), "missing columns U"),
        (None, "holds no record.json"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".failed"])
def test_a_corrupt_record_is_named_and_set_aside(
    store: Store, text: str | None, why: str, suffix: str
) -> None:
    folder = store.runs / (KEY + suffix)
    for n in (1, 2):
        folder.mkdir(parents=True)
        if text is not None:
            (folder / "record.json").write_bytes(text.encode("latin1"))
        with pytest.raises(CorruptRecord, match=why):
            store.state(KEY)
        (found,), superseded = store.sweep([KEY])
        assert why in str(found) and folder.name in str(found)
        assert superseded == [] and found.moved_to == store.folder / "corrupt" / f"{folder.name}-{n}"
        assert found.moved_to.is_dir() and store.state(KEY) == "todo"


@pytest.mark.parametrize("suffix", ["", ".failed"])
@pytest.mark.parametrize("wrong", ["file", "folder"])
def test_a_file_for_a_folder_and_a_folder_for_a_file_are_corrupt(
    store: Store, wrong: str, suffix: str
) -> None:
    place = store.runs / (KEY + suffix)
    if wrong == "file":
        store.runs.mkdir()
        place.write_text("x")
    else:
        (place / "record.json").mkdir(parents=True)
    with pytest.raises(CorruptRecord, match=r"not a folder|a folder named record\.json"):
        store.state(KEY)
    (found,), _ = store.sweep([KEY])
    assert found.moved_to and found.moved_to.exists() and store.state(KEY) == "todo"
    assert store.publish(KEY, [RECORD])


def test_sweep_leaves_what_is_whole_and_moves_what_is_no_job(store: Store) -> None:
    other = "f" * 16
    store.publish(KEY, [RECORD])
    store.publish(other, [{**RECORD, "key": other}])
    (store.folder / "partial" / other).mkdir()
    assert store.sweep([KEY]) == ([], [other])
    assert [path.name for path in store.runs.iterdir()] == [KEY]
    assert (store.folder / "superseded" / f"{other}-1" / "record.json").exists()
    assert list((store.folder / "partial").iterdir()) == []


@pytest.mark.parametrize("bit", [0, 8 * 700 + 3, -1])
@pytest.mark.parametrize("name", ["record.json", "log.parquet", "policy/model.safetensors", "SHA256SUMS"])
def test_a_flipped_bit_is_seen(store: Store, name: str, bit: int) -> None:
    """In any file that was published, also in a record that stays whole JSON; in weights where needed."""

    def beside(folder: Path) -> None:
        (folder / "policy").mkdir()
        (folder / "policy" / "model.safetensors").write_bytes(bytes(1000))

    store.publish(KEY, [{**RECORD, "text": "a" * 1000}], [{"step": 1, "text": "a" * 1000}], None, beside)
    assert store.damage(KEY, weights=True) is None
    path = store.runs / KEY / name
    content = bytearray(path.read_bytes())
    bit %= 8 * len(content)
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert store.damage(KEY, weights=True)
    assert (store.damage(KEY) is None) == name.startswith("policy")
    (found,), _ = store.sweep([KEY], [KEY])
    assert found.moved_to and store.state(KEY) == "todo"


def test_digests_are_what_sha256sum_reads(store: Store) -> None:
    store.publish(KEY, [RECORD], [{"step": 1}])
    checked = subprocess.run(
        ["sha256sum", "--check", "SHA256SUMS"], cwd=store.runs / KEY, capture_output=True
    )
    assert checked.returncode == 0 and checked.stdout == b"log.parquet: OK\nrecord.json: OK\n"


def test_there_is_never_half_a_list_of_digests(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is made for a record that was published without; what is begun is taken away."""
    store.publish(KEY, [RECORD], [{"step": 1}])
    folder = store.runs / KEY
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "SHA256SUMS").unlink()
    really, made = sums.file_digest, list[Path]()

    def full(path: Path) -> str:
        made.append(path)
        assert sums.read_sums(folder) == {} and store.read(KEY) == [RECORD]
        if len(made) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path)

    with monkeypatch.context() as patch:
        patch.setattr(sums, "file_digest", full)
        with pytest.raises(OSError, match="No space left"):
            sums.write_sums(folder)
    assert {path.name for path in folder.iterdir()} == before.keys() - {"SHA256SUMS"}
    (folder / ".SHA256SUMS.1").touch()  # of one that was killed
    sums.write_sums(folder)
    assert (folder / "SHA256SUMS").read_bytes() == before["SHA256SUMS"]


def test_a_damaged_list_of_digests_is_named_as_what_it_is(store: Store) -> None:
    store.publish(KEY, [RECORD])
    (store.runs / KEY / "SHA256SUMS").write_text("half a li")
    with pytest.raises(CorruptRecord, match="SHA256SUMS is no list of digests") as told:
        store.read(KEY)
    assert "JSON" not in str(told.value)


def test_a_store_from_before_there_were_digests_is_read(store: Store) -> None:
    store.publish(KEY, [RECORD])
    (store.runs / KEY / "SHA256SUMS").unlink()
    assert store.state(KEY) == "done" and store.sweep([KEY]) == ([], []) and store.read(KEY) == [RECORD]


def test_what_a_job_wrote_itself_is_published_with_its_record_or_not_at_all(store: Store) -> None:
    def written() -> None:
        (store.begun(KEY) / "reward_model").mkdir()

    written()
    store.publish_failed(KEY, {**RECORD, "error": "no"})  # which keeps nothing of what was tuned
    assert [p.name for p in (store.runs / f"{KEY}.failed").glob("*.json")] == ["record.json"]
    written()
    assert not store.runs.joinpath(KEY).exists() and store.state(KEY) == "failed"
    assert store.publish(KEY, [RECORD], begun=True)
    assert {p.name for p in (store.runs / KEY).iterdir()} == {"record.json", "reward_model", "SHA256SUMS"}
    written()  # a writer that is killed here leaves it to the next runner
    Store(store.folder).sweep({KEY})
    assert list((store.folder / "partial").iterdir()) == [] and store.state(KEY) == "done"
