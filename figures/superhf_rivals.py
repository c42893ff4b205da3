"""SuperHF against PPO and RLOO: over seeds, at the same KL, as optimisation goes on, and calibrated.

References: Mukobi et al. 2023, SuperHF (https://arxiv.org/abs/2310.16763).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from pandas import DataFrame

from analysis import Study
from analysis.outputs.calibration import SUPERHF
from analysis.outputs.calibration import calibration as calibrated
from analysis.papers.superhf_claim import HELD, METHOD, RIVALS, SMALLEST
from analysis.stage_schema import IN
from analysis.stages.calibrated import SCORES, calibration_table, choices_of
from analysis.stages.matched_kl import matched_along, matched_swept
from analysis.stages.spread import FATE, fates, share, spread_ratio
from analysis.stages.stage_pairs import by_seeds, end_table, gain_over_sft, with_failed
from analysis.stages.stage_runs import SFT, policies_of, single
from analysis.statistics.seeds import paired
from figures.reliability import reliability, reliability_table
from figures.stage_style import caption, looks_of
from figures.style import GREY, PALE, SPURIOUS, TARGET, band
from figures.superhf_parts import (
    INTERVALS,
    LABELS,
    MOVED_NOTE,
    Part,
    Shown,
    dots,
    nothing,
    rows_of_panels,
    seeds_in,
    table_of,
    with_runs,
)

FATE_COLOURS = {"improved": TARGET, "neither": PALE, "diverged": SPURIOUS}
REWARDS = {"learned": ("#009E73", "--", "s"), HELD: (TARGET, "-", "o"), "gold": ("#E69F00", "-", "D")}
"""Colour, line and mark."""


def tuned(points: DataFrame) -> list[str]:
    return [name for name in (METHOD, *RIVALS) if name in set(points["policy"])]


def seeds(parts: Sequence[Part], study: Study) -> Shown:
    """Gains over tuning seeds, ratios of their spread, and shares of runs that improve or diverge."""
    parts = with_runs(parts, lambda points: METHOD in tuned(points) and len(tuned(points)) > 1)
    if not parts:
        return nothing("Seeds", "no runs of SuperHF and of PPO or RLOO finished")
    figure, grid = rows_of_panels(parts, 3, 1.6)
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        runs, names = end_table(points), tuned(points)
        runs = runs.assign(gain=gain_over_sft(runs, HELD))
        gains = {name: runs[runs["policy"] == name]["gain"] for name in names}
        rows += dots(axes_row[0], gains, {**told, "panel": "gain"})
        axes_row[0].set_xlim(left=min(axes_row[0].get_xlim()[0], -0.02))
        axes_row[0].axvline(0, color=GREY, lw=0.5)
        axes_row[0].set_xlabel("held-out reward above SFT, sd")
        rows += _ratios(axes_row[1], runs, [name for name in names if name != METHOD], told)
        rows += _shares(axes_row[2], fates(with_failed(study, runs), HELD, SMALLEST[HELD]), names, told)
        told_runs = seeds_in(runs[runs["policy"].isin(names)])
    figure.legend(*grid[0, 2].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    rule = f"improved, diverged: above, below SFT by more than {SMALLEST[HELD]:g}"
    caption(figure, f"{told_runs}; {INTERVALS}; of ratios by jackknife; {rule}.")
    return figure, table_of(rows)


def _ratios(axes: Axes, runs: DataFrame, rivals: Sequence[str], told: dict[str, Any]) -> list[dict[str, Any]]:
    """Standard deviations of the rivals over SuperHF's."""
    rows = []
    for place, rival in enumerate(rivals):
        log, low, high, _, n = spread_ratio(by_seeds(runs, rival, HELD), by_seeds(runs, METHOD, HELD))
        value, low, high = (math.exp(x) for x in (log, low, high))
        if math.isnan(value):
            axes.text(1, place, "too few seeds", ha="center", va="center", color=GREY)
            continue
        colour, mark = looks_of([rival])[rival]
        axes.errorbar(
            value, place, xerr=[[value - low], [high - value]], fmt=mark, color=colour, ms=4, lw=1.2
        )
        rows.append(
            {**told, "panel": "ratio of sd", "line": rival, "x": value, "low": low, "high": high, "n": n}
        )
    axes.set_yticks(range(len(rivals)), rivals)
    axes.set_ylim(len(rivals) - 0.5, -0.5)
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(0.25, axes.get_xlim()[0]), max(4, axes.get_xlim()[1]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.axvline(1, color=GREY, lw=0.5)
    axes.set_xlabel(f"sd over seeds, over that of {METHOD}")
    return rows


def _shares(axes: Axes, runs: DataFrame, names: Sequence[str], told: dict[str, Any]) -> list[dict[str, Any]]:
    """What runs came to: of each entry, and of all settings of its method where there are more."""
    groups = {name: runs[runs["policy"] == name] for name in names}
    for name in names:
        every = runs[runs["method"] == name]
        if len(every) > len(groups[name]):
            groups[f"{name}, all\nsettings"] = every
    rows = []
    for place, (name, own) in enumerate(groups.items()):
        left, n, of = 0.0, len(own), {**told, "line": name.replace("\n", " ")}
        for fate in FATE:
            value, low, high = share(int((own["fate"] == fate).sum()), n)
            label = None if place else fate
            axes.barh(place, value, left=left, color=FATE_COLOURS[fate], height=0.7, label=label)
            if fate == "improved":
                axes.plot([low, high], [place, place], color="black", lw=0.9)
            left += value
            rows.append({**of, "panel": fate, "x": value, "low": low, "high": high, "n": n})
        collapsed = int(own["collapsed"].sum())
        value, low, high = share(collapsed, n)
        rows.append({**of, "panel": "collapsed", "x": value, "low": low, "high": high, "n": n})
        axes.text(1.02, place, f"{collapsed}/{n}", va="center", fontsize="small")
    axes.set_title("collapsed", loc="right", fontsize="small")
    axes.set_yticks(range(len(groups)), list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of runs")
    return rows


def matched_kl(parts: Sequence[Part]) -> Shown:
    """Rewards by KL along runs and over beta, and SuperHF less its rivals at the same KL."""
    parts = with_runs(parts, lambda points: METHOD in tuned(points) and points["kl"].notna().any())
    if not parts:
        return nothing("Matched KL", "no run of SuperHF with a measured KL finished")
    figure, grid = rows_of_panels(parts, 3, 2.0)
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        for axes, measure in zip(axes_row, (HELD, "gold"), strict=False):
            rows += _by_kl(axes, points, measure, told)
        axes_row[0].legend(loc="best")
        rows += _differences(axes_row[2], points, told)
        told_runs = seeds_in(points[points["policy"].isin(tuned(points))])
    lines = "Lines: means by step; crosses: means of ends over beta; 95 % t intervals over runs"
    caption(figure, f"{told_runs}. {lines}; right: {INTERVALS}.\n{MOVED_NOTE}")
    return figure, table_of(rows)


def _by_kl(axes: Axes, points: DataFrame, measure: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for name, (colour, mark) in looks_of(tuned(points)).items():
        along = _means(points[points["policy"] == name].groupby("step")[["kl", measure]])
        axes.plot(along["x"], along["y"], color=colour, marker=mark, ms=2.5, lw=1, label=name)
        ends = end_table(points[points["policy"] == f"{name} kl"])
        swept = _means(ends.groupby("beta")[["kl", measure]])
        axes.plot(swept["x"], swept["y"], "x", color=colour, ms=4)
        for panel, found in (("along", along), ("over beta", swept)):
            axes.vlines(found["x"], found["low"], found["high"], color=colour, lw=0.4)
            here = {**told, "panel": f"{measure} {panel}", "line": name}
            rows += [here | {str(k): v for k, v in row.items()} for row in found.to_dict("records")]
    axes.set_xlabel("KL(policy || SFT), nats")
    axes.set_ylabel(LABELS[measure])
    return rows


def _means(groups: Any) -> DataFrame:
    """Means over runs of the first column and, with 95 % intervals, of the second; of whole groups alone."""
    rows = []
    for _, part in groups:
        (x, *_), (y, low, high, _, n) = (paired(part[name]) for name in part)
        rows.append({"x": x, "y": y, "low": low, "high": high, "n": n})
    return DataFrame(rows, columns=["x", "y", "low", "high", "n"]).dropna(subset=["x", "y"])


def _differences(axes: Axes, points: DataFrame, told: dict[str, Any]) -> list[dict[str, Any]]:
    rows, labels = [], []
    for rival in (name for name in tuned(points) if name != METHOD):
        colour, mark = looks_of([rival])[rival]
        found = {
            "along": matched_along(points, METHOD, rival, HELD),
            "over beta": matched_swept(points, METHOD, rival, f"{rival} kl", HELD),
        }
        for how, table in found.items():
            mean, low, high, _, n = paired(table["mine"] - table["theirs"])
            labels.append(f"{rival}, {how} ({n})")
            if n:
                error = None if math.isnan(low) else [[mean - low], [high - mean]]
                axes.errorbar(mean, len(labels) - 1, xerr=error, fmt=mark, color=colour, ms=4, lw=1.2)
                row = {
                    "panel": f"difference, {how}",
                    "line": rival,
                    "x": mean,
                    "low": low,
                    "high": high,
                    "n": n,
                }
                rows.append({**told, **row})
            else:
                axes.text(0, len(labels) - 1, "none at that KL", va="center", ha="center", color=GREY)
    axes.axvline(0, color=GREY, lw=0.5)
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"{METHOD} less it, held-out,\nat the same KL")
    return rows


def over_optimisation(parts: Sequence[Part]) -> Shown:
    """What three judges see along the run, by KL: two reward models above, gold reward below them."""
    parts = with_runs(parts, lambda points: bool(tuned(points)) and points["kl"].notna().any())
    if not parts:
        return nothing("Over-optimisation", "no run of SuperHF, PPO or RLOO with a measured KL finished")
    twice = [(title if not below else "", *rest) for title, *rest in parts for below in (False, True)]
    figure, grid = rows_of_panels(twice, 3, 1.5, sharey="row", sharex="col")
    rows: list[dict[str, Any]] = []
    for place, (_, points, told) in enumerate(parts):
        gains = points.assign(**{judge: gain_over_sft(points, judge) for judge in REWARDS})
        for column, name in enumerate((METHOD, *RIVALS)):
            above, below = grid[2 * place : 2 * place + 2, column]
            own = gains[gains["policy"] == name]
            for judge in REWARDS:
                axes = below if judge == "gold" else above
                rows += _along_kl(axes, own, judge, {**told, "panel": name})
            above.text(0.97, 0.06, name, transform=above.transAxes, ha="right", weight="bold")
            below.axhline(0, color=GREY, lw=0.5)
        grid[2 * place, 0].set_ylabel("reward above SFT,\nsd of SFT")
        grid[2 * place + 1, 0].set_ylabel("gold reward\nabove SFT")
        told_runs = seeds_in(points[points["policy"].isin(tuned(points))])
    for axes in grid[-1]:
        axes.set_xlabel("KL(policy || SFT), nats")
    shown = next(axes for axes in grid[0] if axes.lines)
    shown.legend(loc="best")
    caption(figure, f"{told_runs}; means by step, 95 % t intervals over runs. {MOVED_NOTE}")
    return figure, table_of(rows)


def _along_kl(axes: Axes, runs: DataFrame, judge: str, told: dict[str, Any]) -> list[dict[str, Any]]:
    """A judge's mean by the mean KL, step by step."""
    colour, line, mark = REWARDS[judge]
    rows = []
    for _, points in runs.dropna(subset=["kl", judge]).groupby("step"):
        mean, low, high, _, n = paired(points[judge])
        kl = points["kl"].mean()
        rows.append({**told, "line": judge, "x": kl, "y": mean, "low": low, "high": high, "n": n})
    if rows:
        table = DataFrame(rows)
        axes.plot(
            table["x"], table["y"], line, color=colour, marker=mark, ms=2.5, lw=1, label=f"{judge} reward"
        )
        band(axes, table, colour)
    return rows


def calibration(parts: Sequence[Part], study: Study) -> Shown:
    """Scores of the probabilities of the multiple choice, by method; less is better."""
    scores = calibration_table(study)
    parts = with_runs(parts, lambda points: points["key"].isin(scores["key"]).any())
    if not parts:
        return nothing("Calibration", "no run has a multiple choice in distribution")
    figure, grid = rows_of_panels(parts, len(SCORES), 1.4, sharey="row")
    rows: list[dict[str, Any]] = []
    for axes_row, (_, points, told) in zip(grid, parts, strict=True):
        runs = single(end_table(points)).merge(scores, on="key").replace([np.inf, -np.inf], np.nan)
        for axes, score in zip(axes_row, SCORES, strict=True):
            values = {name: runs[runs["policy"] == name][score] for name in policies_of(runs)}
            rows += dots(axes, values, {**told, "panel": score})
            axes.set_xlabel(score)
            axes.set_xlim(left=0)
        questions = int(runs["questions"].median())
    caption(
        figure,
        f"{questions} questions a run, in distribution; runs in brackets; {INTERVALS}; less is better.",
    )
    return figure, table_of(rows)


def reliability_of(parts: Sequence[Part], study: Study) -> dict[str, Shown]:
    """A reliability diagram for each setting, of one run a data seed: others have the same questions."""
    found = {}
    choices = study.choices[study.choices["shift"] == IN]
    for title, points, told in parts:
        runs = single(end_table(points)).sort_values("seed_tune").drop_duplicates(["policy", "seed_data"])
        groups = {}
        for name in policies_of(runs[runs["policy"].isin([SFT, *tuned(points)])]):
            own = choices[choices["key"].isin(set(runs[runs["policy"] == name]["key"]))]
            probabilities, right = choices_of(own)
            if probabilities:
                groups[name] = calibrated(probabilities, right, compat=SUPERHF, resamples=1)
        if groups:
            table = reliability_table(groups)
            figure = reliability(table)
            figure.suptitle(f"{title}; one run of each", x=0.01, ha="left", weight="bold")
            slug = title.replace(", ", "_").replace(" ", "_").replace("/", "-")
            found[f"reliability_{slug}"] = (figure, table.assign(**told))
    return found
