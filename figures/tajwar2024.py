"""The bandits of Tajwar et al. 2024: reference and rewards, sweeps, log-probabilities, KLs, masses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.papers.bandit_differences import BON, PPO
from analysis.statistics.seeds import paired
from figures.bandit_lines import (
    COLUMNS,
    Line,
    batch_size,
    caption,
    complementary,
    draw_lines,
    offline,
    problems_of,
    reuse,
)
from figures.bandit_masses import masses
from figures.style import DOUBLE, GREY, SPURIOUS, TARGET, Drawn, message, style


def draw_tajwar2024(study: Study) -> Iterator[Drawn]:
    """Every figure of a study of bandits."""
    if not (study.bandits["status"] == "ok").any():
        nothing = message("Bandits", "Nothing to draw: no run finished.")
        yield Drawn("bandit_sweeps", nothing, DataFrame(columns=COLUMNS))
        return
    for name, draw in FIGURES.items():
        with style():
            figure, table = draw(study)
        yield Drawn(name, figure, table)


PANELS: tuple[tuple[str, str, str, Callable[[Study, str], Iterator[Line]]], ...] = (
    ("batches a round\n(best-of-N)", "step", "gradient steps", batch_size),
    ("passes T over a batch\n(best-of-N)", "queries", "reward queries", reuse(BON)),
    ("passes T over a batch\n(PPO)", "queries", "reward queries", reuse(PPO)),
    ("fixed pool of one\nbatch, offline", "step", "gradient steps", offline),
    ("on-policy (thick), or as\nmuch from the reference", "step", "gradient steps", complementary),
)


def sweeps(study: Study) -> tuple[Figure, DataFrame]:
    """Reward by gradient steps or reward queries: a row a problem, a column a sweep."""
    problems = problems_of(study)
    figure = Figure(figsize=(DOUBLE, 0.9 + 1.35 * len(problems)), layout="constrained")
    grid = figure.subplots(len(problems), len(PANELS), squeeze=False, sharey=True)
    rows: list[dict[str, Any]] = []
    for i, problem in enumerate(problems):
        for j, (title, x, label, lines) in enumerate(PANELS):
            axes = grid[i, j]
            told = {"figure": "sweeps", "panel": title.replace("\n", " "), "problem": problem}
            rows += draw_lines(axes, list(lines(study, problem)), x, "reward", told)
            axes.set_ylim(-0.03, 1.05)
            if x == "queries":
                axes.set_xscale("symlog", linthresh=100)
                axes.set_xlim(left=0)
            if i == 0:
                axes.set_title(title, loc="left")
            if i == len(problems) - 1:
                axes.set_xlabel(label)
        grid[i, 0].set_ylabel(f"{problem}\nmean reward")
    for axes in grid[-1]:
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.42), fontsize=5.5)
    caption(figure, study, "Each line at the learning rate that it chose on development seeds.")
    return figure, DataFrame(rows, columns=COLUMNS)


def problems(study: Study) -> tuple[Figure, DataFrame]:
    """The reference distribution and the two rewards."""
    from rl_finetune.bandit_problems import CENTRES, Problem, reference_distribution

    arms = np.arange(100)
    reference = reference_distribution().numpy()
    figure = Figure(figsize=(DOUBLE / 2, 1.9), layout="constrained")
    axes = figure.subplots()
    axes.bar(arms, reference, width=1.0, color=GREY, label="reference")
    axes.set_xlabel("arm or token")
    axes.set_ylabel("probability")
    right = axes.twinx()
    rows = [{"line": "reference", "x": a, "y": p} for a, p in zip(arms, reference, strict=True)]
    for reward, colour in zip(CENTRES, (SPURIOUS, TARGET), strict=True):
        bump = Problem("arms", reward).bump().numpy()
        right.plot(arms, bump, color=colour, lw=1.2, label=reward)
        expected = float(reference @ bump)
        right.annotate(
            f"{reward}: {expected:.2f} expected\nunder the reference",
            (CENTRES[reward], 1.02), ha="center", va="bottom", fontsize=6, color=colour,
        )  # fmt: skip
        rows += [{"line": reward, "x": a, "y": r} for a, r in zip(arms, bump, strict=True)]
    right.set_ylim(0, 1.35)
    right.set_ylabel("reward")
    right.spines["right"].set_visible(True)
    table = DataFrame(rows).assign(figure="problems", panel="", problem="")
    return figure, table.reindex(columns=COLUMNS)


def log_probabilities(study: Study) -> tuple[Figure, DataFrame]:
    """Log-probabilities of chosen and of rejected answers, apart, on the fixed pool and on fresh samples."""
    names = problems_of(study)
    figure = Figure(figsize=(DOUBLE, 0.7 + 1.35 * len(names)), layout="constrained")
    sets = (("fixed", "fixed pool, trained on"), ("fresh", "fresh samples of the reference"))
    grid = figure.subplots(len(names), 2 * len(sets), squeeze=False, sharey="row", sharex=True)
    rows: list[dict[str, Any]] = []
    for i, problem in enumerate(names):
        lines = list(offline(study, problem))
        for j, (which, title) in enumerate(sets):
            for k, side in enumerate(("chosen", "rejected")):
                axes = grid[i, 2 * j + k]
                column = f"{side}_{which}"
                moved = [(label, look, _change(points, column)) for label, look, points in lines]
                told = {"figure": "log_probabilities", "panel": f"{side}, {title}", "problem": problem}
                rows += draw_lines(axes, moved, "step", column, told)
                axes.axhline(0, color=GREY, lw=0.5)
                axes.set_yscale("symlog", linthresh=1, linscale=0.6)
                if i == 0:
                    axes.set_title(f"{side}\n{title}", loc="left")
                if i == len(names) - 1:
                    axes.set_xlabel("gradient steps")
        grid[i, 0].set_ylabel(f"{problem}\nlog p less that\nof the reference, nats")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    caption(figure, study, "Offline methods on a fixed pool of one batch; a symmetric log scale.")
    return figure, DataFrame(rows, columns=COLUMNS)


def _change(points: DataFrame, column: str) -> DataFrame:
    """A column less each seed's value before the first step."""
    start = points[points["step"] == 0].set_index("seed")[column]
    return points.assign(**{column: points[column] - points["seed"].map(start)})


def divergences(study: Study) -> tuple[Figure, DataFrame]:
    """Both KLs by gradient steps, and reward by KL(policy || reference)."""
    names = problems_of(study)
    figure = Figure(figsize=(DOUBLE, 0.7 + 1.35 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 3, squeeze=False)
    rows: list[dict[str, Any]] = []
    titles = {"kl_reverse": "KL(policy || reference)", "kl_forward": "KL(reference || policy)"}
    for i, problem in enumerate(names):
        lines = list(complementary(study, problem))
        for j, (column, title) in enumerate(titles.items()):
            axes = grid[i, j]
            told = {"figure": "divergences", "panel": title, "problem": problem}
            rows += draw_lines(axes, lines, "step", column, told)
            axes.set_yscale("symlog", linthresh=1, linscale=0.6)
            axes.set_ylim(bottom=0)
            if i == 0:
                axes.set_title(title, loc="left")
            if i == len(names) - 1:
                axes.set_xlabel("gradient steps")
        for label, look, points in lines:
            told = {"figure": "divergences", "panel": "reward by KL", "problem": problem, "line": label}
            rows += _reward_by_kl(grid[i, 2], points, look, told)
        grid[i, 2].set_ylim(-0.03, 1.05)
        grid[i, 2].set_ylabel("mean reward")
        grid[i, 0].set_ylabel(f"{problem}\nnats an answer")
    grid[0, 2].set_title("reward by KL(policy || reference)", loc="left")
    grid[-1, 2].set_xlabel("KL(policy || reference), nats an answer")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    caption(figure, study, "Thick: on-policy; thin: as many samples of the reference.")
    return figure, DataFrame(rows, columns=COLUMNS)


def _reward_by_kl(
    axes: Axes, points: DataFrame, look: dict[str, Any], told: dict[str, Any]
) -> list[dict[str, Any]]:
    """Means over seeds by step, with the 95 % intervals of both."""
    rows = []
    for _, part in points.groupby("step"):
        (kl, *x, _, _), (reward, *y, _, n) = paired(part["kl_reverse"]), paired(part["reward"])
        axes.plot(x, [reward] * 2, color=look["color"], lw=0.5)
        axes.plot([kl] * 2, y, color=look["color"], lw=0.5)
        rows.append({**told, "x": kl, "y": reward, "low": y[0], "high": y[1], "n": n})
    axes.plot([r["x"] for r in rows], [r["y"] for r in rows], label=told["line"], marker=".", ms=2.5, **look)
    return rows


FIGURES = {
    "bandit_problems": problems,
    "bandit_sweeps": sweeps,
    "bandit_log_probabilities": log_probabilities,
    "bandit_divergences": divergences,
    "bandit_masses": masses,
}
