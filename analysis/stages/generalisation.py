"""How good a policy's outputs are in distribution and under shifts: alone, and against other outputs.

Every number is a mean over inputs of one value an input, averaged over seeds. What compares two policies
takes that value from both on the same inputs of the same seeds. Judges are columns of scores: gold, learned,
held_out, or any other put beside them.

References: Kirk et al. 2024 (https://arxiv.org/abs/2310.06452), section 5.1: the generalisation gap is
performance in distribution minus performance under the shift.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from pandas import DataFrame

from analysis.stage_schema import IN
from analysis.stages.by_input import against_answer, difference, head_to_head, matched, mean_scores
from analysis.stages.stages import SWEPT
from analysis.statistics.two_level import RESAMPLES, SEEDS, Interval, two_level
from tasks.errors import UserError, unknown
from tasks.generation.generation import Shift

MEAN, WIN_RATE, HEAD_TO_HEAD = "mean", "win rate", "head to head"
MEAN_DIFFERENCE, WIN_RATE_DIFFERENCE = "difference of means", "difference of win rates"
LEVEL, GAP, LOSS = "level", "gap", "loss a level"
"""The number itself; in distribution minus shift; what each further level costs, by least squares."""
ANSWER = "reference answer"
PLACE = ["model", "task", "evidence_rate"]
"""What policies that are compared share, beside seeds."""
ENTRY = ["policy", "method", *SWEPT, "learning_rate"]
"""What tells the runs of a cell from those of another."""


@dataclass(frozen=True, kw_only=True)
class Performance:
    """One number of one policy, at one setting of what its entry sweeps."""

    model: str
    task: str
    evidence_rate: float
    policy: str
    method: str
    beta: float
    kl_place: str
    samples_per_prompt: int
    batch_size: int
    steps: int
    learning_rate: float
    against: str
    """The policy or the answer that it is compared with; empty for a mean."""
    statistic: str
    """mean; win rate, against the reference answer; head to head; or a difference of one of the first two."""
    score: str
    """Who judged: the column of the outputs."""
    quantity: str
    """level, gap or loss a level."""
    shift: str
    """Of a loss a level: the axis."""
    axis: str
    level: int
    """How far the shift is; of a loss the highest level; 0 in distribution and where it is not graded."""
    value: float
    low: float
    """Lower end of the 95 % interval over inputs and seeds."""
    high: float
    n_inputs: int
    n_seeds: int
    outputs: int
    """Outputs that it is of, of the policy."""
    ties: float
    """Share of comparisons that tie, mean over inputs; NaN where nothing is compared."""
    inputs_left_out: int
    """Inputs that a side lacks, or that have no score."""
    outputs_left_out: int
    """Outputs without a score, of either side."""
    seeds_left_out: int
    """Seeds that lack one side, or a shift."""
    note: str


def performance(
    runs: DataFrame,
    outputs: DataFrame,
    *,
    score: str = "gold",
    shifts: Sequence[Shift] = (),
    resamples: int = RESAMPLES,
) -> list[Performance]:
    """Every policy's mean score, and win rate against the reference answer where its score is known.

    Args:
        runs: rows of `StageRecord`; failed ones and those without outputs count for nothing.
        outputs: rows of `Output`.
        score: a column of the outputs; the answer's is `reference_` and its name.
        shifts: the task's, which say what shifts are levels of one axis.
    """
    rows = list[Performance]()
    for name, own in _cells(runs, outputs, score):
        tables = {(MEAN, ""): mean_scores(own, score)}
        if f"reference_{score}" in own:
            tables[WIN_RATE, ANSWER] = against_answer(own, score)
        for (statistic, against), table in tables.items():
            told = name | {"against": against, "statistic": statistic, "score": score}
            rows += _rows(table, told, 0, shifts, resamples)
    return rows


def compare(
    runs: DataFrame,
    outputs: DataFrame,
    policy: str,
    against: str,
    *,
    score: str = "gold",
    shifts: Sequence[Shift] = (),
    resamples: int = RESAMPLES,
) -> list[Performance]:
    """A policy head to head with another, and differences of their means and win rates, on the same inputs.

    Runs are matched by both seeds; what took no step, as the SFT model, with all tunings on its data. Of
    differences the gap is the difference of gaps. Each setting of a swept policy is compared; the other has
    one setting.
    """
    cells = list(_cells(runs, outputs, score))
    known = {str(cell["policy"]) for cell, _ in cells}
    for wanted in (policy, against):
        if wanted not in known:
            raise unknown("policy", wanted, known)
    rows = list[Performance]()
    for name, own in cells:
        if name["policy"] != policy:
            continue
        others = [c for c in cells if c[0]["policy"] == against and _place(c[0]) == _place(name)]
        if against == policy:
            others = [(name, own)]
        if len(others) > 1:
            raise UserError(f"{against}: {len(others)} settings of it to compare with; name one that has one")
        for _, other in others or [(name, own.iloc[:0])]:  # nothing to compare with: a row says so
            mine, theirs, lacking = matched(own, other)
            means = difference(mean_scores(mine, score), mean_scores(theirs, score))
            tables = {HEAD_TO_HEAD: head_to_head(mine, theirs, score), MEAN_DIFFERENCE: means}
            if f"reference_{score}" in mine:
                rates = (against_answer(side, score) for side in (mine, theirs))
                tables[WIN_RATE_DIFFERENCE] = difference(*rates)
            for statistic, table in tables.items():
                told = name | {"against": against, "statistic": statistic, "score": score}
                rows += _rows(table, told, lacking, shifts, resamples)
    return rows


def performance_table(rows: Sequence[Performance]) -> DataFrame:
    """One row a number."""
    return DataFrame([asdict(row) for row in rows])


def _cells(runs: DataFrame, outputs: DataFrame, score: str) -> Iterator[tuple[dict[str, object], DataFrame]]:
    """The outputs of runs that differ in seeds alone, with what the runs are."""
    if score not in outputs:
        raise unknown("score", score, [name for name in ("gold", "learned", "held_out") if name in outputs])
    outputs = outputs.assign(**{score: outputs[score].astype(float)})
    fine = runs[(runs["status"] == "ok") & runs["key"].isin(set(outputs["key"]))]
    told = fine[["key", "stage", *PLACE, *ENTRY, *SEEDS]]
    for names, cell in told.groupby([*PLACE, *ENTRY], dropna=False, sort=True):
        twice = cell[cell.duplicated(SEEDS)]
        if len(twice):
            seeds = " and ".join(f"{name} {twice.iloc[0][name]}" for name in SEEDS)
            raise UserError(f"{cell.iloc[0]['policy']}: two runs of {seeds} that differ in nothing listed")
        own = outputs.merge(
            cell[["key", "stage", "steps", *SEEDS]], on="key", how="inner", validate="many_to_one"
        )
        yield dict(zip([*PLACE, *ENTRY], names, strict=True)), own


def _place(name: dict[str, object]) -> list[str]:
    return [str(name[column]) for column in PLACE]  # NaN is not itself, its name is


def _rows(
    table: DataFrame, told: dict[str, object], lacking: int, shifts: Sequence[Shift], resamples: int
) -> list[Performance]:
    """Levels, gaps and losses of one statistic."""
    parts = {str(shift): part for shift, part in table.groupby("shift", sort=False)}
    parts = parts or {IN: table}
    graded = {shift.name: shift for shift in shifts if shift.name in parts}
    rows = list[Performance]()

    def put(
        quantity: str, shift: str, axis: str, level: int, legs: Sequence[tuple[float, DataFrame]]
    ) -> None:
        found = two_level(legs, resamples=resamples)
        if quantity == LEVEL and told["statistic"] in (WIN_RATE, HEAD_TO_HEAD):
            found = _within(found)
        used = [leg for _, leg in legs]
        place = {"quantity": quantity, "shift": shift, "axis": axis, "level": level}
        counts = _counts(used, found, lacking)
        rows.append(Performance(**told, **place, **counts))  # type: ignore[arg-type]

    for name, part in parts.items():
        axis, level = (graded[name].axis, graded[name].level) if name in graded else ("", 0)
        put(LEVEL, name, axis, level, [(1.0, part)])
        if name != IN and IN in parts:
            put(GAP, name, axis, level, [(1.0, parts[IN]), (-1.0, part)])
    for axis in dict.fromkeys(shift.axis for shift in graded.values()):
        levels = {s.level: parts[s.name] for s in graded.values() if s.axis == axis}
        if len(levels) > 1 and IN in parts:
            levels = {0: parts[IN], **dict(sorted(levels.items()))}
            centred = np.array(list(levels), float) - np.mean(list(levels))
            weights = -centred / (centred**2).sum()
            put(LOSS, axis, axis, max(levels), list(zip(weights.tolist(), levels.values(), strict=True)))
    return rows


def _within(found: Interval) -> Interval:
    """An interval of a rate ends at 0 and 1."""
    low, high = max(found.low, 0.0), min(found.high, 1.0)
    return found if math.isnan(found.low) else Interval(**(asdict(found) | {"low": low, "high": high}))


def _counts(used: Sequence[DataFrame], found: Interval, lacking: int) -> dict[str, object]:
    ties = [float(part["ties"].mean()) for part in used]
    return {
        **{name: getattr(found, name) for name in ("value", "low", "high", "n_inputs", "n_seeds", "note")},
        "outputs": int(sum(part.loc[part["value"].notna(), "outputs"].sum() for part in used)),
        "ties": float(np.mean(ties)),
        "inputs_left_out": int(sum(part["value"].isna().sum() for part in used)),
        "outputs_left_out": int(sum(part["missing"].sum() for part in used)),
        "seeds_left_out": lacking + found.seeds_left_out,
    }
