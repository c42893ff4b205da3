"""Preference pairs of all sources and of halves of them."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rl_finetune import half_of, preference_pairs
from tasks import Evidence, UserError, get_task

TASKS = [
    "symbolic/first-last-vs-contains-2",
    "reviews/dollar-vs-hash",
    "symbolic/first-class-vs-coin:also=parity",
]


def cells(pairs: dict[str, list[Any]]) -> Counter[Any]:
    columns = [pairs[c] for c in ("target", "spurious", "spurious_2") if c in pairs]
    return Counter(zip(*columns, pairs["label"], strict=True))


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("evidence", [Evidence(rate=0.2), Evidence("one_sided", 0.3, noise=0.1)])
def test_the_halves_share_no_source_and_keep_the_evidence(name: str, evidence: Evidence) -> None:
    task = get_task(name)
    whole, first, second = (preference_pairs(task, evidence, 200, [0, 8], half=h) for h in (0, 1, 2))
    assert {half_of(s) for s in first["source"]} == {1} and {half_of(s) for s in second["source"]} == {2}
    for column in ("source", "prompt"):
        assert not set(first[column]) & set(second[column])
    assert cells(first) == cells(second) == cells(whole)
    for seed in ([0, 8], [1, 8]):  # whatever the seeds
        other = preference_pairs(task, evidence, 200, seed, half=2)
        assert not set(first["source"]) & set(other["source"])
    assert (other["source"] == second["source"]) is False
    assert first == preference_pairs(task, evidence, 200, [0, 8], half=1)


def test_all_pairs_are_the_task_s_own() -> None:
    task, evidence = get_task(TASKS[0]), Evidence(rate=0.1)
    expected = task.preferences(evidence, 100, np.random.default_rng([3, 8]), ties=0.3).to_dict()
    assert preference_pairs(task, evidence, 100, [3, 8], ties=0.3) == expected


def test_what_gives_no_pairs_is_refused() -> None:
    bandit: Any = SimpleNamespace(name="bandit")
    with pytest.raises(UserError, match=r"^bandit has no preferences"):
        preference_pairs(bandit, Evidence(), 10, [0])
    with pytest.raises(UserError, match="--half must be 1 or 2, not 3"):
        preference_pairs(get_task(TASKS[0]), Evidence(), 10, [0], half=3)
