"""The memory that is told before a model is loaded: exact where it can be counted, and in the right order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from transformers import AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, LlamaConfig, T5Config

from models.footprint import Load, adapters, footprint, shape_of
from models.language_model import kind_of

SIZE: dict[str, Any] = {"vocab_size": 500, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
DECODER = {
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "hidden_size": 32,
    "intermediate_size": 96,
    **SIZE,
}
CONFIGS = [
    GPT2Config(n_embd=32, n_layer=3, n_head=4, **SIZE),
    GPTNeoXConfig(**DECODER),
    LlamaConfig(**DECODER),
]
TRAINED = Load(length=20, rows=16, places=20, measured=64, copies=2)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_weights_are_counted(config: Any) -> None:
    model = kind_of(config).from_config(config)
    shape = shape_of(config)
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.layers, shape.hidden, shape.vocabulary) == (3, 32, 500)
    assert shape.inner == (128 if config.model_type == "gpt2" else 96)
    found = footprint(shape, TRAINED, 2)
    assert found.weights == found.gradients == 2 * shape.parameters
    assert (found.copies, found.optimiser) == (2 * found.weights, 2 * found.weights)
    assert found.total == sum(vars(found).values())


def test_an_encoder_decoder_has_the_layers_of_both() -> None:
    assert shape_of(T5Config(num_layers=2, num_decoder_layers=3, **SIZE)).layers == 5


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.model_type)
def test_adapters_are_as_large_as_peft_s(config: Any) -> None:
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(AutoModelForCausalLM.from_config(config), LoraConfig(r=4, task_type="CAUSAL_LM"))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert adapters(shape_of(config), 4) == trained


def test_what_saves_memory_is_told_to_save_it() -> None:
    shape = shape_of(CONFIGS[0])
    whole = footprint(shape, TRAINED).total
    savers: list[dict[str, Any]] = [
        {"lora": 4}, {"rows": 8}, {"length": 10}, {"places": 1}, {"copies": 1}, {"recomputed": True},
        {"half": True}, {"rows": 0},
    ]  # fmt: skip
    for change in savers:
        assert footprint(shape, replace(TRAINED, **change)).total < whole, change
    assert footprint(shape, TRAINED, 2).total < whole < footprint(shape, replace(TRAINED, split=True)).total


def test_nothing_is_trained_by_measuring() -> None:
    found = footprint(shape_of(CONFIGS[0]), Load(length=20, measured=512, measured_places=20))
    assert found.gradients == found.optimiser == found.copies == 0
    assert found.activations > 512 * 20 * 500 * 4
