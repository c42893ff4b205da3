"""Studies on a Ray cluster: one of this machine, started here; its nodes stand for machines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from proclivity.node import on_node
from proclivity.ray_pool import RayPool, fits
from proclivity.runner import Job, run_jobs
from proclivity.store import Store
from proclivity.study_head import Resources
from proclivity.workers import Attempt
from tests.proclivity.conftest import HERE, ROOT
from tests.proclivity.test_runner import TIMES, alive, arms, ledger, records, slow_study, until

Start = Callable[..., "subprocess.Popen[str]"]
Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]

PATHS = os.pathsep.join([str(ROOT), str(HERE)])


@contextmanager
def workers_find(folder: Path) -> Iterator[None]:
    """What a node is started under, and its workers with it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        patch.setenv("FAKE_LEDGER", str(folder / "ledger"))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # other tests run beside
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A node of two CPUs, whose workers write to the ledger in `cluster.folder`."""
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("cluster")
    with workers_find(folder):
        head = {"num_cpus": 2, "num_gpus": 0, "include_dashboard": False}
        found = Cluster(initialize_head=True, head_node_args=head)
    found.folder = folder
    yield found
    found.shutdown()


@pytest.fixture
def fresh(cluster: Any) -> Any:
    """The cluster with nothing in its ledger."""
    for path in cluster.folder.iterdir():
        path.unlink()
    return cluster


def on(cluster: Any) -> tuple[str, ...]:
    return ("--executor", "ray", "--address", cluster.address)


def bandits(path: Path, **more: Any) -> str:
    """A study that computes, and for which no model has to be pre-trained."""
    study = {
        "name": "small-bandits",
        "paper": "tajwar2024",
        "question": "Do numbers depend on where they are computed?",
        "scale": "smoke",
        "primary": {"claim": "fewer batches a round", "problem": "arms/R1"},
        "bandits": {
            "problems": ["arms/R1"],
            "seeds": 2,
            "rates": [3e-3],
            "development_seeds": 1,
            "settings": {"steps": 20, "batch_size": 10},
            "sweeps": {"reuse": {"methods": ["online-bon-distillation", "ppo-clip"]}},
        },
        **more,
    }
    path.write_text(yaml.safe_dump(study))
    return str(path)


def test_a_study_by_a_pool_by_ray_and_by_shards_has_the_same_records(
    cluster: Any, real_call: Call, tmp_path: Path
) -> None:
    """Real jobs: all columns and rows of logs but for the times, and where a job asks for two CPUs."""
    import pyarrow.parquet as pq

    assert TIMES == ("wall_s", "started", "step_s")  # what `records` leaves out
    study = bandits(tmp_path / "bandits.yaml")
    wide = bandits(tmp_path / "wide.yaml", resources={"cpus": 2})
    ways = {
        "pool": [(study, "--workers", "1")],
        "ray": [(study, *on(cluster))],
        "wide": [(wide, *on(cluster))],
        "shards": [(study, "--workers", "0", "--shard", f"{n}/2") for n in (1, 2)],
    }
    for out, commands in ways.items():
        for options in commands:
            status, told, err = real_call("study", "run", *options, "--out", str(tmp_path / out))
            assert (status, err) == (0, ""), told
    pool = records(tmp_path / "pool")
    assert {rows[0]["threads"] for rows in pool.values()} == {1}
    assert len(pool) == 2 and all(len(rows[0]) > 20 for rows in pool.values())
    for out in ("ray", "wide", "shards"):
        assert records(tmp_path / out) == pool
        for log in (tmp_path / "pool" / "runs").glob("*/*.parquet"):
            same = tmp_path / out / "runs" / log.parent.name / log.name
            assert pq.read_table(same).equals(pq.read_table(log)), log


def test_deaths_prints_and_folders_of_the_users_own(
    fresh: Any, start: Start, write_study: Write, tmp_path: Path
) -> None:
    """A job whose worker dies is tried once more; only one that always dies fails, and nobody pays for it."""
    methods = arms("rloo", "dies", "dies_once", "prints", pairs=1)
    study = write_study(arms=methods, probe={"inputs": []})
    (tmp_path / "own").mkdir()
    for name in ("tasks", "models", "proclivity"):
        (tmp_path / "own" / name).mkdir()
        (tmp_path / "own" / name / "__init__.py").write_text("raise RuntimeError('not these')")
    process = subprocess.Popen(
        [
            sys.executable,
            str(HERE / "driver.py"),
            "study",
            "run",
            study,
            "--out",
            "out",
            "--json",
            *on(fresh),
        ],
        env={**os.environ, "PYTHONPATH": PATHS},
        cwd=tmp_path / "own",
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    told = json.loads(out)  # which is all there is on standard output
    assert [*told["failed"].values()] == ["its worker process was killed, twice (out of memory?)"]
    found = records(tmp_path / "own" / "out")
    outcome = {(rows[0]["method"], rows[0]["status"]) for rows in found.values()}
    assert outcome == {("rloo", "ok"), ("prints", "ok"), ("dies_once", "ok"), ("dies", "failed")}
    begun = {cell.split()[2]: n for cell, n in ledger(fresh.folder, "begin").items()}
    assert begun == {"rloo": 1, "prints": 1, "dies_once": 2, "dies": 2}


def test_what_is_kept_goes_through_the_folder_that_nodes_share(
    fresh: Any, start: Start, write_study: Write, tmp_path: Path
) -> None:
    told = {"evidence": {"rates": [0, 0.2]}}
    study = write_study(
        arms={"main": {"methods": ["rloo"], "reward_model": told}}, pairs={"draw": 1}, probe={"inputs": []}
    )
    process = start("study", "run", study, "--out", str(tmp_path / "out"), *on(fresh))
    text, err = process.communicate(timeout=120)
    assert process.returncode == 0 and "4 of 4 jobs done (4 now)" in text and err == ""
    assert len(list((tmp_path / "out" / "runs").glob("*/reward_model/config.json"))) == 2


def test_a_node_without_the_models_stops_the_study(
    fresh: Any, start: Start, write_study: Write, tmp_path: Path
) -> None:
    """In one line, and nothing is recorded as failed: the jobs are as good as before."""
    study = write_study(arms=arms("rloo", "not_prepared", pairs=1), probe={"inputs": []})
    process = start("study", "run", study, "--out", str(tmp_path / "out"), *on(fresh))
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert f"node {socket.gethostname()} does not see /cache/models/symbols" in err
    assert "PROCLIVITY_CACHE must name a folder that all nodes share" in err
    assert not list((tmp_path / "out").glob("runs/*.failed"))


class Counted:
    """Workers, and how many of their jobs are in flight at most."""

    def __init__(self, workers: RayPool) -> None:
        self.workers, self.flying, self.most = workers, 0, 0
        self.lock = threading.Lock()

    @property
    def n(self) -> int:
        return self.workers.n

    def submit(
        self, configs: Sequence[Mapping[str, Any]], folder: Path | None = None
    ) -> Future[list[Attempt]]:
        with self.lock:
            self.flying += 1
            self.most = max(self.most, self.flying)
        future = self.workers.submit(configs, folder)
        future.add_done_callback(self._land)
        return future

    def _land(self, _: Future[Attempt]) -> None:
        with self.lock:
            self.flying -= 1

    def rebuild(self) -> None:
        self.workers.rebuild()

    def kill(self) -> None:
        self.workers.kill()


def some_jobs(n: int) -> list[Job]:
    from proclivity.plan import keyed

    task = {"job": "run", "task": "symbolic/first-last-vs-contains-2", "evidence_rate": 0.0, "seed_tune": 0}
    who = {"model": "embedded/symbols", "init": "pretrained", "method": "rloo", "control": ""}
    config = {**task, **who, "study": "small", "arm": "main", "settings": {"seconds": 0.1}}
    return keyed([{**config, "seed_data": i} for i in range(n)])


def test_jobs_sent_are_those_that_fit_while_nodes_join_and_die(
    fresh: Any, call: Call, tmp_path: Path
) -> None:
    """Never more; a node that joins gets some; those on a node that dies are done again."""

    def workers(asks: Resources) -> Counted:
        return Counted(RayPool("fake_jobs:execute", asks, cpus=0, address=fresh.address))

    def run(counted: Counted, jobs: list[Job], name: str) -> tuple[int, int]:
        (tmp_path / name).mkdir()
        return run_jobs(Store(tmp_path / name), jobs, counted).done, counted.most

    assert run(workers(Resources(2.0)), some_jobs(4), "one") == (4, 1)
    counted = workers(Resources(1.0))
    assert counted.n == 2
    with workers_find(fresh.folder):
        node = fresh.add_node(num_cpus=1)
    before = ledger(fresh.folder, "begin").total()

    def remove() -> None:
        until(lambda: counted.most == 3 and ledger(fresh.folder, "begin").total() >= before + 15)
        fresh.remove_node(node, allow_graceful=False)

    removing = threading.Thread(target=remove)
    removing.start()
    assert run(counted, some_jobs(40), "three") == (40, 3)
    removing.join()


def test_what_no_node_has_is_refused_before_the_start(
    fresh: Any, call: Call, write_study: Write, tmp_path: Path
) -> None:
    for asks, words in (({"gpus": 0.5}, "1 CPU and 0.5 GPUs"), ({"cpus": 3}, "3 CPUs and 0 GPUs")):
        study = write_study(resources=asks)
        status, out, err = call("study", "run", study, "--out", str(tmp_path / "out"), *on(fresh))
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert f"one job asks for {words}, which no node of the cluster has: it has " in err
        assert "with 2 CPUs and 0 GPUs;" in err
        assert not list((tmp_path / "out").glob("*.json"))


def test_a_cluster_of_the_commands_own_is_gone_after_an_interrupt(
    call: Call, start: Start, write_study: Write, tmp_path: Path
) -> None:
    study, out = slow_study(write_study), tmp_path / "out"
    command = ("study", "run", study, "--out", str(out), "--executor", "ray", "--workers", "2")
    process = start(*command, FAKE_HOLD="2", PYTHONPATH=PATHS)
    until(lambda: ledger(tmp_path, "begin").total() == 4)
    mine = family(process.pid)
    assert len(mine) > 4
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.count("\n") == 1 and "to go on: proclivity study run" in err
    until(lambda: not any(map(alive, mine)))
    assert len(records(out)) == 2
    assert set(ledger(tmp_path, "memory")) == {"2"}  # of this machine, of two jobs at once
    status, text, _ = call("study", "run", study, "--out", str(out), "--workers", "0")
    assert status == 0 and "(10 now)" in text


def family(pid: int) -> set[int]:
    """A process's children, their children and so on."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while new := {p for p, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found


# What needs no cluster.


def test_a_job_is_not_begun_where_its_files_are_not(tmp_path: Path) -> None:
    unseen = str(tmp_path / "shared" / "runs" / "0123")
    told = on_node("fake_jobs:execute", {}, None, [str(tmp_path), unseen], patience=0.1)
    assert isinstance(told, str) and "\n" not in told
    assert told.startswith(f"node {socket.gethostname()} does not see {unseen}: ")


def test_how_many_jobs_fit_on_a_node() -> None:
    node = {"CPU": 16.0, "GPU": 2.0, "memory": 1e9}
    asked = {
        (1, 0): 16,
        (3, 0): 5,
        (0.5, 0): 32,
        (1, 0.25): 8,
        (0, 1 / 3): 6,
        (0, 0.4): 4,
        (0, 2): 1,
        (4, 1): 2,
        (17, 0): 0,
    }
    assert {a: fits(node, Resources(*map(float, a))) for a in asked} == asked
    assert fits({"memory": 1e9}, Resources()) == 0


def test_without_ray_one_line_says_what_to_install(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    status, out, err = call(
        "study", "run", write_study(), "--executor", "ray", "--out", str(tmp_path / "out")
    )
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "pip install 'proclivity[cluster]'" in err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--executor", "ray", "--workers", "0"), "--workers must be 1 or more with --executor ray"),
        (("--workers", "-1"), "--workers must be 0 or more"),
        (("--address", "auto"), "--address is of a Ray cluster: give --executor ray too"),
        (("--executor", "ray", "--address", "auto", "--workers", "2"), "leave it out with --address"),
        (("--executor", "rya"), "unknown executor 'rya'; did you mean 'ray'?"),
        (("--executor", "ray", "--address", "127.0.0.1:1"), "nothing answers there (Connection refused)"),
    ],
)
def test_options_that_do_not_go_together(
    call: Call, write_study: Write, tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    for first in (("study", "run", write_study()), ("reproduce", "tajwar2024", "--scale", "smoke")):
        status, out, err = call(*first, "--out", str(tmp_path / "out"), *options)
        assert (status, out, err.count("\n")) == (2, "", 1) and says in err
    assert not list((tmp_path / "out").glob("*.json"))


def test_a_request_changes_neither_the_study_nor_its_keys(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    """For every kind of study: a folder is gone on with on other machines."""
    from proclivity.study import load_study

    out = str(tmp_path / "out")
    call("study", "run", write_study(), "--out", out, "--workers", "0")
    asking = write_study(resources={"cpus": 4, "gpus": 0.25})
    status, text, _ = call("study", "run", asking, "--out", out, "--workers", "0")
    assert status == 0 and "15 of 15 jobs done (0 now)" in text
    told = call("study", "run", asking, "--dry-run", "--executor", "ray", "--address", "auto")
    assert "an unknown time on the Ray cluster auto" in told[1]
    assert "each asks for 4 CPUs and 0.25 GPUs" in told[1]
    names = ["tajwar2024-smoke", "tajwar2024-lengths-smoke", "kirk2024-smoke", "prediction-reach"]
    for name in names:
        text = (ROOT / "proclivity" / "studies" / f"{name}.yaml").read_text()
        file = tmp_path / f"{name}.yaml"
        file.write_text(text + "\nresources: {cpus: 2}\n")
        study, _ = load_study(file)
        assert study.resources == Resources(2.0)
        assert study.definition() == load_study(name)[0].definition()


@pytest.mark.parametrize(
    ("asks", "says"),
    [
        ({"cpu": 1}, "resources.cpu: unknown key 'cpu'; did you mean 'cpus'"),
        ({"cpus": -1}, "resources.cpus: must be a number from 0, not -1"),
        ({"gpus": float("nan")}, "resources.gpus: must be a number from 0, not nan"),
        ({"gpus": 1.5}, "resources.gpus: must be whole above 1, not 1.5"),
        ({"cpus": "two"}, "resources.cpus: must be a number, not 'two'"),
        ({"cpus": True}, "resources.cpus: must be a number, not True"),
        ({"cpus": 0}, "resources.cpus: must be above 0 where no GPU is asked for"),
        (3, "resources: must be a mapping, not 3"),
    ],
)
def test_a_wrong_request_is_told_with_its_line(call: Call, write_study: Write, asks: Any, says: str) -> None:
    status, _, err = call("study", "run", write_study(resources=asks), "--dry-run")
    assert status == 2 and says in err and "small.yaml line " in err and err.count("\n") == 1
