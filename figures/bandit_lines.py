"""Lines of a bandit study: which cells make one, how it looks, and its mean over seeds with an interval."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis import Study
from analysis.papers.bandit_differences import BON, PPO, cells_of
from analysis.statistics.seeds import paired
from figures.style import INK, SMALL, SPURIOUS, TARGET, band

GREEN = "#009E73"
SHORT = {
    "bon-distillation": "best-of-N",
    "dpo": "DPO",
    "ipo": "IPO",
    "dpo-without-negative": "DPO without negative",
    "ipo-without-negative": "IPO without negative",
    BON: "online best-of-N",
    "online-dpo": "online DPO",
    "online-ipo": "online IPO",
    PPO: "PPO (no critic)",
}
COLOURS = {"bon": INK, "dpo": TARGET, "ipo": SPURIOUS, "ppo": GREEN}
RAMP = (INK, "#56B4E9", "#E69F00", SPURIOUS)
"""From on-policy to off-policy."""
COLUMNS = ["figure", "panel", "problem", "line", "x", "y", "low", "high", "n"]
Line = tuple[str, dict[str, Any], DataFrame]
"""Label, look, measurements."""


def problems_of(study: Study) -> list[str]:
    return sorted(set(cells_of(study).runs["problem"]))


def _look(method: str) -> dict[str, Any]:
    colour = next(c for stem, c in COLOURS.items() if stem in method)
    dashes = (0, (3, 1.5)) if method.endswith("without-negative") else "-"
    return {"color": colour, "ls": dashes, "lw": 0.9 if not method.startswith("online") else 1.5}


def batch_size(study: Study, problem: str) -> Iterator[Line]:
    cells = cells_of(study)
    for colour, value in zip(RAMP, cells.values_of(problem, "batches", BON), strict=False):
        yield (
            f"{value}" + (" batch" if value == 1 else " batches"),
            {"color": colour},
            cells.measured(problem, BON, batches=value),
        )


def reuse(method: str) -> Callable[[Study, str], Iterator[Line]]:
    def lines(study: Study, problem: str) -> Iterator[Line]:
        cells = cells_of(study)
        for colour, value in zip(RAMP, cells.values_of(problem, "reuse", method), strict=False):
            yield f"T = {value}", {"color": colour}, cells.measured(problem, method, reuse=value)

    return lines


def offline(study: Study, problem: str, ablated: bool = True) -> Iterator[Line]:
    names = ["bon-distillation", "dpo", "dpo-without-negative", "ipo", "ipo-without-negative"]
    cells = cells_of(study)
    for name in names if ablated else ["bon-distillation", "dpo", "ipo"]:
        yield SHORT[name], _look(name), cells.measured(problem, name, **cells.pool(problem))


def complementary(study: Study, problem: str) -> Iterator[Line]:
    cells = cells_of(study)
    for name in (BON, "online-dpo", "online-ipo", "bon-distillation", "dpo", "ipo"):
        yield SHORT[name], _look(name), cells.measured(problem, name)


def draw_lines(
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
            band(axes, table, style["color"])
            rows += found
    return rows


def caption(figure: Figure, study: Study, text: str) -> None:
    seeds = study.bandits.loc[study.bandits["status"] == "ok", "seed"].nunique()
    figure.supxlabel(
        f"{text} Means and 95 % t intervals over {seeds} seeds.", fontsize=SMALL, x=0.01, ha="left"
    )
