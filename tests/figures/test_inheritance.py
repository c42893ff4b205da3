"""The figure of inheritance: a panel for every arm and level of evidence, a line a pair, and one slope."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from analysis.pairs.inheritance import inheritance, inheritance_table
from figures import draw_inheritance, save
from figures.inheritance import inheritance_figure
from tests.analysis.test_inheritance import tuned_on_rewards


def test_what_is_drawn_is_the_table(tmp_path):
    study = tuned_on_rewards(0.8, methods=("rloo", "superhf"))
    runs = study.runs
    policies = runs[runs.reward_model != ""]
    more = pd.concat([runs, policies.assign(evidence_rate=0.0, U=0.5)])
    table = inheritance_table(dataclasses.replace(study, runs=more))
    figure = inheritance_figure(table)
    zero, half = figure.axes
    assert "evidence 0 in" in zero.get_title(loc="left") and "evidence 0.5 in" in half.get_title(loc="left")
    pairs = table.task.nunique()
    assert len(half.lines) == 2 * (pairs + 1) + 1  # both methods' pairs and slopes, and the diagonal
    for axes, rate in ((zero, 0.0), (half, 0.5)):
        bold = [line for line in axes.lines if line.get_linewidth() == 1.6]
        for line, method in zip(bold, ("rloo", "superhf"), strict=True):
            rows = table[(table.evidence_rate == rate) & (table.method == method)]
            (x0, x1), (y0, y1) = line.get_xdata(), line.get_ydata()
            assert (y1 - y0) / (x1 - x0) == pytest.approx(inheritance(rows, permutations=9).value)
    assert {p.name for p in save(draw_inheritance(study), tmp_path)} == {
        f"inheritance.{ending}" for ending in ("png", "pdf", "csv", "md", "tex")
    }


def test_a_study_without_learnt_policies_is_said_to_have_none(tmp_path):
    study = tuned_on_rewards(0.8)
    runs = study.runs.assign(U=float("nan"))
    figure = inheritance_figure(inheritance_table(dataclasses.replace(study, runs=runs)))
    assert "no learnt policy" in figure.texts[1].get_text()
