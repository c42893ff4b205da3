"""The catalogue says what it means: against plain Python, on every size."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tasks.symbols.catalogue import catalogue

_spec = importlib.util.spec_from_file_location(
    "plain_features", Path(__file__).with_name("plain_features.py")
)
_plain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_plain)


@pytest.mark.parametrize(("vocabulary", "length"), [(16, 8), (24, 10), (16, 6), (17, 7), (128, 9)])
def test_every_predicate_is_its_plain_definition(vocabulary, length):
    rng = np.random.default_rng(length)
    rows = rng.integers(vocabulary, size=(3000, length), dtype=np.int8)
    rows[1000:2000] %= 4  # many duplicates
    rows[2000:] = rng.integers(6, 14, size=(1000, length))  # brackets, pairs of symbols
    plain = _plain.plain_features(vocabulary, length)
    features = catalogue(vocabulary, length)
    assert set(features) <= set(plain)
    for name, feature in features.items():
        truth = feature.holds(rows)
        expected = np.array([plain[name](row) for row in rows.tolist()])
        assert truth.dtype == bool
        assert truth.shape == (len(rows),)
        assert 0 < expected.sum() < len(rows), f"{name} is never put to the test"
        wrong = np.flatnonzero(truth != expected)
        assert not len(wrong), f"{name} on {rows[wrong[0]].tolist()}"


def test_a_predicate_depends_on_its_row_alone_and_not_on_the_width_of_integers():
    rows = np.random.default_rng(0).integers(128, size=(500, 8), dtype=np.int8)
    for feature in catalogue(128, 8).values():
        one_by_one = np.concatenate([feature.holds(rows[i : i + 1]) for i in range(50)])
        np.testing.assert_array_equal(feature.holds(rows)[:50], one_by_one, feature.name)
        np.testing.assert_array_equal(feature.holds(rows), feature.holds(rows.astype(np.int64)), feature.name)


def test_what_is_planted_holds_and_nothing_else_is_touched():
    rows = np.random.default_rng(0).integers(16, size=(500, 8), dtype=np.int8)
    planted = [feature for feature in catalogue().values() if feature.plant]
    assert planted
    for feature in planted:
        out = feature.plant(rows)
        assert feature.holds(out).all()
        held = feature.holds(rows)
        np.testing.assert_array_equal(out[held], rows[held])
