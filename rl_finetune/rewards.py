"""Asking a reward function, and naming the example that it has no reward for."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tasks.errors import UserError, one_line
from tasks.task import Task


def rewards_of(
    task: Task, prompts: Sequence[str], completions: Sequence[str], labels: Sequence[int]
) -> list[float]:
    """A reward for each completion, from the task's reward function with TRL's signature."""
    prompts, completions, labels = list(prompts), list(completions), list(labels)
    try:
        found = [float(r) for r in task.reward(prompts, completions, label=labels)]
    except UserError:
        raise
    except Exception as e:
        example = _example(prompts, completions, _raises_at(task, prompts, completions, labels))
        raise UserError(f"{task.name}: its reward function raised {one_line(e)}{example}") from e
    if len(found) != len(prompts):
        raise UserError(
            f"{task.name}: its reward function returned {len(found)} rewards for {len(prompts)} completions"
            + _example(prompts, completions, 0)
        )
    for i, reward in enumerate(found):
        if not math.isfinite(reward):
            raise UserError(
                f"{task.name}: its reward function returned {reward}{_example(prompts, completions, i)}"
            )
    return found


def _raises_at(task: Task, prompts: Sequence[str], completions: Sequence[str], labels: Sequence[int]) -> int:
    """The first example that raises when it is asked alone; the first of all where none does."""
    for i, (prompt, completion, label) in enumerate(zip(prompts, completions, labels, strict=True)):
        try:
            [float(r) for r in task.reward([prompt], [completion], label=[label])]
        except Exception:
            return i
    return 0


def _example(prompts: Sequence[str], completions: Sequence[str], i: int) -> str:
    return f"; prompt {prompts[i]!r}, completion {completions[i]!r}"
