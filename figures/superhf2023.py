"""Figures of Mukobi et al. 2023: SuperHF beside other methods, along its run and over its settings.

Of the paper's main figures Elo scores, GPT-4's ratings and the benchmarks are not here: they need a chat
model as a judge, and knowledge that a small model has not. Against PPO and RLOO: `figures.superhf_rivals`.

References: Mukobi et al. 2023, SuperHF (https://arxiv.org/abs/2310.16763). The held-out reward is by a
reward model that saw none of the prompts of the one that policies are tuned on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from pandas import Series, concat

from analysis import Study
from analysis.papers.superhf_claim import HELD, METEOR, METHOD, SMALLEST
from analysis.stages.stage_pairs import end_table, gain_over_sft, points_table
from analysis.stages.stage_runs import SETTING, SFT, policies_of, settings, single
from analysis.stages.sweeps import knee_interval, swept
from analysis.statistics.seeds import paired
from figures.bandit_lines import draw_lines
from figures.stage_style import caption, looks_of, where
from figures.style import GREY, SPURIOUS, TARGET, Drawn, style
from figures.superhf_parts import (
    INTERVALS,
    LABELS,
    MOVED_NOTE,
    Part,
    Shown,
    dots,
    log_ticks,
    nothing,
    rows_of_panels,
    seeds_in,
    table_of,
    with_runs,
)
from figures.superhf_rivals import calibration, matched_kl, over_optimisation, reliability_of, seeds

GREEN = "#009E73"


def draw_superhf2023(study: Study) -> Iterator[Drawn]:
    """Every figure of the paper."""
    for name, (figure, table) in superhf_figures(study).items():
        yield Drawn(f"superhf2023_{name}", figure, table)


def superhf_figures(study: Study) -> dict[str, Shown]:
    """Every figure with what it shows, by name; those that the study has no runs for say so."""
    points = points_table(study)
    parts: list[Part] = [
        (where(names, points), part, dict(zip(SETTING, names, strict=True)))
        for names, part in settings(points)
    ]
    with style():
        figures = {
            "methods": methods(parts),
            "kl_sweep": kl_sweep(parts),
            "progress": progress(parts),
            "superbatch_and_accumulation": sizes(parts),
            "seeds": seeds(parts, study),
            "matched_kl": matched_kl(parts),
            "over_optimisation": over_optimisation(parts),
            "calibration": calibration(parts, study),
            **reliability_of(parts, study),
        }
        if points["model"].nunique() > 1:
            figures["models"] = models(parts)
    return figures


def methods(parts: Sequence[Part]) -> Shown:
    """Held-out reward and similarity of completions to different inputs, by method."""
    parts = with_runs(parts, lambda runs: METHOD in set(runs["policy"]))
    if not parts:
        return nothing("Methods", "no run of SuperHF at its defaults finished")
    figure, grid = rows_of_panels(parts, 2, 1.5, sharey="row")
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        runs = single(end_table(points))
        for axes, measure in zip(axes_row, (HELD, METEOR), strict=True):
            values = {name: runs[runs["policy"] == name][measure] for name in policies_of(runs)}
            rows += dots(axes, values, {**told, "panel": measure})
            axes.set_xlabel(LABELS[measure])
    caption(figure, f"In distribution; runs in brackets; {INTERVALS}; dots are runs.")
    return figure, table_of(rows)


def kl_sweep(parts: Sequence[Part]) -> Shown:
    """Reward, similarity and distance from the SFT model by the weight of SuperHF's KL term."""
    entry = f"{METHOD} kl"
    parts = with_runs(parts, lambda runs: entry in set(runs["policy"]))
    if not parts:
        return nothing("KL sweep", f"no run of {entry} finished")
    figure, grid = rows_of_panels(parts, 3, 1.8)
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        runs = end_table(points)
        sweep, start = swept(runs, entry, METHOD, "beta"), runs[runs["stage"] == SFT]
        panels = {HELD: LABELS[HELD], METEOR: LABELS[METEOR], "kl": "KL(policy || SFT), nats"}
        for axes, (measure, label) in zip(axes_row, panels.items(), strict=True):
            line = [(METHOD, {"color": TARGET, "marker": "o", "ms": 3}, sweep)]
            rows += draw_lines(axes, line, "beta", measure, {**told, "panel": measure})
            if measure != "kl":
                axes.axhline(start[measure].mean(), color=GREY, lw=0.8, ls="--", label="SFT")
            axes.set_xlabel("beta")
            axes.set_ylabel(label)
        value, low, high, none = knee_interval(sweep, "beta", METEOR, SMALLEST[METEOR])
        rows.append({**told, "panel": "knee", "line": METHOD, "x": value, "low": low, "high": high})
        if not math.isnan(value):
            axes_row[1].axvline(value, color=SPURIOUS, lw=0.8, ls=":")
            axes_row[1].set_title(_knee(value, low, high, none), loc="right", color=SPURIOUS)
        axes_row[0].legend(loc="best")
        told_runs = seeds_in(sweep)
    caption(figure, f"{told_runs}; {INTERVALS}. Knee: 80 % of the fall of METEOR from beta 0 is done.")
    return figure, table_of(rows)


def _knee(value: float, low: float, high: float, none: float) -> str:
    told = f"knee {value:g}"
    if not math.isnan(low):
        told += f" [{low:g}, {high:g}]" + (f", none in {none:.0%}" if none else "")
    return told


def progress(parts: Sequence[Part]) -> Shown:
    """Reward and similarity along the run, with the KL term and without."""
    parts = with_runs(parts, lambda runs: METHOD in set(runs["policy"]))
    if not parts:
        return nothing("Progress", "no run of SuperHF at its defaults finished")
    figure, grid = rows_of_panels(parts, 2, 1.8)
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        default = points[points["policy"] == METHOD]
        without = points[(points["policy"] == f"{METHOD} kl") & (points["beta"] == 0)]
        lines = [
            (f"beta {default['beta'].mean():g}, the default", {"color": TARGET, "marker": "o"}, default),
            ("beta 0", {"color": SPURIOUS, "marker": "s"}, without),
        ]
        for axes, measure in zip(axes_row, (HELD, METEOR), strict=True):
            rows += draw_lines(axes, lines, "step", measure, {**told, "panel": measure}, ms=2.5)
            axes.set_xlabel("optimiser steps")
            axes.set_ylabel(LABELS[measure])
        axes_row[1].legend(loc="best")
        told_runs = seeds_in(default)
    caption(figure, f"{told_runs}; {INTERVALS}. {MOVED_NOTE}")
    return figure, table_of(rows)


def sizes(parts: Sequence[Part]) -> Shown:
    """Rewards by the size of the superbatch and by the prompts that a step accumulates."""
    panels = {
        f"{METHOD} superbatch": ("samples_per_prompt", "superbatch: completions a prompt"),
        f"{METHOD} accumulation": ("batch_size", "prompts accumulated a step"),
    }
    parts = with_runs(parts, lambda runs: bool(set(panels) & set(runs["policy"])))
    if not parts:
        return nothing("Superbatch and accumulation", "no run that sweeps either finished")
    figure, grid = rows_of_panels(parts, 2, 1.8, sharey="row")
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        runs = end_table(points)
        runs = runs.assign(**{name: gain_over_sft(runs, name) for name in ("learned", HELD)})
        for axes, (entry, (setting, label)) in zip(axes_row, panels.items(), strict=True):
            sweep = swept(runs, entry, METHOD, setting)
            lines = [
                ("learned", {"color": GREEN, "marker": "s", "ms": 3, "ls": "--"}, sweep),
                ("held-out", {"color": TARGET, "marker": "o", "ms": 3}, sweep),
            ]
            for line in lines if len(sweep) else ():
                rows += draw_lines(axes, [line], setting, line[0], {**told, "panel": setting})
            if len(sweep):
                log_ticks(axes, sweep[setting])
                axes.set_title(_completions(sweep["completions"]), loc="right", color=GREY)
                axes.legend(loc="best")
                told_runs = seeds_in(sweep)
            else:
                axes.text(0.5, 0.5, f"{entry}: not run", transform=axes.transAxes, ha="center", color=GREY)
                axes.set_axis_off()
            axes.axhline(0, color=GREY, lw=0.5, visible=len(sweep) > 0)
            axes.set_xlabel(label)
        axes_row[0].set_ylabel("reward above SFT, sd of SFT")
    caption(figure, f"{told_runs}; {INTERVALS}.")
    return figure, table_of(rows)


def _completions(values: Series) -> str:
    """How many completions the runs of a sweep were tuned on, if equally many."""
    low, high = values.min(), values.max()
    return f"{low:,} completions each" if low == high else f"{low:,} to {high:,} completions"


def models(parts: Sequence[Part]) -> Shown:
    """Gains by model, a line a method; models in the order of their SFT models' gold reward."""
    runs = concat([single(end_table(points)) for _, points, _ in parts])
    runs = runs.assign(**{name: gain_over_sft(runs, name) for name in (HELD, METEOR)})
    settled: list[Part] = [
        (f"{str(task).rpartition('/')[2]}, evidence {rate:g}", own, {"task": task, "evidence_rate": rate})
        for (task, rate), own in runs.groupby(["task", "evidence_rate"])
    ]
    figure, grid = rows_of_panels(settled, 2, 1.9)
    rows: list[dict[str, Any]] = []
    for axes_row, (_, own, told) in zip(grid, settled, strict=True):
        order = own[own["stage"] == SFT].groupby("model")["gold"].mean().sort_values().index.tolist()
        looks = looks_of(name for name in policies_of(own) if name != SFT)
        for axes, measure in zip(axes_row, (HELD, METEOR), strict=True):
            for line, (name, (colour, mark)) in enumerate(looks.items()):
                found = [paired(own[(own["policy"] == name) & (own["model"] == m)][measure]) for m in order]
                value, low, high, _, n = (np.array(each, float) for each in zip(*found, strict=True))
                x = np.arange(len(order)) + 0.08 * (line - (len(looks) - 1) / 2)
                bars = [value - low, high - value]
                axes.errorbar(x, value, bars, color=colour, marker=mark, ms=3.5, lw=1, label=name)
                for place, model in enumerate(order):
                    row = {"panel": measure, "line": name, "model": model, "x": place, "y": value[place]}
                    rows.append({**told, **row, "low": low[place], "high": high[place], "n": n[place]})
            axes.axhline(0, color=GREY, lw=0.5)
            axes.set_xticks(range(len(order)), [name.rpartition("/")[2] for name in order])
            axes.set_xlim(-0.5, len(order) - 0.5)
            axes.set_ylabel(f"{LABELS[measure]},\nabove SFT")
        axes_row[1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    caption(
        figure,
        f"{INTERVALS.capitalize()}; each model has SFT and reward models of its own, so levels are its own.",
    )
    return figure, table_of(rows)
