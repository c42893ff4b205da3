"""What is known along a run or a probe, as the lines of small charts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from pandas import DataFrame

from analysis.stage_schema import IN
from figures.report.sheets import Curves

Line = tuple[Sequence[float], Sequence[Sequence[float]]]
NO_LOG = (
    "These are compact records, which keep no log of the training: the learning curve is in the study's own "
    "folder only."
)
ERRORS = ("spurious_only", "target_only", "both", "neither")
"""Quadrants in the order of their colours."""
MOST, FEWEST = 60, 8
"""Points of a curve, where there is room, and at least."""
ROOM = 300_000
"""Numbers in all curves of a table."""

ALONG = ("gold", "learned", "held-out", "kl", "token entropy", "use", "target use", "length", "accuracy")
"""Measures of a stage that are drawn along it."""


def of_runs(table: DataFrame, logs: Mapping[str, DataFrame], is_store: bool) -> Curves:
    panels: dict[str, Sequence[str]] = {
        "error": ERRORS,
        "reward": ["on the batch", "on both and neither", "learned reward there"],
        "KL to the reference, nats": ["policy || reference", "reference || policy"],
        "loss": ["loss"],
    }
    lines = {}
    for id_, key in zip(table["id"], table["key"], strict=True):
        if (log := logs.get(key)) is not None and len(log):
            lines[str(id_)] = _of_log(log)
    missing = (
        "" if len(lines) == len(table) else "Its folder holds no log of the training." if is_store else NO_LOG
    )
    return Curves("batches", panels, lines, missing)


def _of_log(log: DataFrame) -> Line:
    """A training log, one row a step and quadrant, as lines."""
    steps = sorted(set(log["step"]))
    error = (
        (log["errors"] / log["n"].where(log["n"] > 0))
        .groupby([log["step"], log["quadrant"]])
        .mean()
        .unstack()
    )
    by_step, plain = log.groupby("step"), log[log["quadrant"].isin(["both", "neither"])].groupby("step")

    def of(groups: Any, name: str) -> list[float]:
        if name not in log:
            return [math.nan] * len(steps)
        found = groups[name].apply(lambda v: pd.to_numeric(v, errors="coerce").mean())
        return [float(v) for v in found.reindex(steps)]

    errors = [
        [float(v) for v in error[q].reindex(steps)] if q in error else [math.nan] * len(steps) for q in ERRORS
    ]
    rest = [
        of(by_step, "reward_train"), of(plain, "reward"), of(plain, "reward_learned"),
        of(by_step, "kl_reverse"), of(by_step, "kl_forward"), of(by_step, "loss"),
    ]  # fmt: skip
    return [float(s) for s in steps], errors + rest


def of_bandits(table: DataFrame, points: DataFrame) -> Curves:
    panels = {
        "mean reward": ["reward"],
        "KL(policy || reference), nats": ["kl_reverse"],
        "entropy, nats": ["entropy"],
        "log-probability, nats": ["chosen_fixed", "rejected_fixed", "chosen_fresh", "rejected_fresh"],
        "probability": ["mass_high", "mass_low"],
    }
    names = [name for part in panels.values() for name in part]
    found = dict(iter(points.sort_values("step", kind="stable").groupby(["key", "seed"])))
    lines = {
        str(id_): _columns(found[key, seed], "step", names)
        for id_, key, seed in table[["id", "key", "seed"]].itertuples(index=False)
        if (key, seed) in found
    }
    return Curves("gradient steps", panels, lines, "" if len(lines) == len(table) else NO_LOG)


def of_texts(table: DataFrame, texts: DataFrame) -> Curves:
    panels = {
        "reward": ["reward", "reward_learned"],
        "words of a completion": ["length"],
        "KL(policy || reference), nats": ["kl_reverse"],
        "log-probability of held-out pairs, nats": ["log_prob_chosen", "log_prob_rejected"],
    }
    names = [name for part in panels.values() for name in part]
    found = dict(iter(texts.sort_values("step", kind="stable").groupby("key")))
    lines = {
        str(id_): _columns(found[key], "step", names)
        for id_, key in table[["id", "key"]].itertuples(index=False)
        if len(found[key]) > 1
    }
    return Curves("optimiser steps", panels, lines)


def of_stages(table: DataFrame, measures: DataFrame) -> Curves:
    panels = {
        "reward": ["gold", "learned", "held-out"],
        "nats a completion": ["kl", "token entropy"],
        "share of completions to conflict prompts": ["use", "target use"],
        "words of a completion": ["length"],
    }
    names = [name for part in panels.values() for name in part]
    inside = measures[(measures["shift"] == IN) & measures["measure"].isin(names)]
    lines = {}
    keys = dict(zip(table["key"], table["id"], strict=True))
    for key, part in inside.groupby("key"):
        if part["step"].nunique() > 1 and key in keys:
            wide = part.drop_duplicates(["step", "measure"]).pivot(
                index="step", columns="measure", values="value"
            )
            lines[str(keys[key])] = _columns(wide.reset_index(), "step", names)
    few = "Measured at one step alone: there is no curve."
    return Curves("optimiser steps", panels, lines, "" if len(lines) == len(table) else few)


def of_probes(table: DataFrame) -> Curves:
    lines = {}
    for id_, text in zip(table["id"], table["curve"], strict=True):
        blocks = json.loads(text) if text else []
        if len(blocks) > 1:
            seen, told, alone, mixed, _ = zip(*blocks, strict=True)
            series = [
                [math.nan if bits is None else bits / n for bits, n in zip(part, told, strict=True)]
                for part in (mixed, alone)
            ]
            lines[str(id_)] = (list(seen), series)
    panels = {"bits a label of the block": ["mixed with a coin", "the probe alone"]}
    return Curves("labels seen before the block", panels, lines, "The probe has no loss-data curve.")


def _columns(table: DataFrame, x: str, names: Sequence[str]) -> Line:
    series = [
        [float(v) for v in pd.to_numeric(table[name], errors="coerce")]
        if name in table
        else [math.nan] * len(table)
        for name in names
    ]
    return [float(v) for v in table[x]], series


def thinned(curves: Curves) -> Curves:
    """Curves of so few points that all fit in the page; lines that nobody has a value of are gone."""
    names = [name for part in curves.panels.values() for name in part]
    used = [
        any(not math.isnan(y) for _, series in curves.lines.values() for y in series[i])
        for i in range(len(names))
    ]
    at = iter(range(len(names)))
    kept: dict[str, list[int]] = {
        label: [i for _ in part if used[i := next(at)]] for label, part in curves.panels.items()
    }
    order = [i for part in kept.values() for i in part]
    room = max(FEWEST, min(MOST, ROOM // max(1, len(curves.lines) * (len(order) + 1))))
    lines = {key: _fewer(line, order, room) for key, line in curves.lines.items()}
    longest = max((len(x) for x, _ in curves.lines.values()), default=0)
    note = f"{room} of up to {longest} points of a curve are drawn. " if longest > room else ""
    panels = {label: [names[i] for i in part] for label, part in kept.items() if part}
    return Curves(curves.x, panels, lines, (note + curves.note).strip())


def _fewer(line: Line, order: Sequence[int], room: int) -> Line:
    x, series = line
    at: Any = range(len(x))
    if len(x) > room:
        at = sorted(set(np.linspace(0, len(x) - 1, room).round().astype(int).tolist()))
    return [x[i] for i in at], [[series[k][i] for i in at] for k in order]
