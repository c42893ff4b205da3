"""Every architecture through the command line: saved on the spot, probed and tuned by one command each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from analysis import read_study
from analysis.pairs.pairs import pairs_table
from models.corpus import Corpus
from models.embedded import tokenizer_of
from models.english import EnglishCorpus
from proclivity import cli

ROOT = Path(__file__).parent.parent.parent
TASK = "symbolic/contains-1-vs-first-class"
SITES = {"bert": "first_token", "t5": "decoder_start"}
SIZE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def saved(shape: str, path: Path, corpus: Corpus | EnglishCorpus) -> Path:
    """A tiny model of an architecture, with a corpus's tokenizer."""
    tokenizer = tokenizer_of(corpus)
    ends: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 1,
    }
    torch.manual_seed(0)
    made: dict[str, Callable[[], Any]] = {
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=2, n_head=2, **ends)),
        "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SIZE, **ends)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZE, **ends)),
        "bert": lambda: BertForMaskedLM(BertConfig(**SIZE, **ends)),
        "t5": lambda: T5ForConditionalGeneration(
            T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, decoder_start_token_id=0, **ends)
        ),
    }
    made[shape]().save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(params=["gpt2", "gpt_neox", "llama", "bert", "t5"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return saved(request.param, tmp_path / request.param, Corpus())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """A command in this process, with what it does for real behind it: its JSON."""
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments: str) -> Any:
        capsys.readouterr()
        assert cli.main([*arguments, "--json"]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(out)

    return run


def test_a_probe_of_every_layer(run: Callable[..., Any], folder: Path) -> None:
    asked = ("--layers", "all", "--n", "200", "--shuffles", "2")
    found = run("probe", "--model", str(folder), "--task", TASK, *asked)
    assert [(row["feature"], row["layer"]) for row in found] == [
        (feature, layer) for layer in (0, 1, -1) for feature in ("contains-1", "first-class")
    ]
    assert {row["site"] for row in found} == {SITES.get(folder.name, "last_prompt")}
    assert all(0 < row["bits_per_label"] <= 1 + 1 / 200 for row in found)


@pytest.mark.parametrize("site", ["mean", "2"])
def test_another_site(run: Callable[..., Any], folder: Path, site: str) -> None:
    asked = ("--site", site, "--n", "60", "--shuffles", "1", "--orders", "1")
    found = run("probe", "--model", str(folder), "--task", TASK, *asked)
    assert {row["site"] for row in found} == {site}


def test_what_each_layer_is_used_for(run: Callable[..., Any], folder: Path) -> None:
    asked = ("--layers", "all", "--n", "200", "--shuffles", "1", "--orders", "1", "--use", "8")
    found = run("probe", "--model", str(folder), "--task", TASK, *asked)
    assert len(found) == 6
    for row in found:
        assert row["use_n"] == 32 and row["swap_n"] > 0
        assert 0 <= row["use_changed"] <= 1 and 0 <= row["use_conflict_error"] <= 1 and abs(row["swap"]) <= 1


@pytest.mark.parametrize("kind", ["mlp", "finetune", "variational"])
def test_other_kinds_of_probe(run: Callable[..., Any], folder: Path, kind: str) -> None:
    asked = ("--probe", kind, "--n", "60", "--shuffles", "1", "--orders", "1")
    found = run("probe", "--model", str(folder), "--task", TASK, *asked)
    assert [(row["probe"], row["n"], row["layer"]) for row in found] == [(kind, 60, -1)] * 2
    assert all(row["converged"] and row["bits_per_label"] <= 1 + 1 / 60 for row in found)


def test_a_tuned_policy(run: Callable[..., Any], folder: Path) -> None:
    """Two steps: an encoder's actions, and words of the others, are counted in every quadrant."""
    asked = ("--steps", "2", "--batch-size", "4", "--samples-per-prompt", "2", "--log-points", "1")
    measured = ("--eval-n", "20", "--counterfactual-n", "4")
    found = run("finetune", "--model", str(folder), "--task", TASK, "--method", "rloo", *asked, *measured)
    (row, *_) = found if isinstance(found, list) else [found]
    assert row["status"] == "ok" and row["n_answers"] == 80 and row["invalid"] == 0


def test_the_study_of_the_paper_runs_on_its_architectures(run: Callable[..., Any], tmp_path: Path) -> None:
    """The shipped study with tiny models in place of those of the hub, cut to one pair and two levels."""
    study = yaml.safe_load((ROOT / "proclivity" / "studies" / "lovering2021-paper.yaml").read_text())
    assert len(study["pairs"]["list"]) == 19
    shapes = {"bert-base": "bert", "t5-base": "t5", "gpt2": "gpt2", "roberta-base": "bert"}
    folders = [
        str(saved(shape, tmp_path / f"{i}-{shape}", EnglishCorpus()))
        for i, name in enumerate(study["models"]["english"])
        for known, shape in shapes.items()
        if known in name
    ]
    assert len(folders) == 4
    study["models"] = {"english": folders}
    study["pairs"] = {"list": study["pairs"]["list"][:1]}
    study["probe"] |= {"n": 100, "inputs": ["model"], "shuffles": 2}
    study["settings"] |= {"steps": 2, "batch_size": 10, "eval_n": 10, "counterfactual_n": 0, "log_points": 1}
    study["arms"] = {"one_sided": study["arms"]["one_sided"] | {"seeds": [0]}}
    study["arms"]["one_sided"]["evidence"]["rates"] = [0, 0.5]
    (tmp_path / "paper.yaml").write_text(yaml.safe_dump(study))
    out = str(tmp_path / "out")
    found = run("study", "run", str(tmp_path / "paper.yaml"), "--out", out, "--workers", "0")
    assert (found["done"], found["failed"]) == (4 + 4 * 2, {})
    records = read_study(out)
    assert set(records.probes["site"]) == {"last_prompt", "first_token", "decoder_start"}
    table = pairs_table(records)
    assert list(table["evidence"]) == [0, 0.5] and (table["n_ok"] == 4).all()
    (models,) = set(table["models"])
    assert len(models) == 4


def test_a_reward_model_made_of_an_encoder(run: Callable[..., Any], tmp_path: Path) -> None:
    """Trained, kept, and tuned on by a policy of the same encoder."""
    folder = saved("bert", tmp_path / "bert", Corpus())
    asked = ("--model", str(folder), "--task", TASK, "--steps", "2", "--batch-size", "4", "--log-points", "1")
    asked += ("--eval-n", "20", "--counterfactual-n", "4", "--out", str(tmp_path / "out"))
    (judge,) = run("reward-model", *asked)
    kept = tmp_path / "out" / "runs" / judge["key"] / "reward_model"
    (row,) = run("finetune", *asked, "--method", "rloo", "--reward-model", str(kept))
    assert (row["reward_model"], row["reward_model_U"]) == (judge["key"], judge["U"])
    assert row["status"] == "ok" and row["reward_learned"] is not None
    assert cli.main(["use", "--model", str(kept), "--task", TASK]) == 2
