"""Bits by layer and by step: what is drawn is what the records say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from figures import draw_bits_along, save
from figures.bits_along import COLUMNS, bits_along
from figures.style import SPURIOUS, TARGET


def series(
    at: list[float], names: list[str] | None = None, tuned: bool = False, learnt: bool = False
) -> pd.DataFrame:
    """Bits of both features; the first point of the spurious one is no cheaper than shuffled labels."""
    rows: list[dict[str, Any]] = []
    for i, place in enumerate(at):
        for role in ("target", "spurious"):
            censored = role == "spurious" and i == 0
            row = {"at": place, "name": names[i] if names else str(place), "task": "t", "role": role}
            row |= {"feature": f"f-{role}", "censored": censored, "control_low": 0.99}
            row |= {"bits_per_label": 1.0 if censored else 0.9 / (i + 1 + (role == "target"))}
            rows.append(row | {"U": 0.1 * i if learnt and i else None, "B": 0.5 / (i + 1) if tuned else None})
    return pd.DataFrame(rows).reindex(columns=COLUMNS)


def drawn(figure: Figure, label: str) -> np.ndarray:
    (line,) = [
        line for ax in figure.axes for line in ax.get_lines() if str(line.get_label()).startswith(label)
    ]
    return np.asarray(line.get_ydata(), dtype=float)


def test_every_point_is_drawn_in_the_colour_of_its_role() -> None:
    table = series([0, 10, 20, 30])
    figure = bits_along("step", table)
    (ax,) = figure.axes
    for role, colour in (("target", TARGET), ("spurious", SPURIOUS)):
        rows = table[table["role"] == role]
        np.testing.assert_array_equal(drawn(figure, f"{role}: f-{role}"), rows["bits_per_label"])
        (dots,) = [c for c in ax.collections if to_hex(c.get_edgecolor()[0]) == colour.lower()]
        faces = [to_hex(face) for face in dots.get_facecolor()]
        assert faces == ["#ffffff" if hollow else colour.lower() for hollow in rows["censored"]]
    assert (ax.get_xscale(), ax.get_ylim()[0]) == ("linear", 0)


@pytest.mark.parametrize(("learnt", "use"), [(True, [np.nan, 0.1, 0.2]), (False, [np.nan] * 3)])
def test_a_policy_on_its_way_has_its_use_below(learnt: bool, use: list[float]) -> None:
    figure = bits_along("step", series([0, 10, 20], tuned=True, learnt=learnt))
    assert len(figure.axes) == 2
    np.testing.assert_array_equal(drawn(figure, "U: "), use)
    np.testing.assert_array_equal(drawn(figure, "B: "), [0.5, 0.25, 0.5 / 3])


@pytest.mark.parametrize(
    ("at", "names", "scale", "label"),
    [
        ([0, 1, 10, 100, 1000], None, "symlog", "step"),
        ([0, 1, 2], ["main", "v1", "v2"], "linear", "revision"),
        ([5], None, "linear", "step"),
    ],
)
def test_the_axis_is_one_on_which_the_steps_can_be_told_apart(
    at: list[float], names: list[str] | None, scale: str, label: str
) -> None:
    ax = bits_along("step", series(at, names)).axes[-1]
    assert (ax.get_xscale(), ax.get_xlabel()) == (scale, label)
    if names:
        assert [tick.get_text() for tick in ax.get_xticklabels()] == names


def test_layers_stand_by_their_names() -> None:
    names = ["0", "1", "2", "last"]
    ax = bits_along("layer", series([0, 1, 2, 3], names)).axes[-1]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == names
    assert ax.get_xscale() == "linear" and ax.get_xlabel().startswith("layer")


def test_what_is_drawn_is_beside_it_as_a_table(tmp_path: Path) -> None:
    table = series([0, 10])
    paths = save([draw_bits_along("step", table, "bits")], tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "bits.png",
        "bits.pdf",
        "tables/bits.csv",
        "tables/bits.md",
        "tables/bits.tex",
    ]
    found = pd.read_csv(paths[2])
    assert list(found["bits_per_label"]) == pytest.approx(list(table["bits_per_label"]))
