"""Sentences from slots: four readings of one source, and edits that change what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import QUADRANTS, SPURIOUS, TARGET, UserError, get_task, text_feature, text_pair
from tasks.promises import changed_words
from tasks.slots import Slots
from tasks.symbols.pairs import alone
from tasks.text import read_four_ways
from tasks.validate import checks

WORDS = {"who": [f"w{i}" for i in range(40)], "verb": [f"v{i}" for i in range(40)], "the": ["the"]}
BIG = text_feature("big", "big", lambda text: " big " in text)
NOW = text_feature("now", "now", lambda text: text.startswith("now"))


def compose(words, target, spurious):
    opening, kind = "now" if spurious else "so", "big" if target else "old"
    return f"{opening} {words['the']} {kind} {words['who']} can {words['verb']}"


TASK = text_pair("mine/big-vs-now", BIG, NOW, WORDS, compose)
sources = st.tuples(st.integers(0, 39), st.integers(0, 39), st.just(0))


@given(sources, st.integers(0, 2**32))
def test_a_variation_is_another_source_in_one_slot_of_several_words(source, seed):
    other = Slots(WORDS, compose).vary(source, np.random.default_rng(seed))
    assert sum(a != b for a, b in zip(source, other, strict=True)) == 1
    assert other[2] == 0
    assert set(other) <= set(range(40))


@given(sources)
def test_the_four_readings_have_the_truths_of_their_quadrants(source):
    readings = TASK.inputs.readings(" ".join(map(str, source)))
    assert list(readings) == list(QUADRANTS)
    rows = np.array([[text, ""] for text in readings.values()], dtype=object)
    assert BIG.holds(rows).tolist() == [bool(TARGET[q]) for q in QUADRANTS]
    assert NOW.holds(rows).tolist() == [bool(SPURIOUS[q]) for q in QUADRANTS]
    assert changed_words(readings["both"], readings["neither"]) == 2
    assert changed_words(readings["both"], readings["target_only"]) == 1


def test_rows_are_readings_of_their_source_and_the_promises_are_kept():
    for quadrant in QUADRANTS:
        for row in TASK.quadrant(quadrant, 20, np.random.default_rng(0)):
            assert TASK.inputs.readings(row["source"])[quadrant] == row["prompt"]
    found = checks(TASK, surface=True)
    assert [problem for check in found for problem in check.problems] == []
    assert all(check.n for check in found)


def test_every_word_of_a_slot_is_drawn_alike():
    drawn = Slots(WORDS, compose).sources(40_000, np.random.default_rng(0), None)
    counts = np.bincount(drawn[:, 0], minlength=40)
    assert abs(counts - 1000).max() < 6 * np.sqrt(1000)
    assert abs(np.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]) < 0.03


def test_too_few_sources_are_refused():
    with pytest.raises(UserError, match="mine/few: the slots can be filled in 40 ways, fewer than 1000"):
        text_pair("mine/few", BIG, NOW, {**WORDS, "verb": ["run"]}, compose)


def test_only_a_pair_s_own_switches_are_read_four_ways():
    assert read_four_ways(TASK) is TASK.inputs
    assert read_four_ways(alone(TASK, "x", "target")) is None
    assert read_four_ways(get_task("symbolic/first-last-vs-contains-2")) is None
