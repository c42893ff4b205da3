"""What a model answers, as columns of a record: counts on the quadrants, use, cells, reliance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import Config, plain_row
from tasks import QUADRANTS, Task
from tasks.evidence import Cell, Joint, cell_name, quadrant_of

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import AnswerCounts, Answered, BestOf, Policy

_SEEN = 256
"""Most counter-examples of the tuning rows that are asked again afterwards."""


def cell_columns(task: Task, cell: Cell, joint: Joint, counts: AnswerCounts) -> dict[str, Any]:
    """Answers on one cell, beside the labels that tuning showed there."""
    from analysis import CellRecord

    record = CellRecord(
        cell=cell_name(quadrant_of(cell), cell[2:]),
        target=cell[0],
        spurious=cell[1],
        others=" ".join(map(str, cell[2:])),
        n=counts.n,
        errors=counts.errors,
        p_error=counts.p_error,
        ones=counts.ones,
        invalid=counts.invalid,
        tuning_n=joint[cell, 0] + joint[cell, 1],
        tuning_ones=joint[cell, 1],
    )
    return plain_row(asdict(record))


def answers_by_quadrant(
    lm: LanguageModel,
    policy: Policy | BestOf,
    task: Task,
    rows: Mapping[str, Mapping[str, Any]],
    reference: Any = None,
) -> dict[str, AnswerCounts]:
    """Counts of answers to rows of each quadrant; nothing of those that there are no rows of."""
    return {q: said.counts for q, said in answered_by_quadrant(lm, policy, task, rows, reference).items()}


def answered_by_quadrant(
    lm: LanguageModel,
    policy: Policy | BestOf,
    task: Task,
    rows: Mapping[str, Mapping[str, Any]],
    reference: Any = None,
) -> dict[str, Answered]:
    """The same with the probabilities of the answers."""
    from rl_finetune import NOTHING, Answered, answers_and_counts

    return {
        q: answers_and_counts(lm, policy, task, rows[q], reference) if q in rows else Answered(NOTHING, [])
        for q in QUADRANTS
    }


def use_columns(counts: Mapping[str, AnswerCounts]) -> dict[str, Any]:
    """Counts, use and what the answers look like, as columns of a record."""
    from analysis import QuadrantCounts, use_of

    n = {q: c.n for q, c in counts.items()}
    errors = {q: c.errors for q, c in counts.items()}
    p_error = {q: c.p_error for q, c in counts.items()}
    ones, invalid = sum(c.ones for c in counts.values()), sum(c.invalid for c in counts.values())
    use = use_of(QuadrantCounts(n, errors, p_error, ones, invalid))
    total = sum(n.values())

    def mean(name: str) -> float:
        return float(sum(getattr(c, name) * c.n for c in counts.values() if c.n)) / total

    return {
        **{f"n_{q}": k for q, k in n.items()},
        **{f"errors_{q}": k for q, k in errors.items()},
        **{f"p_error_{q}": p for q, p in p_error.items()},
        "invalid": invalid,
        "ones": ones,
        "n_answers": total,
        "U": use.U,
        "D": use.D,
        "B": use.B,
        "label": use.label,
        "U_probability": use.U_probability,
        "reward_both_neither": (counts["both"].reward + counts["neither"].reward) / 2,
        "kl_forward": mean("kl_forward"),
        "kl_reverse": mean("kl_reverse"),
        "entropy": mean("entropy"),
    }


def reached_columns(log: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Use when the reward on both and neither is first what methods are compared at, over two log points: of
    the single ones the first above it would more often than not be one that chance favoured."""
    from analysis import REACHED
    from rl_finetune import NOTHING, AnswerCounts

    columns = [field.name for field in fields(AnswerCounts)]
    points: dict[int, dict[str, AnswerCounts]] = {}
    for row in log:
        found = points.setdefault(row["step"], dict.fromkeys(QUADRANTS, NOTHING))
        found[row["quadrant"]] = AnswerCounts(**{name: row[name] for name in columns})
    uses = [(step, use_columns(counts)) for step, counts in points.items()]
    for (step, now), (_, then) in pairwise(uses):
        reward = (now["reward_both_neither"] + then["reward_both_neither"]) / 2
        if reward >= REACHED:
            read = [use["U"] for use in (now, then) if not math.isnan(use["U"])]
            told = {"reached_step": step, "reached_reward": reward}
            return told | ({"reached_U": sum(read) / len(read)} if read else {})
    return {}


def counterexamples_columns(
    rows: Mapping[str, Any], task: Task, tuned: LanguageModel, policy: Policy | BestOf
) -> dict[str, int]:
    """How many counter-examples were shown, how many of them differ, and errors on those asked again."""
    from rl_finetune import count_answers

    shown = [i for i, (t, s) in enumerate(zip(rows["target"], rows["spurious"], strict=True)) if t != s]
    distinct = {rows["prompt"][i]: rows["target"][i] for i in shown}
    out = {"distinct_counterexamples": len(distinct), "exposures": len(shown)}
    if distinct:
        asked = dict(list(distinct.items())[:_SEEN])
        seen = count_answers(tuned, policy, task, {"prompt": list(asked), "label": list(asked.values())})
        out |= {"seen_errors": seen.errors, "seen_n": seen.n}
    return out


def reliance_columns(
    config: Config, task: Task, tuned: LanguageModel, policy: Policy | BestOf, n: int
) -> dict[str, Any]:
    """Signed change of the answer when one feature alone is flipped, less that under placebo edits."""
    from analysis import reliance
    from rl_finetune import answers_to

    if not n:
        return {}
    edits = task.counterfactuals(n, np.random.default_rng([config["seed_data"], 4])).to_dict()
    if not edits["prompt"]:
        return {}
    said = {
        column: np.array(
            [math.nan if a < 0 else a for a in answers_to(tuned, policy, task, edits[column])[0]]
        )
        for column in ("prompt", "edited", "placebo")
    }
    out: dict[str, Any] = {}
    for feature, held in (("target", "spurious"), ("spurious", "target")):
        rows = np.array([f == feature for f in edits["flips"]])
        if rows.any():
            value = np.array(edits[feature])[rows]
            original, edited, placebo = (said[c][rows] for c in ("prompt", "edited", "placebo"))
            result = reliance(original, edited, placebo, 1 - 2 * value, np.array(edits[held])[rows])
            out[f"reliance_{feature}"] = result.value
            out["reliance_n"] = min(result.n, out.get("reliance_n", result.n))
    return out
