import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress, mannwhitneyu, rankdata, spearmanr

from analysis.statistics.association import auc, mean, partial_spearman, ranks, slope, spearman

NONE = np.zeros((12, 0))
columns = st.lists(st.integers(-3, 3), min_size=12, max_size=12).map(lambda v: np.array(v, float))
counts = st.lists(st.integers(0, 3), min_size=12, max_size=12).map(lambda v: np.array(v, float))


def same(a, b):
    a, b = float(a), float(b)
    return (np.isnan(a) and np.isnan(b)) or a == pytest.approx(b, abs=1e-9)


@given(columns, columns)
def test_spearman_slope_and_auc_agree_with_scipy(x, y):
    if np.ptp(x) and np.ptp(y):
        assert same(spearman(x, y, NONE, None), spearmanr(x, y).statistic)
        assert same(slope(x, y, NONE, None), linregress(x, y).slope)
    else:
        assert np.isnan(spearman(x, y, NONE, None))
    use = (y + 3) / 6
    high, low = x[use > 0.5], x[use < 0.5]
    expected = mannwhitneyu(high, low).statistic / (len(high) * len(low)) if len(high) * len(low) else np.nan
    assert same(auc(x, use, NONE, None), expected)


@given(columns, columns, columns, counts)
def test_a_weight_is_a_repetition(x, y, z, w):
    """Every statistic with weights is the statistic of the rows written out so many times."""
    repeated = [np.repeat(v, w.astype(int)) for v in (x, y, z)]
    if not len(repeated[0]):
        return
    for statistic in (spearman, partial_spearman, slope, auc, mean):
        weighted = statistic(x, y, z[:, None], w)
        written_out = statistic(repeated[0], repeated[1], repeated[2][:, None], None)
        assert same(weighted, written_out), statistic.__name__


@given(columns, columns, columns)
def test_partial_spearman_is_the_correlation_of_rank_residuals(x, y, z):
    ranked = [rankdata(v) for v in (x, y, z)]
    design = np.column_stack([np.ones(12), ranked[2]])
    left = [v - design @ np.linalg.lstsq(design, v, rcond=None)[0] for v in ranked[:2]]
    value = partial_spearman(x, y, z[:, None], None)
    if min(np.abs(v).max() for v in left) < 1e-6:
        assert np.isnan(value)
    else:
        assert same(value, np.corrcoef(*left)[0, 1])


def test_many_at_once_is_one_at_a_time():
    rng = np.random.default_rng(0)
    x, y, z = rng.normal(size=(5, 20)), rng.random(20), rng.normal(size=(20, 2))
    for statistic in (spearman, partial_spearman, slope, auc):
        one = [float(statistic(row, y, z, None)) for row in x]
        np.testing.assert_allclose(statistic(x, y, z, None), one, atol=1e-12)
    w = rng.integers(0, 3, size=(5, 20)).astype(float)
    for statistic in (spearman, partial_spearman, slope, auc, mean):
        one = [float(statistic(x[0], y, z, row)) for row in w]
        np.testing.assert_allclose(statistic(x[0], y, z, w), one, atol=1e-12)


@given(
    st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.5, np.inf, np.nan]) | st.floats(-1, 1), min_size=5, max_size=5)
    )
)
def test_ranks_of_many_columns_are_those_of_scipy(rows):
    """Whether a row has ties, NaN or neither."""
    columns = np.array(rows, float).reshape(-1, 5)
    assert np.array_equal(ranks(columns, None), rankdata(columns, axis=-1), equal_nan=True)
