"""Where the probability of tuned bandits is: by region of the arms, and by what was sampled."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.statistics.seeds import paired
from figures.bandit_lines import COLUMNS, GREEN, caption, complementary, offline, problems_of
from figures.style import DOUBLE, GREY, INK, PALE, SPURIOUS, TARGET

MASSES = {
    "regions of the arms": {"mass_high": "60 to 80", "mass_low": "10 to 30"},
    "arms by what was sampled": {"mass_chosen": "best sampled", "mass_rejected": "others sampled",
                                 "mass_never": "never sampled"},
}  # fmt: skip


def masses(study: Study) -> tuple[Figure, DataFrame]:
    """Where the probability is at the end: by region, and by what the fixed set sampled (arms only)."""
    names = problems_of(study)
    figure = Figure(figsize=(DOUBLE, 0.6 + 1.5 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), 2, squeeze=False, width_ratios=(2, 3))
    rows: list[dict[str, Any]] = []
    palette = (SPURIOUS, TARGET, GREEN)
    for i, problem in enumerate(names):
        pool = list(offline(study, problem))
        groups = [("reference", pool[0][2][pool[0][2]["step"] == 0])]
        online = [line for line in complementary(study, problem) if line[0].startswith("online")]
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
    caption(figure, study, "After the last step; offline methods on the fixed pool.")
    return figure, DataFrame(rows, columns=COLUMNS)
