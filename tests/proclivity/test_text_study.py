"""Studies of text problems through the command line, with real jobs of small models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from transformers import GPT2Config, GPT2LMHeadModel

from analysis.papers.lengths import chosen_rates, run_table
from analysis.records import read_study
from models.embedded import tokenizer_of
from models.english import EnglishCorpus
from proclivity import composition
from proclivity.plan import plan
from proclivity.study import list_studies, load_study
from rl_finetune import get_method
from rl_finetune.settings import settings_from

SHIPPED = Path(composition.__file__).parent / "studies"
Call = Callable[..., tuple[int, str, str]]


def small(tmp_path: Path, **changes: object) -> str:
    """The smoke study, of two methods on two problems, with a model of random weights."""
    study = yaml.safe_load((SHIPPED / "tajwar2024-lengths-smoke.yaml").read_text())
    study["model"] = str(tmp_path / "model")
    study["texts"] |= {
        "problems": ["lengths/mode-length", "lengths/skew-length"],
        "methods": ["dpo", "online-dpo"],
        "data": {"demonstrations": 960, "batch": 32, "rate": 1e-2, "pairs_batch": 8, "held_out": 12},
    }
    study["settings"] |= {"steps": 2, "batch_size": 8, "reuse": 0, "eval_n": 16, "log_n": 8}
    path = tmp_path / "tajwar2024-lengths-smoke.yaml"
    path.write_text(yaml.safe_dump({**study, **changes}))
    return str(path)


def save_model(folder: Path) -> None:
    """A model with random weights that reads English: one pre-trained on the spot would take a minute."""
    tokenizer = tokenizer_of(EnglishCorpus())
    ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=96, n_embd=16, n_layer=1, n_head=2, **ends)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_study_runs_goes_on_and_is_analysed(tmp_path: Path, real_call: Call) -> None:
    save_model(tmp_path / "model")
    file, folder, compact = small(tmp_path), str(tmp_path / "out"), str(tmp_path / "compact")
    status, out, _ = real_call("study", "run", file, "--dry-run", "--json")
    assert status == 0 and json.loads(out)["runs"] == 4
    status, out, error = real_call("study", "run", file, "--out", folder, "--workers", "0", "--json")
    assert status == 0, (out, error)
    assert (json.loads(out)["ran"], json.loads(out)["failed"]) == (4, {})
    files = Path(folder).glob("runs/*/record.json")
    records = {path.parent.name: json.loads(path.read_text()) for path in files}
    for points in records.values():
        assert [point["step"] for point in points] == [0, 1, 2]
        assert [point["completions"] for point in points] == [0, 16, 32]
        assert points[0]["kl_reverse"] == pytest.approx(0, abs=1e-5) and points[-1]["kl_reverse"] > 0
        assert sum(json.loads(points[-1]["lengths"]).values()) == points[-1]["n"] == 16
    for problem in ("lengths/mode-length", "lengths/skew-length"):  # what methods share
        mine = [points for points in records.values() if points[0]["task"] == problem]
        for name in ("weights_hash", "data_hash", "reward_model", "agreed", "reward"):
            assert len({points[0][name] for points in mine}) == 1, name
    some = sorted(records)[0]
    (Path(folder) / "runs" / some / "record.json").unlink()
    status, out, _ = real_call("study", "run", file, "--out", folder, "--workers", "0", "--json")
    assert (status, json.loads(out)["ran"]) == (0, 1)
    again = json.loads((Path(folder) / "runs" / some / "record.json").read_text())
    timed = {"wall_s", "step_s", "started"}
    assert [{k: v for k, v in point.items() if k not in timed} for point in again] == [
        {k: v for k, v in point.items() if k not in timed} for point in records[some]
    ]
    assert json.loads(real_call("study", "status", folder, "--json")[1])["done"] == 4
    told = real_call("analyze", folder)[1]
    assert "online-dpo over dpo, skew-length" in told and "cannot be told" in told
    assert real_call("study", "compact", folder, "--out", compact)[0] == 0
    assert real_call("analyze", compact)[1].replace(compact, folder) == told
    drawn = real_call("figures", compact)[1].split()
    assert {"lengths_along.png", "gold_at_end.pdf"} <= {Path(path).name for path in drawn}
    assert all(Path(path).stat().st_size for path in drawn)


@pytest.mark.parametrize("name", [name for name in list_studies() if "lengths" in name])
def test_methods_of_a_shipped_study_get_as_many_completions_and_steps(name: str) -> None:
    study, document = load_study(name)
    found = set()
    for job in plan(study, document).jobs:
        settings = settings_from(dict(job.config["settings"]))
        method = get_method(job.config["method"]).set(settings)
        each = 2 if method.samples == "pairs" else settings.samples_per_prompt
        found.add((settings.steps * method.reuse, settings.rows * each))
    assert len(found) == 1


def test_the_learning_rates_are_those_of_the_development_study() -> None:
    """Chosen on seeds outside the study, by the rule, with as many trials for every method."""
    chosen_on = read_study(SHIPPED.parents[1] / "results" / "development-lengths")
    rates, (found, document) = chosen_rates(chosen_on), load_study("tajwar2024-lengths-quick")
    jobs = [job.config for job in plan(found, document).jobs]
    assert {(c["method"], c["settings"]["learning_rate"]) for c in jobs} == set(rates.items())
    assert not {c["seed_data"] for c in jobs} & set(chosen_on.texts["seed_data"])
    tried = run_table(chosen_on).groupby("method")["learning_rate"].apply(lambda tried: sorted(set(tried)))
    assert len(set(map(tuple, tried))) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"texts": {"problems": ["lengths/min"], "methods": ["dpo"]}}, "did you mean 'lengths/min-length'"),
        ({"primary": {"problem": "lengths/min-length", "method": "dpo", "against": "ppo"}}, "primary"),
        ({"settings": {"steps": {"dpo": 2}}}, "gives no value for online-dpo, and none for others"),
        ({"settings": {"steps": {"sft": 2, "others": 3}}}, "'sft'"),
        ({"settings": {"answers": "constrained"}}, "use answers=free"),
        ({"settings": {"steps": 1, "batch_size": 3}}, "no multiple of pairs_batch 8"),
        ({"settings": {"stepz": 1}}, "did you mean 'steps'"),
    ],
)
def test_a_wrong_study_is_told_in_one_line(
    tmp_path: Path, real_call: Call, changes: dict[str, object], message: str
) -> None:
    save_model(tmp_path / "model")
    status, _, error = real_call("study", "run", small(tmp_path, **changes), "--dry-run")
    assert status == 2 and message in error and error.count("\n") == 1
