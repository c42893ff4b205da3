"""A quadrant is the base distribution conditioned on the two predicates, and nothing else."""

from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, chi2_contingency, chisquare
from sklearn.linear_model import LogisticRegression

from tasks import Feature, UserError
from tasks.splits import split_of
from tasks.symbols import draw as draw_module
from tasks.symbols.catalogue import catalogue
from tasks.symbols.draw import draw, matches
from tasks.symbols.pairs import COIN

SMALL = {"vocabulary": 4, "length": 5}
EVERY_ROW = np.array(list(product(range(4), repeat=5)), dtype=np.int8)
PAIRS = [
    ("first-last", "contains-2"),
    ("contains-2", "first-last"),
    ("first-last", "prefix-duplicate"),
    ("suffix-duplicate", "parity"),
    ("prefix-duplicate", "first-class"),
    ("adjacent-duplicate", "sorted-prefix"),
    ("largest-first-half", "few-distinct"),
    ("contains-first-again", "smallest-last"),
]
WANTED = [
    [(pair[0], one), (pair[1], other)] for pair in PAIRS for one in (True, False) for other in (True, False)
]
LEVEL = 1e-3
"""Probability that a right generator fails a test below, over all of its comparisons together."""


def named(wanted, vocabulary=4, length=5):
    features = catalogue(vocabulary, length)
    return [(features[name], value) for name, value in wanted]


def fit_to_uniform(rows, allowed):
    """p of `rows` being uniform over `allowed`, which is the base distribution given the predicates."""
    code = 4 ** np.arange(5)
    counts = np.bincount(rows @ code, minlength=4**5)
    inside = np.zeros(4**5, dtype=bool)
    inside[allowed @ code] = True
    assert counts[~inside].sum() == 0, "a row on which the predicates have other values"
    return chisquare(counts[inside]).pvalue if inside.sum() > 1 else 1.0


@pytest.mark.parametrize("split", [None, "train", "validation", "test"])
def test_exactly_the_conditional_distribution_by_enumeration_of_every_row(split):
    tenths = {None: range(10), "train": range(6), "validation": range(6, 8), "test": range(8, 10)}[split]
    tested = 0
    for i, wanted in enumerate(WANTED):
        conditions = named(wanted)
        truth = [all(bool(f.holds(row[None])[0]) == v for f, v in conditions) for row in EVERY_ROW]
        allowed = EVERY_ROW[np.array(truth) & np.isin(split_of(EVERY_ROW), tenths)]
        if not len(allowed):
            continue
        rows = draw(conditions, 8000, np.random.default_rng(i), split=split, **SMALL)
        p = fit_to_uniform(rows, allowed)
        assert p > LEVEL / (4 * len(WANTED)), (wanted, split, p)
        tested += len(allowed) > 10
    assert tested > 0.6 * len(WANTED)


def planted(x):
    """The published generator's way: the planted symbol is never 2, so that the other feature leaks."""
    out = x.copy()
    out[:, 0] = np.where(out[:, 0] == 2, 3, out[:, 0])
    out[:, -1] = out[:, 0]
    return out


def test_the_enumeration_catches_a_plant_that_shifts_the_distribution():
    leaky = Feature("leaky", "leaky", lambda x: x[:, 0] == x[:, -1], planted)
    allowed = EVERY_ROW[EVERY_ROW[:, 0] == EVERY_ROW[:, -1]]
    assert fit_to_uniform(draw([(leaky, True)], 8000, np.random.default_rng(0), **SMALL), allowed) < 1e-9


def by_rejection(wanted, n, seed, vocabulary, length):
    """Independent of `draw`: one sequence at a time, from another generator, planting nothing."""
    random = Random(seed)
    conditions = named(wanted, vocabulary, length)
    rows = []
    while len(rows) < n:
        batch = np.array([[random.randrange(vocabulary) for _ in range(length)] for _ in range(1000)])
        rows.extend(row for row in batch if all(f.holds(row[None])[0] == v for f, v in conditions))
    return np.array(rows[:n])


SHIPPED = [
    [("first-last", True), ("contains-2", True)],
    [("first-last", False), ("majority-class", True)],
    [("prefix-duplicate", True), ("smallest-last", False)],
    [("gap-duplicate", False), ("balanced", False)],
]


def summaries(x, vocabulary):
    yield "first symbol", np.bincount(x[:, 0], minlength=vocabulary)
    yield "last symbol", np.bincount(x[:, -1], minlength=vocabulary)
    yield "place of 2", (x == 2).sum(axis=0)
    yield "rows by number of 2s", np.bincount((x == 2).sum(axis=1), minlength=x.shape[1] + 1)
    yield "rows by distinct symbols", np.bincount([len(set(row)) for row in x.tolist()], minlength=vocabulary)


def test_agrees_with_brute_force_rejection_on_summaries():
    found = {}
    for i, wanted in enumerate(SHIPPED):
        ours = draw(named(wanted, 16, 6), 4000, np.random.default_rng(i), vocabulary=16, length=6)
        theirs = by_rejection(wanted, 1500 if wanted[0][1] else 4000, i, 16, 6)
        for (what, a), (_, b) in zip(summaries(ours, 16), summaries(theirs, 16), strict=True):
            table = np.stack([a, b])[:, (a + b) > 9]
            found[what, str(wanted)] = chi2_contingency(table).pvalue if table.shape[1] > 1 else 1.0
    worst = min(found, key=found.get)
    assert found[worst] > LEVEL / len(found), (worst, found[worst])


def told_apart(one, other, vocabulary):
    """(right, of) of a classifier on the bag of symbols and the symbol at each place, on held-out rows."""

    def inputs(x):
        place = np.eye(vocabulary)[x]
        return np.concatenate([place.reshape(len(x), -1), place.sum(axis=1)], axis=1)

    x = np.concatenate([inputs(one), inputs(other)])
    y = np.repeat([0, 1], [len(one), len(other)])
    train = np.arange(len(y)) % 3 == 0
    fit = LogisticRegression(C=0.1, max_iter=500).fit(x[train], y[train])
    return int((fit.predict(x[~train]) == y[~train]).sum()), int((~train).sum())


def upper(right, of, comparisons):
    return binomtest(right, of).proportion_ci(1 - 0.1 / comparisons, method="exact").high


@pytest.mark.parametrize("wanted", SHIPPED, ids=lambda w: "-".join(name for name, _ in w))
def test_no_classifier_of_words_and_places_tells_a_draw_from_rejection(wanted):
    ours = draw(named(wanted, 16, 6), 3000, np.random.default_rng(9), vocabulary=16, length=6)
    theirs = by_rejection(wanted, 3000, 9, 16, 6)
    assert upper(*told_apart(ours, theirs, 16), comparisons=len(SHIPPED)) <= 0.55


def test_the_classifier_sees_the_leak_of_the_published_generator():
    """There the duplicate is planted around an inner sequence and is never 2."""
    ours = draw(named(SHIPPED[0], 16, 6), 3000, np.random.default_rng(9), vocabulary=16, length=6)
    leaky = ours[ours[:, 0] != 2]
    right, of = told_apart(leaky, by_rejection(SHIPPED[0], len(leaky), 9, 16, 6), 16)
    assert binomtest(right, of, alternative="greater").pvalue < 1e-6


@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 2**32), st.sampled_from(WANTED[:8]))
def test_fewer_rows_are_the_first_of_more_rows(k, more, seed, wanted):
    small = draw(named(wanted), k, np.random.default_rng(seed), **SMALL)
    large = draw(named(wanted), k + more, np.random.default_rng(seed), **SMALL)
    assert small.shape == (k, 5)
    np.testing.assert_array_equal(small, large[:k])


def test_what_is_too_rare_is_named_in_one_line(monkeypatch):
    monkeypatch.setattr(draw_module, "_MOST_DRAWS", 1 << 15)
    features = catalogue()
    with pytest.raises(UserError, match=r"too rare to draw: 0 of 3 rows with first-last, not never in \d"):
        never = Feature("never", "never", lambda x: np.ones(len(x), dtype=bool))
        draw(
            [(features["first-last"], True), (never, False)],
            3,
            np.random.default_rng(0),
            vocabulary=16,
            length=8,
        )


def test_splits_are_six_two_two_whatever_the_row_looks_like():
    rows = np.random.default_rng(0).integers(16, size=(200_000, 8), dtype=np.int8)
    tenth = split_of(rows)
    assert set(tenth) == set(range(10))
    ps = {"all": chisquare(np.bincount(tenth, minlength=10)).pvalue}
    for place, symbol in product((0, 3, 6, 7), (0, 1, 7, 15)):
        ps[place, symbol] = chisquare(np.bincount(tenth[rows[:, place] == symbol], minlength=10)).pvalue
    for name, feature in catalogue().items():
        ps[name] = chisquare(np.bincount(tenth[feature.holds(rows)], minlength=10)).pvalue
    assert min(ps.values()) > LEVEL / len(ps), min(ps, key=ps.get)


def test_the_coin_is_fair_in_every_split_and_on_every_side_of_every_feature():
    rows = np.random.default_rng(1).integers(16, size=(100_000, 8), dtype=np.int8)
    coin, tenth = COIN.holds(rows), split_of(rows)
    parts = {
        "all": tenth >= 0,
        "train": tenth < 6,
        "validation": (tenth == 6) | (tenth == 7),
        "test": tenth > 7,
    }
    parts |= {name: feature.holds(rows) for name, feature in catalogue().items()}
    parts |= {f"not {name}": ~feature.holds(rows) for name, feature in catalogue().items()}
    for name, part in parts.items():
        assert binomtest(int(coin[part].sum()), int(part.sum())).pvalue > LEVEL / len(parts), name


@given(st.integers(0, 2**32), st.sampled_from([np.int16, np.int32, np.int64, np.uint8]))
def test_a_split_depends_on_the_content_alone(seed, dtype):
    rng = np.random.default_rng(seed)
    rows = rng.integers(128, size=(50, 8), dtype=np.int8)
    order = rng.permutation(50)
    np.testing.assert_array_equal(split_of(rows)[order], split_of(rows[order].astype(dtype)))
    assert split_of(rows[:1])[0] == split_of(rows)[0]


def test_splits_of_different_seeds_share_no_row():
    """On a world so small that each split is drawn to exhaustion, over and over."""
    drawn = {
        split: {
            row.tobytes()
            for seed in range(3)
            for row in draw([], 4000, np.random.default_rng(seed), split=split, **SMALL)
        }
        for split in ("train", "validation", "test")
    }
    assert sum(map(len, drawn.values())) == len(set().union(*drawn.values())) == 4**5


def test_matches_asks_for_every_condition():
    conditions = named(WANTED[1])
    good = matches(EVERY_ROW, conditions)
    expected = [all(f.holds(row[None])[0] == v for f, v in conditions) for row in EVERY_ROW]
    np.testing.assert_array_equal(good, expected)
    assert 0 < good.sum() < len(good)
