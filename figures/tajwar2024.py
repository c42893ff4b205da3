"""The bandits of Tajwar et al. 2024: reference and rewards, sweeps, log-probabilities, KLs, masses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.tajwar2024 import paired
from figures.style import DOUBLE, GREY, INK, PALE, SPURIOUS, TARGET, message, save, style

GREEN = "#009E73"
BON, PPO = "online-bon-distillation", "ppo"
SHORT = {
    "bon-distillation": "best-of-N",
    "dpo": "DPO",
    "ipo": "IPO",
    "dpo-without-negative": "DPO without negative",
    "ipo-without-negative": "IPO without negative",
    BON: "online best-of-N",
    "online-dpo": "online DPO",
    "online-ipo": "online IPO",
    PPO: "PPO",
}
COLOURS = {"bon": INK, "dpo": TARGET, "ipo": SPURIOUS, "ppo": GREEN}
RAMP = (INK, "#56B4E9", "#E69F00", SPURIOUS)
"""From on-policy to off-policy."""
COLUMNS = ["figure", "panel", "problem", "line", "x", "y", "low", "high", "n"]
Line = tuple[str, dict[str, Any], DataFrame]
"""Label, look, measurements."""


def draw_tajwar2024(study: Study, out: Path) -> list[Path]:
    """Draw every figure of a bandit study below `out`: PNG, PDF and `tables/<figure>.csv`; their paths."""
    if not len(study.points):
        nothing = message("Bandits", "Nothing to draw: no run finished.")
        return save(nothing, DataFrame(columns=COLUMNS), out, "bandit_sweeps")
    paths: list[Path] = []
    for name, draw in FIGURES.items():
        with style():
            figure, table = draw(study)
        paths += save(figure, table, out, name)
    return paths


def _sweep(study: Study, problem: str, method: str, **cell: int) -> DataFrame:
    r = study.bandits[study.bandits["status"] == "ok"]
    keep = (r["problem"] == problem) & (r["method"] == method)
    for name, value in cell.items():
        keep &= r[name] == value
    return study.points[study.points["key"].isin(r[keep]["key"])]


def _problems(study: Study) -> list[str]:
    return sorted(set(study.bandits.loc[study.bandits["status"] == "ok", "problem"]))


def _values(study: Study, problem: str, method: str, setting: str) -> list[int]:
    other = "reuse" if setting == "batches" else "batches"
    r = study.bandits
    keep = (r["problem"] == problem) & (r["method"] == method) & (r[other] == 1) & (r["status"] == "ok")
    return sorted(set(r[keep][setting]))


def _pool(study: Study, problem: str) -> int:
    return max(_values(study, problem, "bon-distillation", "reuse"), default=1)


def _look(method: str) -> dict[str, Any]:
    colour = next(c for stem, c in COLOURS.items() if stem in method)
    dashes = (0, (3, 1.5)) if method.endswith("without-negative") else "-"
    return {"color": colour, "ls": dashes, "lw": 0.9 if not method.startswith("online") else 1.5}


def _batch_size(study: Study, problem: str) -> Iterator[Line]:
    for colour, value in zip(RAMP, _values(study, problem, BON, "batches"), strict=False):
        yield (
            f"{value}" + (" batch" if value == 1 else " batches"),
            {"color": colour},
            _sweep(study, problem, BON, batches=value, reuse=1),
        )


def _reuse(method: str) -> Any:
    def lines(study: Study, problem: str) -> Iterator[Line]:
        for colour, value in zip(RAMP, _values(study, problem, method, "reuse"), strict=False):
            rows = _sweep(study, problem, method, batches=1, reuse=value)
            yield f"T = {value}", {"color": colour}, rows

    return lines


def _offline(study: Study, problem: str, ablated: bool = True) -> Iterator[Line]:
    names = ["bon-distillation", "dpo", "dpo-without-negative", "ipo", "ipo-without-negative"]
    for name in names if ablated else ["bon-distillation", "dpo", "ipo"]:
        rows = _sweep(study, problem, name, reuse=_pool(study, problem), batches=1)
        yield SHORT[name], _look(name), rows


def _complementary(study: Study, problem: str) -> Iterator[Line]:
    for name in (BON, "online-dpo", "online-ipo", "bon-distillation", "dpo", "ipo"):
        yield SHORT[name], _look(name), _sweep(study, problem, name, reuse=1, batches=1)


def _draw(
    axes: Axes, lines: Sequence[Line], x: str, y: str, told: dict[str, Any], **look: Any
) -> list[dict[str, Any]]:
    """Means over seeds with 95 % intervals as bands; what was drawn, as rows."""
    rows: list[dict[str, Any]] = []
    for label, own, points in lines:
        found = []
        for at, part in points.groupby(x):
            mean, low, high, _, n = paired(part[y])
            found.append({**told, "line": label, "x": at, "y": mean, "low": low, "high": high, "n": n})
        if found:
            table = DataFrame(found)
            style = {"lw": 1.0, **own, **look}
            axes.plot(table["x"], table["y"], label=label, **style)
            axes.fill_between(table["x"], table["low"], table["high"], color=style["color"], alpha=0.15, lw=0)
            rows += found
    return rows


def _caption(figure: Figure, study: Study, text: str) -> None:
    seeds = study.bandits.loc[study.bandits["status"] == "ok", "seed"].nunique()
    figure.supxlabel(f"{text} Means and 95 % t intervals over {seeds} seeds.", fontsize=6, x=0.01, ha="left")


PANELS: tuple[tuple[str, str, str, Any], ...] = (
    ("batches a round\n(best-of-N)", "step", "gradient steps", _batch_size),
    ("passes T over a batch\n(best-of-N)", "queries", "reward queries", _reuse(BON)),
    ("passes T over a batch\n(PPO)", "queries", "reward queries", _reuse(PPO)),
    ("fixed pool of one\nbatch, offline", "step", "gradient steps", _offline),
    ("on-policy (thick), or as\nmuch from the reference", "step", "gradient steps", _complementary),
)


def sweeps(study: Study) -> tuple[Figure, DataFrame]:
    """Reward by gradient steps or reward queries: a row a problem, a column a sweep."""
    problems = _problems(study)
    figure = Figure(figsize=(DOUBLE, 0.9 + 1.35 * len(problems)), layout="constrained")
    grid = figure.subplots(len(problems), len(PANELS), squeeze=False, sharey=True)
    rows: list[dict[str, Any]] = []
    for i, problem in enumerate(problems):
        for j, (title, x, label, lines) in enumerate(PANELS):
            axes = grid[i, j]
            told = {"figure": "sweeps", "panel": title.replace("\n", " "), "problem": problem}
            rows += _draw(axes, list(lines(study, problem)), x, "reward", told)
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
    _caption(figure, study, "")
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
    names = _problems(study)
    figure = Figure(figsize=(DOUBLE, 0.7 + 1.35 * len(names)), layout="constrained")
    sets = (("fixed", "fixed pool, trained on"), ("fresh", "fresh samples of the reference"))
    grid = figure.subplots(len(names), 2 * len(sets), squeeze=False, sharey="row", sharex=True)
    rows: list[dict[str, Any]] = []
    for i, problem in enumerate(names):
        lines = list(_offline(study, problem))
        for j, (which, title) in enumerate(sets):
            for k, side in enumerate(("chosen", "rejected")):
                axes = grid[i, 2 * j + k]
                column = f"{side}_{which}"
                moved = [(label, look, _change(points, column)) for label, look, points in lines]
                told = {"figure": "log_probabilities", "panel": f"{side}, {title}", "problem": problem}
                rows += _draw(axes, moved, "step", column, told)
                axes.axhline(0, color=GREY, lw=0.5)
                axes.set_yscale("symlog", linthresh=1, linscale=0.6)
                if i == 0:
                    axes.set_title(f"{side}\n{title}", loc="left")
                if i == len(names) - 1:
                    axes.set_xlabel("gradient steps")
        grid[i, 0].set_ylabel(f"{problem}\nlog p less that\nof the reference, nats")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    _caption(figure, study, "Offline methods on a fixed pool of one batch; a symmetric log scale.")
    return figure, DataFrame(rows, columns=COLUMNS)


def _change(points: DataFrame, column: str) -> DataFrame:
    """A column less each seed's value before the first step."""
    start = points[points["step"] == 0].set_index("seed")[column]
    return points.assign(**{column: points[column] - points["seed"].map(start)})


def divergences(study: Study) -> tuple[Figure, DataFrame]:
    """Both KLs by gradient steps, and reward by KL(policy || reference)."""
    names = _problems(study)
    figure = Figure(figsize=(DOUBLE, 0.7 + 1.35 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 3, squeeze=False)
    rows: list[dict[str, Any]] = []
    titles = {"kl_reverse": "KL(policy || reference)", "kl_forward": "KL(reference || policy)"}
    for i, problem in enumerate(names):
        lines = list(_complementary(study, problem))
        for j, (column, title) in enumerate(titles.items()):
            axes = grid[i, j]
            told = {"figure": "divergences", "panel": title, "problem": problem}
            rows += _draw(axes, lines, "step", column, told)
            axes.set_yscale("symlog", linthresh=1, linscale=0.6)
            axes.set_ylim(bottom=0)
            if i == 0:
                axes.set_title(title, loc="left")
            if i == len(names) - 1:
                axes.set_xlabel("gradient steps")
        for label, look, points in lines:
            means = points.groupby("step")[["kl_reverse", "reward"]].mean()
            grid[i, 2].plot(means["kl_reverse"], means["reward"], label=label, marker=".", ms=2.5, **look)
        grid[i, 2].set_ylim(-0.03, 1.05)
        grid[i, 2].set_ylabel("mean reward")
        grid[i, 0].set_ylabel(f"{problem}\nnats an answer")
    grid[0, 2].set_title("reward by KL(policy || reference)", loc="left")
    grid[-1, 2].set_xlabel("KL(policy || reference), nats an answer")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    _caption(figure, study, "Thick: on-policy; thin: as many samples of the reference.")
    return figure, DataFrame(rows, columns=COLUMNS)


MASSES = {
    "regions of the arms": {"mass_high": "60 to 80", "mass_low": "10 to 30"},
    "arms by what was sampled": {"mass_chosen": "best sampled", "mass_rejected": "others sampled",
                                 "mass_never": "never sampled"},
}  # fmt: skip


def masses(study: Study) -> tuple[Figure, DataFrame]:
    """Where the probability is at the end: by region, and by what the fixed set sampled (arms only)."""
    names = _problems(study)
    figure = Figure(figsize=(DOUBLE, 0.6 + 1.5 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False, width_ratios=(2, 3))
    rows: list[dict[str, Any]] = []
    palette = (SPURIOUS, TARGET, GREEN)
    for i, problem in enumerate(names):
        pool = list(_offline(study, problem))
        groups = [("reference", pool[0][2][pool[0][2]["step"] == 0])]
        online = [line for line in _complementary(study, problem) if line[0].startswith("online")]
        for label, _, points in [*pool, *online]:
            groups.append((label, points[points["step"] == points["step"].max()]))
        for j, (title, parts) in enumerate(MASSES.items()):
            axes = grid[i, j]
            if groups[0][1][list(parts)].isna().all().all():
                axes.text(0.5, 0.3, "not measured: no sequence occurs twice", ha="center", va="center",
                          color=GREY, transform=axes.transAxes)  # fmt: skip
                axes.set_axis_off()
                continue
            width = 0.8 / len(parts)
            for k, (column, name) in enumerate(parts.items()):
                found = [paired(part[column]) for _, part in groups]
                x = np.arange(len(groups)) + (k - (len(parts) - 1) / 2) * width
                mean = np.array([f[0] for f in found])
                spread = np.array([[f[0] - f[1] for f in found], [f[2] - f[0] for f in found]])
                colour = palette[k] if j == 0 else ("#56B4E9", "#E69F00", INK)[k]
                axes.bar(x, mean, width, yerr=spread, color=colour, label=name, error_kw={"lw": 0.6})
                rows += [
                    {"figure": "masses", "panel": f"{title}, {name}", "problem": problem, "line": g[0],
                     "y": f[0], "low": f[1], "high": f[2], "n": f[4]}
                    for g, f in zip(groups, found, strict=True)
                ]  # fmt: skip
            axes.set_ylim(0, 1.05)
            axes.axvspan(-0.5, 0.5, color=PALE, zorder=0)
            if i == 0:
                axes.set_title(title, loc="left", pad=14)
                axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0)
            last = i == len(names) - 1 or (j and not names[i + 1].startswith("arms"))
            labels = [g[0] for g in groups] if last else []
            axes.set_xticks(range(len(groups)), labels or [""] * len(groups))
            axes.tick_params("x", rotation=50)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor", fontsize=5.5)
                label.set_in_layout(i == len(names) - 1)  # else they hang into an empty panel
        grid[i, 0].set_ylabel(f"{problem}\nprobability")
    _caption(figure, study, "After the last step; offline methods on the fixed pool.")
    return figure, DataFrame(rows, columns=COLUMNS)


FIGURES = {
    "bandit_problems": problems,
    "bandit_sweeps": sweeps,
    "bandit_log_probabilities": log_probabilities,
    "bandit_divergences": divergences,
    "bandit_masses": masses,
}
