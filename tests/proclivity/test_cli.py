"""The command line: quick to start, one line for a mistake, one JSON value for a machine."""

from __future__ import annotations

import argparse
import errno
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from proclivity.answer import as_json, duration, size, table
from proclivity.cli import parser

Call = Callable[..., tuple[int, str, str]]

HEAVY = ("torch", "transformers", "datasets", "trl", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib")


def commands(node: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, groups too."""
    yield words
    for action in node._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield from commands(child, (*words, name))


ALL = list(commands(parser()))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_help(call: Call, words: tuple[str, ...]) -> None:
    status, out, err = call(*words, "--help")
    assert status == 0 and err == "" and out.startswith(" ".join(["usage: proclivity", *words]))


def test_the_help_of_finetune_is_that_of_its_settings(call: Call) -> None:
    _, out, _ = call("finetune", "--help")
    assert "--learning-rate FLOAT" in out and "peak, 100% of it (default: 0.001)" in " ".join(out.split())


@pytest.mark.parametrize("arguments", [["--help"], ["tasks", "ls"], ["study", "run", "--help"]])
def test_starting_loads_nothing_heavy(environment: dict[str, str], arguments: list[str]) -> None:
    code = (
        "import sys\nfrom proclivity.cli import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stderr == "[]\n" and ran.stdout


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("taks ls", "unknown command 'taks'; did you mean 'tasks'?"),
        ("study rnu x", "unknown command 'rnu'; did you mean 'run'?"),
        ("study run x --wokers 2", "unknown option '--wokers'; did you mean '--workers'?"),
        ("study run x --work 2", "unknown option '--work'; did you mean '--workers'"),
        ("reproduce cruz2032", "unknown paper 'cruz2032'; did you mean 'cruz2023'"),
        ("reproduce cruz2023 --scale quik", "unknown scale 'quik'; did you mean 'quick'?"),
        ("reproduce tajwar2024 --scale laptop", "no study at scale laptop; it has smoke or quick"),
        ("study run x --workers two", "invalid int value: 'two'"),
        ("study run", "the following arguments are required: FILE|NAME"),
        ("tasks ls more", "unexpected 'more'"),
        ("study", "required: COMMAND"),
        ("study run nothing", "unknown study 'nothing'"),
        ("study run small.yaml --workers -1", "no such study file"),
        ("tasks show symbolic/first-lst-vs-contains-2", "did you mean 'symbolic/first-last-vs-contains-2'"),
        ("tasks validate", "give tasks to validate, or --all"),
        ("finetune --model m --task t --method rloo --stpes 3", "did you mean '--steps'"),
        ("finetune --model m --task t --method rloo --evidence 0.7", "0.7 is outside 0 to 0.5"),
        (
            "finetune --model m --task t --method rloo --seed -1",
            "--seed: must be a whole number from 0 to 42949",
        ),
        ("probe --model m --task t --seed 99999999999999999999", "--seed: must be a whole number from 0"),
        ("use --model m --task t --seed one", "--seed: must be a whole number from 0 to 4294967295, not one"),
        ("models pretrain gpt2", "unknown embedded model 'gpt2'; valid: embedded/english, embedded/symbols"),
        ("models pretrain symbols", "unknown embedded model 'symbols'; did you mean 'embedded/symbols'?"),
    ],
)
def test_a_mistake_is_one_line(call: Call, line: str, says: str) -> None:
    status, out, err = call(*line.split())
    assert (status, out) == (2, "") and says in err
    assert err.startswith("proclivity: error: ") and err.count("\n") == 1


def test_tasks_ls(call: Call) -> None:
    from tasks import list_tasks
    from tasks.problems import list_problems

    assert json.loads(call("tasks", "ls", "--json")[1]) == [*list_tasks(), *list_problems()]
    assert call("tasks", "ls")[1].splitlines() == [*list_tasks(), "", "answered by a text:", *list_problems()]


def test_single_jobs_gather_in_one_folder(call: Call, tmp_path: Path) -> None:
    """A run and a probe are records that the analysis reads; asked for again, they are not made again."""
    from analysis import read_study

    where = (
        "--model",
        "m",
        "--task",
        "symbolic/first-last-vs-contains-2",
        "--out",
        str(tmp_path / "out"),
        "--json",
    )
    finetune = ("finetune", *where, "--method", "rloo", "--evidence", "0.1", "--steps", "7")
    (record,) = json.loads(call(*finetune)[1])
    assert (record["steps"], record["evidence_rate"], record["learning_rate"]) == (7, 0.1, 1e-3)
    assert json.loads(call(*finetune)[1]) == [record]  # with the same time: it was not run again
    folder = tmp_path / "out" / "runs" / record["key"]
    assert (folder / "policy").is_dir()
    (folder / "record.json").write_text("{")
    status, out, err = call(*finetune)
    assert status == 0 and json.loads(out) != [record] and "is not JSON" in err and err.count("\n") == 1
    assert len(json.loads(call("probe", *where)[1])) == 2
    found = read_study(tmp_path / "out")
    assert (len(found.runs), len(found.probes), found.problems) == (1, 2, [])


def test_json_is_strict() -> None:
    import numpy as np

    value = {
        "a": float("nan"),
        "b": np.float64(0.5),
        "c": (Path("x"), np.arange(2)),
        3: None,
        "d": np.bool_(True),
    }
    assert json.loads(as_json(value)) == {"a": None, "b": 0.5, "c": ["x", [0, 1]], "3": None, "d": True}


def test_shown_values() -> None:
    assert (
        table([{"name": "a", "n": 10}, {"name": "long", "n": 0.123456}]) == "name  n\na     10\nlong  0.1235"
    )
    assert [duration(s) for s in (3.21, 250, 7500)] == ["3.2 s", "4 min 10 s", "2 h 5 min"]
    assert [size(n) for n in (12, 16_000, 3_200_000_000)] == ["12 bytes", "16.0 kB", "3.2 GB"]


def test_analyze_prints_the_claims(call: Call, write_study: Callable[..., str], tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    call("study", "run", write_study(), "--out", out, "--workers", "0")
    status, text, err = call("analyze", out)
    assert (status, err) == (0, "") and text.startswith(f"{out}\n\nPrimary test\n") and "Left out" in text
    found = json.loads(call("analyze", out, "--json")[1])[out]
    assert found["study"] == "small" and found["problems"] == [] and found["claims"][0]["primary"] is True


def test_reproduce_runs_tells_and_draws(
    call: Call, write_study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proclivity import commands_analysis, commands_study
    from proclivity.study import load_study

    small, asked = load_study(write_study()), []
    monkeypatch.setattr(commands_study, "load_study", lambda name: asked.append(name) or small)
    monkeypatch.setattr(commands_analysis, "draw", lambda folder, out: [out / "use.png"])
    monkeypatch.chdir(tmp_path)
    status, text, err = call("reproduce", "cruz2023", "--scale", "smoke", "--workers", "0")
    assert (status, err, asked) == (0, "", ["cruz2023-smoke"])
    assert text.startswith("Primary test\n") and "out/small/figures: figures and tables in 1 files" in text
    told = call("reproduce", "cruz2023", "--scale", "smoke", "--workers", "0", "--json")[1]
    (found,) = json.loads(told)["studies"]
    assert found["figures"] == ["out/small/figures/use.png"] and found["failed"] == {}
    assert found["report"] == "out/small/report.html" and (tmp_path / found["report"]).is_file()
    assert len(list((tmp_path / "out" / "small" / "runs").iterdir())) == 15


def test_reproduce_runs_every_study_of_the_paper_at_a_scale(
    call: Call, write_study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from proclivity import commands_analysis, commands_study
    from proclivity.study import load_study

    small = load_study(write_study())
    shipped = ["cruz2023-quick", "cruz2023-reviews-smoke", "cruz2023-smoke", "lovering2021-smoke"]
    monkeypatch.setattr(commands_study, "list_studies", lambda: shipped)
    monkeypatch.setattr(commands_study, "load_study", lambda name: (replace(small[0], name=name), small[1]))
    monkeypatch.setattr(commands_analysis, "draw", lambda folder, out: [])
    told = call(
        "reproduce",
        "cruz2023",
        "--scale",
        "smoke",
        "--workers",
        "0",
        "--out",
        str(tmp_path / "mine"),
        "--json",
    )
    folders = [study["folder"] for study in json.loads(told[1])["studies"]]
    assert folders == [str(tmp_path / "mine"), str(tmp_path / "mine-cruz2023-reviews-smoke")]
    assert all((Path(folder) / "runs").is_dir() for folder in folders)


def test_tasks_show_and_validate_a_shipped_pair(call: Call) -> None:
    name = "symbolic/first-last-vs-contains-2"
    shown = json.loads(call("tasks", "show", name, "--rows", "2", "--json")[1])
    assert (shown["target"], shown["spurious_family"], len(shown["rows"])) == ("first-last", "contains", 8)
    for row in shown["rows"]:
        symbols = row["prompt"].split()[:-1]
        assert (
            (symbols[0] == symbols[-1]) == (row["quadrant"] in ("both", "target_only")) == bool(row["label"])
        )
    found = json.loads(call("tasks", "validate", name, "--json")[1])
    assert list(found) == [name] and found[name]["problems"] == []
    assert {"predicates", "splits", "surface cues"} <= found[name]["checked"].keys()
    assert all(n > 0 for n in found[name]["checked"].values())


def test_lists_are_rows_of_the_tables_below(call: Call) -> None:
    assert {"sft", "rloo"} <= {row["name"] for row in json.loads(call("methods", "ls", "--json")[1])}
    assert {"model": "embedded/symbols"} in json.loads(call("models", "ls", "--json")[1])


def test_cache_clear_removes_models_and_nothing_else(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROCLIVITY_CACHE", str(tmp_path))
    for folder, file in (("models/symbols-1", "recipe.json"), ("models/mine", "notes"), ("photos", "cat")):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / file).write_text("12345")
    assert json.loads(call("cache", "ls", "--json")[1])["entries"] == {"symbols-1": 5}
    assert call("cache", "clear")[:2] == (0, "removed 5 bytes\n")
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["cat", "mine"]


def test_what_is_left_of_a_study_whose_manifest_was_moved_away_goes_on(
    call: Call, write_study: Callable[..., str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    study = ("study", "run", write_study(), "--out", str(out), "--workers", "0", "--json")
    assert json.loads(call(*study)[1])["ran"] == 15
    for name in ("corrupt", "superseded", "figures", "partial"):
        (out / name).mkdir(exist_ok=True)
    (out / "claims.txt").touch()
    (out / "study.json").write_text("{")
    status, _, err = call(*study)
    assert status == 2 and "move it away and run the study again" in err and err.count("\n") == 1
    (out / "study.json").rename(out / "study.json.damaged")
    again = json.loads(call(*study)[1])
    assert (again["done"], again["ran"]) == (15, 0)
    (out / "study.json").unlink()
    (out / "photos").mkdir()
    assert "no study folder (it holds photos" in call(*study)[2]


def test_a_folder_of_single_runs_is_no_study(call: Call, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    task = "symbolic/first-last-vs-contains-2"
    assert call("finetune", "--model", "m", "--task", task, "--method", "rloo", "--out", out)[0] == 0
    status, told, err = call("study", "status", out)
    assert (status, told) == (2, "") and "is a folder of single runs" in err and err.count("\n") == 1
    assert call("analyze", out)[0] == 0


def test_what_cannot_be_read_is_noted_and_never_left_out_of_a_copy(
    call: Call, write_study: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import figures

    monkeypatch.setattr(figures, "save", lambda drawings, out, about: [out / "use.png"])
    out = str(tmp_path / "out")
    call("study", "run", write_study(), "--out", out, "--workers", "0")
    first, second, *_ = sorted((tmp_path / "out" / "runs").iterdir())
    (first / "record.json").write_text("{")
    (second / "record.json").write_text("{}")
    note = f"proclivity: note: {out}: not read: runs/{first.name}/record.json: not readable as JSON"
    for command in ("analyze", "figures"):
        status, text, err = call(command, out)
        assert status == 0 and text and err.startswith(note) and err.count("\n") == 2
    compact = ("study", "compact", out, "--out", str(tmp_path / "compact"))
    status, text, err = call(*compact)
    assert (status, text) == (2, "") and not (tmp_path / "compact").exists()
    assert f"2 of its parts cannot be read, the first runs/{first.name}/record.json" in err
    assert err.count("\n") == 1
    call("study", "run", write_study(), "--out", out, "--workers", "0")
    assert call(*compact)[0] == 0


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.EROFS, "Read-only file system", "out/x.png"), "out/x.png: Read-only file system"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/cache/models"), "/cache/models: Not a"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, error: OSError, says: str
) -> None:
    def refuse(arguments: object) -> None:
        raise error

    monkeypatch.setattr("proclivity.commands_tasks.ls", refuse)
    status, out, err = call("tasks", "ls")
    assert (status, out) == (2, "") and err.startswith(f"proclivity: error: {says}") and err.count("\n") == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError("raised by a library")])
def test_a_bug_is_loud(call: Call, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(arguments: object) -> None:
        raise error

    monkeypatch.setattr("proclivity.commands_tasks.ls", fail)
    with pytest.raises(type(error), match=str(error)):
        call("tasks", "ls")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("arguments", "redirection", "says"),
    [
        ("tasks ls", ">/dev/full", "standard output: No space left on device"),
        ("tasks ls --json", ">/dev/full", "standard output: No space left on device"),
        ("study run --help", ">/dev/full", "standard output: No space left on device"),
        ("tasks ls", ">&-", "standard output is closed"),
    ],
)
def test_an_answer_that_cannot_be_given_is_one_line(
    environment: dict[str, str], arguments: str, redirection: str, says: str, unbuffered: str
) -> None:
    environment = {**environment, "PYTHONUNBUFFERED": unbuffered}
    line = f"{shlex.quote(sys.executable)} -m proclivity {arguments} {redirection}"
    ran = subprocess.run(["sh", "-c", line], env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and ran.stderr.startswith(f"proclivity: error: {says}")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("json_too", [[], ["--json"]])
def test_a_run_that_cannot_be_kept_is_shown_before_that_is_said(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json_too: list[str]
) -> None:
    call("tasks", "ls")  # puts fake_jobs within reach
    import fake_jobs

    def full(self: object, folder: Path) -> None:
        raise Exception("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(fake_jobs.Saved, "save_pretrained", full)
    out = tmp_path / "out"
    task = ("--task", "symbolic/first-last-vs-contains-2", "--method", "rloo")
    status, text, err = call("finetune", "--model", "m", *task, "--out", str(out), *json_too)
    assert status == 2 and "symbolic/first-last-vs-contains-2" in text and "kept in" not in text
    assert err.startswith(f"proclivity: error: not kept: {out}/partial/")
    assert (
        err.endswith("/policy: No space left on device\n")
        and err.count("\n") == 1
        and list((out / "runs").iterdir()) == []
    )


def test_a_folder_of_the_users_own_named_tasks_is_not_ours(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("raise SystemExit('not this one')")
    run = [sys.executable, "-m", "proclivity", "tasks", "ls"]
    ran = subprocess.run(run, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "") and "symbolic/first-last-vs-contains-2" in ran.stdout
