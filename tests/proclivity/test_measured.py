"""When a run has learnt what methods are compared at, read from its log."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from proclivity.measured import reached_columns
from rl_finetune import AnswerCounts
from tasks import QUADRANTS


def log_of(*points: tuple[float, float]) -> list[dict[str, Any]]:
    """A log of which each point has (reward on both and neither, use)."""
    rows = []
    for i, (reward, use) in enumerate(points):
        for quadrant in QUADRANTS:
            wrong = 1 - reward if quadrant in ("both", "neither") else use
            errors = round(1000 * wrong)
            counts = AnswerCounts(1000, errors, 0, 500, wrong, 1 - wrong, 0.1, 0.0, 0.0)
            rows.append({"step": 10 * (i + 1), "quadrant": quadrant, **asdict(counts)})
    return rows


def test_it_is_the_first_two_points_in_a_row_whose_mean_is_enough() -> None:
    log = log_of((0.5, 0.5), (0.97, 0.9), (0.9, 0.8), (0.95, 0.6), (0.96, 0.4), (1.0, 0.0))
    found = reached_columns(log)
    assert found["reached_step"] == 40
    assert found["reached_reward"] == pytest.approx(0.955) and found["reached_U"] == pytest.approx(0.5)


@pytest.mark.parametrize("points", [(), ((0.99, 0.5),), ((0.99, 0.5), (0.9, 0.5), (0.99, 0.5))])
def test_one_point_alone_is_not_enough(points: tuple[tuple[float, float], ...]) -> None:
    assert reached_columns(log_of(*points)) == {}
