"""A model that does not fit is refused before a byte of it is read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from models import memory
from models.language_model import load
from models.memory import check_fits, free_memory
from tasks.errors import UserError
from tests.models.conftest import word_tokenizer

CONFIG = GPT2Config(
    vocab_size=100, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=1
)


def size_of(dtype: torch.dtype) -> int:
    model = AutoModelForCausalLM.from_config(CONFIG, dtype=dtype)
    return sum(p.numel() * p.element_size() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_limit_is_the_size_of_the_weights(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    size = size_of(dtype)
    monkeypatch.setattr(memory, "free_memory", lambda device: size)
    check_fits("it", AutoModelForCausalLM, CONFIG, dtype, "cpu")
    monkeypatch.setattr(memory, "free_memory", lambda device: size - 1)
    with pytest.raises(
        UserError, match=f"it: its weights take .* GB as {str(dtype)[6:]}, and .* free on cpu"
    ):
        check_fits("it", AutoModelForCausalLM, CONFIG, dtype, "cpu")


def test_a_model_of_a_hundred_gigabytes_is_told_from_its_configuration_alone(tmp_path: Path) -> None:
    """The folder has a configuration and a tokenizer, and no weights at all."""
    word_tokenizer(["a", "b"]).save_pretrained(tmp_path)
    GPT2Config(n_embd=16384, n_layer=96, n_head=128).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"its weights take 1\d{3}\.\d GB as float32"):
        load(str(tmp_path))


def test_there_is_some_memory_and_no_more_than_the_machine_has() -> None:
    assert 2**20 < free_memory("cpu") < 2**50
