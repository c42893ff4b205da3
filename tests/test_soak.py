"""The campaign of faults: a short one through the real command line, and that it sees what it looks for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.soak.field import Field, results

ROOT = Path(__file__).parent.parent


def test_a_short_campaign_is_survived(tmp_path: Path) -> None:
    """Runners and workers killed at random, alone and in pairs, and damaged records; each study is ended."""
    out = tmp_path / "soak.json"
    faults = ["runners", "workers", "two-runners", "records"]
    told = ["--seed", "5", "--kills", "4", "--only", *faults, "--out", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.soak", *told],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text()) and (found["seed"], found["violations"]) == (5, [])
    rows = {row["fault"]: (row["faults"], row["looks"], row["good"]) for row in found["faults"]}
    kills = [n for name, (n, _, _) in rows.items() if "kill -9" in name and not name.endswith("to the end")]
    assert sum(kills) == 4 and all(looks == good for _, looks, good in rows.values())
    assert not list(tmp_path.glob("soak-*"))  # nothing is left where all was well


@pytest.fixture
def watched(tmp_path: Path) -> Field:
    """A study folder of two finished records, as they were seen."""
    found = Field(tmp_path / "field", tmp_path / "study.yaml")
    for key in ("a" * 16, "b" * 16):
        folder = found.folder / "runs" / key
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(json.dumps({"data_hash": f"hash of {key}", "wall_s": 1.0}))
        (folder / "model.safetensors").write_bytes(b"weights")
    assert found.look() == [] and found.look() == [] and len(found.seen) == 2
    return found


def lose(folder: Path) -> None:
    shutil.rmtree(folder)


def rewrite(folder: Path) -> None:
    (folder / "record.json").write_text((folder / "record.json").read_text() + " ")


def add(folder: Path) -> None:
    (folder / "more").touch()


@pytest.mark.parametrize(
    ("harm", "word"), [(lose, "is lost"), (rewrite, "changed: record.json"), (add, "changed: more")]
)
def test_a_finished_record_that_is_not_as_it_was_is_seen(
    watched: Field, harm: Callable[[Path], None], word: str
) -> None:
    harm(watched.folder / "runs" / ("a" * 16))
    (line,) = watched.look()
    assert word in line and "a" * 16 in line


def test_a_finished_job_that_is_begun_again_is_seen(watched: Field) -> None:
    record = {"data_hash": "name", "wall_s": 1.0}
    (watched.folder / "runs" / ("a" * 16) / "record.json").write_text(json.dumps(record))
    watched.seen.clear()
    with open(watched.ledger, "a") as ledger:
        ledger.write("name\n")
    assert watched.look() == []  # that is how it came to be finished
    with open(watched.ledger, "a") as ledger:
        ledger.write("other\nname\n")
    assert watched.look() == ["finished job name was begun again"]


def test_results_are_compared_but_for_times(watched: Field) -> None:
    before, path = results(watched.folder), watched.folder / "runs" / ("a" * 16)
    record = json.loads((path / "record.json").read_text())
    (path / "record.json").write_text(json.dumps({**record, "wall_s": 2.0}))
    assert results(watched.folder) == before
    (path / "model.safetensors").write_bytes(b"weightz")
    assert results(watched.folder) != before
