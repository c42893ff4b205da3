"""The store: whole records or none, one a key, whatever happens to the writer."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proclivity.claims import Claims
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
    assert sorted(path.name for path in (store.runs / KEY).iterdir()) == ["log.parquet", "record.json"]
    assert list((store.folder / "partial").iterdir()) == []


def test_a_finished_job_has_no_failed_record(store: Store) -> None:
    for reason in ("one", "two"):
        store.publish_failed(KEY, {**RECORD, "error": reason})
        assert (store.state(KEY), store.failure(KEY)) == ("failed", reason)
    store.publish(KEY, [RECORD])
    assert [path.name for path in store.runs.iterdir()] == [KEY]


@pytest.mark.parametrize("full_at", [1, 2, 3])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_one_line_and_no_record(
    store: Store, monkeypatch: pytest.MonkeyPatch, full_at: int, number: int
) -> None:
    """Whichever write it happens at (record, log, folder), nothing shows, and the job can be done later."""
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


HOLD = """
import sys
from pathlib import Path
from proclivity.claims import Claims
claims = Claims(Path(sys.argv[1]))
print(claims.take(sys.argv[2]), flush=True)
sys.stdin.read()
"""


def test_a_claim_is_one_processes_and_dies_with_it(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / ".claims"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), KEY],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout and holder.stdout.readline() == "True\n"
    claims = Claims(path)
    assert not claims.take(KEY)
    assert claims.take("f" * 16)
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert claims.take(KEY)
    claims.close()


def test_what_a_job_wrote_itself_is_published_with_its_record_or_not_at_all(store: Store) -> None:
    def written() -> None:
        (store.begun(KEY) / "reward_model").mkdir()

    written()
    store.publish_failed(KEY, {**RECORD, "error": "no"})  # which keeps nothing of what was tuned
    assert [p.name for p in (store.runs / f"{KEY}.failed").iterdir()] == ["record.json"]
    written()
    assert not store.runs.joinpath(KEY).exists() and store.state(KEY) == "failed"
    assert store.publish(KEY, [RECORD], begun=True)
    assert sorted(p.name for p in (store.runs / KEY).iterdir()) == ["record.json", "reward_model"]
    written()  # a writer that is killed here leaves it to the next runner
    store.sweep({KEY})
    assert list((store.folder / "partial").iterdir()) == [] and store.state(KEY) == "done"
