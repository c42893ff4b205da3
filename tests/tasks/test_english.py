"""English pairs: what each feature means, what it may change, and what the quadrants share."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, UserError, get_task
from tasks.english import fillergap, polarity
from tasks.english.lexicon import CLASSES, OTHER_ADVERBS, Noun, Verb, noun_numbers, verb_forms
from tasks.english.pairs import list_pairs
from tasks.evidence import EvidenceKind

NAMES = list_pairs()
NONE = "english/fillergap-hard-none"
TRUTHS = {q: (bool(TARGET[q]), bool(SPURIOUS[q])) for q in QUADRANTS}
LENGTH = [name for name in NAMES if name.endswith("length")]


def rng(seed=0):
    return np.random.default_rng(seed)


def quadrants(name):
    return [q for q in QUADRANTS if q not in get_task(name).missing]


def texts_of_sources(name, n=200, seed=0):
    """The words of n sources in each quadrant."""
    sentences = get_task(name).inputs.sentences
    for source in sentences.sources(n, rng(seed), None).tolist():
        yield {q: sentences.read(source, *TRUTHS[q]).split() for q in quadrants(name)}


def forms(entry):
    return {entry} if isinstance(entry, str) else set(entry)


LEMMAS = {
    form: (kind, i)
    for kind, words in CLASSES.items()
    if kind != "endings"
    for i, entry in enumerate(words)
    for form in forms(entry)
}


def lemma(word):
    """A noun's or verb's dictionary entry; any other word itself."""
    return LEMMAS.get(word, word) if word in noun_numbers() or word in verb_forms() else word


def replaced(one, other):
    assert len(one) == len(other)
    return [(a, b) for a, b in zip(one, other, strict=True) if a != b]


def is_within(short, long):
    rest = iter(long)
    return all(word in rest for word in short)


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 2**32))
def test_both_predicates_read_from_the_text_what_the_source_was_told(name, seed):
    task = get_task(name)
    rows = np.empty((3 * len(quadrants(name)), 2), dtype=object)
    truths = []
    for source in task.inputs.sentences.sources(3, rng(seed), None).tolist():
        for q in quadrants(name):
            rows[len(truths), 0] = task.inputs.sentences.read(source, *TRUTHS[q]) + " ?"
            truths.append(TRUTHS[q])
    found = np.stack([task.target.holds(rows), task.spurious.holds(rows)], axis=1)
    np.testing.assert_array_equal(found, truths)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_are_lower_case_words_set_apart_that_end_in_a_stop_and_the_question(name):
    for prompt in get_task(name).prompts(40, rng())["prompt"]:
        assert prompt.endswith(" . ?")
        assert all(word.isalpha() and word.islower() for word in prompt[:-4].replace(" ,", "").split(" "))


def owned_by_target(name, one, other):
    """How the target feature alone changes a sentence."""
    changes = replaced(one, other)
    if "agreement" in name:
        ((a, b),) = changes
        assert lemma(a) == lemma(b)
        assert a in noun_numbers()
        assert a == one[one.index("of") - 1]
    elif "polarity" in name:
        exchanged = {
            w for p in (*polarity.NEGATIONS, *polarity.WEAK_NEGATIONS, *polarity.DEFINITES) for w in p.split()
        }
        assert Counter(one) == Counter(other)
        assert [w for w in one if w not in exchanged] == [w for w in other if w not in exchanged]
        if not name.endswith("lexical"):
            assert {frozenset(change) for change in changes} == {frozenset({"no", "the"})}
            assert len(changes) == 2
    else:
        assert [set(change) for change in changes] == [{"who", "that"}]


def owned_by_spurious(name, with_it, without):
    """How the spurious feature alone changes a sentence."""
    kind = name.rpartition("-")[2]
    if kind == "length":
        assert len(with_it) >= len(without) + 3
        assert is_within(without, with_it)
        return
    changes = replaced(with_it, without)
    if name.endswith(("base-lexical", "hard-lexical")):
        ((a, b),) = changes
        if "agreement" in name:
            assert (with_it[0], b) == (a, OTHER_ADVERBS[CLASSES["adverbs"].index(a)])
        else:
            assert a == "i"
            assert b in fillergap.PRONOUNS
    elif kind == "lexical":
        negation = max(i for i, p in enumerate(polarity.NEGATIONS) if f" {p} " in f" {' '.join(with_it)} ")
        weak = polarity.WEAK_NEGATIONS[negation]
        text = f" {' '.join(with_it)} ".replace(f" {polarity.NEGATIONS[negation]} ", f" {weak} ")
        assert text.split() == without
    elif kind == "agreement" or (kind == "plural" and "agreement" in name):
        ((a, b),) = changes
        assert lemma(a) == lemma(b)
        assert a in noun_numbers()
    elif "polarity" in name:
        auxiliaries = {"has", "have", "had"}
        assert all(lemma(a) == lemma(b) or {a, b} <= auxiliaries for a, b in changes)
        assert kind == "plural" or all({a, b} <= auxiliaries for a, b in changes)
    elif kind == "plural":
        assert all(lemma(a) == lemma(b) for a, b in changes)
        assert [a in noun_numbers() for a, _ in changes] in ([True], [True, False])
    else:
        assert kind == "tense"
        assert all(lemma(a) == lemma(b) and a in verb_forms() for a, b in changes)
        assert len(changes) == sum(word in verb_forms() for word in with_it) - 1


@pytest.mark.parametrize("name", [name for name in NAMES if name != NONE])
def test_quadrants_of_one_source_differ_in_the_words_that_the_features_own(name):
    for text in texts_of_sources(name):
        owned_by_target(name, text["both"], text["spurious_only"])
        owned_by_target(name, text["target_only"], text["neither"])
        owned_by_spurious(name, text["both"], text["target_only"])
        owned_by_spurious(name, text["spurious_only"], text["neither"])


@pytest.mark.parametrize("name", [name for name in NAMES if name not in LENGTH])
def test_quadrants_of_one_source_have_one_length_the_same_nouns_and_the_same_conjunctions(name):
    def nuisance(words):
        nouns = Counter(lemma(word) for word in words if word in noun_numbers())
        return len(words), nouns, words.count("and"), words.count(","), sum(w in verb_forms() for w in words)

    for text in texts_of_sources(name):
        one, *others = map(nuisance, text.values())
        assert all(other == one for other in others)


@pytest.mark.parametrize("name", LENGTH)
def test_long_and_short_quadrants_have_one_length_each(name):
    lengths = {q: Counter() for q in QUADRANTS}
    for text in texts_of_sources(name):
        for q, words in text.items():
            lengths[q][len(words)] += 1
    assert lengths["both"] == lengths["spurious_only"]
    assert lengths["neither"] == lengths["target_only"]
    if "agreement" not in name:  # there the subject is long, whatever else the sentence has
        assert max(lengths["neither"]) < min(lengths["both"])


def test_because_is_as_frequent_in_every_quadrant_of_the_task_that_lacks_one():
    count = Counter(
        q for text in texts_of_sources(NONE, 2000) for q, words in text.items() if "because" in words
    )
    assert all(900 < count[q] < 1100 for q in quadrants(NONE))


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_of_a_source_shows_in_every_quadrant(name):
    """Hence no sentence has two sources, and none can stand in two splits."""
    sentences = get_task(name).inputs.sentences
    for source in sentences.sources(20, rng(), None).tolist():
        used = sentences._used[source[0], source[1]]
        for i, slot in enumerate(sentences.slots, 2):
            if not slot.echo and used[i - 2]:
                other = [*source]
                other[i] = (source[i] + 1) % slot.size
                for q in quadrants(name):
                    assert sentences.read(source, *TRUTHS[q]) != sentences.read(other, *TRUTHS[q]), slot.name


@pytest.mark.parametrize("name", NAMES)
def test_splits_share_no_sentence_and_a_sentence_has_one_source(name):
    task, home, source = get_task(name), {}, {}
    for split, q in product(("train", "validation", "test"), quadrants(name)):
        for row in task.quadrant(q, 300, rng(), split):
            assert home.setdefault(row["source"], (split, q)) == (split, q)
            assert source.setdefault(row["prompt"], row["source"]) == row["source"]


@pytest.mark.parametrize("name", NAMES)
def test_words_order_and_length_tell_the_target_to_no_linear_classifier(name):
    """Bag of words, word by place and length at once; the spurious feature is found where it is one of these.

    Places count from either end, but in filler-gap pairs from the start alone: a gap brings the end nearer.
    """
    task = get_task(name)
    names = [q for q in quadrants(name) if name != NONE or q in ("both", "neither")]
    parts = [task.quadrant(q, 4000 // len(names), rng(i), None) for i, q in enumerate(names)]
    prompts = [prompt for part in parts for prompt in part["prompt"]]
    order = rng(9).permutation(len(prompts))
    train, test = order[::2], order[1::2]
    x = linear_view(prompts, both_ends="fillergap" not in name)

    def accuracy(column):
        y = np.array([value for part in parts for value in part[column]])
        return LogisticRegression(C=0.1, max_iter=300).fit(x[train], y[train]).score(x[test], y[test])

    assert accuracy("target") < 0.5 + 4 * 0.5 / np.sqrt(len(test))
    if name.endswith(("lexical", "length", "tense")):
        assert accuracy("spurious") > 0.85


def linear_view(prompts, both_ends):
    def placed(prompt):
        words = prompt.split()
        places = [range(len(words)), range(-len(words), 0)][: 1 + both_ends]
        return [f"{place}:{word}" for side in places for place, word in zip(side, words, strict=True)]

    bags = [CountVectorizer(analyzer=how).fit_transform(prompts) for how in (str.split, placed)]
    lengths = np.array([[len(prompt.split()) / 10] for prompt in prompts])
    return hstack([*bags, lengths]).tocsr()


@pytest.mark.parametrize("name", NAMES)
def test_held_out_words_are_in_test_rows_and_nowhere_else(name):
    task = get_task(f"{name}:heldout=vocabulary")
    prompts = {
        split: " ".join(p for q in quadrants(name) for p in task.quadrant(q, 300, rng(), split)["prompt"])
        for split in ("train", "validation", "test")
    }
    seen = {split: {lexeme(word) for word in text.split()} - {None} for split, text in prompts.items()}
    assert seen["test"]
    assert not seen["test"] & (seen["train"] | seen["validation"])
    assert len(seen["test"]) < len(seen["train"]) / 3
    assert {kind for kind, _ in seen["test"]} == {kind for kind, _ in seen["train"]}


def lexeme(word):
    return ("adverbs", OTHER_ADVERBS.index(word)) if word in OTHER_ADVERBS else LEMMAS.get(word)


@pytest.mark.parametrize("name", NAMES)
def test_held_out_templates_are_in_test_rows_and_nowhere_else(name):
    task = get_task(f"{name}:heldout=templates")

    def shapes(split):
        sources = (
            source.split()
            for q in quadrants(name)
            for source in task.quadrant(q, 200, rng(), split)["source"]
        )
        return {int(frame) for _, frame, *_ in sources}

    assert shapes("test")
    assert not shapes("test") & (shapes("train") | shapes("validation"))


@pytest.mark.parametrize("name", NAMES)
def test_most_edits_have_a_placebo_and_flip_what_they_say(name):
    rows = get_task(name).counterfactuals(24, rng()).to_list()
    flips = Counter(row["flips"] for row in rows)
    assert min(flips["target"], flips["spurious"]) >= (12 if name != NONE else 6)


def test_a_missing_quadrant_is_refused_by_name_and_the_rest_is_there():
    task = get_task(NONE)
    assert task.missing == ("target_only",)
    for needs in (
        lambda: task.quadrant("target_only", 4, rng()),
        lambda: task.probe_rows(8, rng()),
        lambda: task.mixture(Evidence("symmetric", 0.25), 16, rng()),
    ):
        with pytest.raises(UserError, match=f"{NONE} has no target_only rows"):
            needs()
    kinds: list[EvidenceKind] = ["one_sided", "one_sided_balanced"]
    for kind in kinds:
        assert "spurious_only" in task.mixture(Evidence(kind, 0.25), 16, rng())["quadrant"]
    alone = get_task(f"{NONE}:alone=target")
    assert alone.missing == ()
    assert set(alone.quadrant("target_only", 8, rng())["label"]) == {1}


def test_lexicon_classes_share_no_form_and_are_large_enough_to_hold_words_out():
    assert all(len(words) >= 15 for words in CLASSES.values())
    assert min(len(CLASSES["people"]), len(CLASSES["transitives"])) >= 40
    assert set(CLASSES["strict transitives"]) <= set(CLASSES["transitives"])
    seen = Counter()
    for kind, words in CLASSES.items():
        if kind not in ("strict transitives", "endings"):
            seen.update(form for entry in words for form in forms(entry))
    seen.update(OTHER_ADVERBS)
    assert [form for form, k in seen.items() if k > 1] == []
    for words in CLASSES.values():
        for entry in words:
            if isinstance(entry, Noun):
                assert entry.singular != entry.plural
            elif isinstance(entry, Verb):
                assert len({entry.third, entry.plain, entry.past}) == 3


def test_near_copies_share_a_family_and_names_are_those_of_one_feature():
    features = {}
    for name in NAMES:
        for feature in (get_task(name).target, get_task(name).spurious):
            assert features.setdefault(feature.name, feature) is feature
            assert feature.about
    for base in (name for name in NAMES if "-base-" in name):
        one, other = get_task(base), get_task(base.replace("-base-", "-hard-"))
        assert (one.target, one.spurious) == (other.target, other.spurious)
    assert len({feature.family for feature in features.values()}) == 11
