"""The figure of methods: a line for every method and way to compare, drawn from the claims alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd

from figures import save
from figures.methods import compared_table, draw_methods, methods
from tests.analysis.simulated_study import simulate
from tests.analysis.test_comparison import PRIMARY, TABLE, with_use


def planted():
    study = simulate(methods=tuple(TABLE), levels=(0.0,), seeds=(0,), pairs=40, primary=PRIMARY)
    return with_use(study, lambda method, x: 0.5 + (0.1 * x if method == "rloo" else 0 * x))


def test_files_and_table_hold_every_method_twice(tmp_path: Path) -> None:
    study = planted()
    paths = save(draw_methods(study), tmp_path)
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".md", ".tex"}
    table = pd.read_csv(tmp_path / "tables" / "methods.csv")
    slopes = table[(table["claim"] == "use") & (table["statistic"] == "slope")]
    assert sorted(slopes["method"]) == sorted([*TABLE, *TABLE])
    steep = slopes.set_index("method").loc["rloo", "value"].mean()
    assert abs(steep - 0.1) < 0.02 and steep > slopes.set_index("method").loc["dpo", "value"].max()


def test_a_line_a_method_in_every_panel() -> None:
    study = planted()
    table = compared_table(study)
    figure = methods(study, table)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert sorted(names) == sorted(TABLE)
    assert [len(axes.containers) for axes in figure.axes] == [12, 12, 10, 10]


def test_a_study_of_failed_runs_says_so() -> None:
    study = planted()
    runs = study.runs.assign(status="failed", error="NaN loss")
    figure = methods(replace(study, runs=runs))
    assert "none finished" in figure.texts[1].get_text()
