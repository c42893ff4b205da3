"""What is known along a run or a probe, as the lines of small charts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
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
PER_QUADRANT = ("quadrant", "n", "errors")
"""What a log says of each quadrant, if anything."""
MOST, FEWEST = 60, 8
"""Points of a curve, where there is room, and at least."""
ROOM = 300_000
"""Numbers in all curves of a table."""

ALONG = ("gold", "learned", "held-out", "kl", "token entropy", "use", "target use", "length", "accuracy")
"""Measures of a stage that are drawn along it."""


def of_runs(table: DataFrame, logs: DataFrame, is_store: bool) -> Curves:
    """Training logs, one row a step and quadrant, as lines."""
    panels: dict[str, Sequence[str]] = {
        "error": ERRORS,
        "reward": ["on the batch", "on both and neither", "learned reward there"],
        "KL to the reference, nats": ["policy || reference", "reference || policy"],
        "loss": ["loss"],
    }
    names = [name for part in panels.values() for name in part]
    lines = _lines(_by_step(logs.dropna(subset="step")), names) if "step" in logs else {}
    found = {
        str(id_): lines[key] for id_, key in table[["id", "key"]].itertuples(index=False) if key in lines
    }
    none = "Its folder holds no log of the training." if is_store else NO_LOG
    return Curves("batches", panels, found, "" if len(found) == len(table) else none)


def _by_step(log: DataFrame) -> DataFrame:
    """One row a run and step, a column a line."""
    by = ["key", "step"]
    log = log.reindex(columns=list(dict.fromkeys([*log, *PER_QUADRANT])))
    wide = log.groupby(by).size().to_frame("rows")
    errors = log.assign(error=log["errors"] / log["n"].where(log["n"] > 0)).dropna(subset=["error"])
    if len(errors):
        wide = wide.join(errors.pivot_table(index=by, columns="quadrant", values="error"))
    columns = {
        "on the batch": "reward_train",
        "policy || reference": "kl_reverse",
        "reference || policy": "kl_forward",
        "loss": "loss",
    }
    inside = {"on both and neither": "reward", "learned reward there": "reward_learned"}
    for part, which in ((log, columns), (log[log["quadrant"].isin(["both", "neither"])], inside)):
        known = {name: column for name, column in which.items() if column in part}
        numbers = part[by].assign(**{n: pd.to_numeric(part[c], errors="coerce") for n, c in known.items()})
        wide = wide.join(numbers.groupby(by).mean(), how="outer")
    return wide.reset_index()


def _lines(table: DataFrame, names: Sequence[str]) -> dict[str, Line]:
    """The lines of each key, along its steps."""
    ordered = table.sort_values(["key", "step"], kind="stable").reindex(columns=["key", "step", *names])
    steps, series = ordered["step"].to_numpy(float), ordered[list(names)].to_numpy(float)
    keys = ordered["key"].to_numpy(str)
    ends = [0, *(np.flatnonzero(keys[1:] != keys[:-1]) + 1), len(keys)]
    return {str(keys[a]): (steps[a:b].tolist(), series[a:b].T.tolist()) for a, b in pairwise(ends) if b > a}


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
