"""Figures of Kirk et al. 2024: what is drawn is what the records hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.stages.generalisation import LEVEL, WIN_RATE, performance
from analysis.stages.stage_diversity import diversity_by_kl, diversity_table
from analysis.stages.stage_runs import single
from figures import save
from figures.kirk2024 import draw_kirk2024, head_to_head_table, kirk2024_figures, win_rate_table, win_rates
from figures.stage_diversity import EXACT, against_kl, diversity_bars
from figures.stage_sweeps import kl_sweep, sweep_table
from tests.analysis.simulated_stages import INSTRUCT, POLICIES, SUMMARISE, Truth, simulated, sweeps

STUDY = simulated({**POLICIES, **sweeps()}, inputs=12, seeds=3)


def test_bars_are_the_win_rates_of_the_table() -> None:
    table = win_rate_table(STUDY)
    figure, _ = win_rates(table)
    bars = [bar.get_height() for bar in figure.axes[0].patches]
    assert len(bars) == len(table) == 6 * 7
    np.testing.assert_allclose(sorted(bars), sorted(table["value"]))
    stages = single(STUDY.stages)
    rows = [
        row
        for row in performance(stages, STUDY.outputs)
        if (row.statistic, row.quantity) == (WIN_RATE, LEVEL)
    ]
    np.testing.assert_allclose(sorted(row.value for row in rows), sorted(table["value"]))
    assert (table["sft_models"] == 3).all() and (table["n_seeds"] == 3).all()


def test_sft_against_itself_is_not_drawn_and_equal_policies_win_half() -> None:
    equal = simulated({"ppo": Truth("ppo", 0.55)}, inputs=60, noise=0.0)
    table = head_to_head_table(equal)
    assert set(table["policy"]) == {"ppo"}
    assert table["value"].mean() == pytest.approx(0.5, abs=0.03)
    assert (table["low"] < table["value"]).all()


def test_diversity_bars_stand_between_floor_and_ceiling() -> None:
    table = diversity_table(STUDY)
    figure, shown = diversity_bars(table, "per input")
    ead = figure.axes[0]
    tops = [bar.get_y() + bar.get_height() for bar in ead.patches]
    mine = shown[shown["measure"] == "ead"].set_index("policy").loc[["sft", "ppo"]]["value"]
    np.testing.assert_allclose(tops[:2], mine)
    assert "floor 0.06, ceiling 1.00" in ead.get_xlabel()
    segments = [segment for line in ead.collections for segment in line.get_segments()]
    edges = {left[1] for left, right in segments if left[1] == right[1]}
    assert {1 / 16, 1.0} <= edges


def test_sweeps_go_by_beta_and_by_the_kl_reached() -> None:
    table = sweep_table(STUDY)
    figure, _ = kl_sweep(table)
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert set(lines) == {"ppo k1", "ppo k2", "sft"}
    gold = table[(table["measure"] == "gold") & (table["entry"] == "ppo k1")].sort_values("beta")
    np.testing.assert_allclose(lines["ppo k1"].get_xydata(), gold[["kl", "value"]])
    np.testing.assert_allclose(figure.axes[0].lines[0].get_xdata(), [0.01, 0.1, 1.0])
    assert set(table["estimator"]) == {"", "k1", "k2"} and (gold["runs"] == 3).all()


def test_means_against_kl_go_through_the_runs() -> None:
    table = diversity_by_kl(STUDY)
    figure, shown = against_kl(table, EXACT)
    panel = figure.axes[0]
    mine = shown[(shown["measure"] == "entropy") & (shown["policy"] == "ppo")]
    line = next(line for line in panel.lines if line.get_label() == "ppo")
    np.testing.assert_allclose(line.get_xydata()[0], mine[["kl", "value"]].mean())


def test_there_is_every_figure_of_every_task() -> None:
    study = simulated({"ppo k1": sweeps()["ppo k1"]}, tasks=(SUMMARISE, INSTRUCT), seeds=2, inputs=4)
    drawn = kirk2024_figures(study)
    for name in ("figure2_win_rate_summarise", "figure3_win_rate_instruct", "figure4_head_to_head"):
        assert name in drawn
    for task in ("summarise", "instruct"):
        assert f"figures11to13_kl_sweep_{task}" in drawn and f"exact_quantities_{task}" in drawn
    assert set(drawn["figure3_win_rate_instruct"][1]["task"]) == {INSTRUCT}


def test_files_are_written(tmp_path: Path) -> None:
    whole = simulated({"ppo": POLICIES["ppo"]}, seeds=2, inputs=3)
    paths = save(draw_kirk2024(dataclasses.replace(whole, measures=whole.measures[:0])), tmp_path)
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".md", ".tex"}
    assert all(path.exists() for path in paths)
    rates = pd.read_csv(tmp_path / "tables" / "kirk2024_figure2_win_rate_summarise.csv")
    np.testing.assert_allclose(sorted(rates["value"]), sorted(win_rate_table(whole)["value"]), atol=1e-5)


@pytest.mark.parametrize("lacking", ["everything", "outputs", "sft", "diversity", "a seed", "rates"])
def test_poor_studies_are_drawn_or_say_why_not(lacking: str) -> None:
    whole = simulated({"ppo": POLICIES["ppo"]}, seeds=2, inputs=3)
    stages, measures = whole.stages, whole.measures
    poor = {
        "everything": dataclasses.replace(whole, stages=stages.assign(status="failed")),
        "outputs": dataclasses.replace(whole, outputs=whole.outputs[:0]),
        "sft": dataclasses.replace(whole, stages=stages[stages["policy"] != "sft"]),
        "diversity": dataclasses.replace(whole, measures=measures[measures["measure"] == "gold"]),
        "a seed": simulated({"ppo": POLICIES["ppo"]}, seeds=1, inputs=3),
        "rates": simulated(
            {"ppo": [Truth("ppo", 0.6, more={"learning_rate": rate}) for rate in (1e-4, 1e-3)]},
            seeds=1,
            inputs=3,
        ),
    }[lacking]
    figures = [figure for figure, _ in kirk2024_figures(poor).values()]
    assert len(figures) >= 5
    for figure in figures:
        figure.draw_without_rendering()
        said = "".join(text.get_text() for text in figure.texts)
        assert "Nothing to draw" in said or any(axes.has_data() for axes in figure.axes)
