"""Evidence: counts, label prior and mutual information."""

import json
from collections import Counter
from itertools import product
from math import isclose

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, UserError, bayes_accuracy
from tasks.evidence import evidence_of

KINDS = ("symmetric", "one_sided", "one_sided_balanced")
kinds = st.sampled_from(KINDS)
rates = st.floats(0, 0.5)
sizes = st.integers(1, 5000)


def conflicts(counts):
    return counts["target_only"] + counts["spurious_only"]


@given(kinds, rates, sizes)
def test_rows_sum_to_n_and_none_is_negative(kind, rate, n):
    counts = Evidence(kind, rate).counts(n)
    assert tuple(counts) == QUADRANTS
    assert sum(counts.values()) == n
    assert min(counts.values()) >= 0


@given(st.floats(0, 1), sizes)
def test_one_sided_evidence_goes_up_to_all_rows(rate, n):
    counts = Evidence("one_sided", rate).counts(n)
    assert min(counts.values()) >= 0
    assert abs(conflicts(counts) - rate * n) <= 0.5
    assert abs(counts["both"] - counts["neither"]) <= 1


@given(kinds, rates, sizes)
def test_k_is_the_nearest_that_the_kind_allows(kind, rate, n):
    counts = Evidence(kind, rate).counts(n)
    if kind == "symmetric":  # an even k
        assert counts["target_only"] == counts["spurious_only"]
        assert abs(conflicts(counts) - rate * n) <= 1 + 1e-9
    else:
        assert counts["target_only"] == 0
        assert abs(conflicts(counts) - rate * n) <= 0.5 + 1e-9


@given(kinds, rates, st.integers(1, 2500))
def test_the_label_prior_is_a_half_for_even_n_and_drifts_as_stated_when_one_sided(kind, rate, half):
    n = 2 * half
    prior = Evidence(kind, rate).label_prior(n)
    if kind == "one_sided":
        assert abs(prior - (1 - rate) / 2) <= 1 / n
    else:
        assert prior == 0.5


@given(kinds, rates, rates, sizes)
def test_more_evidence_never_means_fewer_counter_examples(kind, one, other, n):
    low, high = (Evidence(kind, rate).counts(n) for rate in sorted((one, other)))
    for quadrant in ("target_only", "spurious_only"):
        assert low[quadrant] <= high[quadrant]
    for quadrant in ("both", "neither"):
        assert low[quadrant] >= high[quadrant]


def entropy(shares):
    shares = np.array(shares)[np.array(shares) > 0]
    return float(-(shares * np.log2(shares)).sum())


@given(kinds, rates, sizes)
def test_information_is_the_entropy_that_the_spurious_feature_takes_from_the_label(kind, rate, n):
    evidence = Evidence(kind, rate)
    joint = np.zeros((2, 2))
    for quadrant, k in evidence.counts(n).items():
        joint[TARGET[quadrant], SPURIOUS[quadrant]] += k / n
    direct = entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1)) - entropy(joint.ravel())
    assert isclose(evidence.information(n), direct, abs_tol=1e-9)


def test_without_evidence_the_spurious_feature_is_the_label_and_at_a_half_it_tells_nothing():
    for n in (4, 128, 1000):
        for kind in KINDS:
            assert isclose(Evidence(kind, 0).information(n), 1)
        assert isclose(Evidence("symmetric", 0.5).information(n), 0, abs_tol=1e-12)
        assert Evidence("one_sided", 0.5).information(n) > 0.01
        assert Evidence("one_sided_balanced", 0.5).information(n) < 1e-12


def test_the_quadrants_are_the_four_combinations():
    assert {(TARGET[q], SPURIOUS[q]) for q in QUADRANTS} == {(1, 1), (0, 0), (1, 0), (0, 1)}
    assert (TARGET["target_only"], SPURIOUS["spurious_only"]) == (1, 1)
    assert (TARGET["both"], SPURIOUS["both"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "rate", "told"),
    [
        ("symmetric", 0.6, "outside 0 to 0.5"),
        ("one_sided_balanced", 0.51, "outside 0 to 0.5"),
        ("one_sided", 1.01, "outside 0 to 1.0"),
        ("symmetric", -0.1, "outside 0 to 0.5"),
        ("symmetric", float("nan"), "outside 0 to 0.5"),
        ("one-sided", 0.1, "did you mean 'one_sided'"),
    ],
)
def test_impossible_evidence_is_refused_in_one_line(kind, rate, told):
    with pytest.raises(UserError, match=told) as error:
        Evidence(kind, rate)
    assert "\n" not in str(error.value)


noises = st.floats(0, 0.5)
shares = st.lists(st.floats(0, 1), max_size=3).map(tuple)


def brute(evidence, n):
    """Every row of a mixture as (target, spurious, label), one by one."""
    for quadrant, k in evidence.counts(n).items():
        for i in range(k):
            yield TARGET[quadrant], SPURIOUS[quadrant], TARGET[quadrant] ^ (i < round(evidence.noise * k))


@given(kinds, rates, noises, st.integers(1, 300))
def test_the_joint_table_is_the_rows_counted_one_by_one(kind, rate, noise, n):
    evidence = Evidence(kind, rate, noise)
    rows = Counter(((t, s), y) for t, s, y in brute(evidence, n))
    assert Counter(evidence.joint(n)) == rows
    assert isclose(evidence.label_prior(n), sum(y for _, _, y in brute(evidence, n)) / n)


@given(kinds, rates, noises, st.integers(1, 300))
def test_bayes_accuracy_is_that_of_the_best_of_all_rules(kind, rate, noise, n):
    """By enumeration of every rule: all maps from truths to labels."""
    evidence = Evidence(kind, rate, noise)
    rows = list(brute(evidence, n))
    for read in ((0, 1), (0,), (1,), ()):
        truths = list(product((0, 1), repeat=len(read)))
        best = 0
        for answers in product((0, 1), repeat=len(truths)):
            rule = dict(zip(truths, answers, strict=True))
            best = max(best, sum(rule[tuple(row[i] for i in read)] == row[2] for row in rows))
        assert isclose(bayes_accuracy(evidence.joint(n), read), best / n)


@given(kinds, rates, noises, sizes)
def test_information_under_noise_is_that_of_the_joint_table(kind, rate, noise, n):
    evidence = Evidence(kind, rate, noise)
    for feature in (0, 1):
        joint = np.zeros((2, 2))
        for (cell, label), k in evidence.joint(n).items():
            joint[cell[feature], label] += k / n
        direct = entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1)) - entropy(joint.ravel())
        assert isclose(evidence.information(n, feature), direct, abs_tol=1e-9)


@given(rates, noises, st.integers(1, 2500))
def test_noise_leaves_the_label_prior_of_symmetric_evidence_at_a_half(rate, noise, half):
    assert Evidence("symmetric", rate, noise).label_prior(2 * half) == 0.5


@given(kinds, rates, noises, noises, sizes)
def test_more_noise_never_means_fewer_flipped_labels_and_each_cell_has_its_share(kind, rate, one, other, n):
    low, high = (Evidence(kind, rate, noise) for noise in sorted((one, other)))
    for k in low.cells(n).values():
        assert 0 <= low.flipped(k) <= high.flipped(k) <= k
        assert abs(low.flipped(k) - low.noise * k) <= 0.5


def test_without_noise_the_target_is_the_label_and_at_a_half_it_tells_nothing():
    for kind in KINDS:
        assert bayes_accuracy(Evidence(kind, 0.3).joint(1000), (0,)) == 1
    half = Evidence("symmetric", 0.2, 0.5)
    assert bayes_accuracy(half.joint(4000), (0, 1)) == 0.5
    assert isclose(half.information(4000, 0), 0, abs_tol=1e-12)


@given(kinds, rates, shares, st.integers(0, 3), sizes)
def test_further_features_divide_each_quadrant_and_disagree_in_their_shares(kind, rate, given, more, n):
    evidence, others = Evidence(kind, rate, others=given), len(given) + more
    cells = evidence.cells(n, others)
    assert set(cells) == set(product((0, 1), repeat=2 + others))
    assert min(cells.values()) >= 0
    for quadrant, k in evidence.counts(n).items():
        truths = TARGET[quadrant], SPURIOUS[quadrant]
        assert sum(c for cell, c in cells.items() if cell[:2] == truths) == k
    for i, share in enumerate((*given, *[rate] * more), 2):
        # Given all features before it, it disagrees in its share, to the nearest row.
        for before in product((0, 1), repeat=i):
            rows = {cell[i]: 0 for cell in ((0,) * i + (t,) for t in (0, 1))}
            for cell, c in cells.items():
                if cell[:i] == before:
                    rows[cell[i]] += c
            assert abs(rows[1 - before[0]] - share * sum(rows.values())) <= 0.5 + 1e-6


@given(rates, rates, shares, sizes)
def test_more_evidence_against_the_first_never_means_fewer_rows_of_a_conflicting_cell(one, other, given, n):
    low, high = (Evidence("symmetric", r, others=given).cells(n, len(given)) for r in sorted((one, other)))
    assert all(low[cell] <= high[cell] for cell in low if cell[0] != cell[1])


@given(kinds, rates, noises, shares, st.integers(1, 200))
def test_bayes_accuracy_on_many_features_is_that_of_the_best_of_all_rules(kind, rate, noise, given, n):
    """By enumeration: the best rule gives each combination of truths the label of most of its rows."""
    evidence, others = Evidence(kind, rate, noise, given), len(given)
    rows = [
        (*cell, cell[0] ^ (i < round(noise * k)))
        for cell, k in evidence.cells(n, others).items()
        for i in range(k)
    ]
    assert len(rows) == n
    for read in (range(2 + others), range(1, 2 + others)):
        votes = {}
        for row in rows:
            votes.setdefault(tuple(row[i] for i in read), []).append(row[-1])
        right = sum(max(sum(v), len(v) - sum(v)) for v in votes.values())
        assert isclose(bayes_accuracy(evidence.joint(n, others), read), right / n)


def test_evidence_of_more_features_than_there_are_is_refused():
    with pytest.raises(UserError, match="2 further spurious features is given for a task with 1"):
        Evidence(others=(0.1, 0.2)).cells(8, 1)
    with pytest.raises(UserError, match="outside 0 to 1"):
        Evidence(others=(0.1, 1.2))


@given(kinds, rates, noises, shares)
def test_a_config_says_the_evidence_and_says_no_more_without_noise(kind, rate, noise, given):
    evidence = Evidence(kind, rate, noise, given)
    assert evidence_of(json.loads(json.dumps(evidence.config()))) == evidence
    assert set(Evidence(kind, rate).config()) == {"evidence_kind", "evidence_rate"}


@pytest.mark.parametrize("noise", [-0.1, 0.51, float("nan")])
def test_impossible_noise_is_refused(noise):
    with pytest.raises(UserError, match=r"label noise .* is outside 0 to 0.5"):
        Evidence(noise=noise)
