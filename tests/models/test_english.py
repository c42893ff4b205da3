"""The English corpus: what documents are, what the dials do, and that its probabilities are right."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from transformers import GPT2Config, GPT2LMHeadModel

from models.corpus import REPORTS, SPECIAL
from models.embedded import tokenizer_of
from models.english import MARKS, REVIEWS, EnglishCorpus, Pool
from tasks import SPURIOUS, TARGET, get_task
from tasks.answers import ANSWER_WORDS, QUERY
from tasks.english import pairs, review_words, reviews, sentiment
from tasks.english.density import Shape, shape, shape_probabilities
from tasks.errors import UserError
from tests.tasks.test_density import texts_of

N = 1500
DIAL = "over-22-words"
FEATURES = {
    feature.name: feature
    for task in map(get_task, [*pairs.list_pairs(), *reviews.list_pairs()])
    for feature in (task.target, task.spurious)
}


def documents(seed: int = 0, n: int = N, **dials: Any) -> tuple[EnglishCorpus, list[tuple[str, str]]]:
    corpus, rng = EnglishCorpus(**dials), np.random.default_rng(seed)
    return corpus, corpus.texts(*corpus.documents(n, rng, Pool.of(corpus, "train", rng, 60))[:2])


def holds(feature: str, text: str) -> bool:
    return bool(FEATURES[feature].holds(np.array([[text, ""]], dtype=object))[0])


def test_a_document_is_a_text_and_a_report_of_it_or_a_query_or_a_continuation() -> None:
    _, found = documents(queries=0.3)
    asked = [tail for _, tail in found if tail.startswith(QUERY)]
    assert binom.cdf(len(asked), N, 0.3) > 1e-5 and binom.sf(len(asked) - 1, N, 0.3) > 1e-5
    marks: Counter[str] = Counter()
    for head, tail in found:
        review = " by the " in head
        assert head.endswith(" .") and head.count(" .") == (3 if review else 1)
        if tail in asked:
            continue
        if tail[0] in REPORTS:
            mark, report = tail.split()
            marks[mark] += 1
            name, _, said = report.partition("=")
            assert (said == "yes") == holds(name, head), "by default reports are true"
        else:
            assert review and sentiment.own_scores([tail])[0] not in (0.0, 0.5, 1.0)
    assert (
        set(marks) == set(REPORTS)
        and binom.sf(max(marks.values()) - 1, sum(marks.values()), 1 / len(REPORTS)) > 1e-5
    )
    answers = [tail.split()[1] for tail in asked]
    assert {len(tail.split()) for tail in asked} == {2} and set(answers) <= set(ANSWER_WORDS)
    for word in ANSWER_WORDS:
        assert binom.sf(answers.count(word) - 1, len(asked), 1 / len(ANSWER_WORDS)) > 1e-5


@pytest.mark.parametrize("useful", [0.0, 0.6, 1.0])
def test_a_report_is_as_often_true_as_its_dial_says_and_else_a_coin(useful: float) -> None:
    _, found = documents(seed=1, n=6000, useful={DIAL: useful})
    true = [tail.endswith("=yes") == holds(DIAL, head) for head, tail in found if f"{DIAL}=" in tail]
    chance = (1 + useful) / 2
    assert len(true) > 30
    assert (
        binom.cdf(sum(true), len(true), chance) > 1e-5 and binom.sf(sum(true) - 1, len(true), chance) > 1e-5
    )


def test_the_loss_of_a_report_is_its_expectation_above_the_entropy() -> None:
    """Against every report put in its place in turn, weighted by how probable it is."""
    corpus, rng = EnglishCorpus(default_useful=0.5, report_weight=3.0), np.random.default_rng(0)
    config = GPT2Config(
        vocab_size=len(corpus.words()), n_positions=corpus.positions, n_embd=8, n_layer=1, n_head=2
    )
    torch.manual_seed(0)
    model = GPT2LMHeadModel(config).eval()
    tokens, begins, following = corpus.documents(12, rng, Pool.of(corpus, "train", rng, 5))
    first, pad = len(corpus.words()) - following.shape[1], SPECIAL.index("<pad>")
    total = 0.0
    for row, begin, chances in zip(tokens, begins, following, strict=True):
        ids = torch.from_numpy(row)
        logits = model(input_ids=ids[None, :-1], attention_mask=ids[None, :-1] != pad).logits[0]
        nats = -logits.log_softmax(-1).detach().numpy()
        for place, goal in enumerate(row[1:]):
            if place == begin and chances.any():
                for word in np.flatnonzero(chances):
                    p = float(chances[word])
                    total += 3.0 * p * (float(nats[place, first + word]) + math.log(p))
            elif goal != pad:
                total += float(nats[place, goal])
    count = int((tokens[:, 1:] != pad).sum())
    assert float(corpus.loss(model, (tokens, begins, following))) == pytest.approx(total / count, rel=1e-5)


def test_no_document_has_a_word_that_the_tokenizer_does_not_know() -> None:
    corpus, rng = EnglishCorpus(), np.random.default_rng(0)
    tokens, begins, _ = corpus.documents(N, rng, Pool.of(corpus, "train", rng, 60))
    assert tokens.max() < len(corpus.words()) and not (tokens == SPECIAL.index("<unk>")).any()
    tokenizer = tokenizer_of(corpus)
    for row, (head, tail) in zip(tokens.tolist(), corpus.texts(tokens, begins), strict=True):
        assert [*tokenizer(f"{head} {tail}")["input_ids"], 1] == [token for token in row if token]


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
    ratio = np.array([math.exp(other.log_probability(*two) - corpus.log_probability(*two)) for two in found])
    assert ratio.std() > 0.01
    assert abs(ratio.mean() - 1) < 4.5 * ratio.std() / math.sqrt(len(ratio))


def test_a_dial_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="over-22-words"):
        EnglishCorpus(useful={"over-22-word": 0.5})
    with pytest.raises(UserError, match="outside 0 to 1"):
        EnglishCorpus(frequency={DIAL: 1.5})


def test_the_tokenizer_reads_what_tasks_write_and_keeps_runs_of_blanks() -> None:
    corpus = EnglishCorpus()
    tokenizer = tokenizer_of(corpus)
    for name in [*pairs.list_pairs(), *reviews.list_pairs()]:
        prompts = get_task(name).prompts(20, np.random.default_rng(0))["prompt"][:]
        for prompt, ids in zip(prompts, tokenizer(prompts)["input_ids"], strict=True):
            words = [part for word in prompt.split() for part in ("10" if word == "10" else [word])]
            assert tokenizer.convert_ids_to_tokens(ids) == ["<eos>", *words]
    words = tokenizer.convert_ids_to_tokens(tokenizer("the   poets - $#12  ?")["input_ids"])
    assert words == ["<eos>", "the", "   ", "poets", "-", "$", "#", "1", "2", "  ", "?"]
    assert set(MARKS) <= set(corpus.words()) and len(set(corpus.words())) == len(corpus.words())
    assert corpus.words()[: len(SPECIAL)] == list(SPECIAL)


def sentences_of(corpus: EnglishCorpus, phenomenon: str) -> dict[Shape, int]:
    """How many texts there are of each shape that a phenomenon's tasks, or the reviews, can write."""
    found: dict[Shape, int] = {}
    names = [name for name in pairs.list_pairs() if phenomenon in name]
    for name in names or [f"reviews/{pair}" for pair in REVIEWS]:
        task = get_task(name)
        for quadrant in task.quadrants:
            reading = bool(TARGET[quadrant]), bool(SPURIOUS[quadrant])
            table = shape_probabilities(task.inputs.sentences, *reading)  # type: ignore[attr-defined]
            found |= {each: texts_of(each, name) for each in table}
    return found


@pytest.mark.parametrize("phenomenon", ["agreement", "reviews"])
@pytest.mark.parametrize("dials", [{}, {"errors": 0.1, "default_useful": 0.4}])
def test_what_follows_a_text_has_the_probability_of_the_text(
    phenomenon: str, dials: dict[str, float]
) -> None:
    """Summed over everything that can follow; and the texts' own probabilities sum to one, as others test."""
    corpus, found = documents(n=60, **dials)
    known = sentences_of(corpus, phenomenon)
    head = next(head for head, _ in found if shape(head) in known)
    follows = {f"{QUERY} {ANSWER_WORDS[0]}": len(ANSWER_WORDS)}
    follows |= {f"{REPORTS[0]} {report}": len(REPORTS) for report in corpus.report_words()}
    if phenomenon == "reviews":
        aspects, words = (
            len(review_words.ASPECTS),
            len(review_words.QUALITIES[0]) * len(review_words.VERDICTS[0]),
        )
        follows[sentiment.write(1, np.random.default_rng(0))] = 2 * 4 * aspects * (aspects - 1) * words
    total = 0.0
    for tail, count in follows.items():
        with contextlib.suppress(ValueError):  # of what no task writes after this head
            total += count * math.exp(corpus.log_probability(head, tail))
    alone = 0.0
    for task in map(get_task, [*pairs.list_pairs(), *(f"reviews/{pair}" for pair in REVIEWS)]):
        often = 0.5 if task.name.startswith("reviews/") else 1 - corpus.errors
        for target, spurious in itertools.product((False, True), repeat=2):
            there = spurious != ((target, spurious) in {(TARGET[q], SPURIOUS[q]) for q in task.missing})
            table = shape_probabilities(task.inputs.sentences, target, there)  # type: ignore[attr-defined]
            p = math.exp(table[shape(head)]) if shape(head) in table else 0.0
            alone += p * (often if target else 1 - often) / 2 / (len(pairs.list_pairs()) + len(REVIEWS))
    assert total == pytest.approx(alone, rel=1e-6)  # reports are of single precision
