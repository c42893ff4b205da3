"""Outputs against reference answers: who judges, as options say, and what comes of it."""

from __future__ import annotations

import json
import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proclivity.composition import ReportProgress
from proclivity.metric_files import Outputs, Written, read_outputs
from tasks.errors import UserError

if TYPE_CHECKING:
    from analysis.measured import Measured
    from analysis.outputs.judge import Judge, Judgement

SCORES = ("score", "reference_score")
"""Columns with what somebody gave the output and the reference answer."""


def read_judged(arguments: Namespace) -> Outputs:
    """The file: prompts, outputs and references for whoever judges; without a judge, scores."""
    path = Path(arguments.file)
    if arguments.reward_model and (arguments.endpoint or arguments.model):
        raise UserError("--reward-model and --endpoint: one of them judges")
    if arguments.endpoint and not arguments.model:
        raise UserError("--endpoint needs --model, the chat model that is asked there")
    if arguments.cache and not arguments.model:
        raise UserError("--cache keeps the answers of a chat model; give --endpoint and --model")
    if arguments.model or arguments.reward_model:
        return read_outputs(path, (), arguments.group, judged=True)
    if not read_outputs(path, SCORES, arguments.group).numbers:
        raise UserError(
            f"{path}: nobody judges: give --endpoint URL and --model M, or --reward-model FOLDER, "
            f"or columns {' and '.join(SCORES)}"
        )
    return read_outputs(path, SCORES, arguments.group, required=True)


def judged(
    arguments: Namespace, read: Outputs, report: ReportProgress
) -> dict[str, tuple[list[Measured], list[str]]]:
    """By group the win rate and the share of ties, and what else is to be told."""
    from analysis.outputs.judge import judge_pairs, judgement

    judge = _judge(arguments, report)
    found = {}
    for done, (name, rows) in enumerate(read.groups().items()):
        report("judging", done, len(read.groups()))
        if judge:
            asked = [
                {"input": json.loads(row.input), "output": row.output, "reference": row.reference}
                for row in rows
            ]
            told, _ = judge_pairs(asked, judge, seed=arguments.seed)
        else:
            wins = [_preferred(row) for row in rows]
            told = judgement("score", [row.input for row in rows], wins, seed=arguments.seed)
        found[name] = (_measures(told), _notes(told))
    return found


def _judge(arguments: Namespace, report: ReportProgress) -> Judge | None:
    """Who judges; None where scores are there."""
    if arguments.model:
        from analysis.outputs.chat import chat_judge

        cache = arguments.cache or (Path(arguments.out) / "answers.jsonl" if arguments.out else None)
        return chat_judge(
            arguments.model,
            arguments.endpoint,
            cache=cache,
            report=lambda done, total: report("asking", done, total),
        )
    if arguments.reward_model:
        from analysis.outputs.judge import reward_judge
        from proclivity.job import device_of

        return reward_judge(arguments.reward_model, device_of(arguments.reward_model))
    return None


def _preferred(row: Written) -> float:
    mine, other = (row.numbers[name] for name in SCORES)
    return (mine > other) + (mine == other) / 2


def _measures(told: Judgement) -> list[Measured]:
    from analysis.measured import Measured
    from analysis.stage_schema import PER_INPUT
    from analysis.statistics.resampling import finite

    counts = {"n": told.n_inputs, "outputs": told.pairs, "left_out": told.left_out}
    rate, low, high = (finite(value) for value in (told.win_rate, told.low, told.high))
    return [
        Measured(
            measure="win rate",
            scope=PER_INPUT,
            value=rate,
            low=low,
            high=high,
            floor=0.0,
            ceiling=1.0,
            **counts,
        ),
        Measured(measure="ties", scope="outputs", value=finite(told.ties), floor=0.0, ceiling=1.0, **counts),
    ]


def _notes(told: Judgement) -> list[str]:
    notes: Sequence[str] = [f"judge: {told.judge}", told.note]
    if told.left_out:
        pairs = told.pairs + told.left_out
        notes = [*notes, f"{told.left_out} of {pairs} outputs left out: no preference could be read"]
    if math.isnan(told.win_rate):
        notes = [*notes, "nothing was judged"]
    return [note for note in notes if note]
