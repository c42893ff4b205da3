"""The pre-training corpus: what the dials do, exactly, and what they leave alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, chi2_contingency

from models.corpus import REPORTS, SPECIAL, Corpus
from tasks import QUADRANTS, get_task
from tasks.answers import ANSWER_WORDS, QUERY
from tasks.errors import UserError
from tasks.symbols.catalogue import catalogue
from tasks.symbols.pairs import list_pairs, symbol_words

NAMES = list(catalogue())
DIALS: list[dict[str, Any]] = [
    {},
    {"useful": {"first-last": 0.0}},
    {"useful": dict.fromkeys(NAMES, 0.0)},
    {"default_useful": 0.3},
    {"frequency": {"first-last": 0.5}},
    {"frequency": {"parity": 0.0}, "useful": {"parity": 0.4}},
]


def documents(n: int = 2000, seed: int = 0, **dials: Any) -> tuple[Corpus, np.ndarray, np.ndarray]:
    corpus = Corpus(**dials)
    tokens, following = corpus.documents(n, np.random.default_rng(seed))
    return corpus, tokens, following


def read(corpus: Corpus, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The symbol rows, and which documents end in a query, read back from the words."""
    words = np.array(corpus.words(), dtype=object)[tokens]
    numbers = {word: k for k, word in enumerate(symbol_words(corpus.vocabulary))}
    rows = np.array([[numbers[word] for word in row[:-1]] for row in words])
    return rows, words[:, -1] == QUERY


def report_mass(corpus: Corpus, following: np.ndarray, feature: str) -> tuple[np.ndarray, np.ndarray]:
    words = corpus.words()
    return following[:, words.index(f"{feature}-")], following[:, words.index(f"{feature}+")]


@pytest.mark.parametrize("dials", DIALS)
def test_the_token_budget_does_not_depend_on_the_dials(dials: dict[str, Any]) -> None:
    plain, tokens, following = documents(300)
    corpus, dialled, after = documents(300, **dials)
    assert corpus.words() == plain.words()
    assert (
        (dialled.shape, after.shape)
        == (tokens.shape, following.shape)
        == ((300, 9), (300, len(plain.words())))
    )
    _, query = read(corpus, dialled)
    asked = int(query.sum())
    assert binom.cdf(asked, 300, corpus.queries) > 1e-4
    assert binom.sf(asked - 1, 300, corpus.queries) > 1e-4


@pytest.mark.parametrize("dials", DIALS)
def test_the_next_word_has_a_distribution(dials: dict[str, Any]) -> None:
    _, _, following = documents(**dials)
    assert (following >= 0).all()
    np.testing.assert_allclose(following.sum(axis=1), 1, atol=1e-5)


def test_usefulness_changes_no_document() -> None:
    np.testing.assert_array_equal(documents()[1], documents(useful=dict.fromkeys(NAMES, 0.0))[1])


@pytest.mark.parametrize("dial", [0.0, 0.25, 1.0])
def test_usefulness_is_the_share_of_reports_that_tell_the_truth(dial: float) -> None:
    dialled, others = "first-below-second", ("parity", "contains-1")
    corpus, tokens, following = documents(useful={dialled: dial})
    rows, query = read(corpus, tokens)
    for name in (dialled, *others):
        no, yes = (mass[~query] for mass in report_mass(corpus, following, name))
        truth = catalogue()[name].holds(rows)[~query]
        assert 0.05 < truth.mean() < 0.95
        told = np.where(truth, yes, no) / (no + yes)
        usefulness = dial if name == dialled else 1.0
        np.testing.assert_allclose(told, usefulness + (1 - usefulness) / 2, atol=1e-6)  # the rest is a coin
        np.testing.assert_allclose(no + yes, 1 / len(NAMES), atol=1e-6)  # all features report alike often


def test_the_placebo_reports_as_often_and_knows_nothing() -> None:
    corpus, tokens, placebo = documents(useful={"parity": 0.0})
    _, _, useful = documents()
    for side in (0, 1):
        mass = report_mass(corpus, placebo, "parity")[side]
        assert len(np.unique(mass[~read(corpus, tokens)[1]])) == 1  # the same after every row
    totals = [np.sum(report_mass(corpus, following, "parity")) for following in (placebo, useful)]
    assert totals[0] == pytest.approx(totals[1])


@pytest.mark.parametrize("dial", [0.3, 1.0])
def test_the_placebo_dial_reports_like_the_useful_one_and_knows_nothing(dial: float) -> None:
    name = "contains-1"  # of no even chance, so that a coin would show
    corpus, tokens, placebo = documents(4000, placebo={name: dial})
    _, same, useful = documents(4000, useful={name: dial})
    np.testing.assert_array_equal(tokens, same)
    asked = ~read(corpus, tokens)[1]
    for side in (0, 1):
        told, truth = (report_mass(corpus, following, name)[side][asked] for following in (placebo, useful))
        assert len(np.unique(told)) == 1 < len(np.unique(truth))
        assert told.mean() == pytest.approx(truth.mean(), rel=0.01)
    others = [n for n in NAMES if n != name]
    for other in others:
        for side in (0, 1):
            one, two = (report_mass(corpus, following, other)[side] for following in (placebo, useful))
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", ["first-last", "parity"])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0])
def test_frequency_is_the_share_of_documents_with_the_feature(name: str, share: float) -> None:
    corpus, tokens, _ = documents(4000, frequency={name: share})
    holds = int(catalogue()[name].holds(read(corpus, tokens)[0]).sum())
    assert binom.cdf(holds, 4000, share) > 1e-4
    assert binom.sf(holds - 1, 4000, share) > 1e-4


def test_how_often_a_task_s_features_are_read_is_known() -> None:
    task = get_task("symbolic/first-last-vs-parity")
    rows = read(Corpus(), documents(4000)[1])[0]
    shares = Corpus().often(task)
    assert shares is not None
    for feature, share in zip((task.target, task.spurious), shares, strict=True):
        assert share == pytest.approx(feature.holds(rows).mean(), abs=0.03)
    dialled = Corpus(frequency={"first-last": 0.4}).often(task)
    assert dialled is not None and dialled[0] == pytest.approx(0.4, abs=0.02)
    assert Corpus(length=9).often(task) is None
    assert Corpus().often(get_task("english/agreement-base-lexical")) is None


def test_after_a_query_every_answer_word_is_as_likely_whatever_the_row() -> None:
    corpus, tokens, following = documents(queries=0.5)
    rows, query = read(corpus, tokens)
    assert len(np.unique(rows[query], axis=0)) > 900
    asked = np.unique(following[query], axis=0)
    assert len(asked) == 1
    words = np.array(corpus.words(), dtype=object)
    assert set(words[asked[0] > 0]) == set(ANSWER_WORDS)
    np.testing.assert_allclose(asked[0][asked[0] > 0], 1 / len(ANSWER_WORDS))
    places = [corpus.words().index(word) for word in ANSWER_WORDS]
    assert not following[~query][:, places].any()  # and no answer word stands anywhere else


def test_the_mark_is_independent_of_the_row() -> None:
    corpus, tokens, _ = documents(20000, queries=0.3)
    rows, _ = read(corpus, tokens)
    for name in ("parity", "first-class", "contains-1"):
        table = np.zeros((2, 3))
        marks = np.searchsorted(np.unique(tokens[:, -1]), tokens[:, -1])
        np.add.at(table, (catalogue()[name].holds(rows).astype(int), marks), 1)
        assert chi2_contingency(table).pvalue > 1e-3


def test_words_of_reports_and_answers_and_prompts_are_apart() -> None:
    corpus = Corpus()
    words = corpus.words()
    reports = {f"{name}{sign}" for name in NAMES for sign in "+-"}
    groups = [set(SPECIAL), {QUERY}, set(REPORTS), set(symbol_words(16)), set(ANSWER_WORDS), reports]
    assert sorted(words) == sorted(word for group in groups for word in group)
    assert len(words) == len(set(words))
    seen: set[str] = set()
    for name in list_pairs()[::60]:
        task = get_task(name)
        for quadrant in QUADRANTS:
            for prompt in task.quadrant(quadrant, 20, np.random.default_rng(0))["prompt"]:
                seen |= set(prompt.split())
    assert seen == set(symbol_words(16)) | {QUERY}  # neither reports nor their marks


def test_batches_are_documents_of_one_stream() -> None:
    corpus = Corpus()
    batches = corpus.batches(8, np.random.default_rng(3))
    tokens = np.concatenate([next(batches)[0] for _ in range(70)])
    assert len(np.unique(tokens, axis=0)) == 560  # none is repeated from chunk to chunk
    again = corpus.batches(8, np.random.default_rng(3))
    np.testing.assert_array_equal(tokens[:8], next(again)[0])


@pytest.mark.parametrize(
    ("dials", "message"),
    [
        ({"useful": {"first-lst": 1.0}}, "'first-last'"),
        ({"useful": {"parity": 1.5}}, "parity: 1.5 is outside 0 to 1"),
        ({"frequency": {"parity": float("nan")}}, "outside"),
        ({"frequency": {"parity": 0.1, "first-last": 0.1}}, "one feature at a time"),
    ],
)
def test_impossible_dials_are_refused(dials: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Corpus(**dials)
