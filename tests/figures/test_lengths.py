"""Figures of lengths: what is drawn is what the records hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.papers.lengths import MIN, MODE, SKEW, run_table
from figures import save
from figures.lengths import (
    along_table,
    draw_lengths,
    end_table,
    gold_at_end,
    lengths_along,
    log_probabilities_along,
    log_probability_table,
)
from tests.analysis.simulated_lengths import METHODS, simulated

STUDY = simulated(seeds=3)


def test_a_line_a_method_goes_through_its_mean_distances() -> None:
    panels = lengths_along(STUDY).axes
    assert [panel.get_title(loc="left") for panel in panels] == ["min-length", "mode-length", "skew-length"]
    for panel, problem in zip(panels, (MIN, MODE, SKEW), strict=True):
        lines = {line.get_label(): line for line in panel.lines}
        assert set(lines) == set(METHODS)
        for method, line in lines.items():
            mine = STUDY.texts[(STUDY.texts["task"] == problem) & (STUDY.texts["method"] == method)]
            mean = -mine.groupby("step")["reward"].mean()
            np.testing.assert_allclose(line.get_xydata(), np.stack([mean.index, mean], axis=1))


def test_bars_reach_from_the_reference_to_the_gold_reward() -> None:
    ends, runs = end_table(STUDY), run_table(STUDY)
    before = STUDY.texts[(STUDY.texts["task"] == SKEW) & (STUDY.texts["step"] == 0)]["reward"].mean()
    bars = gold_at_end(STUDY).axes[2].patches
    mine = ends[ends["problem"] == SKEW]
    assert len(bars) == len(mine) == len(METHODS)
    for bar, (method, gold) in zip(bars, zip(mine["method"], mine["gold"], strict=True), strict=True):
        own = runs[(runs["task"] == SKEW) & (runs["method"] == method)]["end"]
        assert gold == pytest.approx(own.mean())
        ends_at = sorted((bar.get_x(), bar.get_x() + bar.get_width()))
        assert ends_at == pytest.approx(sorted((before, gold)))


def test_files_are_written_and_a_study_without_runs_says_so(tmp_path: Path) -> None:
    paths = save(draw_lengths(STUDY), tmp_path)
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".md", ".tex"} and all(
        p.exists() for p in paths
    )
    empty = dataclasses.replace(STUDY, texts=STUDY.texts[:0])
    assert "Nothing to draw" in "".join(text.get_text() for text in gold_at_end(empty).texts)
    assert not len(along_table(empty))


def test_chosen_and_rejected_are_changes_from_the_start() -> None:
    texts = STUDY.texts
    told = {"log_prob_chosen": texts["reward"], "log_prob_rejected": texts["reward"] * 2 - texts["step"]}
    study = dataclasses.replace(STUDY, texts=texts.assign(**told))
    table = log_probability_table(study)
    rejected = table[(table["problem"] == SKEW) & (table["side"] == "rejected")]
    row = rejected[rejected["step"] > 0].iloc[0]
    mine = study.texts[(study.texts["task"] == SKEW) & (study.texts["method"] == row["method"])]
    by_step = mine.groupby("step")["log_prob_rejected"].mean()
    assert row["change"] == pytest.approx(by_step[row["step"]] - by_step[0])
    assert (table.loc[table["step"] == 0, "change"] == 0).all()
    figure = log_probabilities_along(study, table)
    assert len(figure.axes) == 6 and "3 seeds" in figure.get_supxlabel()
    empty = dataclasses.replace(STUDY, texts=STUDY.texts[:0])
    assert "Nothing to draw" in "".join(text.get_text() for text in log_probabilities_along(empty).texts)
