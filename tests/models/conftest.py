"""Small models made on the spot, and one tiny recipe that is pre-trained once a session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    T5Config,
)

from models import LanguageModel, load

WORDS = [*"abcdefghij", "?", "amber", "birch", "coral", "delta"]
BART = {"layers": 2, "attention_heads": 2, "ffn_dim": 32}
TINY = "embedded/symbols:width=16,layers=1,heads=2,steps=5,batch_size=8"
Shape = Callable[..., LanguageModel]


def word_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *words])}
    core = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )


def config_of(shape: str, vocabulary: int) -> Any:
    ends: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    if shape == "gpt2":
        return GPT2Config(vocab_size=vocabulary, n_positions=32, n_embd=16, n_layer=2, n_head=2, **ends)
    if shape == "t5":
        wide = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
        return T5Config(vocab_size=vocabulary, num_decoder_layers=3, decoder_start_token_id=0, **wide, **ends)
    if shape == "bart":
        sides = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in BART.items()}
        starts = {"decoder_start_token_id": 1, "forced_bos_token_id": 2}
        return BartConfig(
            vocab_size=vocabulary, d_model=16, max_position_embeddings=32, **sides, **starts, **ends
        )
    size: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    size |= {"intermediate_size": 32, "max_position_embeddings": 32, **ends}
    if shape in ("bert", "roberta"):
        return (BertConfig if shape == "bert" else RobertaConfig)(num_labels=2, **size)
    if shape == "gpt_neox":
        return GPTNeoXConfig(**size)
    if shape == "llama":
        return LlamaConfig(**size)
    return Gemma2Config(num_key_value_heads=1, head_dim=8, final_logit_softcapping=0.5, **size)


@pytest.fixture(scope="session")
def random_model() -> Shape:
    """`random_model(shape)`: random weights, wide enough that distributions are far from uniform."""

    def make(shape: str = "gpt2", words: Sequence[str] = WORDS, scale: float = 8.0) -> LanguageModel:
        tokenizer = word_tokenizer(words)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            kinds: dict[str, Any] = dict.fromkeys(("bert", "roberta"), AutoModelForSequenceClassification)
            kind: Any = {**kinds, **dict.fromkeys(("t5", "bart"), AutoModelForSeq2SeqLM)}.get(
                shape, AutoModelForCausalLM
            )
            model = kind.from_config(config_of(shape, len(tokenizer)))
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.dim() > 1:
                        parameter.mul_(scale)
        return LanguageModel(model.eval(), tokenizer, shape, None, "random", "")

    return make


@pytest.fixture(scope="session")
def tiny() -> LanguageModel:
    return load(TINY)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("PROCLIVITY_CACHE", str(tmp_path))
    return tmp_path
