"""Reviews: what each feature means, what it may change, what quadrants share, and what no prompt tells."""

import re
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, UserError, get_task
from tasks.english.review_words import CLASSES, QUALITIES, TITLES, VERDICTS
from tasks.english.reviews import FEATURES, list_pairs
from tasks.english.sentiment import own_scores
from tasks.surface import surface

NAMES = list_pairs()
RING = [f"reviews/{a}-vs-{b}" for a, b in zip(FEATURES, [*FEATURES][1:] + [*FEATURES][:1], strict=True)]
"""Each feature once in either role."""
TRUTHS = {q: (bool(TARGET[q]), bool(SPURIOUS[q])) for q in QUADRANTS}
PLAIN = {
    "dollar": lambda text: re.search(r"\$", text),
    "hash": lambda text: re.search("#", text),
    "dash": lambda text: re.match("- ", text),
    "even-spaces": lambda text: len(text.split()) % 2,
    "opener": lambda text: re.match(r"\W*a ", text),
    "film": lambda text: "film" in text,
    "review": lambda text: "review" in text,
    "title": lambda text: re.search(rf"by the ({'|'.join(high for high, _ in TITLES)}) [.,]", text),
    "score": lambda text: re.search(r", ([789]|10) / 10 \.", text),
}
"""The features once more, of a review without the question."""
EXCHANGES = {
    "dollar": [("$", "&")],
    "hash": [("#", "*")],
    "dash": [("-", ">")],
    "opener": [("a", "the")],
    "film": [("film", "movie")],
    "review": [("review", "report")],
    "title": TITLES,
    "score": [("7", "1"), ("8", "2"), ("9", "3"), ("10", "4")],
}


def rng(seed=0):
    return np.random.default_rng(seed)


def features(name):
    return name.removeprefix("reviews/").split("-vs-")


def readings(name, n, seed=0):
    """The words of n sources in each quadrant."""
    sentences = get_task(name).inputs.sentences
    for source in sentences.sources(n, rng(seed), None).tolist():
        yield {q: sentences.read(source, *TRUTHS[q]).split() for q in QUADRANTS}


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32))
def test_both_predicates_read_from_the_text_what_the_source_was_told(name, seed):
    task, pair = get_task(name), features(name)
    for text in readings(name, 1, seed):
        for q, words in text.items():
            review = " ".join(words)
            row = np.array([[f"{review} ?", ""]], dtype=object)
            found = tuple(bool(feature.holds(row)[0]) for feature in (task.target, task.spurious))
            assert found == tuple(bool(PLAIN[feature](review)) for feature in pair) == TRUTHS[q]


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_exchanges_one_word_or_puts_one_in_and_nothing_else_changes(name):
    target, spurious = features(name)
    for text in readings(name, 30):
        for feature, one, other in (
            (target, "both", "spurious_only"),
            (target, "target_only", "neither"),
            (spurious, "both", "target_only"),
            (spurious, "spurious_only", "neither"),
        ):
            with_it, without = text[one], text[other]
            if feature == "even-spaces":
                long, short = sorted((with_it, without), key=len, reverse=True)
                place = long.index("so")
                assert [*long[:place], *long[place + 1 :]] == short
                assert long[place - 1 : place + 2] == [".", "so", "i"]
            else:
                changed = [(a, b) for a, b in zip(with_it, without, strict=True) if a != b]
                assert len(changed) == 1
                assert changed[0] in EXCHANGES[feature]


@pytest.mark.parametrize("name", RING)
def test_marks_and_scores_stand_in_their_own_pairs_alone(name):
    for text in readings(name, 50):
        for words in text.values():
            found = {f for f in ("dollar", "hash", "dash") if {*EXCHANGES[f][0]} & {*words}}
            found |= {"score"} & ({"score"} if "/" in words else set())
            assert found == {*features(name)} & {"dollar", "hash", "dash", "score"}


@pytest.mark.parametrize("name", RING)
def test_no_prompt_says_whether_the_film_was_liked(name):
    """By any word of a continuation that does, or by the classifier of continuations."""
    telling = {word for words in (*QUALITIES, *VERDICTS) for word in words}
    prompts = get_task(name).prompts(200, rng())["prompt"]
    assert not telling & {word for prompt in prompts for word in prompt.split()}
    assert not telling & {word for words in CLASSES.values() for word in np.ravel(words)}
    assert max(abs(p - 0.5) for p in own_scores(prompts)) < 0.2


@pytest.mark.parametrize("name", [name for name in NAMES if "even-spaces" in name])
def test_neither_words_nor_length_tell_the_parity_of_spaces_to_a_linear_classifier(name):
    """`so` least of all."""
    parts = [get_task(name).quadrant(q, 1000, rng(i), None) for i, q in enumerate(QUADRANTS)]
    prompts = [prompt for part in parts for prompt in part["prompt"]]
    role = "target" if features(name)[0] == "even-spaces" else "spurious"
    y = np.array([value for part in parts for value in part[role]])
    bags = CountVectorizer(analyzer=str.split).fit_transform(prompts)
    order = rng(9).permutation(len(y))
    train, test = order[::2], order[1::2]
    model = LogisticRegression(C=0.1, max_iter=500).fit(bags[train], y[train])
    assert model.score(bags[test], y[test]) < 0.5 + 4 * 0.5 / np.sqrt(len(test))


@pytest.mark.parametrize("name", ["reviews/even-spaces-vs-dash", "reviews/title-vs-score"])
def test_no_cue_goes_beyond_the_features(name):
    assert surface(get_task(name)) == ([], 15 * 3000)


@pytest.mark.parametrize("name", RING[::3])
def test_held_out_words_are_in_test_rows_and_nowhere_else(name):
    task = get_task(f"{name}:heldout=vocabulary")
    entry = {
        w: (kind, i) for kind, words in CLASSES.items() for i, e in enumerate(words) for w in np.ravel(e)
    }
    seen = {
        split: {
            entry[word]
            for q in QUADRANTS
            for prompt in task.quadrant(q, 300, rng(), split)["prompt"]
            for word in prompt.split()
            if word in entry
        }
        for split in ("train", "validation", "test")
    }
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert len(seen["test"]) < len(seen["train"]) / 3
    assert {kind for kind, _ in seen["test"]} == {kind for kind, _ in seen["train"]} == {*CLASSES}


@pytest.mark.parametrize("name", RING)
def test_every_edit_is_of_one_word_and_has_a_placebo(name):
    rows = get_task(name).counterfactuals(24, rng()).to_list()
    assert Counter(row["flips"] for row in rows) == {"target": 24, "spurious": 24}
    assert {row["size"] for row in rows} == {1}


def test_words_belong_to_one_class_and_those_behind_an_article_begin_with_a_consonant():
    forms = Counter(str(form) for words in CLASSES.values() for entry in words for form in np.ravel(entry))
    assert [form for form, k in forms.items() if k > 1] == []
    assert all(len(words) >= 15 for words in CLASSES.values())
    assert not [
        w for kind in ("genres", "heroes", "items", "places") for w in CLASSES[kind] if w[0] in "aeiou"
    ]


def test_every_ordered_pair_is_a_task_and_every_feature_a_family_with_a_meaning():
    assert {(task.target, task.spurious) for task in map(get_task, NAMES)} == {
        *permutations(FEATURES.values(), 2)
    }
    assert all(feature.about for feature in FEATURES.values())
    assert len({feature.family for feature in FEATURES.values()}) == len(FEATURES) == 9


def test_a_review_that_is_continued_ends_in_a_stop_and_reads_as_the_one_that_is_labelled():
    labelled, continued = (get_task(f"{RING[0]}{way}") for way in ("", ":answers=sentiment"))
    one, other = (task.probe_rows(40, rng())["prompt"] for task in (labelled, continued))
    assert one == [f"{prompt} ?" for prompt in other]
    assert all(prompt.endswith(" .") for prompt in other)
    with pytest.raises(UserError, match="unknown way to answer 'sentimnt'; did you mean 'sentiment'"):
        get_task(f"{RING[0]}:answers=sentimnt")


@pytest.mark.parametrize("name", RING)
def test_demonstrations_and_preferences_are_rewarded_by_the_label_s_sentiment(name):
    task = get_task(f"{name}:answers=sentiment")
    rows = task.preferences(Evidence("symmetric", 0.25), 40, rng())
    columns = {"prompts": rows["prompt"], "label": rows["label"]}
    assert task.reward(completions=rows["chosen"], **columns) == [1.0] * 40
    assert task.reward(completions=rows["rejected"], **columns) == [0.0] * 40
    assert [task.answers.read(said) for said in rows["chosen"]] == rows["label"] == rows["target"]
