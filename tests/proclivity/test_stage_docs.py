"""docs/stages.md: its study loads and plans, its table is the code's, its private task runs."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.outputs.diversity import DIVERSITY
from analysis.records import read_study
from analysis.stage_schema import MEASURES
from proclivity.cli import parser
from proclivity.stage_study import Demonstrated, Measuring, Preferred, StagePrimary, Stages, StageStudy
from proclivity.study import study_from
from tasks import INCLUDE, UserError, problems
from tests.proclivity.conftest import ROOT
from tests.proclivity.test_stage_study import small
from tests.proclivity.test_text_study import save_model

Call = Callable[..., tuple[int, str, str]]
PAGE = (ROOT / "docs/stages.md").read_text(encoding="utf-8")
STUDY, PRIVATE = (re.findall(rf"```{of}\n(.*?)```", PAGE, re.DOTALL)[0] for of in ("yaml", "python"))
NAME = "mine/who-openly"


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Problems that a test registers, and the files that it includes, are gone after it."""
    monkeypatch.setattr(problems, "_OWN", {})
    monkeypatch.setenv(INCLUDE, "")


@pytest.fixture
def private(tmp_path: Path) -> str:
    path = tmp_path / "who.py"
    path.write_text(PRIVATE)
    return str(path)


def test_the_study_has_every_key_and_plans(tmp_path: Path, real_call: Call) -> None:
    told = yaml.safe_load(STUDY)
    stages = told["stages"]
    for kind, section in (
        (StageStudy, told),
        (StagePrimary, told["primary"]),
        (Stages, stages),
        (Demonstrated, stages["sft"]),
        (Preferred, stages["reward_model"]),
        (Measuring, stages["measured"]),
    ):
        assert {*section} == {field.name for field in fields(kind)}
    assert isinstance(study_from(told, "docs"), StageStudy)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    status, out, error = real_call("study", "run", str(path), "--dry-run", "--json")
    assert status == 0, error
    # For each data seed SFT, two reward models, SFT as it is, rloo, dpo, two of superhf, best of 4.
    planned = json.loads(out)
    assert planned["runs"] + planned["reward_models"] == 2 * 9


def test_the_defaults_that_the_page_names_are_those_of_the_code() -> None:
    sections = {"sft": Demonstrated, "reward_model": Preferred, "measured": Measuring}
    told: dict[type, dict[str, Any]] = {kind: {} for kind in (StagePrimary, Stages, *sections.values())}
    before, after = STUDY.split("stages:\n")
    for text, kind in ((before, StagePrimary), (after, Stages)):
        inner = kind
        for indent, name, about in re.findall(r"^( +)(\w+):(.*)$", text, re.MULTILINE):
            inner = sections.get(name, inner) if indent == "  " else inner
            default = re.search(r"; default ([^,]+)", about)
            if default:
                value = yaml.safe_load(default[1])
                told[kind if indent == "  " else inner][name] = (
                    tuple(value) if isinstance(value, list) else value
                )
    for kind, defaults in told.items():
        assert defaults == {f.name: f.default for f in fields(kind) if f.default is not MISSING}


def test_the_table_is_that_of_the_code() -> None:
    told = re.findall(r"^\| `([^`]+)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert told == [*(MEASURES | DIVERSITY).items()]


def test_every_command_on_the_page_is_one() -> None:
    commands = [line.partition("  #")[0] for line in re.findall(r"^    proclivity (.*)$", PAGE, re.MULTILINE)]
    assert len(commands) >= 7
    for command in commands:
        assert parser().parse_args(shlex.split(command)).body


def test_a_private_task_is_one_short_file(private: str, real_call: Call) -> None:
    assert len([line for line in PRIVATE.splitlines() if line.strip()]) <= 25
    include = ("--include", private)
    status, out, error = real_call("tasks", "validate", NAME, *include, "--json")
    assert status == 0, error
    found = json.loads(out)[NAME]
    assert found["problems"] == [] and "entailment" not in found["checked"]
    assert NAME in json.loads(real_call("tasks", "ls", *include, "--json")[1])
    shown = json.loads(real_call("tasks", "show", NAME, *include, "--json")[1])
    conflict = next(row for row in shown["rows"] if row["conflict"])
    quiet, loud = re.findall(r"(?:openly|quietly) the (\w+)", conflict["prompt"])
    assert (conflict["completion"], conflict["spurious"]) == (f"the {loud}", f"the {quiet}")
    assert Path(private) in problems.problem_sources(NAME)


def test_a_study_of_a_private_task_runs(tmp_path: Path, private: str, real_call: Call) -> None:
    save_model(tmp_path / "model")
    path = Path(small(tmp_path))
    told = yaml.safe_load(path.read_text())
    told["primary"]["task"], told["stages"]["tasks"] = NAME, [NAME]
    told["stages"] |= {"policies": {"rloo": {"method": "rloo"}}, "data_seeds": [0], "seeds": [0]}
    told["stages"]["measured"]["shifts"] = []
    path.write_text(yaml.safe_dump(told))
    folder = str(tmp_path / "out")
    status, out, error = real_call(
        "study", "run", str(path), "--out", folder, "--workers", "0", "--include", private
    )
    assert status == 0, (out, error)
    study = read_study(folder)
    assert set(study.outputs["shift"]) == {"in", "longer"} and len(study.choices)
    # All that the page's table has but what it says is not recorded, and what needs `entails`.
    unrecorded = {"kl bound", *(f"distinct-{n}" for n in range(1, 6))}
    assert set(study.measures["measure"]) == {*MEASURES, *DIVERSITY} - unrecorded - {"nli"}
    assert real_call("analyze", folder)[0] == 0
    problems._OWN.clear()
    os.environ[INCLUDE] = ""
    assert "unknown text-out task 'mine/who-openly'" in real_call("study", "run", str(path), "--dry-run")[2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("mine/who-openly", "generation/mine"), "begins with generation/, as the shipped tasks alone do"),
        (("mine/who-openly", "mine"), "names are written word/word"),
        (("return text_task", "return len"), "problem 'mine/who-openly' of "),
        (('"one": PEOPLE, "two": PEOPLE', '"one": PEOPLE[:2], "two": PEOPLE[:2]'), "fewer than 1000"),
        (("lambda prompt: ", "lambda prompt: openly(prompt) or "), "conflicts: 0 of 200 in in, not 100"),
    ],
)
def test_a_wrong_private_task_is_told(
    tmp_path: Path, real_call: Call, change: tuple[str, str], said: str
) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(PRIVATE.replace(*change))
    name = change[1] if change[1].startswith(("generation", "mine")) else NAME
    status, out, error = real_call("tasks", "validate", name, "--include", str(path))
    assert status and said in out + error, (out, error)


def test_an_installed_package_brings_its_problems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Point:
        name = "theirs/shortest"

        def load(self) -> Any:
            return lambda: problems.get_problem("lengths/min-length")

    monkeypatch.setattr(problems, "_installed", lambda: (Point(),))
    assert "theirs/shortest" in problems.list_problems()
    assert problems.get_problem("theirs/shortest").name == "theirs/shortest"
    assert "theirs/shortest" not in problems.list_text_out()
    with pytest.raises(UserError, match="theirs/shortest has no reference answers"):
        problems.text_out("theirs/shortest")
