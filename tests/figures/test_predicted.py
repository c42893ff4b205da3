"""The figure of predictions: its bins by hand, and words where there is nothing to see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from analysis.prediction.splits import UNSEEN
from figures import draw_predicted, save
from figures.predicted import predicted, predicted_table
from tests.analysis.simulated_predictions import rows


def held_out(split: str) -> pd.DataFrame:
    table = rows(families=10, pairs=40, levels=(0.0,))
    chance = np.random.default_rng(0).random(len(table))
    return table.assign(split=split, U_expected=chance, low=0.0, high=1.0)


def test_bins_are_means_and_every_row_is_a_point() -> None:
    told = pd.concat([held_out(UNSEEN[0]), held_out(UNSEEN[2])])
    table = predicted_table(told)
    assert set(table["split"]) == {UNSEEN[0]}  # a model unseen is in the scores, not in the figure
    points, bins = table[table["of"] == "row"], table[table["of"] == "bin"]
    assert len(points) == bins["n"].sum() == len(told) / 2
    for _, one in bins.iterrows():
        inside = points[np.minimum((points["U_expected"] * 10).astype(int), 9) == int(one["U_expected"] * 10)]
        assert one["U"] == inside["U"].mean() or abs(one["U"] - inside["U"].mean()) < 1e-12
        assert np.isnan(one["low"]) or 0 <= one["low"] <= one["U"] <= one["high"] <= 1


def test_a_study_in_which_no_family_could_be_left_out_gets_words(tmp_path: Path) -> None:
    figure = predicted(predicted_table(held_out(UNSEEN[2])))
    assert any("no family could be left out" in text.get_text() for text in figure.texts)
    assert all(path.stat().st_size for path in save([draw_predicted(held_out(UNSEEN[1]))], tmp_path))
