"""Revisions of a hub's model, from a cache of the hub that is made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from models import load, model_folder
from models.language_model import split_revision
from tasks.errors import UserError


@pytest.fixture
def hub(random_model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model with the branches main and one, which are the same commit, and two, which is another."""
    lm, cache = random_model("gpt2"), tmp_path / "models--org--name"
    (cache / "refs").mkdir(parents=True)
    for i, branches in enumerate((("main", "one"), ("two",))):
        commit = f"{i + 1}" * 40
        with torch.no_grad():
            lm.model.transformer.h[0].mlp.c_fc.bias += i
        lm.model.save_pretrained(cache / "snapshots" / commit)
        lm.tokenizer.save_pretrained(cache / "snapshots" / commit)
        for branch in branches:
            (cache / "refs" / branch).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return "org/name"


def test_a_revision_is_another_model(hub: str) -> None:
    plain, one, two = load(hub), load(f"{hub}@one"), load(f"{hub}@two")
    assert [lm.revision for lm in (plain, one, two)] == [None, "one", "two"]
    assert plain.weights_hash == one.weights_hash != two.weights_hash
    assert (
        load(hub, revision="two").weights_hash == two.weights_hash == load(f"{hub}@{'2' * 40}").weights_hash
    )
    assert [model_folder(f"{hub}{at}").name[0] for at in ("", "@one", "@two")] == ["1", "1", "2"]


def test_a_revision_that_there_is_not(hub: str) -> None:
    for find in (load, model_folder):
        with pytest.raises(UserError, match="cannot load model 'org/name@three'") as error:
            find(f"{hub}@three")
        assert "\n" not in str(error.value)


def test_a_folder_may_have_an_at_in_its_name(random_model: Any, tmp_path: Path) -> None:
    folder, lm = tmp_path / "mine@home", random_model("gpt2")
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    assert load(str(folder)).revision is None and model_folder(str(folder)) == folder
    assert split_revision(str(folder)) == (str(folder), None)


@pytest.mark.parametrize("name", ["@one", "name@"])
def test_half_a_name(name: str) -> None:
    with pytest.raises(UserError, match="a revision is given as NAME@REVISION"):
        load(name)


def test_an_embedded_model_has_no_revisions() -> None:
    with pytest.raises(UserError, match="'embedded/symbols@main': an embedded model has no revisions"):
        load("embedded/symbols@main")
