"""Figures of metrics: what is drawn is what was measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pandas import DataFrame

from analysis.measured import Measured
from analysis.outputs.calibration import calibration, calibration_of_confidence
from analysis.outputs.over_optimisation import over_optimisation
from figures.measured import measured, measured_table
from figures.over_optimisation import over_optimisation_curves
from figures.reliability import reliability, reliability_table


def test_a_reliability_line_goes_through_its_bins_and_bars_count_them() -> None:
    rng = np.random.default_rng(0)
    groups = {}
    for name in ("sft", "ppo"):
        p = rng.dirichlet(np.ones(3), 80)
        groups[name] = calibration(p.tolist(), rng.integers(3, size=80).tolist(), resamples=2)
    figure = reliability(reliability_table(groups))
    top, every, top_counts, every_counts = figure.axes
    assert [axes.get_title(loc="left") for axes in (top, every)] == ["top label", "all classes"]
    for axes, counts, of in ((top, top_counts, "top label"), (every, every_counts, "all classes")):
        lines = [line for line in axes.lines if line.get_marker() == "o"]
        for line, found in zip(lines, groups.values(), strict=True):
            full = [b for b in found.reliability if b.of == of and b.n]
            np.testing.assert_allclose(np.asarray(line.get_xdata(), float), [b.confidence for b in full])
            np.testing.assert_allclose(np.asarray(line.get_ydata(), float), [b.right for b in full])
        bars = [bar.get_height() for bar in counts.patches]
        assert sum(bars) == sum(b.n for found in groups.values() for b in found.reliability if b.of == of)
    one = reliability(reliability_table({"": calibration_of_confidence([1.0, 1.0], [1, 0])}))
    assert len(one.axes) == 2 and not one.legends


def test_a_measure_stands_at_its_value_within_its_interval_and_between_its_ends() -> None:
    def of(value: float | None, low: float | None = None, high: float | None = None) -> Measured:
        return Measured(
            measure="m", scope="per input", value=value, low=low, high=high, floor=0.1, ceiling=0.9
        )

    table = measured_table({"sft": [of(0.5, 0.4, 0.7)], "ppo": [of(0.2)], "dpo": [of(None)]})
    (axes,) = [axes for axes in measured(table, "hacking").axes if axes.axison]
    assert axes.get_title(loc="left") == "m\nper input"
    drawn = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"}
    assert drawn == {0: 0.5, 1: 0.2}
    assert (0.4, 0.7) in [tuple(line.get_xdata()) for line in axes.lines]
    (band,) = axes.patches
    assert band.get_x() == pytest.approx(0.1) and band.get_width() == pytest.approx(0.8)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sft", "ppo", "dpo"]
    nothing = measured(measured_table({"": [of(None), of(math.inf)]}), "calibration")
    assert "Nothing to draw" in "".join(text.get_text() for text in nothing.texts)


def test_the_curves_are_gold_and_proxy_with_the_peak_of_gold() -> None:
    rows = DataFrame(
        {"seed": s, "step": k, "kl": 2.0 * k, "gold": g + s / 100, "proxy": k + s / 100}
        for s in range(3)
        for k, g in enumerate([0.0, 1.0, 0.5])
    )
    found = over_optimisation(rows)
    gold, proxy = over_optimisation_curves({"ppo": found}).axes
    np.testing.assert_allclose(gold.lines[0].get_xydata(), [[0, 0.01], [2, 1.01], [4, 0.51]])
    np.testing.assert_allclose(proxy.lines[0].get_xydata(), [[0, 0.01], [2, 1.01], [4, 2.01]])
    assert list(gold.lines[1].get_xdata()) == [2, 2]
    assert gold.get_title(loc="left") == "ppo\nover-optimised" and "KL" in gold.get_xlabel()
    by_step = over_optimisation_curves({"": over_optimisation(rows.drop(columns="kl"))})
    assert by_step.axes[0].get_xlabel() == "step"
