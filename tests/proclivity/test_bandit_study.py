"""Studies of bandits: their files, and one small study through the real command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis import read_study
from proclivity.bandit_study import BanditStudy, expand_bandits
from proclivity.plan import plan
from proclivity.store import job_key
from proclivity.strict import Plain
from proclivity.study import load_study, study_from
from tasks.errors import UserError

BASE = """\
name: small
paper: tajwar2024
question: Does it run?
scale: smoke
primary: {claim: fewer batches a round, problem: arms/R1}
bandits:
  problems: [arms/R1, arms/R2]
  seeds: 3
  rates: [1e-3, 1e-2]
  development_seeds: 2
  settings: {steps: 6, log_steps: [3], eval_n: 8, fit_steps: 20, beta: {dpo: 0.05}}
  sweeps:
    batch_size: {methods: [online-bon-distillation], vary: {batches: [1, 3]}}
    reuse: {methods: [online-bon-distillation, ppo-clip], vary: {reuse: [1, 2, 3]}}
    negative_gradient:
      methods: [bon-distillation, dpo, dpo-without-negative]
      settings: {reuse: 6}
    complementarity: {methods: [bon-distillation, dpo, online-dpo]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(BASE)
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("seeds: 3", "sedes: 3", 8, "did you mean 'seeds'"),
        ("seeds: 3", "seeds: 0", 8, "bandits.seeds: must be from 1 to 1000"),
        ("arms/R2", "arms/R3", 7, "unknown problem 'arms/R3'"),
        ("log_steps: [3]", "logsteps: [3]", 11, "did you mean 'log_steps'"),
        ("steps: 6", "steps: six", 11, "bandits.settings.steps: must be a whole number, not 'six'"),
        ("{dpo: 0.05}", "{dop: 0.05}", 11, "did you mean 'dpo'"),
        ("batches: [1, 3]", "batches: [1, 0]", 13, "batches: must be 1 or more, not 0"),
        ("vary: {reuse", "vary: {resue", 14, "did you mean 'reuse'"),
        ("settings: {reuse: 6}", "setings: {reuse: 6}", 17, "did you mean 'settings'"),
        ("settings: {reuse: 6}", "settings: {samples_from: polcy}", 17, "did you mean 'policy'"),
        ("problem: arms/R1}", "problem: sequence/R1}", 5, "primary: unknown problem 'sequence/R1'"),
        ("tajwar2024", "tajwar2042", 2, "did you mean 'tajwar2024'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(file: Path, old: str, new: str, line: int, says: str) -> None:
    assert old in BASE
    file.write_text(BASE.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        plan(*load_study(file))
    message = str(caught.value)
    assert message.startswith(f"{file} line {line}: ") and says in message and "\n" not in message


def test_a_method_that_there_is_none_of_is_refused(file: Path) -> None:
    file.write_text(BASE.replace("[bon-distillation, dpo, online-dpo]", "[bon-distillation, onlin-dpo]"))
    with pytest.raises(UserError, match="did you mean 'online-dpo'"):
        plan(*load_study(file))


def test_cells_of_two_sweeps_are_one_job_and_a_definition_survives_json(file: Path) -> None:
    study, document = load_study(file)
    assert isinstance(study, BanditStudy)
    configs = expand_bandits(study, document)
    # Of best-of-N 2 + 3 less the shared one, of PPO 3, offline 3 + 2 and on-policy DPO, on two problems.
    assert len(configs) == 2 * (4 + 3 + 5 + 1)
    assert len({job_key(config, {}) for config in configs}) == len(configs)
    assert {c["settings"]["beta"] for c in configs if c["method"] == "dpo"} == {0.05}
    assert {c["settings"]["beta"] for c in configs if c["method"] != "dpo"} == {0.0}
    for config in configs:
        assert not set(config["seeds"]) & set(config["development"])
    again = study_from(json.loads(json.dumps(study.definition())), "study.json")
    assert again == study
    assert isinstance(again, BanditStudy) and expand_bandits(again, Plain("again", {})) == configs


@pytest.mark.parametrize("name", ["tajwar2024-smoke", "tajwar2024-quick"])
def test_every_cell_of_a_shipped_study_has_the_same_steps_and_trials(name: str) -> None:
    study, document = load_study(name)
    assert isinstance(study, BanditStudy) and study.name == name
    configs = expand_bandits(study, document)
    assert len({(c["settings"]["steps"], tuple(c["rates"]), tuple(c["development"])) for c in configs}) == 1
    per_problem = {}
    for c in configs:
        per_problem.setdefault(c["task"], set()).add(
            (c["settings"]["batch_size"], c["settings"]["samples_per_prompt"])
        )
    assert all(len(sizes) == 1 for sizes in per_problem.values())
    if name.endswith("quick"):
        assert study.bandits.seeds >= 20


def test_a_study_from_its_file_to_its_tables_and_figures(
    file: Path, tmp_path: Path, real_call: Callable[..., tuple[int, str, str]]
) -> None:
    def proclivity(*arguments: str) -> str:
        status, told, error = real_call(*arguments)
        assert status == 0, error
        return told

    out, copy = tmp_path / "out", tmp_path / "copy"
    dry = json.loads(proclivity("study", "run", str(file), "--dry-run", "--json"))
    assert dry["runs"] == 26 and dry["seconds"] > 0
    first = json.loads(proclivity("study", "run", str(file), "--out", str(out), "--workers", "0", "--json"))
    assert (first["done"], first["ran"], first["failed"]) == (26, 26, {})
    again = json.loads(proclivity("study", "run", str(file), "--out", str(out), "--workers", "0", "--json"))
    assert (again["done"], again["ran"]) == (26, 0)
    assert json.loads(proclivity("study", "status", str(out), "--json"))["todo"] == 0

    study = read_study(out)
    assert not study.problems
    assert len(study.bandits) == 26 * 3 and len(study.points) == 26 * 3 * 3  # steps 0, 3 and 6
    last = study.points[study.points["step"] == 6].set_index(["key", "seed"])["reward"]
    told = study.bandits.set_index(["key", "seed"])["reward"]
    assert (last.sort_index() == told.sort_index()).all()
    assert set(study.bandits["learning_rate"]) <= {1e-3, 1e-2}

    proclivity("study", "compact", str(out), "--out", str(copy))
    tables = [json.loads(proclivity("analyze", str(d), "--json"))[str(d)] for d in (out, copy)]
    assert tables[0] == tables[1]
    rows = tables[0]["takeaways"]
    assert {row["takeaway"] for row in rows} == {1, 2, 3, 4}
    assert [row["claim"] for row in rows if row["primary"]] == ["fewer batches a round"]
    assert all(row["n"] == 3 for row in rows)
    assert "Takeaway 4" in proclivity("analyze", str(out))
    figures = json.loads(proclivity("figures", str(copy), "--json"))["figures"]
    assert {Path(f).stem for f in figures if f.endswith(".png")} == {
        *("bandit_problems", "bandit_sweeps", "bandit_log_probabilities"),
        *("bandit_divergences", "bandit_masses"),
    }
