"""Studies whose runs are tuned on reward models that the study trains: order, keys, failure, interruption."""

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

import pandas as pd
import pytest

from analysis import read_study
from proclivity.expand import expand
from proclivity.plan import keyed
from proclivity.study import Study, load_study, study_from
from tasks.errors import UserError
from tests.proclivity.conftest import study_value

Start = Callable[..., "subprocess.Popen[str]"]
Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]
RATES = (0.0, 0.05, 0.5)


def arm(judge: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    told = {"evidence": {"rates": list(RATES)}, "half": 1, **(judge or {})}
    return {"methods": ["rloo"], "evidence": {"rates": [0, 0.5]}, "reward_model": told, **changes}


def changes(**arms: Any) -> dict[str, Any]:
    """2 pairs x 3 reward models, and 2 runs on each."""
    pairs = {"draw": 2, "seed": 1, "from": "symbolic"}
    return {"arms": arms or {"main": arm()}, "pairs": pairs, "probe": {"inputs": []}}


def a_study(**arms: Any) -> Study:
    return study_from(study_value(**changes(**arms)), "small.yaml")


def folders(out: Path) -> dict[str, dict[str, Any]]:
    """Records by the name of their folder."""
    return {p.name: json.loads((p / "record.json").read_text()) for p in (out / "runs").iterdir()}


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


def test_one_reward_model_for_every_model_task_level_and_seed() -> None:
    two = {"seeds": [0, 1], "methods": ["rloo", "sft"]}
    found = expand(a_study(main=arm(**two), again=arm(evidence={"rates": [0.2]})))
    kinds = [config["job"] for config in found]
    assert Counter(kinds) == {"reward_model": 2 * 2 * 3, "run": 2 * 2 * 2 * 2 * 3 + 2 * 3}
    assert kinds == sorted(kinds, reverse=False)  # reward models before runs
    cells = [(c["task"], c["seed_data"], c["evidence_rate"]) for c in found if c["job"] == "reward_model"]
    assert len(set(cells)) == len(cells)
    for run in (c for c in found if c["job"] == "run"):
        judge = run["reward_model"]
        assert (judge["task"], judge["seed_tune"], judge["model"]) == (
            run["task"],
            run["seed_tune"],
            run["model"],
        )
        assert judge["half"] == 1 and "arm" not in judge and "study" not in judge


def keys(**judge: Any) -> dict[tuple[Any, ...], tuple[str, str]]:
    """Keys of runs, and of the reward models that they need, by cell."""
    jobs = keyed(expand(a_study(main=arm(judge))))
    assert {key for job in jobs for key in job.needs.values()} == {
        j.key for j in jobs if j.config["job"] != "run"
    }
    runs = [job for job in jobs if job.config["job"] == "run"]
    order = enumerate(runs)
    return {
        (i, run.config["task"], run.config["evidence_rate"]): (run.key, run.needs["reward_model"])
        for i, run in order
    }


@pytest.mark.parametrize("change", [{"settings": {"steps": 11}}, {"half": 2}, {"ties": 0.25}, {"half": 0}])
def test_another_reward_model_gives_another_run(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    monkeypatch.setattr("proclivity.composition.JOBS", "tests.proclivity.fake_jobs")
    before, after = keys(), keys(**change)
    assert before.keys() == after.keys() and len({key for key, _ in before.values()}) == len(before)
    for cell, (run, judge) in before.items():
        assert after[cell][0] != run and after[cell][1] != judge
    assert keys() == before


def test_the_reward_model_of_a_study_is_that_of_the_command(call: Call) -> None:
    """One key, so that neither asks for what the other does not."""
    from proclivity import composition

    told = {**study_value(**changes()), "settings": {"steps": 3}}
    told["arms"]["main"] |= {"seeds": [5]}
    jobs = keyed(expand(study_from(told, "small"), validate=composition.jobs().validate_settings))
    asked = ("--model", "embedded/symbols", "--steps", "3", "--seed", "5", "--half", "1")
    for job in (job for job in jobs if job.config["job"] == "reward_model"):
        cell = ("--task", job.config["task"], "--evidence", str(job.config["evidence_rate"]))
        status, text, err = call("reward-model", *asked, *cell, "--json")
        assert status == 0, err
        assert json.loads(text)[0]["key"] == job.key


def test_runs_wait_for_their_reward_model_in_a_pool_and_between_two_runners(
    start: Start, write_study: Write, tmp_path: Path
) -> None:
    file, out = write_study(settings={"seconds": 0.05}, **changes()), tmp_path / "out"
    command = ("study", "run", file, "--out", str(out), "--json", "--workers")
    both = [start(*command, n) for n in ("2", "1")]
    answers = [json.loads(process.communicate(timeout=120)[0]) for process in both]
    assert [answer["done"] for answer in answers] == [18, 18] and not answers[0]["failed"]
    assert sum(answer["ran"] for answer in answers) == 18
    lines = (tmp_path / "ledger").read_text().splitlines()
    assert len([line for line in lines if line.startswith("begin")]) == 18
    found = folders(out)
    judges = {key for key, record in found.items() if record["method"] == "bradley-terry"}
    assert len(judges) == 6 and all((out / "runs" / key / "reward_model").is_dir() for key in judges)
    runs = [record for key, record in found.items() if key not in judges]
    used = Counter(Path(run["reward_model"]).parent.name for run in runs)
    assert used == dict.fromkeys(judges, len(runs) // len(judges))
    assert list((out / "partial").iterdir()) == []


def test_a_failed_reward_model_fails_its_runs_and_both_are_tried_again(
    call: Call, write_study: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, out = write_study(**changes()), tmp_path / "out"
    command = ("study", "run", file, "--out", str(out), "--workers", "0")
    monkeypatch.setenv("FAKE_REWARD", "raises")
    status, text, _ = call(*command)
    assert status == 1 and "18 of 18 jobs failed" in text
    begun = (tmp_path / "ledger").read_text().count("begin")
    assert begun == 6  # no run was begun in vain
    failed = {key: record for key, record in folders(out).items() if record["method"] == "rloo"}
    judges = {
        key.removesuffix(".failed") for key, r in folders(out).items() if r["method"] == "bradley-terry"
    }
    for record in failed.values():
        assert record["error"].startswith("its reward model ") and "\n" not in record["error"]
        assert record["error"].split()[3] in judges and "the loss is not a number" in record["error"]
    status, text, _ = call(*command, "--retry-failed")
    assert status == 1 and "(18 now)" in text
    study = read_study(out)
    assert study.problems == [] and set(study.runs.status) == {"failed"}

    monkeypatch.delenv("FAKE_REWARD")
    status, text, _ = call(*command)
    assert status == 1 and "(0 now)" in text
    status, text, err = call(*command, "--retry-failed")
    assert status == 0 and "18 of 18 jobs done (18 now)" in text, err
    text = call("study", "status", str(out))[1]
    assert "18 done, 0 failed, 0 to do; of 6 reward models 6 are done" in text
    told = json.loads(call("study", "status", str(out), "--json")[1])
    assert told["reward_models"] == {"done": 6, "failed": 0, "todo": 0}


@pytest.mark.parametrize("hold", [2, 8])
def test_killed_among_reward_models_or_among_runs(
    call: Call, start: Start, write_study: Write, tmp_path: Path, hold: int
) -> None:
    file, out = write_study(**changes()), tmp_path / "out"
    process = start("study", "run", file, "--out", str(out), "--workers", "2", FAKE_HOLD=str(hold))
    until(lambda: (out / "runs").is_dir() and len(list((out / "runs").iterdir())) >= hold)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = folders(out)
    assert hold <= len(before) <= hold + 2
    status, text, err = call("study", "run", file, "--out", str(out), "--workers", "0")
    assert status == 0 and f"18 of 18 jobs done ({18 - len(before)} now)" in text, err
    after = folders(out)
    assert {key: after[key] for key in before} == before and list((out / "partial").iterdir()) == []


def test_dry_run_and_compact_count_reward_models(call: Call, write_study: Write, tmp_path: Path) -> None:
    file, out = write_study(**changes()), tmp_path / "out"
    plan = json.loads(call("study", "run", file, "--dry-run", "--json")[1])
    assert (plan["runs"], plan["reward_models"], plan["probes"]) == (12, 6, 0)
    assert "12 runs, 6 reward models and 0 probes" in call("study", "run", file, "--dry-run")[1]
    call("study", "run", file, "--out", str(out), "--workers", "0")
    text = call("study", "compact", str(out), "--out", str(tmp_path / "compact"))[1]
    assert "12 runs, 6 reward models and 0 probes" in text
    whole, copied = read_study(out).runs, read_study(tmp_path / "compact").runs
    pd.testing.assert_frame_equal(*(t.sort_values("key", ignore_index=True) for t in (whole, copied)))


@pytest.mark.parametrize(
    ("judge", "more", "says"),
    [
        ({"half": 3}, {}, "arms.main.reward_model.half: unknown value '?3"),
        ({"ties": 2.0}, {}, "arms.main.reward_model.ties: 2.0 is outside 0 to 1"),
        ({"evidence": {"rates": [0.7]}}, {}, "reward_model.evidence.rates: evidence 0.7 is outside"),
        ({"evidnce": {}}, {}, "did you mean 'evidence'"),
        ({}, {"control": "random_reward"}, "reward_model: a control has none"),
    ],
)
def test_a_mistake_is_named(judge: dict[str, Any], more: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        a_study(main=arm(judge, **more))


def test_mistakes_in_settings_are_named_before_anything_runs(real_call: Call, write_study: Write) -> None:
    rates = {"learning_rate": {"rloo": 1e-3}}
    for told, says in (
        (
            changes(main=arm({"settings": {"stpes": 3}})),
            "arms.main.reward_model.settings.stpes: unknown setting",
        ),
        ({**changes(), "settings": rates}, "settings.learning_rate: gives no value for bradley-terry"),
        (
            {**changes(main=arm(methods=["rloo", "sft"]))},
            "reward_model: sft does not use the reward",
        ),
    ):
        status, _, err = real_call("study", "run", write_study(**told), "--dry-run")
        assert status == 2 and says in err and err.count("\n") == 1, err


def test_a_study_without_reward_models_says_nothing_of_them() -> None:
    plain, judged = (a_study(main=one) for one in ({"methods": ["rloo"]}, arm()))
    assert "reward_model" not in plain.definition()["arms"]["main"]
    assert study_from(json.loads(json.dumps(judged.definition())), "again") == judged


def test_the_shipped_pairs_are_the_first_of_a_uniform_draw() -> None:
    """Of pairs with both features learnable under every dial, and no third one above 0.65; by seed 1."""
    import numpy as np

    from tasks import get_task, list_tasks, third_feature

    folder = Path(__file__).parents[2] / "proclivity" / "studies"
    tried = pd.read_csv(folder / "learnability.csv")
    shares = tried[tried.recipe == "embedded/symbols"].groupby(["feature", "dial"], dropna=False)["learnable"]
    learnable = {name for name, share in shares.mean().groupby(level=0).min().items() if share > 0.66}
    names = sorted(n for n in list_tasks() if n.startswith("symbolic/") and not get_task(n).missing)
    found: list[str] = []
    for i in np.random.default_rng(1).permutation(len(names)):
        task = get_task(names[i])
        third = third_feature(task)
        if {task.target.name, task.spurious.name} <= learnable and third and third[1] <= 0.65:
            found.append(names[i])
        if len(found) == 12:
            break
    assert list(load_study("reward-models-quick")[0].pairs.list) == found
