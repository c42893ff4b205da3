"""How figures of stages tell policies apart, and what they stand on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from analysis.stage_schema import IN
from analysis.stages.stage_runs import SETTING
from figures.style import GREY, SMALL, counted

LOOKS = {
    "sft": (GREY, "o"),
    "ppo": ("#0072B2", "s"),
    "rloo": ("#56B4E9", "D"),
    "best-of-n": ("#009E73", "^"),
    "dpo": ("#E69F00", "v"),
    "superhf": ("#CC79A7", "P"),
}
"""Colour, of Okabe and Ito's palette, and marker of the policies that the papers have."""
OTHERS = (("#D55E00", "X"), ("#000000", "*"), ("#F0E442", "h"), ("#882255", "<"), ("#44AA99", ">"))


def looks_of(policies: Iterable[str]) -> dict[str, tuple[str, str]]:
    """A look for each policy, the same in all figures for those that the papers have."""
    names = list(dict.fromkeys(policies))
    others = [name for name in names if name not in LOOKS]
    return {name: LOOKS.get(name) or OTHERS[others.index(name) % len(OTHERS)] for name in names}


def where(names: tuple[str, str, float], table: DataFrame, *, task: bool = True) -> str:
    """What the rows of one setting are of: the task, the evidence, and the model if there are several."""
    model, of, rate = names
    parts = [of.rpartition("/")[2]] if task else []
    parts += [f"evidence {rate:g}"] + ([model] if table["model"].nunique() > 1 else [])
    return ", ".join(parts)


def by_setting(table: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    """Rows by model, task and level of evidence, with a name for a file."""
    several = {name: table[name].nunique() > 1 for name in ("model", "evidence_rate")}
    for (model, task, rate), part in table.groupby(SETTING):
        slug = str(task).rpartition("/")[2]
        slug += f"_evidence_{rate:g}" if several["evidence_rate"] else ""
        yield slug + (f"_{str(model).replace('/', '-')}" if several["model"] else ""), part


def shift_label(shift: str) -> str:
    return "in distri-\nbution" if shift == IN else shift.replace("-", " ")


def count_note(seeds: int, data_seeds: int, inputs: int) -> str:
    """What a figure's numbers stand on."""
    return f"{counted(seeds, 'run')} on {counted(data_seeds, 'SFT model')}, {counted(inputs, 'input')} each"


def caption(figure: Figure, text: str) -> None:
    figure.supxlabel(text, fontsize=SMALL, color=GREY, x=0.01, ha="left")


def legend(figure: Figure, axes: Axes, columns: int = 6) -> None:
    handles, names = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper center", ncols=columns)
