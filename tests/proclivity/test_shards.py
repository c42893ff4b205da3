"""Shards: disjoint, together all jobs, no job apart from what it needs, always the same, of like length."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proclivity.plan import plan
from proclivity.runner import Job
from proclivity.shards import Shard, part_of, read_shard, together
from proclivity.study import load_study
from tasks.errors import UserError
from tests.proclivity.test_runner import records

Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]


@st.composite
def some_jobs(draw: st.DrawFn) -> list[Job]:
    """Jobs that need earlier or later ones, in any way that is no circle, and how long they take."""
    n = draw(st.integers(0, 25))
    jobs = []
    for i in range(n):
        needed = draw(st.lists(st.integers(0, n - 1).filter(lambda k, i=i: k != i), max_size=2))
        took = draw(st.sampled_from([0.0, 0.5, 1.0, 30.0, math.nan]))
        needs = {f"need-{k}": f"{k:016x}" for k in needed if k < i}
        jobs.append(Job(f"{i:016x}", {"seconds": took}, needs))
    return draw(st.permutations(jobs))


def seconds(job: Job) -> float:
    return float(job.config["seconds"])


@given(some_jobs(), st.integers(1, 6), st.randoms(use_true_random=False))
def test_every_job_is_in_one_shard_with_all_that_it_needs(jobs: list[Job], n: int, random: Any) -> None:
    shards = [part_of(jobs, Shard(i, n), seconds) for i in range(1, n + 1)]
    keys = [[job.key for job in shard] for shard in shards]
    assert sorted(key for shard in keys for key in shard) == sorted(job.key for job in jobs)
    for shard, own in zip(shards, keys, strict=True):
        assert all(needed in own for job in shard for needed in job.needs.values())
        assert own == [job.key for job in jobs if job.key in own]
    shuffled = random.sample(jobs, len(jobs))
    for i, own in enumerate(keys, 1):
        assert {job.key for job in part_of(shuffled, Shard(i, n), seconds)} == set(own)


@given(some_jobs(), st.integers(1, 6))
def test_no_shard_is_longer_than_another_by_more_than_one_group(jobs: list[Job], n: int) -> None:
    known = [job for job in jobs if not math.isnan(seconds(job))]
    kept = {job.key for job in known}
    known = [Job(j.key, j.config, {k: v for k, v in j.needs.items() if v in kept}) for j in known]
    took = {job.key: seconds(job) for job in known}
    longest = max((sum(took[key] for key in group) for group in together(known)), default=0.0)
    loads = [sum(map(seconds, part_of(known, Shard(i, n), seconds))) for i in range(1, n + 1)]
    assert max(loads) - min(loads) <= longest + 1e-9


def test_jobs_of_unknown_length_are_dealt_out_evenly() -> None:
    jobs = [Job(f"{i:016x}", {"seconds": math.nan}) for i in range(12)]
    assert [len(part_of(jobs, Shard(i, 4), seconds)) for i in range(1, 5)] == [3, 3, 3, 3]


@pytest.mark.parametrize("name", ["kirk2024-quick", "reward-models-quick", "tajwar2024-smoke"])
def test_shards_of_shipped_studies(name: str) -> None:
    """Stages stay with their SFT model, runs with their reward model; bandits need nothing."""
    from proclivity.composition import jobs as composed

    jobs = plan(*load_study(name)).jobs
    shards = [part_of(jobs, Shard(i, 3), lambda job: composed().estimate(job.config)) for i in (1, 2, 3)]
    assert sum(map(len, shards)) == len(jobs) and all(len(shard) < len(jobs) for shard in shards)
    for shard in shards:
        assert {key for job in shard for key in job.needs.values()} <= {job.key for job in shard}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0/4", "from 1 to the second, such as 1/4"),
        ("5/4", "from 1 to the second, such as 1/4"),
        ("1/0", "from 1 to the second, such as 1/1"),
        ("a/b", "two numbers, such as 3/16"),
        ("3", "two numbers, such as 3/16"),
        ("-1/4", "two numbers, such as 3/16"),
        ("1/2/3", "two numbers, such as 3/16"),
        ("¹/4", "two numbers, such as 3/16"),
    ],
)
def test_a_wrong_shard_is_refused_in_one_line(call: Call, write_study: Write, text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read_shard(text)
    status, out, err = call("study", "run", write_study(), f"--shard={text}")
    assert (status, out, err.count("\n")) == (2, "", 1) and f"--shard {text}: " in err


def test_two_shards_make_the_study_in_one_folder_or_in_two(
    call: Call, write_study: Write, tmp_path: Path
) -> None:
    """Records of the other shard stay where they are; those of two folders make one by a copy."""
    study = write_study()
    whole, both, one, other = (str(tmp_path / name) for name in ("whole", "both", "one", "other"))
    call("study", "run", study, "--out", whole, "--workers", "0")
    for out, shard in ((both, "1/2"), (both, "2/2"), (one, "1/2"), (other, "2/2")):
        command = ("study", "run", study, "--out", out, "--workers", "0", "--shard", shard, "--json")
        status, text, err = call(*command)
        told = json.loads(text)
        assert (status, err, told["shard"]) == (0, "", shard)
        assert told["done"] == told["total"] == told["ran"] and 0 < told["total"] < 15
    assert records(tmp_path / "both") == records(tmp_path / "whole")
    assert not (tmp_path / "both" / "superseded").exists()
    assert records(tmp_path / "one") | records(tmp_path / "other") == records(tmp_path / "whole")
    assert not records(tmp_path / "one").keys() & records(tmp_path / "other").keys()
    assert f"{len(records(tmp_path / 'one'))} done, 0 failed" in call("study", "status", one)[1]
    for path in (tmp_path / "other" / "runs").iterdir():
        path.rename(tmp_path / "one" / "runs" / path.name)
    status, text, err = call("study", "run", study, "--out", one, "--workers", "0")
    assert (status, err) == (0, "") and "15 of 15 jobs done (0 now)" in text


def test_a_dry_run_of_a_shard_counts_its_jobs(call: Call, write_study: Write) -> None:
    study = write_study()
    parts = [
        json.loads(call("study", "run", study, "--dry-run", "--shard", f"{i}/4", "--json")[1])
        for i in range(1, 5)
    ]
    assert sum(part["runs"] for part in parts) == 6 and sum(part["probes"] for part in parts) == 9
    assert max(part["runs"] + part["probes"] for part in parts) == 4
    assert "small shard 1/4: " in call("study", "run", study, "--dry-run", "--shard", "1/4")[1]


def test_a_shard_with_no_jobs_is_done_at_once(call: Call, write_study: Write, tmp_path: Path) -> None:
    command = ("study", "run", write_study(), "--out", str(tmp_path / "out"), "--workers", "0")
    status, text, _ = call(*command, "--shard", "16/16")
    assert status == 0 and "0 of 0 jobs of shard 16/16 done" in text
    assert (tmp_path / "out" / "study.json").exists() and not (tmp_path / "out" / "runs").exists()
