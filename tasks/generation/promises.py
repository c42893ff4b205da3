"""Whether a text-out task keeps what it promises, recomputed from the rows that it hands out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import get_args

import numpy as np
from numpy.random import default_rng

from tasks.feature import Split
from tasks.generation.generation import IN, Generation, Row
from tasks.generation.own import knows_entailment
from tasks.validate import Check

MOST = 90
"""Words that a prompt and what may follow it have at most."""
_RATES = (0.25, 0.5)


def checks(problem: Generation, *, n: int = 200, seed: int = 0) -> list[Check]:
    """Every promise, on n rows of each distribution, half of them conflicts."""
    distributions = [IN, *(shift.name for shift in problem.shifts)]
    rows = {
        shift: problem.rows(n, default_rng(seed), "test", evidence=0.5, shift=shift)
        for shift in distributions
    }
    every = [row for part in rows.values() for row in part]
    found: dict[str, Callable[[], Iterator[str]]] = {
        "conflicts": lambda: _conflicts(rows, n),
        "gold reward": lambda: _gold(problem, every),
        "rules": lambda: _rules(problem, every),
        "choices": lambda: _choices(problem, every),
        "flawed answers": lambda: _flawed(problem, every, seed),
        "entailment": lambda: _entailment(problem, every),
        "lengths": lambda: _lengths(problem, every),
        "splits": lambda: _splits(problem, distributions, n, seed),
        "equal seeds": lambda: _equal(problem, rows, n, seed),
        "nested conflicts": lambda: _nested(problem, distributions, n, seed),
    }
    if not knows_entailment(problem):
        del found["entailment"]
    return [Check(name, len(every), tuple(problems())) for name, problems in found.items()]


def _conflicts(rows: dict[str, list[Row]], n: int) -> Iterator[str]:
    for shift, part in rows.items():
        found = sum(row.conflict for row in part)
        if found != n // 2:
            yield f"conflicts: {found} of {n} in {shift}, not {n // 2}"


def _gold(problem: Generation, rows: Sequence[Row]) -> Iterator[str]:
    """Reference answers are good, those of the spurious rule worse where it differs, and no text is none."""
    prompts = [row.prompt for row in rows]
    reference = problem.reward(prompts, [row.completion for row in rows])
    spurious = problem.reward(prompts, [row.spurious for row in rows])
    empty = problem.reward(prompts, [""] * len(rows))
    for row, right, wrong, none in zip(rows, reference, spurious, empty, strict=True):
        if not problem.chance < right <= problem.optimum:
            yield f"gold reward: {right} for {row.completion!r} after {row.prompt!r}"
            break
        if row.conflict and wrong >= right:
            yield f"gold reward: {row.spurious!r} is no worse than {row.completion!r} after {row.prompt!r}"
            break
        if none != problem.chance:
            yield f"gold reward: {none} for no text after {row.prompt!r}"
            break


def _rules(problem: Generation, rows: Sequence[Row]) -> Iterator[str]:
    prompts = [row.prompt for row in rows]
    target = problem.follows(prompts, [row.completion for row in rows])
    spurious = problem.follows(prompts, [row.spurious for row in rows])
    for row, *found in zip(rows, target, spurious, strict=True):
        if found != (["target", "spurious"] if row.conflict else ["both", "both"]):
            yield f"rules: the answers after {row.prompt!r} are read as {found[0]} and {found[1]}"
            break


def _choices(problem: Generation, rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if not row.choices:
            continue
        first, *others = problem.reward([row.prompt] * len(row.choices), row.choices)
        if first != problem.optimum or max(others, default=0.0) >= first or len({*row.choices}) < len(others):
            yield f"choices: not one right answer, and it first, among {row.choices} after {row.prompt!r}"
            break


def _flawed(problem: Generation, rows: Sequence[Row], seed: int) -> Iterator[str]:
    rng = default_rng(seed)
    for row in rows:
        text = problem.flawed(row, rng)
        right, wrong = problem.reward([row.prompt] * 2, [row.completion, text])
        if wrong >= right:
            yield f"flawed answers: {text!r} is no worse than {row.completion!r} after {row.prompt!r}"
            break


def _entailment(problem: Generation, rows: Sequence[Row]) -> Iterator[str]:
    """A text entails itself, and in a conflict the answers of the two rules do not each entail the other."""
    right, wrong = [row.completion for row in rows], [row.spurious for row in rows]
    itself = problem.entailment(right, right)[:, 0]
    mutual = np.minimum(problem.entailment(right, wrong), problem.entailment(wrong, right))[:, 0]
    for row, one, both in zip(rows, itself, mutual, strict=True):
        if one < 0.5 or (row.conflict and both > 0.5):
            yield f"entailment: wrong between {row.completion!r} and {row.spurious!r}"
            break


def _lengths(problem: Generation, rows: Sequence[Row]) -> Iterator[str]:
    """An answer and its end fit into what may be written."""
    for row in rows:
        longest = max(len(text.split()) for text in (row.completion, row.spurious, *row.choices))
        if longest >= problem.most or len(row.prompt.split()) + problem.most > MOST:
            yield f"lengths: {row.prompt!r} and its answers are too long"
            break


def _splits(problem: Generation, shifts: Sequence[str], n: int, seed: int) -> Iterator[str]:
    for shift in shifts:
        seen: dict[str, str] = {}
        for split in get_args(Split):
            for row in problem.rows(n, default_rng(seed), split, evidence=0.5, shift=shift):
                if seen.setdefault(row.prompt, split) != split:
                    yield f"splits: {row.prompt!r} is in {split} and in {seen[row.prompt]}"
                    return


def _equal(problem: Generation, rows: dict[str, list[Row]], n: int, seed: int) -> Iterator[str]:
    for shift, part in rows.items():
        if problem.rows(n, default_rng(seed), "test", evidence=0.5, shift=shift) != part:
            yield f"equal seeds: other rows of {shift}"


def _nested(problem: Generation, shifts: Sequence[str], n: int, seed: int) -> Iterator[str]:
    for shift in shifts:
        drawn = [problem.rows(n, default_rng(seed), evidence=rate, shift=shift) for rate in _RATES]
        fewer, more = ({row.prompt for row in part if row.conflict} for part in drawn)
        if not fewer <= more:
            yield f"nested conflicts: in {shift} some are there at rate {_RATES[0]} and not at {_RATES[1]}"
