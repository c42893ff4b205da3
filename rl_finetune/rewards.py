"""Asking a reward function, and naming the example that it has no reward for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tasks.errors import UserError, one_line
from tasks.task import Problem


def rewards_of(
    task: Problem, prompts: Sequence[str], completions: Sequence[str], labels: Sequence[int] = ()
) -> list[float]:
    """A reward for each completion, from the problem's reward function with TRL's signature.

    Labels are those of a task's rows; other problems have none.
    """
    prompts, completions = list(prompts), list(completions)
    columns = {"label": list(labels)} if labels else {}
    try:
        found = [float(r) for r in task.reward(prompts, completions, **columns)]
    except UserError:
        raise
    except Exception as e:
        example = _example(prompts, completions, _raises_at(task, prompts, completions, columns))
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


def _raises_at(
    task: Problem, prompts: Sequence[str], completions: Sequence[str], columns: Mapping[str, Sequence[int]]
) -> int:
    """The first example that raises when it is asked alone; the first of all where none does."""
    for i, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        try:
            own = {name: [column[i]] for name, column in columns.items()}
            [float(r) for r in task.reward([prompt], [completion], **own)]
        except Exception:
            return i
    return 0


def _example(prompts: Sequence[str], completions: Sequence[str], i: int) -> str:
    return f"; prompt {prompts[i]!r}, completion {completions[i]!r}"
