"""The figure after Lovering et al. 2021 shows what the records say; where there is nothing, it says so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from analysis.pairs.lovering2021 import errors_by_evidence, evidence_required
from analysis.use import wilson
from figures import draw_lovering2021, save
from figures.lovering2021 import bars_and_lines, bars_and_lines_table
from figures.lovering_average import average_by_extractability, average_table
from tests.analysis.simulated_study import simulate


@pytest.fixture(scope="module")
def quick_study():
    study = simulate(pairs=10, levels=(0.0, 0.01, 0.5), arms=("main", "one_sided"))
    kind = study.runs.evidence_kind.where(study.runs.arm != "one_sided", "one_sided")
    return dataclasses.replace(study, runs=study.runs.assign(evidence_kind=kind))


def test_files(quick_study, tmp_path):
    paths = save(draw_lovering2021(quick_study), tmp_path)
    names = {"bars_and_lines.png", "bars_and_lines.pdf"}
    names |= {"average_by_extractability.png", "average_by_extractability.pdf"}
    tables = ("bars_and_lines", "evidence_required", "average_by_extractability")
    names |= {f"tables/{name}.{ext}" for name in tables for ext in ("csv", "md", "tex")}
    assert {str(path.relative_to(tmp_path)) for path in paths} == names
    assert all(path.stat().st_size > 100 for path in paths)
    text = (tmp_path / "tables" / "evidence_required.csv").read_text()
    assert text.count("\n") == 1 + len(evidence_required(quick_study))


def test_a_bar_and_a_line_a_pair(quick_study):
    table = bars_and_lines_table(quick_study)
    bars, lines = bars_and_lines(quick_study).axes
    tasks = table.groupby("task").relative.first().sort_values(na_position="first")
    assert [label.get_text() for label in bars.get_yticklabels()] == list(tasks.index)
    assert [bar.get_width() for bar in bars.patches] == pytest.approx(tasks.fillna(0.0))
    assert len(lines.lines) == len(table.groupby(["task", "method"]))
    colour = {task: to_rgba(bar.get_facecolor()) for task, bar in zip(tasks.index, bars.patches, strict=True)}
    order = [task for task in tasks.index if tasks.notna()[task]]
    coloured = [to_rgba(line.get_color()) for line in lines.lines[-len(order) :]]
    assert coloured == [colour[task] for task in order]  # drawn in the bars' order, those without a bar first
    drawn = np.sort(np.concatenate([line.get_ydata() for line in lines.lines]))
    assert drawn == pytest.approx(np.sort(table.spurious_only))


def test_intervals_are_of_the_answers_of_all_runs(quick_study):
    table = bars_and_lines_table(quick_study)
    row = table.iloc[3]
    runs = quick_study.runs[(quick_study.runs.arm == "one_sided") & (quick_study.runs.task == row.task)]
    runs = runs[runs.evidence_rate == row.evidence]
    k, n = runs.errors_spurious_only.sum(), runs.n_spurious_only.sum()
    assert len(runs) == 2 and (row.low, row.high, row.n) == (*wilson(k, n), n)
    assert row.spurious_only == pytest.approx(k / n)


def test_the_scatter_has_the_average_of_the_claim(quick_study):
    table = average_table(quick_study).set_index("task")
    errors = errors_by_evidence(quick_study)
    wanted = errors[errors.arm == "one_sided"].groupby("task").error.mean()
    assert table.average_error.to_dict() == pytest.approx(wanted.to_dict())
    assert ((table.low <= table.average_error) & (table.average_error <= table.high)).all()
    assert set(table.levels) == {3} and set(table.runs) == {6}
    (axes,) = average_by_extractability(table.reset_index()).axes
    drawn = np.concatenate([line.get_ydata() for line in axes.lines if line.get_marker() == "o"])
    assert np.sort(drawn) == pytest.approx(np.sort(table.average_error))


@pytest.mark.parametrize("name", ["no record", "one run", "only failed runs", "no probes", "only controls"])
def test_poor_studies_are_drawn_or_said_to_be_poor(poor_studies, name, tmp_path):
    assert save(draw_lovering2021(poor_studies[name]), tmp_path)
