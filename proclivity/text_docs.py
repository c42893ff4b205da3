"""The part of docs/tasks.md on text-out tasks, as the code defines them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import numpy as np

from tasks.generation.generation import IN, Generation
from tasks.problems import list_shipped_text_out, text_out

_HEAD = """\
## generation

Text-out tasks are answered by a sentence, of which several forms are equally good. Each task has a **target
rule** and a **spurious rule**, which give the same answer but on **conflicts**; the evidence is the share of
conflicts among the prompts of tuning. The **gold reward**, 0 to 1, is read from prompt and answer
alone: what is right of who did what to whom, less for what is wrong or needless. Reference answers follow the
target rule, and about a quarter of them say something needless, so that a policy can be better than they are.
**Shifts** are distributions of prompts that tuning does not have; those of one axis are graded.

    # rows of each distribution; whether a task keeps its promises; its rows as files
    proclivity tasks show generation/summarise
    proclivity tasks validate generation/summarise
    proclivity tasks export generation/summarise --out out/summarise --evidence 0.1
"""


def text_out_section() -> Iterator[str]:
    yield _HEAD
    for name in list_shipped_text_out():
        problem = text_out(name)
        yield from (f"### `{name}`", "", inspect.getdoc(type(problem)) or "", "")
        yield from ("| shift | axis | level | prompts |", "|---|---|---|---|")
        for shift in problem.shifts:
            yield f"| `{shift.name}` | {shift.axis} | {shift.level} | {shift.about} |"
        yield ""
        for shift_name in (IN, *(shift.name for shift in problem.shifts)):
            yield from _example(problem, shift_name)


def _example(problem: Generation, shift: str) -> Iterator[str]:
    """A conflict, with the answers of both rules."""
    row = problem.rows(1, np.random.default_rng(0), "test", evidence=1.0, shift=shift)[0]
    yield from (f"{'In distribution' if shift == IN else f'`{shift}`'}, a conflict:", "")
    yield f"    prompt    {row.prompt}"
    yield f"    target    {row.completion}"
    yield from (f"    spurious  {row.spurious}", "")
