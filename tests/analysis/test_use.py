import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from analysis.use import QUADRANTS, QuadrantCounts, reliance, use_of, wilson

TRUTH = {"both": (1, 1), "neither": (0, 0), "target_only": (1, 0), "spurious_only": (0, 1)}


def counts_of(policy, n=40):
    """Counts of a deterministic policy (target, spurious) -> answer."""
    errors = {q: n * (policy(*TRUTH[q]) != TRUTH[q][0]) for q in QUADRANTS}
    ones = sum(n * policy(*TRUTH[q]) for q in QUADRANTS)
    return QuadrantCounts(dict.fromkeys(QUADRANTS, n), errors, {q: errors[q] / n for q in QUADRANTS}, ones)


@pytest.mark.parametrize(
    ("policy", "label", "U", "D"),
    [
        (lambda t, s: t, "target", 0.0, 0.0),
        (lambda t, s: s, "spurious", 1.0, 0.0),
        (lambda t, s: t | s, "OR", 0.5, 1.0),
        (lambda t, s: t & s, "AND", 0.5, -1.0),
    ],
)
def test_ideal_rules(policy, label, U, D):
    use = use_of(counts_of(policy))
    assert (use.label, use.U, use.D, use.B, use.U_probability) == (label, U, D, 0.0, U)
    assert use.U_interval[0] <= U <= use.U_interval[1]


@pytest.mark.parametrize("answer", [0, 1])
def test_constant_policy_has_no_use(answer):
    use = use_of(counts_of(lambda t, s: answer))
    assert use.label == "constant"
    assert math.isnan(use.U) and math.isnan(use.U_probability)
    assert use.B == 0.5


def test_wrong_rule_is_unlearnt_and_empty_quadrant_unmeasured():
    assert use_of(counts_of(lambda t, s: 1 - t)).label == "unlearnt"
    whole = counts_of(lambda t, s: t)
    n = dict(whole.n) | {"target_only": 0}
    use = use_of(QuadrantCounts(n, whole.errors))
    assert use.label == "unmeasured" and math.isnan(use.U)


def test_learnt_at_exactly_the_threshold():
    for first in range(21):
        errors = {"both": first, "neither": 20 - first, "target_only": 0, "spurious_only": 0}
        assert use_of(QuadrantCounts(dict.fromkeys(QUADRANTS, 100), errors)).label == "target"


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_swapping_the_roles_mirrors_use(k):
    """Calling the spurious feature the target turns every conflict error into a right answer."""
    errors = dict(zip(QUADRANTS, k, strict=True))
    n = dict.fromkeys(QUADRANTS, 50)
    mirrored = errors | {
        "target_only": 50 - errors["spurious_only"],
        "spurious_only": 50 - errors["target_only"],
    }
    use, mirror = use_of(QuadrantCounts(n, errors)), use_of(QuadrantCounts(n, mirrored))
    assert mirror.B == use.B
    assert pytest.approx(use.D) == mirror.D
    if not math.isnan(use.U):
        assert pytest.approx(1 - use.U) == mirror.U
        names = {"target": "spurious", "spurious": "target"}
        assert mirror.label == names.get(use.label, use.label)
        assert mirror.U_interval[0] == pytest.approx(1 - use.U_interval[1])


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4))
def test_naming_the_labels_the_other_way_leaves_use_alone(k):
    """Negating both features swaps the quadrants two by two: U and B stay, D flips."""
    errors = dict(zip(QUADRANTS, k, strict=True))
    n = dict.fromkeys(QUADRANTS, 50)
    swap = dict(zip(QUADRANTS, ("neither", "both", "spurious_only", "target_only"), strict=True))
    use = use_of(QuadrantCounts(n, errors))
    other = use_of(QuadrantCounts(n, {q: errors[swap[q]] for q in QUADRANTS}))
    assert other.B == use.B and other.D == -use.D
    assert other.U == use.U or (math.isnan(other.U) and math.isnan(use.U))


@given(st.integers(0, 200), st.integers(1, 200), st.sampled_from([0.9, 0.95, 0.99]))
def test_wilson_is_statsmodels(k, n, confidence):
    k = min(k, n)
    expected = proportion_confint(k, n, alpha=1 - confidence, method="wilson")
    assert wilson(k, n, confidence) == pytest.approx(expected, abs=1e-9)


def test_reliance_of_an_ideal_a_deaf_and_a_jumpy_policy():
    rng = np.random.default_rng(0)
    target, held = rng.integers(0, 2, 4000), rng.integers(0, 2, 4000)
    direction = 1 - 2 * target
    follows = reliance(target, 1 - target, target, direction, held)
    assert follows.value == 1.0 and follows.by_held == {0: 1.0, 1: 1.0}
    assert reliance(held, held, held, direction, held).value == 0.0
    # A policy that changes its mind at any edit whatever moves with both edits alike.
    jumpy = reliance(target, 1 - target, 1 - target, direction, held)
    assert jumpy.flip == 1.0 and jumpy.value == 0.0
    # An AND policy heeds the target only where the held feature is true.
    conjunction = reliance(target & held, (1 - target) & held, target & held, direction, held)
    assert conjunction.by_held == {0: 0.0, 1: 1.0} and conjunction.value == 0.5


def test_reliance_leaves_invalid_answers_out():
    nan = float("nan")
    result = reliance([0, 1, nan], [1, 0, 1], [0, 1, 0], [1, -1, 1], [0, 1, 0])
    assert (result.n, result.value) == (2, 1.0)
    assert math.isnan(reliance([nan], [1], [1], [1], [0]).value)
