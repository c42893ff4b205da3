"""Figures of Kirk et al. 2024: win rates under shifts, diversity, and the sweep of the KL's weight.

References: Kirk et al. 2024 (https://arxiv.org/abs/2310.06452). Win rates are by the gold reward, where the
paper has a language model judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.papers.kirk2024 import is_instruct
from analysis.stage_schema import ACROSS, IN, PER_INPUT
from analysis.stages.generalisation import (
    HEAD_TO_HEAD,
    LEVEL,
    WIN_RATE,
    compare,
    performance,
    performance_table,
)
from analysis.stages.stage_diversity import diversity_by_kl, diversity_table
from analysis.stages.stage_runs import SETTING, SFT, axis_of, level_of, policies_of, shifts_of, single
from figures.stage_diversity import COUNTED, EXACT, against_kl, diversity_bars
from figures.stage_style import by_setting, caption, count_note, legend, looks_of, shift_label, where
from figures.stage_sweeps import kl_sweep, sweep_table
from figures.style import DOUBLE, GREY, Drawn, message, style

INTERVALS = "95 % intervals over seeds and inputs"


def draw_kirk2024(study: Study) -> Iterator[Drawn]:
    """Every figure of the paper."""
    for name, (figure, table) in kirk2024_figures(study).items():
        yield Drawn(f"kirk2024_{name}", figure, table)


def kirk2024_figures(study: Study) -> dict[str, tuple[Figure, DataFrame]]:
    """Every figure with what it shows, by name."""
    with style():
        return _figures(study)


def _figures(study: Study) -> dict[str, tuple[Figure, DataFrame]]:
    rates, heads = win_rate_table(study), head_to_head_table(study)
    instructs = rates["task"].map(is_instruct).astype(bool)
    diversity = diversity_table(study)
    figures = {
        "figure2_win_rate_summarise": win_rates(rates[~instructs]),
        "figure3_win_rate_instruct": win_rates(rates[instructs]),
        "figure4_head_to_head": head_to_head(heads),
        "figure5_per_input_diversity": diversity_bars(diversity, PER_INPUT),
        "figure6_across_input_diversity": diversity_bars(diversity, ACROSS),
    }
    for slug, part in by_setting(diversity_by_kl(study)):
        figures[f"exact_quantities_{slug}"] = against_kl(part, EXACT)
        for scope in (PER_INPUT, ACROSS):
            panels = [(measure, scope) for measure in COUNTED]
            figures[f"{scope.replace(' ', '_')}_diversity_by_kl_{slug}"] = against_kl(part, panels)
    for slug, part in by_setting(sweep_table(study)):
        figures[f"figures11to13_kl_sweep_{slug}"] = kl_sweep(part)
    return figures


def win_rate_table(study: Study) -> DataFrame:
    """One row a setting, policy and shift: win rate against the reference answer, ties one half."""
    stages = single(study.stages[study.stages["status"] == "ok"])
    return _levels(study, performance_table(performance(stages, study.outputs)), WIN_RATE)


def head_to_head_table(study: Study) -> DataFrame:
    """One row a setting, policy and shift: win rate over the SFT model of the data seed."""
    stages = single(study.stages[study.stages["status"] == "ok"])
    asked = stages[stages["key"].isin(set(study.outputs["key"]))]
    found = [
        performance_table(compare(part, study.outputs, policy, SFT))
        for _, part in asked.groupby(SETTING)
        for policy in policies_of(part)
        if policy != SFT and SFT in set(part["policy"])
    ]
    return _levels(study, pd.concat(found) if found else DataFrame(), HEAD_TO_HEAD)


COLUMNS = [
    *SETTING, "policy", "shift", "value", "low", "high", "n_inputs", "n_seeds", "sft_models", "ties",
    "inputs_left_out", "outputs_left_out", "seeds_left_out", "note",
]  # fmt: skip


def _levels(study: Study, table: DataFrame, statistic: str) -> DataFrame:
    if not len(table):
        return DataFrame(columns=COLUMNS)
    table = table[(table["statistic"] == statistic) & (table["quantity"] == LEVEL)]
    stages = study.stages[study.stages["status"] == "ok"]
    seeds = stages.groupby([*SETTING, "policy"])["seed_data"].nunique().rename("sft_models").reset_index()
    return table.merge(seeds, on=[*SETTING, "policy"], how="left")[COLUMNS].reset_index(drop=True)


def win_rates(table: DataFrame) -> tuple[Figure, DataFrame]:
    """Figures 2 and 3: bars by shift and policy; a row a task, model and level of evidence."""
    groups = list(table.groupby(SETTING))
    if not groups:
        return message("Win rate against the reference answer", "Nothing to draw: no such outputs."), table
    looks = looks_of(policies_of(table))
    figure = Figure(figsize=(DOUBLE, 0.75 + 1.75 * len(groups)), layout="constrained")
    for axes, (names, part) in zip(_column(figure, len(groups)), groups, strict=True):
        shifts = shifts_of(part)
        width = 0.84 / len(looks)
        for i, (policy, (colour, _)) in enumerate(looks.items()):
            rows = part[part["policy"] == policy].set_index("shift").reindex(shifts)
            places = np.arange(len(shifts)) + (i - (len(looks) - 1) / 2) * width
            bars(axes, places, rows, width, colour, policy)
        axes.axhline(0.5, color=GREY, lw=0.6, ls=":")
        axes.set_xticks(range(len(shifts)), [shift_label(shift) for shift in shifts])
        axes.set_ylim(0, 1)
        axes.set_ylabel("win rate against\nthe reference answer")
        axes.set_title(f"{where(names, table)} ({_counts(part)})", loc="left")
    legend(figure, axes)
    caption(figure, f"By the gold reward, ties one half (dotted: no better than the reference); {INTERVALS}")
    return figure, table


def _counts(part: DataFrame) -> str:
    """Runs, SFT models and inputs of the policy that has most runs."""
    row = part.sort_values("n_seeds").iloc[-1]
    return count_note(row["n_seeds"], row["sft_models"], round(row["n_inputs"] / max(row["sft_models"], 1)))


def bars(axes: Axes, places: np.ndarray, rows: DataFrame, width: float, colour: str, label: str) -> None:
    """Bars with their intervals; what is not known leaves a gap."""
    axes.bar(places, rows["value"], width=0.92 * width, color=colour, label=label)
    axes.hlines(rows["value"], places - 0.46 * width, places + 0.46 * width, color=colour, lw=1.2)  # of 0 too
    known = rows["low"].notna().to_numpy()
    axes.vlines(places[known], rows["low"][known], rows["high"][known], color="black", lw=0.7)


def _column(figure: Figure, rows: int) -> list[Axes]:
    return list(figure.subplots(rows, 1, squeeze=False)[:, 0])


def head_to_head(table: DataFrame) -> tuple[Figure, DataFrame]:
    """Figure 4: win rate over the SFT model from in distribution outwards, a panel an axis of shifts."""
    groups = list(table.groupby(SETTING))
    if not groups:
        return message("Head to head with SFT", "Nothing to draw: no policy beside an SFT model."), table
    panels = [
        (names, part, list(dict.fromkeys(axis_of(s) for s in shifts_of(part) if s != IN)))
        for names, part in groups
    ]
    looks = looks_of(policies_of(table))
    figure = Figure(figsize=(DOUBLE, 0.75 + 1.75 * len(panels)), layout="constrained")
    wide = max(1, *(len(found) for *_, found in panels))
    grid = figure.subplots(len(panels), wide, squeeze=False, sharey=True)
    for line, (names, part, found) in zip(grid, panels, strict=True):
        for axes, axis in zip_longest(line, found):
            if axis is None:
                axes.set_axis_off()
                continue
            of_axis = part["shift"].map(axis_of).eq(axis) | part["shift"].eq(IN)
            _outwards(axes, part[of_axis], looks)
            axes.set_title(axis if axes is not line[0] else f"{where(names, table)}: {axis}", loc="left")
        line[0].set_ylabel("win rate over SFT")
    legend(figure, grid[0, 0])
    told = _counts(table)
    caption(figure, f"By the gold reward, ties one half (dotted: no better than SFT); {told}; {INTERVALS}")
    return figure, table


def _outwards(axes: Axes, part: DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    shifts = shifts_of(part)
    for i, (policy, (colour, marker)) in enumerate(looks.items()):
        rows = part[part["policy"] == policy].set_index("shift").reindex(shifts).dropna(subset="value")
        off = (i - (len(looks) - 1) / 2) * 0.05
        places = np.array([level_of(str(shift)) for shift in rows.index], float) + off
        axes.plot(places, rows["value"], marker=marker, ms=3, lw=0.9, color=colour, label=policy)
        axes.vlines(places, rows["low"], rows["high"], color=colour, lw=0.7)
    levels = sorted({level_of(shift) for shift in shifts})
    axes.set_xticks(levels, ["in" if level == 0 else str(level) for level in levels])
    axes.set_xlabel("level of the shift")
    axes.axhline(0.5, color=GREY, lw=0.6, ls=":")
