"""Encoders by folder: the mean of a model's own states, whatever stands beside a text in its batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from analysis.outputs.diversity import diversity
from analysis.outputs.embedding import hashed_ngrams
from analysis.outputs.encoders import encoder, states_encoder
from models import load
from tasks import UserError

TEXTS = ["a b c", "c", "d e f g a b", "b a c"]


@pytest.fixture(scope="module", params=["gpt2", "bert"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    words = {word: i for i, word in enumerate(["<pad>", "<eos>", "<unk>", *"abcdefg"])}
    core = Tokenizer(WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    size: dict[str, Any] = {"vocab_size": len(words), "pad_token_id": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model: Any
        if request.param == "gpt2":
            model = GPT2LMHeadModel(GPT2Config(n_positions=8, n_embd=16, n_layer=2, n_head=2, **size))
        else:
            shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
            config = BertConfig(intermediate_size=32, max_position_embeddings=8, **shape, **size)
            model = BertForSequenceClassification(config)
    path = tmp_path_factory.mktemp(str(request.param))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def test_it_is_the_mean_of_the_final_states_of_each_text_alone(folder: str) -> None:
    lm = load(folder)
    found = encoder(folder)(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = lm.tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            states = lm.model.base_model(input_ids=ids).last_hidden_state[0]
        assert vector == pytest.approx(states.mean(dim=0).numpy(), abs=1e-5)


def test_padding_batches_and_order_play_no_part(folder: str) -> None:
    lm = load(folder)
    alone = states_encoder(lm, batch_size=1)(TEXTS)
    assert states_encoder(lm)(TEXTS[::-1])[::-1] == pytest.approx(alone, abs=1e-5)


def test_long_texts_are_cut_and_unknown_words_read_as_such(folder: str) -> None:
    long, cut, strange, unknown = encoder(folder)(["a " * 30, "a " * 8, "zebra a", "yak a"])
    assert long == pytest.approx(cut, abs=1e-5)
    assert strange == pytest.approx(unknown, abs=1e-5)


def test_diversity_by_a_model_is_zero_of_copies_alone(folder: str) -> None:
    same, other = (
        diversity(outputs, measures=["cosine"], encode=encoder(folder))[0].value
        for outputs in ([["a b c"] * 4] * 2, [TEXTS] * 2)
    )
    assert same == pytest.approx(0, abs=1e-9)
    assert other is not None and other > 1e-4


def test_the_encoder_that_is_no_model_has_a_name() -> None:
    assert np.array_equal(encoder("hashed-ngrams")(TEXTS), hashed_ngrams(TEXTS))


def test_a_name_of_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load model"):
        encoder(str(tmp_path / "nothing"))
