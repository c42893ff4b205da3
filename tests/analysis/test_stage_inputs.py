"""Intervals against a model whose one draw of completions all pairs of runs share."""

from __future__ import annotations

import numpy as np
import pytest
from pandas import DataFrame, Series
from scipy import stats

import analysis.stages.stage_inputs
from analysis.stages.stage_inputs import judged
from analysis.statistics.seeds import paired
from analysis.statistics.two_level import two_level


def _leg(values: np.ndarray) -> DataFrame:
    """Of values [inputs, tunings] on one data seed."""
    item, tune = np.indices(values.shape)
    told = {"seed_data": 0, "seed_tune": tune.ravel(), "input": item.ravel()}
    return DataFrame({**told, "value": values.ravel()})


def test_a_draw_that_all_pairs_share_is_in_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """No difference but what 20 inputs and one draw make: over runs it is found nearly always."""
    monkeypatch.setattr(analysis.stages.stage_inputs, "RESAMPLES", 499)
    rng, ours, over_runs, trials = np.random.default_rng(0), 0, 0, 100
    for _ in range(trials):
        values = rng.normal(size=(20, 1)) + 0.2 * rng.normal(size=(20, 10))
        each = Series(values.mean(axis=0))
        numbers, _ = judged(each, [(1.0, _leg(values))])
        assert numbers[0] == pytest.approx(each.mean()) and numbers[4] == 10
        ours += numbers[3] < 0.05
        over_runs += paired(each)[3] < 0.05
    assert ours / trials < 0.12 < 0.7 < over_runs / trials


def test_of_many_inputs_p_is_near_that_of_the_t_test_and_goes_with_the_interval() -> None:
    rng = np.random.default_rng(1)
    for shift in (0.0, 0.05, 0.1, 0.15):
        values = rng.normal(shift, 1, (400, 1))
        found = two_level([(1.0, _leg(values))], resamples=9999)
        assert found.p == pytest.approx(stats.ttest_1samp(values[:, 0], 0).pvalue, abs=0.02)
        assert (found.low > 0 or found.high < 0) == (found.p < 0.05)
        turned = two_level([(-1.0, _leg(values))], resamples=9999)
        assert turned.p == pytest.approx(found.p, abs=0.02)


def test_inputs_that_not_all_pairs_have_leave_the_interval_over_runs() -> None:
    values = np.random.default_rng(2).normal(size=(9, 3))
    each = Series(values.mean(axis=0))
    for by_input in ([], [(1.0, _leg(values[:, :2]))]):
        assert judged(each, by_input) == (paired(each), "runs")
