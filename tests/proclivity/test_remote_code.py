"""Code that comes with a model: refused by the name of the flag, or run, recorded and part of the key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models import load
from proclivity.plan import plan
from proclivity.study import load_study
from tests.models.test_untrusted_models import CODE

Call = Callable[..., tuple[int, str, str]]
TASK = "symbolic/contains-1-vs-first-class"
TINY = ("--steps", "2", "--batch-size", "8", "--eval-n", "8", "--log-points", "0", "--counterfactual-n", "0")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model that reads symbols by code of its own, which leaves a mark."""
    lm, folder = load("embedded/symbols:steps=5,width=16"), tmp_path / "model"
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    (folder / "own.py").write_text(CODE.format(mark=str(tmp_path / "executed")))
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "OwnConfig", "AutoModelForCausalLM": "OwnModel"}
    config |= {"model_type": "own", "auto_map": {auto: f"own.{own}" for auto, own in classes.items()}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_commands_refuse_it_in_one_line_and_run_it_when_asked(
    model: Path, real_call: Call, tmp_path: Path
) -> None:
    asked = ("--model", str(model), "--task", TASK)
    commands = {
        "probe": ("--n", "16", "--shuffles", "1", "--orders", "1"),
        "finetune": ("--method", "sft", *TINY),
        "use": ("--eval-n", "8", "--counterfactual-n", "0"),
    }
    for name, more in commands.items():
        status, _, err = real_call(name, *asked, *more)
        assert (status, err.count("\n")) == (2, 1) and "--trust-remote-code" in err
        assert not (tmp_path / "executed").exists()
    for name, more in commands.items():
        status, out, _ = real_call(name, *asked, *more, "--trust-remote-code", "--json")
        assert status == 0 and (tmp_path / "executed").exists()
        assert {record["trust_remote_code"] for record in json.loads(out)} == {True}
    embedded = ("--model", "embedded/symbols:steps=5,width=16", "--task", TASK)
    _, out, _ = real_call("use", *embedded, *commands["use"], "--trust-remote-code", "--json")
    assert [record["trust_remote_code"] for record in json.loads(out)] == [False]
    by_trl = ("--backend", "trl", "--answers", "free", "--entropy-bonus", "0")
    status, _, err = real_call("finetune", *asked, *commands["finetune"], *by_trl, "--trust-remote-code")
    assert status == 2 and "--backend native" in err and err.count("\n") == 1


def jobs(write_study: Callable[..., str], **changes: Any) -> list[tuple[str, bool]]:
    study, document = load_study(write_study(**changes))
    return [(job.key, job.config.get("trust_remote_code", False)) for job in plan(study, document).jobs]


def test_a_study_says_so_and_only_then_keys_are_others(model: Path, write_study: Callable[..., str]) -> None:
    pairs = {"list": [TASK]}
    plain = jobs(write_study, models=[str(model)], pairs=pairs)
    told = jobs(write_study, models=[str(model)], pairs=pairs, trust_remote_code=True)
    assert not any(trust for _, trust in plain) and all(trust for _, trust in told)
    assert not {key for key, _ in plain} & {key for key, _ in told}
    embedded = {"models": ["embedded/symbols"], "pairs": pairs}
    assert jobs(write_study, **embedded) == jobs(write_study, **embedded, trust_remote_code=True)
    usual, _ = load_study(write_study(**embedded))
    assert "trust_remote_code" not in usual.definition()


def test_changed_code_is_another_job(model: Path, write_study: Callable[..., str]) -> None:
    told: dict[str, Any] = {"models": [str(model)], "pairs": {"list": [TASK]}, "trust_remote_code": True}
    before = jobs(write_study, **told)
    (model / "own.py").write_text((model / "own.py").read_text() + "\n# changed\n")
    from proclivity import jobs as real

    real._code_hash.cache_clear()
    assert not {key for key, _ in before} & {key for key, _ in jobs(write_study, **told)}


def test_a_study_is_refused_by_the_name_of_the_key(
    model: Path, write_study: Callable[..., str], real_call: Call, tmp_path: Path
) -> None:
    told: dict[str, Any] = {"models": [str(model)], "pairs": {"list": [TASK]}, "probe": {"inputs": []}}
    file = write_study(**told, settings={"steps": 2})
    status, _, err = real_call("study", "run", file, "--out", str(tmp_path / "out"), "--workers", "0")
    assert status == 2 and "trust_remote_code: true in a study" in err and err.count("\n") == 1
    assert not (tmp_path / "executed").exists() and not (tmp_path / "out" / "runs").exists()
