"""Methods on problems of length: how far from the best length they are along the run, and at its end."""

from __future__ import annotations

import math
from collections.abc import Iterator

from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.papers.lengths import MIN, MODE, SKEW, run_table
from analysis.statistics.seeds import paired
from figures.stage_style import caption
from figures.style import DOUBLE, GREY, Drawn, band, counted, message, styled

GROUPS = {
    "off-policy": ("pref-ft", "dpo", "ipo"),
    "on-policy, no negative gradient": ("online-bon-distillation", "rwr"),
    "on-policy, policy gradient": ("reinforce", "rloo", "ppo"),
    "on-policy, pairs": ("online-dpo", "online-ipo"),
}
COLOURS = {
    "off-policy": "#D55E00",
    "on-policy, no negative gradient": "#E69F00",
    "on-policy, policy gradient": "#009E73",
    "on-policy, pairs": "#0072B2",
}
"""Of Okabe and Ito's palette."""
LINES = ("-", "--", ":")
"""Of the methods of one group, in their order."""


def draw_lengths(study: Study) -> Iterator[Drawn]:
    """Both figures, each with what it shows as a table."""
    along, ends = along_table(study), end_table(study)
    yield Drawn("lengths_along", lengths_along(study, along), along)
    yield Drawn("gold_at_end", gold_at_end(study, ends), ends)
    moved = log_probability_table(study)
    yield Drawn("log_probabilities_along", log_probabilities_along(study, moved), moved)


def along_table(study: Study) -> DataFrame:
    """One row a problem, method and step: words from the best length, over seeds, with the 95 % interval."""
    points = study.texts[study.texts["status"] == "ok"]
    rows = []
    for (task, method, step), part in points.groupby(["task", "method", "step"]):
        mean, low, high, *_ = paired(-part["reward"])
        rows.append(
            {"problem": task, "method": method, "step": step, "distance": mean, "low": low, "high": high}
            | {"seeds": part["seed_data"].nunique(), "completions": int(part["completions"].iloc[0])}
            | {"length": part["length"].mean(), "mode": part["reference_mode"].median()}
        )
    columns = [
        *("problem", "method", "step", "distance", "low", "high", "seeds", "completions", "length", "mode")
    ]
    return DataFrame(rows, columns=columns)


def end_table(study: Study) -> DataFrame:
    """One row a problem and method: gold reward at the end over seeds, with its 95 % interval."""
    rows = []
    for (task, method), runs in run_table(study).groupby(["task", "method"]):
        mean, low, high, *_ = paired(runs["end"])
        rows.append(
            {"problem": task, "method": method, "gold": mean, "low": low, "high": high, "seeds": len(runs)}
        )
    return DataFrame(rows, columns=["problem", "method", "gold", "low", "high", "seeds"])


def _problems(table: DataFrame) -> list[str]:
    known = [name for name in (MIN, MODE, SKEW) if name in set(table["problem"])]
    return [*known, *sorted(set(table["problem"]) - set(known))]


def _looks(methods: set[str]) -> dict[str, tuple[str, str]]:
    """Colour and line of each method, those of a group in one colour; others are grey."""
    found = {
        method: (COLOURS[group], LINES[i % len(LINES)])
        for group, members in GROUPS.items()
        for i, method in enumerate(members)
        if method in methods
    }
    others = sorted(methods - set(found))
    return found | {method: (GREY, LINES[i % len(LINES)]) for i, method in enumerate(others)}


@styled
def lengths_along(study: Study, table: DataFrame | None = None) -> Figure:
    """Words between a completion and the best length against optimiser steps, a panel a problem.

    Of min-length and skew-length these are its words, of mode-length its distance from the mode.
    """
    table = along_table(study) if table is None else table
    if not len(table):
        return message("Length along the run", "Nothing to draw: no run on a text problem finished.")
    problems, looks = _problems(table), _looks(set(table["method"]))
    figure = Figure(figsize=(DOUBLE, 2.9), layout="constrained")
    panels = figure.subplots(1, len(problems), squeeze=False)[0]
    for panel, problem in zip(panels, problems, strict=True):
        mine = table[table["problem"] == problem]
        for method, (colour, line) in looks.items():
            part = mine[mine["method"] == method].sort_values("step")
            if len(part):
                panel.plot(part["step"], part["distance"], line, color=colour, lw=1.0, label=method)
                band(panel, part.rename(columns={"step": "x", "distance": "y", "seeds": "n"}), colour)
        panel.set_title(problem.rpartition("/")[2], loc="left")
        panel.set_xlabel("optimiser steps")
        panel.set_ylabel("words from the mode" if problem == MODE else "words of a completion")
        panel.set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    caption(figure, f"Means and 95 % t intervals over {_seeds(table)}")
    return figure


def _seeds(table: DataFrame) -> str:
    least, most = int(table["seeds"].min()), int(table["seeds"].max())
    return counted(most, "seed") if least == most else f"{least} to {most} seeds"


@styled
def gold_at_end(study: Study, table: DataFrame | None = None) -> Figure:
    """Gold reward after the last step, with 95 % intervals over seeds; dots are seeds."""
    table = end_table(study) if table is None else table
    if not len(table):
        return message("Gold reward at the end", "Nothing to draw: no run on a text problem finished.")
    runs = run_table(study)
    problems, looks = _problems(table), _looks(set(table["method"]))
    figure = Figure(figsize=(DOUBLE, 0.9 + 0.17 * len(looks)), layout="constrained")
    # Names of methods come out wider than the layout reckons.
    figure.get_layout_engine().set(w_pad=0.06, rect=(0.03, 0, 0.97, 1))  # type: ignore[union-attr, call-arg]
    panels = figure.subplots(1, len(problems), sharey=True, squeeze=False)[0]
    places = {method: -i for i, method in enumerate(looks)}
    for panel, problem in zip(panels, problems, strict=True):
        before = study.texts[(study.texts["task"] == problem) & (study.texts["step"] == 0)]["reward"].mean()
        for row in table[table["problem"] == problem].to_dict("records"):
            place, colour = places[row["method"]], looks[row["method"]][0]
            panel.barh(place, row["gold"] - before, left=before, color=colour, height=0.7, alpha=0.75)
            if not math.isnan(row["low"]):
                panel.plot([row["low"], row["high"]], [place, place], color="black", lw=0.8)
            ends = runs[(runs["task"] == problem) & (runs["method"] == row["method"])]["end"]
            panel.plot(ends, [place] * len(ends), ".", color="black", ms=2.5)
        panel.axvline(before, color=GREY, lw=0.7, ls="--")
        panel.set_xlim(left=panel.get_xlim()[0] - 0.2, right=0.6)
        panel.set_title(problem.rpartition("/")[2], loc="left")
        panel.set_xlabel("gold reward, words: 0 is best,\nbars begin at the reference")
    panels[0].set_yticks(list(places.values()), list(places))
    caption(figure, f"Means and 95 % t intervals over {_seeds(table)}, a dot each")
    return figure


SIDES = ("chosen", "rejected")


def log_probability_table(study: Study) -> DataFrame:
    """One row a problem, method, side and step: log p of held-out answers less that at the start."""
    points = study.texts[study.texts["status"] == "ok"]
    start = points[points["step"] == 0].set_index("key")
    rows = []
    for (task, method, step), part in points.groupby(["task", "method", "step"]):
        for side in SIDES:
            name = f"log_prob_{side}"
            change, low, high, _, n = paired(part[name] - part["key"].map(start[name]))
            told = {"problem": task, "method": method, "side": side, "step": step}
            rows.append(told | {"change": change, "low": low, "high": high, "seeds": n})
    names = ["problem", "method", "side", "step", "change", "low", "high", "seeds"]
    return DataFrame(rows, columns=names)


@styled
def log_probabilities_along(study: Study, table: DataFrame | None = None) -> Figure:
    """By how much chosen and rejected answers became likelier along the run: the paper's implicit rewards,
    beta left out."""
    table = log_probability_table(study) if table is None else table
    if not table["change"].notna().any():
        return message("Chosen and rejected", "Nothing to draw: no run on a text problem finished.")
    problems, looks = _problems(table), _looks(set(table["method"]))
    figure = Figure(figsize=(DOUBLE, 4.2), layout="constrained")
    grid = figure.subplots(len(SIDES), len(problems), squeeze=False, sharex=True, sharey="col")
    for side, panels in zip(SIDES, grid, strict=True):
        for panel, problem in zip(panels, problems, strict=True):
            mine = table[(table["problem"] == problem) & (table["side"] == side)]
            for method, (colour, line) in looks.items():
                part = mine[mine["method"] == method].sort_values("step")
                panel.plot(part["step"], part["change"], line, color=colour, lw=1.0, label=method)
                band(panel, part.rename(columns={"step": "x", "change": "y", "seeds": "n"}), colour)
            panel.axhline(0, color=GREY, lw=0.5)
            panel.set_yscale("symlog", linthresh=1, linscale=0.6)
            panel.set_title(f"{problem.rpartition('/')[2]}: {side}", loc="left")
        panels[0].set_ylabel("change of log p, nats")
    for panel in grid[-1]:
        panel.set_xlabel("optimiser steps")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=5)
    caption(figure, f"Held-out pairs; a symmetric log scale. Means and 95 % t intervals over {_seeds(table)}")
    return figure
