"""Who judges: the gold reward, any reward model, or any chat model, through one interface.

A judge prefers one of two answers to a prompt. One that gives scores prefers the higher; a chat model is
asked (`analysis.outputs.chat`). How policies compare by scores in a table is
`analysis.stages.generalisation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.statistics.two_level import RESAMPLES, two_level
from tasks.errors import UserError
from tasks.text_problem import Rewards, TextProblem

COLUMNS = ("input", "output", "reference")
"""What a row to be judged has: the prompt, the output, and the answer that it is compared with."""


@dataclass(frozen=True)
class Pair:
    """A prompt and two answers to it."""

    prompt: str
    first: str
    second: str


@dataclass(frozen=True)
class Judge:
    """Somebody who prefers one answer to another."""

    name: str
    prefer: Callable[[Sequence[Pair]], list[float]]
    """Of each pair 1 for the first answer, 0 for the second, 0.5 for neither, or between these where it was
    asked more than once; NaN where it did not say."""
    scores: Rewards | None = None
    """Of prompts and completions, where it gives such."""


@dataclass(frozen=True)
class Judgement:
    """How often outputs are preferred to what they are compared with."""

    judge: str
    win_rate: float
    """P(output preferred) + P(tie) / 2, mean over inputs; NaN where nothing was judged."""
    low: float
    """Lower end of its 95 % interval over inputs."""
    high: float
    ties: float
    """Share of judged pairs without a preference."""
    n_inputs: int
    pairs: int
    """Pairs that were judged."""
    left_out: int
    """Pairs without a preference that could be read, which count for nothing."""
    note: str


def score_judge(name: str, scores: Rewards) -> Judge:
    """The judge that prefers the answer with the higher score."""

    def prefer(pairs: Sequence[Pair]) -> list[float]:
        if not pairs:
            return []
        prompts = [pair.prompt for pair in pairs] * 2
        texts = [pair.first for pair in pairs] + [pair.second for pair in pairs]
        found = np.asarray(scores(prompts, texts), float)  # of all at once, so that equal texts tie
        first, second = found[: len(pairs)], found[len(pairs) :]
        wins = (first > second) + (first == second) / 2
        return [float(value) for value in np.where(np.isnan(first + second), math.nan, wins)]

    return Judge(name, prefer, scores)


def gold_judge(problem: TextProblem) -> Judge:
    """A problem's own reward."""
    return score_judge("gold", problem.reward)


def reward_judge(folder: str | Path, device: str = "cpu") -> Judge:
    """A reward model, by its folder."""
    from models import learned_rewards, load_reward_model

    lm = load_reward_model(folder, device)

    def scores(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        return learned_rewards(lm, prompts, completions)

    return score_judge(str(folder), scores)


def judge_pairs(
    rows: Sequence[Mapping[str, Any]], judge: Judge, *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[Judgement, list[float]]:
    """How often the outputs of rows are preferred to their references, and the preference of each row.

    Args:
        rows: what `COLUMNS` names, as texts. Rows of one input are outputs of it: inputs weigh alike.
    """
    for number, row in enumerate(rows, 1):
        for name in COLUMNS:
            if not isinstance(row.get(name), str):
                kind = "no" if name not in row else "no text in"
                raise UserError(f"row {number}: {kind} {name}; a row to judge has {', '.join(COLUMNS)}")
    found = judge.prefer([Pair(row["input"], row["output"], row["reference"]) for row in rows])
    return judgement(judge.name, [row["input"] for row in rows], found, resamples=resamples, seed=seed), found


def judgement(
    judge: str,
    inputs: Sequence[str],
    preferences: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Judgement:
    """What preferences come to: 1, 0, between these, or NaN, each of an output to an input."""
    table = DataFrame({"input": inputs, "value": preferences}).astype({"value": float})
    by = table.groupby("input", as_index=False)["value"].mean().assign(seed_data=0, seed_tune=0)
    interval = two_level([(1.0, by)], resamples=resamples, seed=seed)
    judged = table["value"].dropna()
    low, high = (float(np.clip(end, 0, 1)) for end in (interval.low, interval.high))
    note = "" if interval.n_inputs > 1 else interval.note
    ties = float((judged == 0.5).mean())
    told = (ties, interval.n_inputs, len(judged), len(table) - len(judged), note)
    return Judgement(judge, interval.value, low, high, *told)
