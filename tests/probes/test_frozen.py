"""A frozen probe that never saw two features disagree, on states with a known answer."""

from __future__ import annotations

import numpy as np
import pytest

from probes import frozen_use
from tasks.errors import UserError


def quadrants(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    return np.repeat([0, 0, 1, 1], n // 4), np.repeat([0, 1, 0, 1], n // 4)


@pytest.mark.parametrize("of_target", [0.0, 1.0])
def test_it_goes_by_the_one_feature_that_the_states_hold(of_target: float) -> None:
    target, spurious = quadrants()
    rng = np.random.default_rng(0)
    shown = target if of_target else spurious
    X = np.stack([2.0 * shown - 1, *rng.normal(size=(4, 400))], axis=1)
    assert frozen_use(X, target, spurious) == 1 - of_target


def test_it_goes_by_the_larger_of_two_and_by_neither_of_equals() -> None:
    target, spurious = quadrants()
    t, s = 2.0 * target - 1, 2.0 * spurious - 1
    assert frozen_use(np.stack([t, 3 * s], axis=1), target, spurious) == 1
    assert frozen_use(np.stack([3 * t, s], axis=1), target, spurious) == 0
    assert frozen_use(np.stack([t, s], axis=1), target, spurious) == 0.5


def test_exchanging_the_roles_exchanges_the_answer() -> None:
    target, spurious = quadrants()
    X = np.random.default_rng(1).normal(size=(400, 6)) + np.outer(target, [1, 0, 0, 1, 0, 0])
    X += np.outer(spurious, [0, 0.7, 0, -0.5, 0, 0])
    assert frozen_use(X, spurious, target) == pytest.approx(1 - frozen_use(X, target, spurious))


def test_what_disagreeing_rows_hold_is_not_learnt_from() -> None:
    """A state that shows the target, but only where the features disagree, changes nothing."""
    target, spurious = quadrants()
    agree = target == spurious
    X = np.stack([2.0 * spurious - 1, np.where(agree, 0.0, 50.0 * (2 * target - 1))], axis=1)
    assert frozen_use(X, target, spurious) == 1


def test_a_quadrant_that_is_missing_is_named() -> None:
    target, spurious = quadrants()
    keep = ~((target == 1) & (spurious == 0))
    with pytest.raises(UserError, match="all four quadrants"):
        frozen_use(np.zeros((400, 2))[keep], target[keep], spurious[keep])
