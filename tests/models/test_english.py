"""The English corpus: what documents are, what the dials do, and that its probabilities are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from models.corpus import SPECIAL
from models.embedded import tokenizer_of
from models.english import MARKS, EnglishCorpus, Pool
from tasks.answers import ANSWER_WORDS, QUERY
from tasks.english.pairs import get_pair, list_pairs
from tasks.errors import UserError

N = 1500
DIAL = "over-22-words"


def documents(seed: int = 0, n: int = N, **dials: Any) -> tuple[EnglishCorpus, list[str]]:
    corpus, rng = EnglishCorpus(**dials), np.random.default_rng(seed)
    tokens = corpus.documents(n, rng, Pool.of(corpus.words(), "train", rng, 60))
    words = np.array(corpus.words(), dtype=object)
    return corpus, [" ".join(words[row[row != 0]]) for row in tokens]


def body(document: str) -> str:
    assert document.startswith("<eos> ") and document.endswith(" <eos>")
    return document.removeprefix("<eos> ").removesuffix(" <eos>")


def test_a_document_is_two_sentences_or_one_and_a_query() -> None:
    corpus, found = documents(queries=0.3)
    asked = [text for text in map(body, found) if QUERY in text.split()]
    assert binom.cdf(len(asked), N, 0.3) > 1e-5 and binom.sf(len(asked) - 1, N, 0.3) > 1e-5
    for text in map(body, found):
        *_, before, last = text.split()
        if QUERY in text.split():
            assert text.split().count(".") == 1 and before == QUERY and last in ANSWER_WORDS
        else:
            assert text.split().count(".") == 2 and last == "."
    answers = [text.split()[-1] for text in asked]
    for word in ANSWER_WORDS:
        assert binom.sf(answers.count(word) - 1, len(asked), 1 / len(ANSWER_WORDS)) > 1e-5
    assert "<unk>" not in " ".join(found) and set(" ".join(found).split()) <= set(corpus.words())


def test_the_same_generator_gives_the_same_documents() -> None:
    assert documents(seed=3, n=50) == documents(seed=3, n=50) != documents(seed=4, n=50)


@pytest.mark.parametrize("sampled", ["plain", "turned"])
@pytest.mark.parametrize(("dial", "value"), [("useful", 0.0), ("useful", 0.9), ("frequency", 0.8)])
def test_probabilities_follow_the_dials(dial: str, value: float, sampled: str) -> None:
    """Of what one corpus writes another is, on average, as sure: the probabilities of both sum to one."""
    dials: dict[str, dict[str, Any]] = {
        "plain": {"default_useful": 0.5},
        "turned": {"default_useful": 0.5, dial: {DIAL: value}},
    }
    corpus, found = documents(n=4000, **dials[sampled])
    other = EnglishCorpus(**dials["turned" if sampled == "plain" else "plain"])
    ratio = np.array(
        [math.exp(other.log_probability(text) - corpus.log_probability(text)) for text in map(body, found)]
    )
    assert ratio.std() > 0.02
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / math.sqrt(len(ratio))


def test_a_dial_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="over-22-words"):
        EnglishCorpus(useful={"over-22-word": 0.5})
    with pytest.raises(UserError, match="outside 0 to 1"):
        EnglishCorpus(frequency={DIAL: 1.5})


def test_the_tokenizer_reads_what_tasks_write_and_keeps_runs_of_blanks() -> None:
    corpus = EnglishCorpus()
    tokenizer = tokenizer_of(corpus)
    for name in list_pairs():
        prompts = get_pair(name.removeprefix("english/")).prompts(20, np.random.default_rng(0))["prompt"][:]
        for prompt, ids in zip(prompts, tokenizer(prompts)["input_ids"], strict=True):
            assert tokenizer.convert_ids_to_tokens(ids) == ["<eos>", *prompt.split()]
    words = tokenizer.convert_ids_to_tokens(tokenizer("the   poets - $#12  ?")["input_ids"])
    assert words == ["<eos>", "the", "   ", "poets", "-", "$", "#", "1", "2", "  ", "?"]
    assert set(MARKS) <= set(corpus.words()) and len(set(corpus.words())) == len(corpus.words())
    assert corpus.words()[: len(SPECIAL)] == list(SPECIAL)
