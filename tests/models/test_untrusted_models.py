"""A model from anywhere is data: no pickle of it is read, and no code of it runs unless that is asked for."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from models import load, load_reward_model, nli_of, reward_model_of, sentiment_scores
from models.language_model import configuration
from tasks.errors import UserError

CODE = """
from pathlib import Path

from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

Path({mark!r}).touch()


class OwnConfig(GPT2Config):
    model_type = "own"


class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig
"""


class Evil:
    """What a pickle can hold: a call."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """A file that is there once something was executed."""
    return tmp_path / "executed"


@pytest.fixture
def folder(random_model: Any, tmp_path: Path) -> Path:
    lm, path = random_model("gpt2"), tmp_path / "model"
    lm.model.save_pretrained(path)
    lm.tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def with_code(folder: Path, mark: Path) -> Path:
    """The same model by code of its own."""
    (folder / "own.py").write_text(CODE.format(mark=str(mark)))
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "OwnConfig", "AutoModelForCausalLM": "OwnModel"}
    config |= {"model_type": "own", "auto_map": {auto: f"own.{own}" for auto, own in classes.items()}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("read", [load, load_reward_model, nli_of, sentiment_scores])
def test_weights_in_a_pickle_are_refused_and_never_read(
    folder: Path, mark: Path, read: Callable[[str], Any], zipped: bool
) -> None:
    torch.save(
        {"transformer.wte.weight": Evil(mark)}, folder / "bait.bin", _use_new_zipfile_serialization=zipped
    )
    torch.load(folder / "bait.bin", weights_only=False)
    assert mark.exists()  # it would execute
    mark.unlink()
    (folder / "model.safetensors").unlink()
    (folder / "bait.bin").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors") as told:
        read(str(folder))
    assert "\n" not in str(told.value) and not mark.exists()


def test_beside_safetensors_a_pickle_is_left_alone(folder: Path, mark: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(mark)))
    (folder / "training_args.bin").write_bytes(pickle.dumps(Evil(mark)))
    load(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize("read", [load, configuration, load_reward_model, nli_of, sentiment_scores])
def test_code_of_a_model_s_own_is_refused_by_the_name_of_the_flag(
    with_code: Path, mark: Path, read: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # transformers asks at a terminal; a library that tunes for hours must not.
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(UserError) as told:
        read(str(with_code))
    assert "\n" not in str(told.value) and not mark.exists()
    assert "code of its own" in str(told.value)
    assert ("--trust-remote-code" in str(told.value)) == (read in (load, configuration))


def test_with_the_flag_it_runs(with_code: Path, mark: Path) -> None:
    lm = load(str(with_code), trust_remote_code=True)
    assert mark.exists() and type(lm.model).__name__ == "OwnModel"
    expected = load_file(with_code / "model.safetensors")["transformer.wte.weight"]
    assert torch.equal(lm.model.transformer.wte.weight, expected)


def test_what_runs_code_of_its_own_is_never_made_a_reward_model_by_it(
    with_code: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = load(str(with_code), trust_remote_code=True)
    lm.model.config.auto_map["AutoModelForSequenceClassification"] = "own.OwnModel"
    lm.model.config._name_or_path = str(with_code)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda said: asked.append(said) or "y")
    with pytest.raises(UserError, match="no scalar head"):
        reward_model_of(lm)
    assert not asked
