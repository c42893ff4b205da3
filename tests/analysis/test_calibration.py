"""Calibration against scikit-learn and by hand; intervals against simulations whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from analysis.measured import Measured
from analysis.outputs.calibration import Calibration, calibration, calibration_of_confidence
from tasks.errors import UserError


def named(found: Calibration) -> dict[str, Measured]:
    return {m.measure: m for m in found.measures}


def drawn(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(classes), n)
    return p, np.array([rng.choice(classes, p=row) for row in p])


@given(st.integers(2, 5), st.integers(0, 10_000))
def test_scores_are_scikit_learns(classes: int, seed: int) -> None:
    p, right = drawn(60, classes, seed)
    found = named(calibration(p.tolist(), right.tolist(), resamples=2))
    labels = list(range(classes))
    assert found["NLL"].value == pytest.approx(log_loss(right, p, labels=labels))
    brier = brier_score_loss(right, p, labels=labels, scale_by_half=False)
    assert found["Brier"].value == pytest.approx(brier)
    assert found["accuracy"].value == pytest.approx(accuracy_score(right, p.argmax(axis=1)))
    assert found["confidence"].value == pytest.approx(p.max(axis=1).mean())


@given(st.integers(1, 12), st.integers(0, 10_000))
def test_bins_are_scikit_learns_and_the_ece_is_their_weighted_gap(bins: int, seed: int) -> None:
    p, right = drawn(80, 3, seed)
    found = calibration(p.tolist(), right.tolist(), bins=bins, resamples=2)
    hits = np.eye(3)[right]
    pooled = {
        "top label": (p.max(axis=1), (p.argmax(axis=1) == right).astype(int)),
        "all classes": (p.ravel(), hits.ravel()),
    }
    for of, (probability, hit) in pooled.items():
        rows = [b for b in found.reliability if b.of == of]
        assert len(rows) == bins and sum(b.n for b in rows) == len(probability)
        full = [b for b in rows if b.n]
        shares, confidences = calibration_curve(hit, probability, n_bins=bins)
        np.testing.assert_allclose([b.right for b in full], shares)
        np.testing.assert_allclose([b.confidence for b in full], confidences)
        ece = sum(b.n * abs(b.right - b.confidence) for b in full) / len(probability)  # type: ignore[operator]
        assert named(found)[f"ECE ({of})"].value == pytest.approx(ece)
        for b in full:
            assert b.right_low <= b.right <= b.right_high  # type: ignore[operator]


def test_by_hand_with_unequal_numbers_of_choices() -> None:
    """Two questions of two and three choices: all that is asked for can be added up."""
    found = named(calibration([[0.9, 0.1], [0.2, 0.3, 0.5]], [0, 1], bins=1, compat="superhf2023"))
    assert found["accuracy"].value == 0.5 and found["confidence"].value == pytest.approx(0.7)
    assert found["ECE (top label)"].value == pytest.approx(0.2)
    assert found["ECE (all classes)"].value == pytest.approx(0)  # a bin of everything: 2/5 right, mean 2/5
    assert found["Brier"].value == pytest.approx((0.01 + 0.01 + 0.04 + 0.49 + 0.25) / 2)
    assert found["NLL"].value == pytest.approx(-(math.log(0.9) + math.log(0.3)) / 2)
    # Bins of .1 begin at .9, .1, .2, .3, .5; middles .95, .15, .25, .35, .55; right: yes no no yes no.
    published = (0.05**2 + 0.15**2 + 0.25**2 + 0.65**2 + 0.55**2) / 5
    assert found["MSE (superhf2023)"].value == pytest.approx(published)
    assert found["MSE (superhf2023)"].outputs == 5


def test_the_published_mse_pools_all_classes_and_weighs_bins_alike() -> None:
    """Brute force, with a probability of exactly 1, which no bin of [0, 1) holds."""
    p, right = drawn(200, 4, 3)
    p = np.concatenate([p, [[1.0, 0, 0, 0]]])
    right = np.append(right, 0)
    bins: dict[int, list[bool]] = {}
    for row, answer in zip(p, right, strict=True):
        for k, value in enumerate(row):
            if value < 1:
                bins.setdefault(math.floor(10 * value), []).append(k == answer)
    expected = np.mean([(np.mean(hits) - (b + 0.5) / 10) ** 2 for b, hits in bins.items()])
    found = named(calibration(p.tolist(), right.tolist(), compat="superhf2023"))["MSE (superhf2023)"]
    assert found.value == pytest.approx(expected) and found.left_out == 1 and found.outputs == 803
    assert found.low is not None and found.high is not None and found.low < found.high


def test_tied_top_answers_share_the_hit_wherever_the_right_one_stands() -> None:
    for right in ([0, 0, 0], [1, 2, 0]):
        found = named(calibration([[1 / 3] * 3] * 3, right))
        assert found["accuracy"].value == pytest.approx(1 / 3)
        assert found["ECE (top label)"].value == pytest.approx(0)


def test_a_right_answer_of_probability_0_makes_the_nll_infinite_and_is_counted() -> None:
    found = named(calibration([[1.0, 0.0], [0.5, 0.5], [0.3, 0.7], [0.6, 0.4]], [1, 0, 1, 0]))
    assert found["NLL"].value == math.inf and found["NLL"].low is None
    assert found["impossible"].value == 0.25
    assert found["Brier"].value == pytest.approx((2 + 0.5 + 0.18 + 0.32) / 4)


@pytest.mark.parametrize(
    ("probabilities", "right", "says"),
    [
        ([[0.5, 0.5], [0.5, 0.4]], [0, 0], "question 2: the probabilities sum to 0.9, not to 1"),
        ([[0.5, 0.5], [math.nan, 0.5]], [0, 0], "question 2: probability 1 is nan, not a number from 0 to 1"),
        ([[1.5, -0.5]], [0], "question 1: probability 1 is 1.5"),
        ([[0.5, 0.5]], [2], "question 1: the right answer is number 3 of 2"),
        ([[]], [0], "question 1: there is no probability"),
        ([], [], "there is no question"),
        ([[1.0]], [0, 0], "1 questions have probabilities, 2 a right answer"),
    ],
)
def test_what_is_wrong_is_told_with_its_question(
    probabilities: list[list[float]], right: list[int], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        calibration(probabilities, right)


def test_one_question_has_numbers_and_no_interval() -> None:
    for m in calibration([[0.25, 0.75]], [1]).measures:
        assert m.value is not None and m.low is None and m.high is None


def test_confidence_alone_gives_the_same_top_label_numbers() -> None:
    p, right = drawn(100, 3, 5)
    whole = calibration(p.tolist(), right.tolist())
    correct = (p.argmax(axis=1) == right).astype(int)
    found = calibration_of_confidence(p.max(axis=1).tolist(), correct.tolist())
    for name in ("accuracy", "confidence", "ECE (top label)"):
        assert named(found)[name].value == pytest.approx(named(whole)[name].value)
        assert named(found)[name].low == pytest.approx(named(whole)[name].low)
    assert found.reliability == [b for b in whole.reliability if b.of == "top label"]
    brier = brier_score_loss(correct, p.max(axis=1))
    assert named(found)["Brier (correct or not)"].value == pytest.approx(brier)
    nll = log_loss(correct, p.max(axis=1))
    assert named(found)["NLL (correct or not)"].value == pytest.approx(nll)
    with pytest.raises(UserError, match="question 2: confidence 1"):
        calibration_of_confidence([0.5, 1.2], [1, 1])


@pytest.mark.parametrize(("overconfident", "truth"), [(0.0, 0.0), (0.3, 0.3 * 0.25)])
def test_intervals_of_the_ece_cover_the_truth(overconfident: float, truth: float) -> None:
    """Confidence is spread evenly over .5 to 1; answers are right less often, in proportion to its excess
    over a coin: that moves every bin by a known gap. The floor is what the calibrated model shows."""
    rng = np.random.default_rng(6)
    covered, shown, floors = 0, [], []
    for seed in range(100):
        confidence = rng.uniform(0.5, 1, 300)
        correct = rng.random(300) < confidence - overconfident * (confidence - 0.5)
        found = calibration_of_confidence(confidence.tolist(), correct.tolist(), resamples=200, seed=seed)
        ece = named(found)["ECE (top label)"]
        covered += ece.low <= truth <= ece.high  # type: ignore[operator]
        shown.append(ece.value)
        floors.append(ece.floor)
    assert covered >= 82
    if truth == 0:
        assert np.mean(floors) == pytest.approx(np.mean(shown), abs=0.004)  # type: ignore[arg-type]
    else:
        assert np.mean(shown) > np.mean(floors) + 0.02  # type: ignore[operator]


def test_calibrated_choices_show_the_floor_over_all_classes_too() -> None:
    found = [named(calibration(p.tolist(), r.tolist())) for p, r in (drawn(300, 4, s) for s in range(12))]
    errors = [f["ECE (all classes)"] for f in found]
    assert np.mean([e.value for e in errors]) == pytest.approx(np.mean([e.floor for e in errors]), abs=0.006)  # type: ignore[arg-type, misc]
