"""Cues beyond the two features: none in sound tasks, found and named where one is planted."""

import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tasks import QUADRANTS, get_task, list_tasks, text_feature, text_pair
from tasks import surface as surface_module
from tasks.surface import _places, surface
from tasks.symbols.pairs import SymbolInputs
from tasks.text import TextInputs
from tasks.validate import checks

GOOD = get_task("symbolic/first-last-vs-contains-2")
WORDS = {
    "who": "baker nurse pilot farmer singer lawyer poet judge miner guard",
    "verb": "see hear find greet follow thank draw visit help call",
    "whom": "dog cat horse child king queen thief friend girl boy",
    "where": "gate lake market forest station harbour office school hall bridge",
}
NOT = text_feature("negated", "negation", lambda text: " not " in text)
TODAY = text_feature("timed", "time", lambda text: "today" in text)


def sentences(compose):
    words = {slot: text.split() for slot, text in WORDS.items()}
    return text_pair("own", NOT, TODAY, words, compose)


def plain(words, target, spurious):
    polarity, opening = "not" if target else "indeed", "today" if spurious else "surely"
    return f"{opening} the {words['who']} did {polarity} {words['verb']} the {words['whom']}"


def longer(words, target, spurious):
    """Each feature adds words of its own; nothing depends on both."""
    polarity, opening = " not" if target else "", "just today " if spurious else ""
    return f"{opening}the {words['who']} did{polarity} {words['verb']} the {words['whom']}"


@pytest.mark.parametrize("compose", [plain, longer])
def test_sentences_whose_words_come_with_one_feature_are_good(compose):
    found = checks(sentences(compose), surface=True)
    assert [problem for check in found for problem in check.problems] == []
    assert {check.name: check.n for check in found}["surface cues"] == 15 * 3000


@pytest.mark.parametrize("name", list_tasks()[:: len(list_tasks()) // 5])
def test_shipped_pairs_are_good(name):
    classifiers = 12 if name.startswith("symbolic") else 15
    assert surface(get_task(name)) == ([], classifiers * 3000)


class Original(SymbolInputs):
    """Lovering et al.'s way to `both`: the 2 is put anywhere but where the duplicate is planted."""

    def draw(self, wanted, n, rng, split=None):
        rows = super().draw(wanted, 2 * n + 20, rng, split)
        if len(wanted) == 2 and all(value for _, value in wanted):
            rows = rows[rows[:, 0] != 2]
        return rows[:n]


def test_one_symbol_less_in_one_quadrant():
    class Rarer(SymbolInputs):
        def draw(self, wanted, n, rng, split=None):
            rows = super().draw(wanted, 4 * n + 20, rng, split)
            if [value for _, value in wanted] == [False, False]:
                rows = rows[~(rows == 5).any(axis=1)]
            return rows[:n]

    problems, _ = surface(replace(GOOD, inputs=Rarer()))
    assert any("bag of words tells neither" in problem and "'f'" in problem for problem in problems)
    assert all("tells neither" in problem for problem in problems)


def test_a_conjunction_that_comes_with_a_quadrant():
    def compose(words, target, spurious):
        joint = "and" if spurious and not target else "while"
        return f"{plain(words, target, spurious)} {joint} the {words['where']} was closed"

    problems, _ = surface(sentences(compose))
    assert any("bag of words tells both with neither" in p and "'and'" in p for p in problems)
    assert not any("length" in problem for problem in problems)


def test_a_place_that_leaks_the_target_in_sentences():
    """The same words in all: only where the spurious one stands depends on the target."""

    def compose(words, target, spurious):
        polarity, time = "not" if target else "indeed", "today" if spurious else "surely"
        middle = f"the {words['who']} did {polarity} {words['verb']} the {words['whom']}"
        return f"{time} {middle}" if target else f"{middle} {time}"

    problems, _ = surface(sentences(compose))
    assert any("words by position tells both with neither" in problem for problem in problems)
    assert not any("bag" in problem or "length" in problem for problem in problems)


def test_a_feature_that_is_a_place_and_one_that_is_the_word_there_are_good():
    slots = {slot: text.split() for slot, text in WORDS.items()}
    first = text_feature("time-first", "place", lambda text: text.split()[0] in ("today", "surely"))

    def compose(words, target, spurious):
        time = "today" if spurious else "surely"
        middle = f"the {words['who']} did {words['verb']} the {words['whom']}"
        return f"{time} {middle}" if target else f"{middle} {time}"

    assert surface(text_pair("own", first, TODAY, slots, compose))[0] == []

    def leaking(words, target, spurious):
        return compose(words, target, spurious) + (" soon" if target == spurious else " there")

    problems, _ = surface(text_pair("own", first, TODAY, slots, leaking))
    assert any("bag of words tells both with neither" in problem for problem in problems)


@pytest.mark.parametrize("name", ["english/fillergap-hard-length", "english/polarity-lexical"])
def test_the_words_that_readings_share_are_the_same_in_each(name):
    inputs = get_task(name).inputs
    assert isinstance(inputs, TextInputs)
    sources = get_task(name).quadrant("both", 40, np.random.default_rng(0))["source"]
    for source in sources:
        readings = inputs.readings(source)
        shared = []
        for text in readings.values():
            words, places = text.split(), _places(text, readings)
            assert all(after - before in (0, 1) for before, after in pairwise(places))
            grows = [after > before for before, after in pairwise([*places, places[-1] + 1])]
            shared.append([word for word, more in zip(words, grows, strict=True) if more])
        assert shared[0] == shared[1] == shared[2] == shared[3]
        assert 2 * len(shared[0]) > min(len(text.split()) for text in readings.values())


def test_rows_that_come_with_one_kind_of_source():
    """A generator whose quadrants are made from different sentences."""

    class Picks(type(sentences(plain).inputs)):
        def draw(self, wanted, n, rng, split=None):
            rows = super().draw(wanted, 3 * n + 20, rng, split)
            if len(wanted) == 2 and wanted[0][1]:
                rows = rows[[not text.split()[2].startswith("p") for text in rows[:, 0]]]
            return rows[:n]

    good = sentences(plain)
    problems, _ = surface(replace(good, inputs=Picks(**good.inputs.__dict__)))
    assert any("bag of words tells both from base rows" in problem for problem in problems)
    assert any("bag of words tells target_only from base rows" in problem for problem in problems)
    assert not any("tells neither from" in problem for problem in problems)


def test_every_check_says_how_much_it_looked_at():
    found = {check.name: check.n for check in checks(GOOD, n=16)}
    assert all(n > 0 for n in found.values())
    smaller = {check.name: check.n for check in checks(GOOD, n=8)}
    assert found.keys() == smaller.keys()
    assert {name for name in found if found[name] <= smaller[name]} == {"counts"}
    # 6 mixtures with evidence, 2 more splits, none, 4 quadrants; counterfactuals, label noise, probe rows,
    # demonstrations and preferences.
    assert found["counts"] == 6 + 2 + 1 + len(QUADRANTS) + 5
    assert found["round trip"] == 16


def test_a_rare_quadrant_is_said_to_be_too_rare_to_compare(monkeypatch):
    monkeypatch.setattr(surface_module, "_MOST_DRAWS", 1 << 14)
    found = {check.name: check.problems for check in checks(GOOD, surface=True)}
    (told,) = found.pop("surface cues")
    assert re.fullmatch(r"surface cues: cannot be checked: too rare to compare .* with first-last, .*", told)
    assert set(found.values()) == {()}


def test_rows_are_drawn_anew_with_another_seed():
    task = replace(GOOD, inputs=Original())
    told = [surface(task, seed)[0] for seed in (0, 0, 1)]
    assert told[0] == told[1] != told[2]
    assert np.all([told_ != [] for told_ in told])
