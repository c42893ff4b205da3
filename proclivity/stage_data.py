"""What stages are trained and measured on: rows of a text-out task, and preference pairs.

Streams of random numbers are named, so that equal seeds give the same prompts to every method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from tasks.errors import UserError
from tasks.feature import Split
from tasks.generation.generation import IN, Generation, Row

if TYPE_CHECKING:
    from models import LanguageModel

STREAMS = {
    "demonstrations": 31, "preferences": 32, "prompts": 33, "normal": 34, "inputs": 35, "judged": 37,
}  # fmt: skip
"""What is drawn for what."""
_CHUNK = 256
_MOST_DRAWN = 24
"""Times as many prompts as the pairs wanted that are drawn before it is given up."""
Pairs = dict[str, list[Any]]
"""Columns prompt, chosen, rejected, and conflict: whether the two rules disagree."""
Say = Callable[[list[str], int], list[list[str]]]
"""(prompts, seed) -> completions of each."""


def half_of(prompt: str) -> int:
    """1 or 2: to which reward model's half a prompt belongs, by its words alone."""
    return 1 + crc32(prompt.encode()) % 2


def rows_of(
    problem: Generation,
    n: int,
    seed: int,
    what: str,
    *,
    split: Split = "train",
    evidence: float,
    shift: str = IN,
    part: int = 0,
) -> list[Row]:
    """n rows for a purpose of `STREAMS`."""
    rng = np.random.default_rng([seed, STREAMS[what], crc32(shift.encode()), part])
    return problem.rows(n, rng, split, evidence=evidence, shift=shift)


def pairs_of(
    problem: Generation,
    n: int,
    seed: int,
    *,
    say: Say | None,
    half: int = 0,
    split: Split = "train",
    evidence: float,
    shift: str = IN,
    what: str = "preferences",
    all_of_them: bool = True,
) -> Pairs:
    """n preference pairs: completions of unequal gold reward that `say` gives, or the task's own without it.

    With a half only prompts of that half; with 0 of both. A smaller n gives the beginning of a larger one's.
    Where too few can be found it is an error, or they are fewer.
    """
    found: Pairs = {"prompt": [], "chosen": [], "rejected": [], "conflict": []}
    drawn, part = 0, 0
    while len(found["prompt"]) < n:
        if drawn >= _MOST_DRAWN * max(n, _CHUNK) or (drawn >= 4 * n and not all_of_them):
            if not all_of_them:
                break
            raise UserError(
                f"{problem.name}: {drawn} prompts give {len(found['prompt'])} preference pairs, not {n}: "
                "completions are too often of equal reward"
            )
        rng = np.random.default_rng([seed, STREAMS[what], crc32(shift.encode()), part, 1])
        if say:
            rows = rows_of(
                problem, _CHUNK, seed, what, split=split, evidence=evidence, shift=shift, part=part
            )
            rows = [row for row in rows if not half or half_of(row.prompt) == half]
            new = unequal(problem, rows, say([row.prompt for row in rows], part), rng)
        else:
            new = _given(problem, rng, split, evidence, shift, half)
        for name, column in new.items():
            found[name] += column
        drawn, part = drawn + _CHUNK, part + 1
    return {name: column[:n] for name, column in found.items()}


def _given(
    problem: Generation, rng: np.random.Generator, split: Split, evidence: float, shift: str, half: int
) -> Pairs:
    """Preference pairs of the task itself."""
    told = problem.preferences(_CHUNK, rng, split, evidence=evidence, shift=shift).to_dict()
    rules = (
        problem.follows(told["prompt"], told["chosen"]) if problem.has_gold else [""] * len(told["prompt"])
    )
    told["conflict"] = [rule == "target" for rule in rules]
    mine = [i for i, prompt in enumerate(told["prompt"]) if not half or half_of(prompt) == half]
    return {name: [told[name][i] for i in mine] for name in ("prompt", "chosen", "rejected", "conflict")}


def unequal(problem: Generation, rows: list[Row], texts: list[list[str]], rng: np.random.Generator) -> Pairs:
    """Of each prompt's completions two of unequal gold reward, where there are two."""
    found: Pairs = {"prompt": [], "chosen": [], "rejected": [], "conflict": []}
    after = [row.prompt for row, said in zip(rows, texts, strict=True) for _ in said]
    flat = problem.reward(after, [text for said in texts for text in said])
    ends = np.cumsum([len(row) for row in texts])[:-1]
    for asked, row, values in zip(rows, texts, np.split(np.array(flat), ends), strict=True):
        first = int(rng.integers(len(row)))
        others = np.flatnonzero(values != values[first])
        if not len(others):
            continue
        second = int(rng.choice(others))
        better, worse = (first, second) if values[first] > values[second] else (second, first)
        for name, value in zip(found, (asked.prompt, row[better], row[worse], asked.conflict), strict=True):
            found[name].append(value)
    return found


def said_by(lm: LanguageModel, problem: Generation, samples: int, seed: int) -> Say:
    """What a model completes prompts with, at temperature 1."""

    def say(prompts: list[str], part: int) -> list[list[str]]:
        from rl_finetune.text_pairs import completions_of

        return completions_of(lm, problem, prompts, samples, 1000 * seed + part)

    return say
