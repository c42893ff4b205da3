"""A small language model with fresh weights that knows the symbols, the reports and the answer words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    T5Config,
    T5ForConditionalGeneration,
)

from models import LanguageModel
from models.corpus import Corpus
from models.embedded import tokenizer_of
from models.language_model import weights_hash
from rl_finetune import Settings, get_method, policy_of
from rl_finetune.batches import Source
from rl_finetune.critic import critic_of
from tasks import Task, get_task


def fresh(width: int = 32, scale: float = 1.0, **options: Any) -> LanguageModel:
    tokenizer = tokenizer_of(Corpus())
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=32,
        n_embd=width,
        n_layer=1,
        n_head=2,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.mul_(scale)
    model.eval()
    return LanguageModel(model, tokenizer, "fresh", None, "random", weights_hash(model))


def source_for(
    lm: LanguageModel, reference: LanguageModel, task: Task, name: str, settings: Settings, samples: int
) -> Source:
    """A source of answers as tuning makes one, without a control; a critic with weights."""
    method = get_method(name).set(settings)
    critic = critic_of(lm.model) if method.critic else None
    if critic:
        torch.nn.init.normal_(critic.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return Source(
        method=method,
        policy=policy_of(lm, task, settings.answers),
        task=task,
        model=lm.model,
        reference=reference.model,
        prior=reference.model,
        samples=samples,
        control="",
        rng=np.random.default_rng(0),
        generator=torch.Generator().manual_seed(0),
        critic=critic,
    )


@pytest.fixture
def lm() -> LanguageModel:
    """It learns in a few dozen steps."""
    return fresh(scale=3.0)


@pytest.fixture(params=["bert", "t5"])
def other(request: pytest.FixtureRequest) -> LanguageModel:
    """An encoder with an action head, or an encoder-decoder."""
    tokenizer = tokenizer_of(Corpus())
    ends: dict[str, Any] = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if request.param == "bert":
            size = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
            model: Any = BertForSequenceClassification(BertConfig(intermediate_size=64, **size, **ends))
        else:
            size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 1, "num_heads": 2}
            model = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0, **size, **ends))
    return LanguageModel(model.eval(), tokenizer, request.param, None, "random", weights_hash(model))


@pytest.fixture
def peaked() -> LanguageModel:
    """Its distributions are far from uniform."""
    return fresh(scale=16.0)


@pytest.fixture
def forgetful() -> LanguageModel:
    """It has dropout, and is ready to use it."""
    return fresh(resid_pdrop=0.3, embd_pdrop=0.3, attn_pdrop=0.3)


@pytest.fixture(scope="session")
def task() -> Task:
    """The first symbol's class beside a fair coin: learnt in a few dozen steps."""
    return get_task("symbolic/first-class-vs-coin")
