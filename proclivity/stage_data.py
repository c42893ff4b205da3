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

    On a share `evidence` of their prompts the two rules disagree: prompts are drawn until there are as many
    pairs of either kind, since a kind can give fewer pairs than the other. With a half they are of prompts of
    that half; with 0 of both. Where too few can be found it is an error, or they are fewer.
    """

    def chunk(conflict: bool, part: int) -> Pairs:
        rng = np.random.default_rng([seed, STREAMS[what], crc32(shift.encode()), part, int(conflict)])
        if not say:
            told = problem.preferences(_CHUNK, rng, split, evidence=float(conflict), shift=shift).to_dict()
            told["conflict"] = [conflict] * len(told["prompt"])
            mine = [i for i, prompt in enumerate(told["prompt"]) if half in (0, half_of(prompt))]
            return {name: [told[name][i] for i in mine] for name in found}
        rows = rows_of(
            problem, _CHUNK, seed, what, split=split, evidence=float(conflict), shift=shift, part=part
        )
        rows = [row for row in rows if half in (0, half_of(row.prompt))]
        return unequal(problem, rows, say([row.prompt for row in rows], 2 * part + int(conflict)), rng)

    conflicts = int(n * evidence + 1e-9)
    found: Pairs = {"prompt": [], "chosen": [], "rejected": [], "conflict": []}
    for conflict, wanted in ((False, n - conflicts), (True, conflicts)):
        kind: Pairs = {name: [] for name in found}
        drawn, part = 0, 0
        while len(kind["prompt"]) < wanted:
            if drawn >= _MOST_DRAWN * max(wanted, _CHUNK) or (drawn >= 4 * n and not all_of_them):
                if not all_of_them:
                    break
                which = "with conflict " if conflict else ""
                raise UserError(
                    f"{problem.name}: {drawn} prompts {which}give {len(kind['prompt'])} preference pairs, "
                    f"not {wanted}: completions are too often of equal reward; pairs: task needs none"
                )
            for name, column in chunk(conflict, part).items():
                kind[name] += column
            drawn, part = drawn + _CHUNK, part + 1
        for name, column in kind.items():
            found[name] += column[:wanted]
    order = np.random.default_rng([seed, STREAMS[what], half]).permutation(len(found["prompt"]))
    return {name: [column[i] for i in order] for name, column in found.items()}


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
