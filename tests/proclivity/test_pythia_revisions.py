"""The study of one training's revisions: chosen by its rule, planned without a hub, run on stand-ins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from models.embedded import RECIPES, tokenizer_of
from proclivity.study import load_study
from tasks import get_task, list_tasks

Call = Callable[..., tuple[int, str, str]]
NAME = "pythia-revisions-gpu"
FILE = Path(__file__).parents[2] / "proclivity" / "studies" / f"{NAME}.yaml"
HUB = "EleutherAI/pythia-160m"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache as huggingface_hub keeps it: Pythia's architecture at three revisions of one training."""
    cache = tmp_path / "hub" / f"models--{HUB.replace('/', '--')}"
    tokenizer = tokenizer_of(RECIPES["english"].corpus)
    (cache / "refs").mkdir(parents=True)
    for i, branch in enumerate(("step512", "step1000", "step2000")):
        commit = str(i + 1) * 40
        torch.manual_seed(i)
        config = GPTNeoXConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=64, bos_token_id=1, eos_token_id=1, pad_token_id=0,
        )  # fmt: skip
        GPTNeoXForCausalLM(config).save_pretrained(cache / "snapshots" / commit)
        tokenizer.save_pretrained(cache / "snapshots" / commit)
        (cache / "refs" / branch).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return cache


def test_the_pairs_are_those_of_the_rule() -> None:
    study, _ = load_study(NAME)
    first: dict[frozenset[str], str] = {}
    for name in sorted(list_tasks()):
        task = get_task(name) if name.startswith("english/") else None
        if task and not task.missing:
            first.setdefault(frozenset((task.target.family, task.spurious.family)), name)
    chosen = sorted(first.values())
    assert len(chosen) == 12
    assert list(study.pairs.list) == [*chosen, *(f"{name}:swapped=yes" for name in chosen)]  # type: ignore[union-attr]


def test_a_dry_run_asks_no_hub(real_call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: Any, **__: Any) -> None:
        raise AssertionError("fetched")

    monkeypatch.setattr("huggingface_hub.snapshot_download", nobody)
    monkeypatch.setattr(
        "analysis.pairs.power_over_models.power_over_models.__kwdefaults__", {"simulations": 5, "seed": 0}
    )
    status, out, err = real_call("study", "run", NAME, "--dry-run", "--json")
    assert status == 0, err
    told = json.loads(out)
    assert (told["runs"], told["probes"], len(told["pairs"])) == (24 * 9 * 2 * 2, 24 * 9, 24)
    assert told["power"]["families"] == 10 and 0 <= told["power"]["power"] <= 1
    (unknown,) = told["memory"]
    assert unknown["model"] == HUB and "cannot load model" in unknown["unknown"]


def test_without_a_hub_a_run_is_one_clear_line(real_call: Call, tmp_path: Path) -> None:
    status, out, err = real_call("study", "run", NAME, "--out", str(tmp_path / "out"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"cannot load model '{HUB}@step512'" in err and not (tmp_path / "out").exists()


def test_it_runs_on_stand_ins_to_its_primary_line(hub: Path, real_call: Call, tmp_path: Path) -> None:
    """The same file, with fewer revisions and pairs and little of everything."""
    study = yaml.safe_load(FILE.read_text())
    study["models"] = [f"{HUB}@{{step512|step1000|step2000}}"]
    study["pairs"]["list"] = study["pairs"]["list"][1:2] + study["pairs"]["list"][13:14]
    study["probe"] |= {"n": 40, "shuffles": 1}
    study["settings"] |= {
        "steps": 4,
        "batch_size": 8,
        "eval_n": 8,
        "log_n": 8,
        "log_points": 1,
        "counterfactual_n": 0,
    }
    study["arms"]["main"] |= {"methods": ["rloo"], "seeds": [0]}
    study["settings"]["learning_rate"] = 1e-3
    (tmp_path / f"{NAME}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    out = tmp_path / "out"
    status, text, err = real_call(
        "study", "run", str(tmp_path / f"{NAME}.yaml"), "--out", str(out), "--workers", "0"
    )
    assert status == 0 and "12 of 12 jobs done" in text, err
    records = [json.loads(p.read_text()) for p in sorted((out / "runs").glob("*/record.json"))]
    flat = [record for part in records for record in (part if isinstance(part, list) else [part])]
    hashes = {(record["revision"], record["weights_hash"]) for record in flat}
    assert {revision for revision, _ in hashes} == {"step512", "step1000", "step2000"} and len(hashes) == 3
    status, text, err = real_call("analyze", str(out), "--json")
    assert status == 0, err
    (primary,) = (row for row in json.loads(text)[str(out)]["claims"] if row["primary"])
    assert (primary["claim"], primary["statistic"], primary["method"]) == ("H1b", "slope", "rloo")
    assert primary["status"] == "cannot be told" and "cannot be estimated" in primary["note"]
    status, text, err = real_call("analyze", str(out))
    assert status == 0 and "H1b" in text, err
