"""The walk of the data through the real command line and the real jobs, on a model of a few steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from analysis import read_study

ROOT = Path(__file__).parent.parent.parent
MODEL = "embedded/symbols:steps=30,width=16"
TIMES = ["wall_s", "step_s", "started"]
SETTINGS = {"steps": 6, "batch_size": 16, "eval_n": 30, "log_n": 8, "log_points": 2, "counterfactual_n": 8}
STUDY = {
    "name": "tiny",
    "paper": "cruz2023",
    "question": "Does the walk hold together?",
    "scale": "smoke",
    "primary": {
        "claim": "H1a",
        "arm": "main",
        "method": "rloo",
        "statistic": "spearman",
        "test": "family_permutation",
        "pairs": "learnable",
    },
    "models": [MODEL],
    "pairs": {"draw": 3, "seed": 1, "from": "symbolic"},
    "probe": {"n": 80, "shuffles": 2},
    "settings": SETTINGS,
    "arms": {
        "main": {"methods": ["sft", "reinforce", "rloo", "grpo"], "evidence": {"rates": [0, 0.25]}},
        "random_init": {"methods": ["rloo"], "init": "random"},
        "one_sided": {"methods": ["rloo"], "evidence": {"kind": "one_sided", "rates": [0.25]}},
        "swapped": {"methods": ["rloo"], "swapped": True, "pairs": "first 1"},
        "random_reward": {"methods": ["rloo"], "control": "random_reward", "pairs": "first 2"},
        "shuffled_labels": {"methods": ["sft"], "control": "shuffled_labels", "pairs": "first 2"},
    },
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "proclivity", *arguments]


def proclivity(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("study") / "tiny.yaml"
    path.write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def folder(study_file: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("once") / "out"
    proclivity("study", "run", study_file, "--out", str(out), "--workers", "2")
    return out


def comparable(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    study = read_study(folder)
    assert not study.problems
    probes = study.probes.sort_values(["key", "role", "layer"]).drop(columns=["wall_s", "started"])
    return study.runs.sort_values("key").drop(columns=TIMES), probes


def assert_same(first: Path, second: Path) -> None:
    for one, other in zip(comparable(first), comparable(second), strict=True):
        pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


def test_killed_in_the_middle_and_run_again_is_the_same_study(
    folder: Path, study_file: str, tmp_path: Path
) -> None:
    out = tmp_path / "killed"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    runner = subprocess.Popen(
        command("study", "run", study_file, "--out", str(out), "--workers", "1"),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 200
    while len(list(out.glob("runs/*/record.json"))) < 12 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(runner.pid, signal.SIGKILL)
    runner.wait()
    finished = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/record.json")}
    assert finished
    proclivity("study", "run", study_file, "--out", str(out), "--workers", "2")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert_same(folder, out)


def test_the_records_say_what_was_asked(folder: Path) -> None:
    study = read_study(folder)
    runs = study.runs
    assert (runs["status"] == "ok").all()
    assert len(runs) == 4 * 2 * 3 + 3 + 3 + 1 + 2 + 2
    assert (runs["episodes"] == SETTINGS["steps"] * SETTINGS["batch_size"]).all()
    assert (runs["evidence_k"] == (runs["evidence_rate"] * runs["evidence_n"]).round()).all()
    assert (runs["exposures"] == runs["evidence_k"]).all()
    assert (runs.loc[runs["evidence_kind"] == "symmetric", "label_prior"] == 0.5).all()
    for quadrant in ("both", "neither", "target_only", "spurious_only"):
        assert (runs[f"n_{quadrant}"] == SETTINGS["eval_n"]).all()
    # One reference a start: every run and probe of it names the same weights.
    for init, part in runs.groupby("init"):
        probed = study.probes[(study.probes["init"] == init) & (study.probes["input"] == "model")]
        assert set(part["weights_hash"]) == set(probed["weights_hash"])
        assert len(set(part["weights_hash"])) == 1
    per_pair = study.probes.groupby(["task", "init", "input"])["role"].agg(sorted)
    assert all(roles == ["spurious", "target"] for roles in per_pair)


def test_answers_are_logged_on_every_quadrant_while_tuning(folder: Path) -> None:
    logs = [pd.read_parquet(path) for path in folder.glob("runs/*/log.parquet")]
    assert len(logs) == len(read_study(folder).runs)
    for log in logs:
        assert sorted(log["step"].unique()) == [3, 6]
        assert (log.groupby("step")["quadrant"].nunique() == 4).all()
        assert (log["n"] == SETTINGS["log_n"]).all()
        assert log[["kl_reverse", "kl_forward", "entropy"]].notna().all().all()


def test_analyze_figures_and_compact_from_the_same_records(folder: Path, tmp_path: Path) -> None:
    claims = json.loads(proclivity("analyze", str(folder), "--json").stdout)[str(folder)]
    (primary,) = [row for row in claims["claims"] if row["primary"]]
    assert (primary["claim"], primary["method"]) == ("H1a", "rloo")
    compact = tmp_path / "compact"
    proclivity("study", "compact", str(folder), "--out", str(compact))
    again = json.loads(proclivity("analyze", str(compact), "--json").stdout)[str(compact)]
    assert again == claims
    drawn = json.loads(proclivity("figures", str(compact), "--out", str(tmp_path / "f"), "--json").stdout)
    assert {Path(path).suffix for path in drawn["figures"]} >= {".png", ".pdf"}
    assert all(Path(path).stat().st_size > 0 for path in drawn["figures"])


@pytest.mark.parametrize("answers", ["constrained", "free"])
def test_a_policy_is_kept_and_measured_again(answers: str, tmp_path: Path) -> None:
    task = ("--task", "symbolic/contains-1-vs-first-class", "--seed", "3", "--answers", answers)
    settings = {name: [f"--{name.replace('_', '-')}", str(value)] for name, value in SETTINGS.items()}
    tuning = [word for option in settings.values() for word in option]
    measuring = [*settings["eval_n"], *settings["counterfactual_n"]]
    out = str(tmp_path / "one")
    if answers == "free":
        tuning += ["--learning-rate", "0.01"]
    tuned = proclivity(
        "finetune", "--model", MODEL, "--method", "rloo", *task, *tuning, "--out", out, "--json"
    )
    records = json.loads(tuned.stdout)
    (record,) = (record for record in records if record["kind"] == "run")
    probed = [record["weights_hash"] for record in records if record["kind"] == "probe"]
    assert len(probed) == 4 * (answers == "free") and len(set(probed)) == len(probed) / 2
    policy = next(Path(out).glob("runs/*/policy"))
    # Neither the seed, which says what the words mean, nor the way of answering need be said again.
    used = proclivity("use", "--model", str(policy), *task[:2], *measuring, "--json")
    (measured,) = json.loads(used.stdout)
    same = ["U", "D", "B", "label", "ones", *(name for name in record if name.startswith("errors_"))]
    assert {name: measured[name] for name in same} == {name: record[name] for name in same}
    assert measured["weights_hash"] != record["weights_hash"]


def test_several_spurious_features_leave_a_table_of_all_cells(tmp_path: Path) -> None:
    task = "symbolic/contains-1-vs-first-class:also=last-class+middle-class"
    settings = [
        word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    out = tmp_path / "one"
    evidence = ["--evidence", "0.25", "--evidence-others", "0,0.5", "--evidence-noise", "0.1"]
    tuning = ["--model", MODEL, "--task", task, "--method", "rloo", *settings, "--out", str(out)]
    told = proclivity("finetune", *tuning, *evidence).stdout
    study = read_study(out)
    assert not study.problems
    cells, (run,) = study.cells, study.runs.to_dict("records")
    assert (run["others"], run["evidence_others"]) == ("last-class middle-class", "0.0 0.5")
    assert set(cells["key"]) == {run["key"]}
    assert len(cells) == cells["cell"].nunique() == 2**4
    assert all(cell in told for cell in cells["cell"])
    assert (cells["n"] == SETTINGS["eval_n"]).all()
    assert cells["tuning_n"].sum() == run["evidence_n"] == SETTINGS["steps"] * SETTINGS["batch_size"]
    assert cells["tuning_ones"].sum() / cells["tuning_n"].sum() == run["label_prior"] == 0.5
    flipped = (cells["tuning_ones"] - cells["target"] * cells["tuning_n"]).abs()
    assert flipped.sum() == run["evidence_flipped"]
    best = cells["tuning_ones"].where(
        2 * cells["tuning_ones"] > cells["tuning_n"], cells["tuning_n"] - cells["tuning_ones"]
    )
    assert best.sum() / cells["tuning_n"].sum() == pytest.approx(run["bayes_accuracy"])
    # A policy that answers by a constant is wrong where the target says otherwise, and nowhere else.
    assert (
        cells["ones"] + cells["errors"] * (1 - 2 * (1 - cells["target"])) == cells["n"] * cells["target"]
    ).all()
    assert cells.loc[cells["target"] != cells["others"].str[0].astype(int), "tuning_n"].sum() == 0
    # Asked again, it is read and not done again; a compact copy has the cells too.
    assert proclivity("finetune", *tuning, *evidence).stdout == told
    proclivity("study", "compact", str(out), "--out", str(tmp_path / "compact"))
    again = read_study(tmp_path / "compact")
    assert not again.problems
    pd.testing.assert_frame_equal(again.cells, cells)


WRONG: list[tuple[list[str], str]] = [
    (["--task", "symbolic/contains-1-vs-first-clas"], "did you mean 'symbolic/contains-1-vs-first-class'"),
    (["--task", "symbolic/prefix-duplicate-vs-sorted-prefix"], "impossible pair"),
    (["--method", "rlo"], "did you mean 'rloo'"),
    (["--model", "embedded/symbol"], "did you mean 'embedded/symbols'"),
    (["--model", "embedded/symbols:useful.first-lst=0.5"], "did you mean 'first-last'"),
    (["--model", "no/such-model"], "cannot load model"),
    (["--evidence", "0.7"], "outside 0 to 0.5"),
    (["--evidence", "0.00001"], "is no counter-example at all"),
    (["--evidence-noise", "0.7"], "label noise 0.7 is outside 0 to 0.5"),
    (["--evidence-others", "0.1"], "1 further spurious features is given for a task with 0"),
    (["--evidence-others", "0.1,x"], "must be numbers such as 0,0.25, not 0.1,x"),
    (["--samples-per-prompt", "1"], "rloo needs at least 2"),
    (["--steps", "0"], "steps must be above 0"),
    (["--evidence-kind", "symetric"], "did you mean 'symmetric'"),
]


@pytest.mark.parametrize(("change", "hint"), WRONG)
def test_a_mistake_is_answered_in_one_line(change: list[str], hint: str) -> None:
    asked: dict[str, Any] = {
        "--model": MODEL,
        "--task": "symbolic/contains-1-vs-first-class",
        "--method": "rloo",
    }
    asked |= dict(zip(change[::2], change[1::2], strict=True))
    done = proclivity("finetune", *(word for pair in asked.items() for word in pair), status=2)
    assert hint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


@pytest.fixture(scope="module")
def english() -> str:
    """A model of English that has hardly been trained."""
    return "embedded/english:steps=25,width=16,layers=1,batch_size=16"


def test_no_model_beats_the_grammar(english: str) -> None:
    found = json.loads(proclivity("models", "pretrain", english, "--json").stdout)
    assert found["excess_bits_per_document"] > 10 * found["excess_bits_se"] > 0
    assert found["model_perplexity"] > found["grammar_perplexity"] > 1
    for family in ("agreement", "polarity", "filler-gap"):
        right, n = found[f"minimal_pairs_{family}"]
        assert 0 <= right <= n >= 400
    told = proclivity("models", "pretrain", english).stdout
    assert "grammar perplexity" in told and "minimal pairs agreement" in told


def test_a_study_of_symbols_and_english_after_lovering(english: str, tmp_path: Path) -> None:
    """Two languages, a model each, from the file to the figures and the tables of the paper."""
    tasks = ["symbolic/first-last-vs-contains-2", "english/polarity-lexical", "reviews/film-vs-opener"]
    arms = {
        "main": {"methods": ["sft"], "evidence": {"rates": [0, 0.25]}},
        "one_sided": {"methods": ["sft"], "evidence": {"kind": "one_sided", "rates": [0, 0.25]}},
        "swapped": {"methods": ["sft"], "swapped": True},
    }
    models = {"symbolic": [MODEL], "english": [english], "reviews": [english]}
    mixed = {"paper": "lovering2021", "models": models, "pairs": {"list": tasks}, "arms": arms}
    primary = {**STUDY["primary"], "method": "sft"}  # type: ignore[dict-item]
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump({**STUDY, **mixed, "primary": primary}, sort_keys=False))
    proclivity("study", "run", str(path), "--out", str(out), "--workers", "2")
    runs = read_study(out).runs
    swapped = [
        "symbolic/contains-2-vs-first-last",
        "english/polarity-lexical:swapped=yes",
        "reviews/opener-vs-film",
    ]
    read_by = dict(zip([*tasks, *swapped], [MODEL, english, english] * 2, strict=True))
    assert dict(zip(runs.task, runs.model, strict=True)) == read_by
    answer = json.loads(proclivity("analyze", str(out), "--json").stdout)[str(out)]
    assert {row["arm"] for row in answer["claims"] if row["claim"] == "average"} == {"one_sided"}
    assert len(answer["evidence_required"]) == 6
    drawn = json.loads(proclivity("figures", str(out), "--json").stdout)["figures"]
    assert str(out / "figures" / "bars_and_lines.png") in drawn


def test_a_study_of_one_feature_s_dials(tmp_path: Path) -> None:
    """From models named in braces to the claims, the tables and the figure of their dials."""
    small = "width=16,steps=5,batch_size=8,seed={0|1}"
    dials = ("useful.first-class={0|1}", "placebo.first-class=1")
    models = [f"embedded/symbols:{dial},{small}" for dial in dials]
    changed = {
        "models": models,
        "pairs": {"list": ["symbolic/contains-2-vs-first-class"]},
        "probe": {**STUDY["probe"], "inputs": ["model"], "also": ["symbolic/first-class-vs-last-class"]},  # type: ignore[dict-item]
        "primary": {**STUDY["primary"], "claim": "H1b", "statistic": "trend", "test": "level_permutation"},  # type: ignore[dict-item]
        "arms": {"main": {"methods": ["rloo"]}, "swapped": {"methods": ["rloo"], "swapped": True}},
    }
    path, out = tmp_path / "tiny.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump({**STUDY, **changed}, sort_keys=False))
    proclivity("study", "run", str(path), "--out", str(out), "--workers", "2")
    answer = json.loads(proclivity("analyze", str(out), "--json").stdout)[str(out)]
    first = answer["claims"][0]
    assert first["primary"] and (first["claim"], first["statistic"]) == ("H1b", "trend")
    bits = {(row["dial"], row["feature"]): row for row in answer["bits_a_label"]}
    assert set(bits) == {
        (dial, feature)
        for dial in ("usefulness", "placebo")
        for feature in ("first-class", "contains-2", "last-class")
    }
    assert {row["n_models"] for row in bits.values()} == {4}
    drawn = json.loads(proclivity("figures", str(out), "--json").stdout)["figures"]
    names = {Path(name).name for name in drawn}
    tables = ("dials", "trends_of_use", "trends_of_bits", "analyze_claims", "analyze_bits_a_label")
    assert names >= {"dials.png", "dials.pdf", *(f"{t}.{e}" for t in tables for e in ("csv", "md", "tex"))}
