"""What Kirk et al. 2024 claim of generalisation and diversity, and how a study of stages compares.

Every claim is a difference between policies, seed by seed: they share a data seed's SFT model, reward model
and inputs, and a tuning seed where both have one. It is turned so that it is above 0 if the claim holds. The
unit is the pair of seeds; pairs of one data seed share an SFT model, and the number of those stands beside n.
Against the SFT model and best-of-n, whose one draw of completions these pairs share too, intervals are over
inputs as well where the outputs have the measure (`analysis.stages.stage_inputs`).

References: Kirk et al. 2024 (https://arxiv.org/abs/2310.06452), figures 2 to 6 and 11 to 13, tables 11, 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pandas import DataFrame, Series

from analysis.papers.published import EQUAL, KIRK, NOTHING
from analysis.primary import correct
from analysis.records import Study
from analysis.stage_schema import ACROSS, IN, PER_INPUT
from analysis.stages.by_input import against_answer, head_to_head, matched
from analysis.stages.stage_diversity import EXACT, PANELS
from analysis.stages.stage_inputs import ANSWER, MEAN, OVER, Legs, judged, legs, primary_legs, scored
from analysis.stages.stage_inputs import HEAD as OVER_OTHER
from analysis.stages.stage_pairs import mean_of, primary_differences
from analysis.stages.stage_runs import (
    SEEDS,
    SETTING,
    SFT,
    axis_of,
    by_seed,
    labels,
    less,
    policies_at_end,
    policies_of,
    settings,
    shifts_of,
    single,
    swept_entries,
)
from analysis.statistics.decisions import OPPOSITE, SAME, UNKNOWN, status

RLHF, BON = ("ppo", "rloo"), "best-of-n"
WIN, HEAD = "win rate", "win rate over sft"
"""Measures beside those of the records: against the reference answer, and head to head; ties one half."""
SMALLEST = {WIN: 0.035, HEAD: 0.035, "nli": 0.2, "self-bleu": 5.0} | dict.fromkeys(EXACT, 0.5)
"""Smallest effects of interest, set before any run. Win rates: 3.5 points, the least difference that the
paper remarks on (figure 4). NLI runs from -2 to 2, four times the range of the others. Self-BLEU: of 100.
Entropies: half a nat."""
OTHERWISE = 0.05
"""Of measures from 0 to 1: less than the .06 of EAD that the paper calls a difference across inputs."""
RAISED = {WIN, HEAD, "gold", "learned", "held-out", "kl", "use", "length", "modal share"} | {
    *("empty share", "meteor similarity", "self-bleu")
}
"""Measures that tuning on a reward is said to raise; it is said to lower the others."""
LEGEND = f"""above 0: the claim holds; where the paper finds no difference, that is 'too small to matter'
paired over n runs on as many SFT models as sft_models says, which tuning seeds share; 95 % intervals
{OVER}
p_holm: over all but the primary test; smallest: smallest effect of interest, set before the runs
paper: what it shows in its units, minus where it does not say
win rates: by the gold reward, ties one half; over the reference answer, or head to head over sft"""


@dataclass(frozen=True)
class Found:
    """One claim before its test."""

    figure: str
    claim: str
    of: str
    """The measure, which has the smallest effect of interest."""
    values: Series
    fact: str = ""
    """What the paper shows: one of `analysis.papers.published.KIRK`; empty where it does not say."""
    by_input: Legs = field(default_factory=list)
    """The same input by input, where the outputs have it and a side is not tuned."""
    note: str = ""


def is_instruct(task: str) -> bool:
    """Whether a task stands for the paper's instruction following: its figure 3, not 2."""
    return "instruct" in task or "alpaca" in task


def stage_table(study: Study) -> DataFrame:
    """One row a run, shift, measure and scope at the end, win rates among them, of finished stages."""
    table = policies_at_end(study)
    return pd.concat([table, _win_rates(study, table)], ignore_index=True)


def _win_rates(study: Study, table: DataFrame) -> DataFrame:
    """Both win rates of every run by the gold reward: means over inputs."""
    told = table.drop_duplicates("key").drop(columns=["shift", "measure", "scope", "value", "n"])
    told = told.assign(entry=labels(told))
    names = [*SETTING, "policy", "stage", "steps", "entry", *SEEDS]
    rows = study.outputs.merge(told[["key", *names]], on="key", how="inner")
    found = []
    for _, cell in rows.groupby(SETTING):
        start = cell[cell["policy"] == SFT]
        for _, own in cell.groupby("entry"):
            tables = {WIN: against_answer(own, "gold")}
            mine, theirs, _ = matched(own, start)
            if own["policy"].iloc[0] != SFT and len(mine):
                tables[HEAD] = head_to_head(mine, theirs, "gold")
            keys = own.drop_duplicates("key")[["key", *SEEDS]]
            for measure, values in tables.items():
                means = values.groupby([*SEEDS, "shift"])["value"].agg(value="mean", n="count").reset_index()
                means = means.merge(keys, on=SEEDS).drop(columns=SEEDS)
                found.append(means.assign(measure=measure, scope=PER_INPUT))
    return pd.concat(found).merge(told.drop(columns="entry"), on="key") if found else table[:0]


def kirk_claims(study: Study) -> list[dict[str, Any]]:
    """The primary comparison, and the paper's claims for every model, task and level of evidence."""
    table, outputs = stage_table(study), scored(study.outputs)
    rest = [
        _row(found, model=model, task=task, evidence=rate)
        for (model, task, rate), part in settings(table)
        for found in _claims(part, outputs, task)
        if len(found.values)
    ]
    first = []
    if study.manifest.get("primary", {}).get("test") != "none":
        found, task = _primary(study, table, outputs)
        first = [_row(found, primary=True, task=task)]
        same = [row for row in rest if (row["claim"], row["task"]) == (found.claim, task)]
        if same:
            first[0] |= {name: same[0][name] for name in ("figure", "paper", "source", "fact")}
        if len(same) == 1:  # of several settings it is the mean, which is another comparison
            rest.remove(same[0])
    return correct(study.manifest, [*first, *rest])


def _row(
    found: Found, *, model: str = "", task: str = "", evidence: float = math.nan, primary: bool = False
) -> dict[str, Any]:
    (value, low, high, p, n), over = judged(found.values, found.by_input)
    smallest = SMALLEST.get(found.of, OTHERWISE)
    word = status(low, high, p, smallest=smallest) if n > 1 else UNKNOWN
    note = found.note
    published = KIRK.get(found.fact, NOTHING)
    if published.shown == EQUAL and word in (SAME, OPPOSITE):
        note = "; ".join(filter(None, [note, "a difference, where the paper finds none"]))
    models = found.values.index.get_level_values("seed_data").nunique() if n else 0
    return {
        "figure": found.figure, "claim": found.claim, "model": model, "task": task, "evidence": evidence,
        "value": value, "low": low, "high": high, "over": over, "p": p, "p_holm": math.nan, "n": n,
        "sft_models": models, "smallest": smallest, "status": word, "paper": published.shown,
        "source": published.source, "fact": found.fact, "note": note, "primary": primary,
    }  # fmt: skip


def _primary(study: Study, table: DataFrame, outputs: DataFrame) -> tuple[Found, str]:
    """The comparison that the study named before it ran; of several models or levels, their mean a seed.

    Subtracted within each setting, then averaged over those, of the seeds that have them all.
    """
    named = study.manifest.get("primary", {})
    policy, against, measure = (str(named.get(name, "")) for name in ("policy", "against", "measure"))
    scope, shift, task = (
        str(named.get("scope", PER_INPUT)),
        str(named.get("shift", IN)),
        str(named.get("task")),
    )
    every = primary_differences(table, named)
    statistic = {WIN: ANSWER, HEAD: OVER_OTHER}.get(measure, MEAN)
    by_input = [] if measure == HEAD else primary_legs(outputs, table, named, every, statistic)
    told, sign = f"{measure} {scope}" + ("" if shift == IN else f", {shift}"), 1 if measure in RAISED else -1
    claim = f"{policy} {'above' if sign > 0 else 'below'} {against}: {told}"
    turned = [(sign * weight, leg) for weight, leg in by_input]
    values = sign * every.dropna().mean(axis=1)
    return Found("primary", claim, measure, values, by_input=turned, note=mean_of(every)), task


def _claims(part: DataFrame, outputs: DataFrame, task: str) -> Iterator[Found]:
    """Claims within one model, task and level of evidence."""
    alone = single(part)
    tuned = [
        name for name in policies_of(alone) if (alone.loc[alone["policy"] == name, "method"].isin(RLHF)).any()
    ]
    groups = shift_groups(alone, task)
    for policy in tuned:
        yield from _of_win_rates(alone, outputs, task, policy, groups)
    for where, shifts in {IN: [IN], **groups}.items() if is_instruct(task) else ():
        best = less(*(by_seed(alone, name, WIN, shifts=shifts) for name in (BON, SFT)), to_sft=True)
        by_input = _legs(alone, outputs, BON, SFT, even(shifts))
        yield Found("3", f"{BON} above sft: {where}", WIN, best, "best-of-n wins, instructions", by_input)
    for policy in [*tuned, BON]:
        yield from _head_to_head(alone, outputs, task, policy, groups)
    for policy in tuned:
        yield from _of_diversity(alone, task, policy)
    both = [by_seed(alone, name, "ead", scope=ACROSS) for name in (BON, SFT)]
    told = "best-of-n across inputs" + (", instructions" if is_instruct(task) else "")
    yield Found("6", f"{BON} above sft: ead across inputs", "ead", less(*both, to_sft=True), told)
    yield from _of_sweeps(part)


def shift_groups(table: DataFrame, task: str) -> dict[str, list[str]]:
    """Shifts that are one out-of-distribution set: each axis of instructions, all shifts of other tasks."""
    shifts = [name for name in shifts_of(table) if name != IN]
    if not is_instruct(task):
        return {"all shifts": shifts} if shifts else {}
    axes = dict.fromkeys(axis_of(name) for name in shifts)
    return {axis: [name for name in shifts if axis_of(name) == axis] for axis in axes}


def even(shifts: Sequence[str]) -> dict[str, float]:
    """Weights of a mean over shifts."""
    return dict.fromkeys(shifts, 1 / len(shifts))


def _legs(
    table: DataFrame, outputs: DataFrame, policy: str, against: str, weights: dict[str, float],
    statistic: str = ANSWER,
) -> Legs:  # fmt: skip
    return legs(outputs, table, policy, against, "gold", weights, statistic)


def _of_win_rates(
    table: DataFrame, outputs: DataFrame, task: str, policy: str, groups: dict[str, list[str]]
) -> Iterator[Found]:
    """Figures 2 and 3."""
    figure = "3" if is_instruct(task) else "2"

    def rate(name: str, shifts: Sequence[str]) -> Series:
        return by_seed(table, name, WIN, shifts=shifts)

    for where, shifts in {IN: [IN], **groups}.items():
        gain = less(rate(policy, shifts), rate(SFT, shifts), to_sft=True)
        by_input = _legs(table, outputs, policy, SFT, even(shifts))
        told = "rlhf wins" + (", instructions" if is_instruct(task) else "")
        yield Found(figure, f"{policy} above sft: {where}", WIN, gain, told, by_input)
        if not is_instruct(task):  # of instructions the paper does not say which of the two is above
            best = rate(BON, shifts)
            once = best.index.get_level_values("seed_data").is_unique
            better = -less(rate(policy, shifts), best, to_sft=once)
            by_input = _legs(table, outputs, BON, policy, even(shifts))
            yield Found(figure, f"{BON} above {policy}: {where}", WIN, better, "best-of-n wins", by_input)
    for where, shifts in groups.items():
        gaps = [less(rate(name, [IN]), rate(name, shifts)) for name in (SFT, policy)]
        smaller = -less(gaps[1], gaps[0], to_sft=True)
        told = "gap, sequential" if where.startswith("sequential") else "gap, instructions"
        told = told if is_instruct(task) else "gap"
        by_input = _legs(table, outputs, policy, SFT, {IN: -1.0, **even(shifts)})
        name = f"{policy} has a smaller gap than sft: {where}"
        yield Found(figure, name, WIN, smaller, told, by_input)


def _head_to_head(
    table: DataFrame, outputs: DataFrame, task: str, policy: str, groups: dict[str, list[str]]
) -> Iterator[Found]:
    """Figure 4."""
    at_home = by_seed(table, policy, HEAD)
    for where, shifts in groups.items():
        rise = less(by_seed(table, policy, HEAD, shifts=shifts), at_home)
        told = "head to head" if where in ("new", "alpaca-eval") else ""
        by_input = _legs(table, outputs, policy, SFT, {IN: -1.0, **even(shifts)}, OVER_OTHER)
        yield Found("4", f"{policy} gains on sft head to head: {where} less in", HEAD, rise, told, by_input)


def _of_diversity(table: DataFrame, task: str, policy: str) -> Iterator[Found]:
    """Figures 5 and 6, tables 11 and 12; of instructions the paper says that nothing differs."""
    lost = {}
    for scope, figure in ((PER_INPUT, "5"), (ACROSS, "6")):
        for measure in PANELS:
            both = [by_seed(table, name, measure, scope=scope) for name in (policy, SFT)]
            lost[scope, measure] = -less(*both, to_sft=True)
            named = f"{measure} {scope}"
            told = "diversity, instructions" if is_instruct(task) else named if named in KIRK else ""
            yield Found(figure, f"{policy} below sft: {named}", measure, lost[scope, measure], told)
    for measure in PANELS[:2]:
        more = less(lost[PER_INPUT, measure], lost[ACROSS, measure])
        told = "" if is_instruct(task) else "less across"
        yield Found("6", f"{policy} loses less across inputs than per input: {measure}", measure, more, told)


def _of_sweeps(part: DataFrame) -> Iterator[Found]:
    """Figures 11 to 13: the largest beta less the smallest; and k1, which is a KL's gradient, less k2."""
    returned = {}
    for entry, names in swept_entries(part).items():
        mine = part[part["policy"] == entry]
        method, estimator = str(mine["method"].iloc[0]), estimator_of(str(mine["kl_place"].iloc[0]))
        if "beta" not in names:
            continue
        smallest, largest = (mine[mine["beta"] == edge] for edge in (mine["beta"].min(), mine["beta"].max()))
        for measure in ("gold", "ead"):
            change = less(by_seed(largest, entry, measure), by_seed(smallest, entry, measure))
            told = f"beta {mine['beta'].max():g} below {mine['beta'].min():g}, {entry}: {measure}"
            yield Found("11-13", told, measure, -change, "beta")
            returned[method, estimator, measure] = change
    for (method, estimator, measure), change in returned.items():
        other = returned.get((method, "k2", measure))
        if estimator == "k1" and measure == "ead" and other is not None:
            told = f"a larger beta returns more with k1 than with k2, {method}: {measure}"
            yield Found("11-13", told, measure, less(change, other))


def estimator_of(kl_place: str) -> str:
    """`k1` of a KL in the reward that k1 estimates; empty where no estimator is told."""
    last = kl_place.rpartition(", ")[2]
    return last if last in ("k1", "k2", "k3", "exact") else ""
