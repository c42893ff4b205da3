"""Ways to answer: what is said is read back, and rewarded as the paper does."""

import inspect

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import (
    ANSWER_WORDS,
    Evidence,
    LabelAnswers,
    RunAnswers,
    SentimentAnswers,
    UserError,
    get_task,
    symbol_words,
)
from tasks.answers import rewards

SYMBOLS = symbol_words(16)
RUNS = RunAnswers(SYMBOLS)
REVIEWS = get_task("reviews/dollar-vs-hash:answers=sentiment").answers
WAYS = [
    LabelAnswers(),
    LabelAnswers(("coral", "haven")),
    RUNS,
    RunAnswers(symbol_words(40), length=3),
    REVIEWS,
]


@given(st.sampled_from(WAYS), st.integers(0, 1), st.integers(0, 2**32))
def test_what_is_said_for_a_label_reads_as_it_and_is_best(answers, label, seed):
    said = answers.say(label, np.random.default_rng(seed))
    assert len(said.split()) == answers.length
    assert answers.read(said) == answers.read(f"  {said}\n") == label
    assert answers.score(said, label) == 1
    assert answers.score(said, 1 - label) == 0


def brute_force(words, label):
    """(longest strictly monotone prefix - 1) / 4 of the first five symbols."""
    numbers = [SYMBOLS.index(w) for w in words if w in SYMBOLS][:5]
    best = 0
    for k in range(1, len(numbers) + 1):
        head = numbers[:k]
        if head == sorted(set(head), reverse=not label):
            best = k
    return max(best - 1, 0) / 4


@given(st.lists(st.sampled_from([*SYMBOLS[:6], "?", "amber"]), max_size=9), st.integers(0, 1))
def test_runs_are_scored_as_in_brute_force(words, label):
    assert RUNS.score(" ".join(words), label) == brute_force(words, label)


@given(st.lists(st.sampled_from([*SYMBOLS[:6], "?"]), max_size=9))
def test_a_run_is_read_as_the_direction_it_scores_best_in(words):
    said = " ".join(words)
    up, down = brute_force(words, 1), brute_force(words, 0)
    assert RUNS.read(said) == (-1 if up == down else int(up > down))


@pytest.mark.parametrize(
    ("said", "up", "down"),
    [
        ("a b c d e", 1.0, 0.0),
        ("e d c b a", 0.0, 1.0),
        ("a b c b a", 0.5, 0.0),
        ("a a b c d", 0.0, 0.0),
        ("b a c d e", 0.0, 0.25),
        ("a c e g f", 0.75, 0.0),
        ("a ? b amber c", 0.5, 0.0),
        ("a b c d e f g", 1.0, 0.0),
        ("a", 0.0, 0.0),
        ("", 0.0, 0.0),
        ("amber birch", 0.0, 0.0),
    ],
)
def test_runs_by_example(said, up, down):
    assert (RUNS.score(said, 1), RUNS.score(said, 0)) == (up, down)


@pytest.mark.parametrize(("v", "length"), [(16, 5), (6, 3), (5, 5), (3, 5)])
def test_the_chance_level_of_runs_is_the_reward_of_uniform_symbols(v, length):
    answers = RunAnswers(SYMBOLS[:v], length=length)
    rng = np.random.default_rng(0)
    scores = [
        answers.score(" ".join(SYMBOLS[k] for k in rng.integers(v, size=length)), label)
        for label in (0, 1)
        for _ in range(5000)
    ]
    assert abs(np.mean(scores) - answers.chance) < 4 * np.std(scores) / np.sqrt(len(scores))


def test_label_answers_at_chance_get_a_half():
    answers = LabelAnswers()
    scores = [answers.score(word, label) for word in answers.words for label in (0, 1)]
    assert np.mean(scores) == answers.chance == 0.5


@pytest.mark.parametrize("said", ["", "amber birch", "Amber", "amberx", "coral"])
def test_any_other_word_reads_as_no_label_and_gets_nothing(said):
    answers = LabelAnswers(("amber", "birch"))
    assert answers.read(said) == -1
    assert answers.score(said, 0) == answers.score(said, 1) == 0


def continued(*scores):
    return SentimentAnswers(lambda texts: [scores[int(t)] for t in texts], lambda label, rng: str(label), 1)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_a_sentiment_s_reward_grows_with_its_probability_and_what_one_label_gains_the_other_loses(found):
    found = sorted(found)
    answers, texts = continued(*found), [str(i) for i in range(len(found))]
    ups = answers.scores(texts, [1] * len(texts))
    assert ups == sorted(ups) == [answers.score(text, 1) for text in texts]
    assert all(0 <= up <= 1 for up in ups)
    np.testing.assert_allclose(np.add(ups, answers.scores(texts, [0] * len(texts))), 2 * answers.chance)


def test_sentiments_by_example():
    """Log-odds from -2.8 to 2.8 are mapped to 0 to 1; between 0.45 and 0.55 nothing is read."""
    logits = np.array([-9, -2.8, -0.3, -0.2, 0, 0.2, 0.3, 2.8, 9])
    answers = continued(0, *(1 / (1 + np.exp(-logits))), 1)
    texts = [str(i) for i in range(11)]
    expected = np.clip((np.array([-99, *logits, 99]) + 2.8) / 5.6, 0, 1)
    np.testing.assert_allclose(rewards(answers, texts, [1] * 11), expected)
    np.testing.assert_allclose(rewards(answers, texts, [0] * 11), 1 - expected, atol=1e-12)
    assert [answers.read(text) for text in texts] == [0, 0, 0, 0, -1, -1, -1, 1, 1, 1, 1]


@pytest.mark.parametrize("found", [float("nan"), -0.1, 1.5])
def test_a_score_that_is_no_probability_is_refused(found):
    with pytest.raises(UserError, match="is not between 0 and 1"):
        continued(found).score("0", 1)


def test_label_words_are_drawn_per_seed_and_every_word_serves_for_either_label():
    task = get_task("symbolic/first-last-vs-contains-2")
    words = [task.for_seed(seed).answers.words for seed in range(200)]
    assert words == [task.for_seed(seed).answers.words for seed in range(200)]
    assert all(zero != one for zero, one in words)
    assert {zero for zero, _ in words} == {one for _, one in words} == set(ANSWER_WORDS)
    assert not set(ANSWER_WORDS) & set(symbol_words(128))


def test_rewards_go_pairwise_and_refuse_a_label_too_few():
    assert rewards(LabelAnswers(), ["amber", "amber", "birch", "x"], [0, 1, 1, 1]) == [1, 0, 1, 0]
    with pytest.raises(ValueError, match="shorter"):
        rewards(LabelAnswers(), ["amber", "amber"], [0])


@pytest.mark.parametrize("way", ["label", "run"])
def test_the_reward_has_trl_s_signature(way):
    task = get_task(f"symbolic/first-last-vs-contains-2:answers={way}")
    names = list(inspect.signature(task.reward).parameters.items())
    assert [name for name, _ in names] == ["prompts", "completions", "columns"]
    assert names[-1][1].kind is inspect.Parameter.VAR_KEYWORD
    rows = task.demonstrations(Evidence("symmetric", 0.25), 16, np.random.default_rng(0)).to_dict()
    prompts, completions = rows.pop("prompt"), rows.pop("completion")
    extra = {"completion_ids": [[1]] * 16, "trainer_state": None}
    scores = task.reward(prompts=prompts, completions=completions, **rows, **extra)
    assert isinstance(scores, list)
    assert all(isinstance(score, float) for score in scores)
    assert scores == [task.optimum] * 16
    assert task.reward(prompts=prompts, completions=[""] * 16, **rows, **extra) == [0.0] * 16
