"""Studies of stages through the command line, with real jobs of a small model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from analysis.records import read_study
from models import load, load_reward_model
from models.reward_model import learned_rewards
from proclivity.stage_data import half_of, pairs_of, rows_of
from proclivity.strict import Plain
from proclivity.study import study_from
from rl_finetune.writing import log_probs_after
from tasks.errors import UserError
from tasks.generation.generation import Row
from tasks.problems import text_out
from tests.proclivity.test_text_study import save_model

Call = Callable[..., tuple[int, str, str]]
TASK = "generation/summarise"


def small(tmp_path: Path, **changes: object) -> str:
    """Two data seeds and tuning seeds of a model of random weights."""
    value: dict[str, Any] = {
        "name": "stages-small",
        "paper": "kirk2024",
        "question": "Does every stage leave what the next one needs?",
        "scale": "smoke",
        "primary": {"task": TASK, "policy": "rloo", "against": "sft", "measure": "gold"},
        "models": [str(tmp_path / "model")],
        "stages": {
            "tasks": [TASK],
            "evidence": [0.25],
            "data_seeds": [0, 1],
            "seeds": [0, 1],
            "sft": {"steps": 8, "batch_size": 16, "learning_rate": 1e-2},
            "reward_model": {"steps": 2, "batch_size": 8, "pairs": "task"},
            "policies": {
                "rloo": {"method": "rloo"},
                "dpo": {"method": "dpo", "seeds": 1},
                "swept": {"method": "superhf", "beta": [0.1, 0.5], "batch_size": [4, 8], "seeds": 1},
                "best-of-n": {"method": "best-of-n", "samples_per_prompt": 3, "seeds": 1},
            },
            "measured": {"inputs": 6, "samples": 3, "along": 6, "points": 2, "shifts": ["longer-1"]},
        },
        "settings": {"steps": 4, "batch_size": 8, "samples_per_prompt": 2},
    }
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**value, **changes}))
    return str(path)


def test_a_study_of_stages_runs_and_is_analysed_and_its_models_are_there(
    tmp_path: Path, real_call: Call
) -> None:
    save_model(tmp_path / "model")
    folder, compact = str(tmp_path / "out"), str(tmp_path / "compact")
    command = ("study", "run", small(tmp_path), "--out", folder, "--workers", "0", "--json")
    status, out, error = real_call(*command)
    assert status == 0, (out, error)
    per_data_seed = 1 + 2 + 1 + 2 + 1 + 2 + 1  # SFT, two reward models, SFT as it is, rloo, dpo, ...
    assert json.loads(out)["done"] == 2 * per_data_seed
    study = read_study(folder)
    assert not study.problems
    stages = study.stages.set_index("key")
    policies = stages[stages["stage"] == "policy"]
    assert set(policies["sft"]) == set(stages.index[stages["stage"] == "sft"])
    assert set(stages.loc[policies["reward_model"], "policy"]) == {"reward"}
    assert set(stages.loc[policies["held_out_reward"], "policy"]) == {"held-out reward"}
    swept = policies[policies["policy"] == "swept"]
    assert {*zip(swept["beta"], swept["batch_size"], strict=True)} == {(0.1, 4), (0.5, 8)}
    # 8 rows a step of a quarter of conflicts.
    rloo = policies[policies["policy"] == "rloo"]
    assert (rloo["evidence_k"] == 8).all() and (rloo["evidence_n"] == 32).all()
    assert study.outputs.groupby(["key", "shift"]).size().eq(6 * 3).all()
    assert set(study.outputs["key"]) == set(policies.index)
    # Rewards of outputs are those of the kept reward model, and inputs are the same for all policies.
    key = rloo.index[0]
    judge = load_reward_model(tmp_path / "out" / "runs" / rloo.loc[key, "reward_model"] / "reward_model")
    mine = study.outputs[(study.outputs["key"] == key) & (study.outputs["shift"] == "in")]
    problem, seed = text_out(TASK), int(rloo.loc[key, "seed_data"])
    rows = rows_of(problem, 6, seed, "inputs", split="test", evidence=0.5)
    prompts = [rows[i].prompt for i in mine["input"]]
    assert learned_rewards(judge, prompts, list(mine["completion"])) == pytest.approx(
        mine["learned"].tolist(), abs=1e-4
    )
    assert problem.reward(prompts, list(mine["completion"])) == mine["gold"].tolist()
    rloo_inputs = mine["input"].tolist()
    assert [rows[i].conflict for i in mine["input"]] == mine["conflict"].astype(bool).tolist()
    # A kept policy is the one whose probabilities these are.
    kept = load(str(tmp_path / "out" / "runs" / key / "policy"))
    told = study.choices[(study.choices["key"] == key) & (study.choices["shift"] == "in")]
    scores = log_probs_after(kept, problem, [row.prompt for row in rows], [row.choices for row in rows])
    shares = [np.exp(np.array(row) - np.logaddexp.reduce(row)) for row in scores]
    assert np.concatenate(shares) == pytest.approx(told["probability"].to_numpy(), abs=1e-4)
    # Shares of a multiple choice add up to 1.
    shares = study.choices.groupby(["key", "shift", "input"])["probability"].sum()
    assert np.allclose(shares, 1, atol=1e-6)
    # Every policy is followed from the SFT model on, whose measures they share.
    rloo_points = study.measures[(study.measures["key"] == key) & (study.measures["measure"] == "gold")]
    assert set(rloo_points.loc[rloo_points["shift"] == "in", "step"]) == {0, 2, 4}
    # SFT is at no distance from itself, and the best of three has no distance but a bound.
    ends = study.measures.merge(study.stages[["key", "policy", "steps"]], on="key")
    kl = ends[(ends["measure"] == "kl") & (ends["policy"] == "sft")]
    assert (kl["value"] == 0).all() and len(kl)
    assert set(ends.loc[ends["measure"] == "kl bound", "policy"]) == {"best-of-n"}

    status, out, error = real_call("analyze", folder, "--json")
    assert status == 0, error
    before = json.loads(out)[folder]
    assert before["claims"][0]["primary"] is True
    told = tmp_path / "outputs.jsonl"
    status, out, error = real_call("study", "outputs", folder, "--out", str(told), "--json")
    assert status == 0, error
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(lines) == json.loads(out)["outputs"] == (study.outputs["shift"] == "in").sum()
    mine = [line for line in lines if line["run"] == key]
    assert [line["input"] for line in mine] == prompts and "log_prob" not in mine[0]
    assert [line["score"] for line in mine] == problem.reward(prompts, [line["output"] for line in mine])
    assert [line["reference"] for line in mine] == [rows[i].completion for i in rloo_inputs]
    status, out, error = real_call("metrics", "preference", str(told), "--json")
    assert status == 0, error
    status, _, error = real_call("study", "outputs", folder, "--out", str(told), "--shift", "longer-2")
    assert status == 2 and "no outputs; there are some under in, longer-1" in error

    status, out, error = real_call("study", "compact", folder, "--out", compact)
    assert status == 0, error
    status, out, error = real_call("analyze", compact, "--json")
    assert status == 0, error
    after = json.loads(out)[compact]
    assert [row["claim"] for row in before["claims"]] == [row["claim"] for row in after["claims"]]
    for one, other in zip(before["claims"], after["claims"], strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-3, nan_ok=True)
    assert not read_study(compact).outputs["completion"].any()
    status, _, error = real_call("study", "outputs", compact, "--out", str(told))
    assert status == 2 and "its texts were left out when it was compacted" in error

    status, out, _ = real_call(*command)
    assert status == 0 and json.loads(out)["ran"] == 0
    status, out, error = real_call("figures", folder, "--out", str(tmp_path / "figures"), "--json")
    assert status == 0, error
    assert all(Path(path).stat().st_size > 100 for path in json.loads(out)["figures"])


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("tasks",), ["generation/sumarise"], "unknown text-out task 'generation/sumarise'"),
        (("policies", "rloo", "method"), "rlo", "unknown method 'rlo'"),
        (("policies", "rloo", "stepz"), 3, "unknown key in stages.policies.rloo 'stepz'"),
        (("policies", "rloo", "beta"), [0.1, 0.2], None),
        (("policies", "swept", "beta"), [0.1, 0.2, 0.3], "lists of one length are swept together"),
        (("policies", "sft"), {"method": "sft"}, "sft is what every study has"),
        (("policies", "rloo", "seeds"), 3, "seeds must be within 1 and 2, not 3"),
        (("evidence",), [1.5], "1.5 is outside 0 to 1"),
        (("evidence",), [0.01], "evidence 0.01 of 16 prompts of reward is no counter-example"),
        (("measured", "along"), 7, "along: 7 are the first of 6 inputs"),
        (("measured", "shifts"), ["longer-9"], "unknown shift 'longer-9'"),
        (("policies", "rloo", "method"), "sft", "learns from no pairs or rewards"),
        (("tasks",), ["lengths/min-length"], "no reference answers and no shifts"),
    ],
)
def test_mistakes_in_a_study_of_stages_are_named_before_anything_runs(
    tmp_path: Path, real_call: Call, place: tuple[str, ...], value: object, said: str | None
) -> None:
    save_model(tmp_path / "model")
    path = Path(small(tmp_path))
    study = yaml.safe_load(path.read_text())
    at = study["stages"]
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = value
    path.write_text(yaml.safe_dump(study))
    status, _, error = real_call("study", "run", str(path), "--dry-run")
    assert (status == 0) if said is None else (status == 2 and said in error), error
    assert error.count("\n") <= 1


def test_the_halves_of_two_reward_models_share_no_prompt() -> None:
    problem = text_out(TASK)
    halves = [pairs_of(problem, 60, 3, say=None, half=half, evidence=0.5) for half in (1, 2)]
    assert not set(halves[0]["prompt"]) & set(halves[1]["prompt"])
    for half, pairs in enumerate(halves, 1):
        assert {half_of(prompt) for prompt in pairs["prompt"]} == {half} and len(pairs["prompt"]) == 60
        better = problem.reward(pairs["prompt"], pairs["chosen"])
        worse = problem.reward(pairs["prompt"], pairs["rejected"])
        assert all(a > b for a, b in zip(better, worse, strict=True))
        assert sum(pairs["conflict"]) == 30 and 5 < sum(pairs["conflict"][:30]) < 25


def test_pairs_are_of_the_share_of_conflicts_asked_for_whatever_the_model_says() -> None:
    """A model that keeps to the spurious rule gives few pairs on conflicts."""
    problem, rng = text_out(TASK), np.random.default_rng(0)

    def say(prompts: list[str], part: int) -> list[list[str]]:
        told = {row.prompt: row for p in range(40) for row in seen(p)}
        said = []
        for prompt in prompts:
            row = told[prompt]
            texts = (
                [row.spurious] * 4
                if row.conflict and rng.random() < 0.9
                else [row.completion, row.spurious, "."]
            )
            said.append(texts[:3])
        return said

    def seen(part: int) -> list[Row]:
        asked = {"split": "train", "part": part}
        return [
            row
            for e in (0.0, 1.0)
            for row in rows_of(problem, 256, 5, "preferences", evidence=e, **asked)  # type: ignore[arg-type]
        ]

    pairs = pairs_of(problem, 200, 5, say=say, evidence=0.1)
    assert sum(pairs["conflict"]) == 20 and len(pairs["prompt"]) == 200
    follows = problem.follows(pairs["prompt"], pairs["chosen"])
    assert all((rule == "target") == told for rule, told in zip(follows, pairs["conflict"], strict=True))


def test_completions_of_equal_reward_make_no_pair_and_too_few_are_told() -> None:
    problem = text_out(TASK)

    def say(prompts: list[str], part: int) -> list[list[str]]:
        return [["it is ."] * 2 for _ in prompts]

    with pytest.raises(UserError, match="completions are too often of equal reward"):
        pairs_of(problem, 4, 0, say=say, evidence=0.0)
    assert pairs_of(problem, 4, 0, say=say, evidence=0.0, all_of_them=False)["prompt"] == []


def test_a_study_read_back_from_its_manifest_is_the_same(tmp_path: Path) -> None:
    study = study_from(yaml.safe_load(Path(small(tmp_path)).read_text()), "small")
    definition = study.definition()
    assert study_from(json.loads(json.dumps(definition)), "again") == study
    assert Plain("again", definition).value == definition
