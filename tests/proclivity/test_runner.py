"""The runner through the real command line: killed, doubled, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks import get_task
from tasks.errors import UserError
from tests.proclivity.conftest import study_value

Start = Callable[..., "subprocess.Popen[str]"]
Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]

TIMES = ("wall_s", "started", "step_s")


def records(folder: Path) -> dict[str, Any]:
    """Records by the name of their folder, but for times."""
    found = {}
    for path in sorted((folder / "runs").iterdir()):
        value = json.loads((path / "record.json").read_text())
        rows = value if isinstance(value, list) else [value]
        found[path.name] = [{k: v for k, v in row.items() if k not in TIMES} for row in rows]
    return found


def ledger(tmp_path: Path, word: str) -> Counter[str]:
    """How often each job was begun, or ended."""
    path = tmp_path / "ledger"
    lines = path.read_text().splitlines() if path.exists() else []
    return Counter(line.split(" ", 2)[2] for line in lines if line.startswith(word))


def workers(tmp_path: Path) -> set[int]:
    lines = (tmp_path / "ledger").read_text().splitlines()
    return {int(line.split()[1]) for line in lines if not line.startswith("memory")}


def published(out: Path) -> int:
    return len(list((out / "runs").iterdir())) if (out / "runs").is_dir() else 0


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


SLOW = {"steps": 10, "seconds": 0.1}
TWELVE = {"main": {"methods": ["rloo"], "evidence": {"rates": [0, 0.1, 0.2, 0.3]}}}


def slow_study(write_study: Write, **changes: Any) -> str:
    """12 runs of a tenth of a second and no probes."""
    return write_study(settings=SLOW, arms=TWELVE, probe={"inputs": []}, **changes)


def test_cells_come_out_of_a_worker_and_stand_beside_their_record(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    pair = "symbolic/contains-1-vs-first-class"
    file = write_study(pairs={"list": [pair, f"{pair}:also=last-class"]}, probe={"inputs": []})
    out = tmp_path / "out"
    status, _, err = call("study", "run", file, "--out", str(out), "--workers", "1")
    assert status == 0, err
    found = [
        json.loads((path.parent / "record.json").read_text()) for path in out.glob("runs/*/cells.parquet")
    ]
    assert [record["task"] for record in found] == [f"{pair}:also=last-class"] * 2


def test_equal_studies_give_equal_records(
    call: Call, start: Start, write_study: Write, tmp_path: Path
) -> None:
    """In this process or in a pool, twice: the same bytes but for times."""
    study = write_study()
    status, _, _ = call("study", "run", study, "--out", str(tmp_path / "here"), "--workers", "0")
    process = start("study", "run", study, "--out", str(tmp_path / "pool"), "--workers", "2")
    out, err = process.communicate(timeout=120)
    assert (status, process.returncode) == (0, 0), err
    assert "15 of 15 jobs done (15 now)" in out and err == ""
    assert records(tmp_path / "here") == records(tmp_path / "pool")
    assert len(records(tmp_path / "here")) == 15


def test_killed_half_way_and_run_again(call: Call, start: Start, write_study: Write, tmp_path: Path) -> None:
    study, out = slow_study(write_study), tmp_path / "out"
    process = start("study", "run", study, "--out", str(out), "--workers", "2", FAKE_HOLD="4")
    until(lambda: published(out) >= 4 and ledger(tmp_path, "begin").total() >= published(out) + 2)
    process.kill()
    process.communicate()
    finished = records(out)
    assert 4 <= len(finished) <= 5
    until(lambda: not any(map(alive, workers(tmp_path))))  # workers go when their parent is gone
    before = ledger(tmp_path, "begin")

    status, text, _ = call("study", "run", study, "--out", str(out), "--workers", "0")
    assert status == 0 and f"({12 - len(finished)} now)" in text
    again = ledger(tmp_path, "begin") - before
    assert len(again) == 12 - len(finished) and set(again.values()) == {1}
    assert not {rows[0]["task"] + str(rows[0]["evidence_rate"]) for rows in finished.values()} & {
        cell.split()[1] + cell.split()[3] for cell in again
    }
    call("study", "run", study, "--out", str(tmp_path / "whole"), "--workers", "0")
    assert records(out) == records(tmp_path / "whole")
    assert list((out / "partial").iterdir()) == []


def test_two_runners_share_the_work(start: Start, write_study: Write, tmp_path: Path) -> None:
    study, out = slow_study(write_study), tmp_path / "out"
    both = [start("study", "run", study, "--out", str(out), "--workers", "1", "--json") for _ in range(2)]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert ledger(tmp_path, "begin") == ledger(tmp_path, "end")
    assert len(ledger(tmp_path, "end")) == 12 and set(ledger(tmp_path, "end").values()) == {1}
    assert [answer["done"] for answer in answers] == [12, 12]
    assert sum(answer["ran"] for answer in answers) == 12 and len(records(out)) == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_cleanly(call: Call, start: Start, write_study: Write, tmp_path: Path, number: int) -> None:
    study, out = slow_study(write_study), tmp_path / "out"
    process = start("study", "run", study, "--out", str(out), "--workers", "1", FAKE_HOLD="2")
    until(lambda: published(out) >= 2 and ledger(tmp_path, "begin").total() > published(out))
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.count("\n") == 1 and "to go on: proclivity study run" in err
    assert not any(map(alive, workers(tmp_path)))
    done = len(records(out))
    assert 2 <= done < 12
    status, text, _ = call("study", "run", study, "--out", str(out), "--workers", "0")
    assert status == 0 and f"({12 - done} now)" in text


def test_runs_done_together_are_the_runs_alone(call: Call, write_study: Write, tmp_path: Path) -> None:
    """Each has its record; what cannot be done together is done one by one; what fails alone fails alone."""
    told = {"main": {"methods": ["rloo", "sft"], "evidence": {"rates": [0, 0.1, 0.2, 0.3]}}}
    study = write_study(arms=told, probe={"inputs": []})
    command = ("study", "run", study, "--workers", "0", "--out")
    status, text, err = call(*command, str(tmp_path / "five"), "--replicas", "5")
    assert status == 1 and "3 of 24 jobs failed: 3 x ValueError: it diverged" in text
    sizes = [
        int(line.split()[2]) for line in (tmp_path / "ledger").read_text().splitlines() if "together" in line
    ]
    assert sizes == [5, 5, 2, 5, 5, 2] and err.count("runs go one by one: ValueError: not these") == 3
    call(*command, str(tmp_path / "one"), "--replicas", "1")
    failed = {name for name in records(tmp_path / "five") if name.endswith(".failed")}
    assert len(failed) == 3
    for name, rows in records(tmp_path / "one").items():
        assert f"{name}.failed" in failed or records(tmp_path / "five")[name] == rows
    status, text, _ = call(*command, str(tmp_path / "five"), "--replicas", "1", "--retry-failed")
    assert status == 0 and records(tmp_path / "five") == records(tmp_path / "one")
    for wrong in ("0", "many"):
        status, _, err = call(*command, str(tmp_path / "x"), "--replicas", wrong)
        assert status == 2 and "must be auto or a whole number" in err


def test_each_worker_has_its_share_of_runs_that_could_all_go_together(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    told = {"main": {"methods": ["rloo"], "evidence": {"rates": [0, 0.1]}}}
    study = write_study(arms=told, probe={"inputs": []})
    command = ("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "2", "--replicas", "64")
    assert call(*command)[0] == 0
    lines = (tmp_path / "ledger").read_text().splitlines()
    assert [int(line.split()[2]) for line in lines if "together" in line] == [3, 3]


def test_of_runs_together_whose_worker_dies_the_guilty_one_fails(
    start: Start, write_study: Write, tmp_path: Path
) -> None:
    study = write_study(arms=arms("rloo", "dies", pairs=1), probe={"inputs": []})
    process = start(
        *("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "1", "--replicas", "2"),
        FAKE_ONE_STACK="1",
    )
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "1 of 2 jobs failed: 1 x its worker process was killed, twice" in text
    outcome = {(rows[0]["method"], rows[0]["status"]) for rows in records(tmp_path / "out").values()}
    assert outcome == {("rloo", "ok"), ("dies", "failed")}


def arms(*methods: str, pairs: int = 2) -> dict[str, Any]:
    return {"main": {"methods": list(methods), "evidence": {"rates": [0.0]}, "pairs": f"first {pairs}"}}


def test_a_killed_worker_costs_one_retry(start: Start, write_study: Write, tmp_path: Path) -> None:
    """A run whose worker dies is tried again and fails if it dies again; no other run suffers."""
    study = write_study(arms=arms("rloo", "dies", "dies_once", pairs=1), probe={"inputs": []})
    out = tmp_path / "out"
    process = start("study", "run", study, "--out", str(out), "--workers", "2")
    text, err = process.communicate(timeout=120)
    assert process.returncode == 1 and err == ""
    assert "1 of 3 jobs failed: 1 x its worker process was killed, twice" in text
    found = records(out)
    outcome = {(rows[0]["method"], rows[0]["status"]) for rows in found.values()}
    assert outcome == {("rloo", "ok"), ("dies_once", "ok"), ("dies", "failed")}
    begun = {cell.split()[2]: n for cell, n in ledger(tmp_path, "begin").items()}
    # Once in company, where the blame was not certain, and twice alone.
    assert begun["dies"] in (2, 3) and begun["rloo"] <= 2


def test_a_failed_run_is_a_record_and_the_study_goes_on(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    study = write_study(
        arms=arms("rloo", "raises", "incomplete", "not_json", "too_deep"), probe={"inputs": []}
    )
    command = ("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "0")
    status, text, _ = call(*command)
    assert status == 1 and "8 of 10 jobs failed" in text and "ValueError: the loss is not a number" in text
    errors = {
        r[0]["method"]: r[0]["error"] for name, r in records(tmp_path / "out").items() if "failed" in name
    }
    assert errors.keys() == {"raises", "incomplete", "not_json", "too_deep"}
    assert errors["raises"].startswith("ValueError: the loss is not a number (fake_jobs.py line ")
    assert "missing columns errors_both" in errors["incomplete"] and "not JSON" in errors["not_json"]
    assert errors["too_deep"].startswith("RecursionError: ")

    before = ledger(tmp_path, "begin")
    status, text, _ = call(*command)
    assert status == 1 and "(0 now)" in text and ledger(tmp_path, "begin") == before
    status, text, _ = call(*command, "--retry-failed")
    assert status == 1 and "(8 now)" in text
    status, text, _ = call("study", "status", str(tmp_path / "out"))
    assert status == 0 and "2 done, 8 failed, 0 to do" in text


def test_failed_jobs_are_retried_once_by_two_runners_together(
    call: Call, start: Start, write_study: Write, tmp_path: Path
) -> None:
    """Whoever is first: the other sees the newer failure, and counts it."""
    runs = {"main": {"methods": ["raises"], "evidence": {"rates": [0, 0.1, 0.2, 0.3]}}}
    primary = {**study_value()["primary"], "method": "raises"}
    study = write_study(arms=runs, probe={"inputs": []}, primary=primary)
    command = ("study", "run", study, "--out", str(tmp_path / "out"), "--retry-failed", "--json")
    status, text, err = call(*command, "--workers", "0")
    assert status == 1 and len(json.loads(text)["failed"]) == 12, err
    (tmp_path / "ledger").write_text("end \n")  # and so all are held
    both = [start(*command, "--workers", "1", FAKE_HOLD="1") for _ in range(2)]
    until(lambda: ledger(tmp_path, "begin").total() == 2)
    lines = (tmp_path / "ledger").read_text()
    (tmp_path / "ledger").write_text(lines.replace("end \n", ""))
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [len(answer["failed"]) for answer in answers] == [12, 12]
    assert sum(answer["ran"] for answer in answers) == 12
    assert len(ledger(tmp_path, "begin")) == 12 and set(ledger(tmp_path, "begin").values()) == {1}


def test_claims_are_given_back_by_a_study_that_never_began(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fake_jobs

    def breaks(*_: object) -> None:
        assert list((tmp_path / "out" / ".leases" / "holders").iterdir())
        raise UserError("no such corpus")

    monkeypatch.setattr(fake_jobs, "prepare", breaks)
    status, _, err = call("study", "run", write_study(), "--out", str(tmp_path / "out"), "--workers", "0")
    assert status == 2 and "no such corpus" in err
    assert not list((tmp_path / "out" / ".leases" / "holders").iterdir())


def test_failed_records_are_read_by_the_analysis(call: Call, write_study: Write, tmp_path: Path) -> None:
    from analysis import read_study

    study = write_study(arms=arms("rloo", "raises"))
    call("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "0")
    found = read_study(tmp_path / "out")
    assert found.problems == []
    assert Counter(found.runs.status) == {"ok": 2, "failed": 2}
    failed = found.runs[found.runs.status == "failed"]
    for task, run in zip(map(get_task, failed.task), failed.to_dict("records"), strict=True):
        assert (run["target"], run["spurious_family"]) == (task.target.name, task.spurious.family)
    assert len(found.probes) == 2 * 3 * 2 and set(found.runs.arm) == {"main"}
    assert found.manifest["primary"]["claim"] == "H1a" and found.manifest["primary_hash"]


def test_a_corrupt_record_is_named_and_run_again(call: Call, write_study: Write, tmp_path: Path) -> None:
    command = ("study", "run", write_study(), "--out", str(tmp_path / "out"), "--workers", "0")
    call(*command)
    whole = records(tmp_path / "out")
    victim = sorted((tmp_path / "out" / "runs").iterdir())[4] / "record.json"
    victim.write_text(victim.read_text()[:100])
    _, text, _ = call("study", "status", str(tmp_path / "out"))
    assert "14 done, 0 failed, 1 to do" in text and victim.parent.name in text
    status, text, err = call(*command)
    assert status == 0 and "(1 now)" in text
    assert err.count("\n") == 1 and victim.parent.name in err and "is not JSON" in err
    assert records(tmp_path / "out") == whole
    assert (tmp_path / "out" / "corrupt" / f"{victim.parent.name}-1").is_dir()


def test_how_far_a_study_is_needs_no_plan(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor what plans it, such as an included file; without the list of jobs it is worked out, to the same."""
    from proclivity import commands_store

    study = write_study(arms=arms("raises", "rloo"), probe={"inputs": []})
    for shard in ("1/4", "2/4", "3/4"):
        call("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "0", "--shard", shard)
    status = ("study", "status", str(tmp_path / "out"), "--json")
    planned = commands_store.plan
    monkeypatch.setattr(commands_store, "plan", None)
    told = json.loads(call(*status)[1])
    assert told["done"] and told["failed"] and told["todo"] == 1 and told["total"] == 4
    assert told["reward_models"] == {"done": 0, "failed": 0, "todo": 0}
    monkeypatch.setattr(commands_store, "THREADS", 1)  # as by a thread for each
    assert json.loads(call(*status)[1]) == told
    monkeypatch.setattr(commands_store, "plan", planned)
    for damaged in (None, "{", "[]", "{}"):
        (tmp_path / "out" / "jobs.json").unlink(missing_ok=True)
        if damaged:
            (tmp_path / "out" / "jobs.json").write_text(damaged)
        assert json.loads(call(*status)[1]) == told


def test_records_of_other_sources_make_way(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("study", "run", write_study(), "--out", str(tmp_path / "out"), "--workers", "0")
    call(*command)
    first = records(tmp_path / "out")
    monkeypatch.setenv("FAKE_SOURCE", "2")
    status, text, err = call(*command)
    assert status == 0 and "(15 now)" in text and "15 records of other sources" in err
    assert not first.keys() & records(tmp_path / "out").keys() and len(records(tmp_path / "out")) == 15
    assert len(list((tmp_path / "out" / "superseded").iterdir())) == 15


def test_a_folder_of_something_else_is_refused(call: Call, write_study: Write, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    call("study", "run", write_study(), "--out", out, "--workers", "0")
    other = write_study(arms={"main": {"methods": ["rloo"], "seeds": [0, 1]}})
    status, _, err = call("study", "run", other, "--out", out, "--workers", "0")
    assert status == 2 and err.count("\n") == 1
    assert "another study: arms.main.evidence.rates is [0.0, 0.2] there, [0.0] here" in err
    compact = str(tmp_path / "compact")
    call("study", "compact", out, "--out", compact)
    for command in (("study", "run", write_study(), "--out"), ("study", "status")):
        status, _, err = call(*command, compact)
        assert status == 2 and "compact records" in err and err.count("\n") == 1
    for folder, says in ((tmp_path, "is no study folder"), (Path(write_study()), "is not a folder")):
        status, _, err = call("study", "run", write_study(), "--out", str(folder), "--workers", "0")
        assert status == 2 and says in err and err.count("\n") == 1
    for command in ("study status", "analyze", "figures"):
        status, _, err = call(*command.split(), str(tmp_path))
        assert status == 2 and "is not a study: it has no study.json" in err and err.count("\n") == 1


def test_names_that_do_not_exist_are_refused_before_anything_runs(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    primary = {
        "claim": "H1a",
        "arm": "main",
        "statistic": "spearman",
        "test": "family_permutation",
        "pairs": "all",
    }
    cases = [
        ({"settings": {"stpes": 3}}, "settings.stpes: unknown setting 'stpes'; did you mean 'steps'"),
        ({"settings": {"steps": 0}}, "settings.steps: must be 1 or more"),
        (
            {"arms": {"main": {"methods": ["rlo"]}}, "primary": {**primary, "method": "rlo"}},
            "unknown method 'rlo'; did you mean 'rloo'?",
        ),
        ({"pairs": {"list": ["symbolic/frst-last-vs-contains-2"]}}, "'symbolic/first-last-vs-contains-2'"),
        ({"pairs": {"draw": 3, "from": "symbols"}}, "0 tasks begin with 'symbols/'"),
    ]
    for changes, says in cases:
        status, _, err = call("study", "run", write_study(**changes), "--out", str(tmp_path / "out"))
        assert status == 2 and says in err and "small.yaml" in err and err.count("\n") == 1, err
    assert not (tmp_path / "out").exists()


def test_json_is_all_there_is_on_standard_output(start: Start, write_study: Write, tmp_path: Path) -> None:
    study = write_study(arms=arms("rloo", "prints"), probe={"inputs": []})
    process = start("study", "run", study, "--out", str(tmp_path / "out"), "--workers", "1", "--json")
    out, err = process.communicate(timeout=120)
    assert json.loads(out)["done"] == 4 and err.count("a library that prints") == 2


def test_full_disk_ends_the_study_in_one_line(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proclivity import store

    write_json, written = store.write_json, []

    def full(path: Path, value: object) -> None:
        written.append(path)
        if len(written) > 5:
            path.write_text('{"half')
            raise OSError(28, "No space left on device")
        write_json(path, value)

    monkeypatch.setattr(store, "write_json", full)
    command = ("study", "run", write_study(), "--out", str(tmp_path / "out"), "--workers", "0")
    status, out, err = call(*command)
    assert (status, out, err.count("\n")) == (2, "", 1) and "no space left on device" in err
    assert len(records(tmp_path / "out")) == 5
    monkeypatch.setattr(store, "write_json", write_json)
    status, out, _ = call(*command)
    assert status == 0 and "(10 now)" in out


def test_ctrl_c_while_workers_are_starting_is_one_line(
    start: Start, write_study: Write, tmp_path: Path
) -> None:
    """A terminal sends it to the workers too, also to one that is still loading."""
    file, out = slow_study(write_study), tmp_path / "out"
    running = start("study", "run", file, "--out", str(out), "--workers", "2")

    def starting() -> bool:
        folders = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        return any(b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in folders)

    until(starting)
    time.sleep(0.1)
    os.killpg(running.pid, signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "Traceback" not in err
    assert "stopped; finished jobs are kept" in err.splitlines()[-1]
