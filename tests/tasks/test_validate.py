"""Negative controls: for every promise a task that breaks it, which validate must catch, with an example."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.parquet
import pytest

from tasks import QUADRANTS, Feature, LabelAnswers, RunAnswers, Task, get_task, symbol_words
from tasks.promises import changed_words
from tasks.symbols import draw as draw_module
from tasks.symbols.pairs import SymbolInputs
from tasks.validate import validate

GOOD = get_task("symbolic/first-last-vs-contains-2")
ROW = r"'([a-p] ){8}\?'"
"""How a row reads, which every problem of data must show."""


def problems(task, *patterns, also=()):
    """Every pattern has an entry, and no entry is of another kind: it is that promise that is broken."""
    found = validate(task)
    assert all("\n" not in entry for entry in found)
    for pattern in patterns:
        assert any(re.search(pattern, entry) for entry in found), (pattern, found)
    for entry in found:
        assert any(re.search(pattern, entry) for pattern in (*patterns, *also)), entry


class ForgetsSpurious(SymbolInputs):
    def draw(self, wanted, n, rng, split=None):
        return super().draw([w for w in wanted if w[0] is not GOOD.spurious], n, rng, split)


class IgnoresSplits(SymbolInputs):
    def draw(self, wanted, n, rng, split=None):
        return super().draw(wanted, n, rng, None)


class OneSource(SymbolInputs):
    def source(self, rows):
        return ["the same"] * len(rows)


class Unseeded(SymbolInputs):
    def draw(self, wanted, n, rng, split=None):
        return super().draw(wanted, n, np.random.default_rng(), split)


class OtherRowsForOtherSizes(SymbolInputs):
    def draw(self, wanted, n, rng, split=None):
        return super().draw(wanted, n, np.random.default_rng([n, int(rng.integers(100))]), split)


class TooFew(SymbolInputs):
    def draw(self, wanted, n, rng, split=None):
        return super().draw(wanted, n, rng, split)[1:]


class ReadAlike(SymbolInputs):
    def text(self, rows):
        return [text[:-3] + "a ?" for text in super().text(rows)]


class Edits(SymbolInputs):
    """Counterfactuals as `wrong` makes them of right ones."""

    wrong = staticmethod(lambda row, edited, placebo, size: (edited, placebo, size))

    def edit(self, row, flip, hold, rng):
        found = super().edit(row, flip, hold, rng)
        return found and self.wrong(row, *found)


def test_the_good_task_is_good_also_with_inputs_of_one_s_own():
    assert validate(replace(GOOD, inputs=Edits())) == []


def test_a_predicate_with_another_value_than_stated():
    problems(
        replace(GOOD, inputs=ForgetsSpurious()),
        rf"spurious feature contains-2 is [01] on {ROW}, which stands in \w+ with spurious = [01]",
        also=["counterfactuals: "],
    )


def test_a_label_that_is_not_the_target():
    class Flipped(Task):
        def _dataset(self, *parts):
            rows = super()._dataset(*parts)
            return rows.remove_columns("label").add_column("label", [1 - y for y in rows["label"]])

    task = Flipped(**GOOD.__dict__)
    problems(
        task,
        rf"label [01] is not the target feature's on {ROW}",
        "the label prior is",
        "labels are flipped in",
    )


def test_noise_that_flips_other_labels_than_asked():
    class Deaf(Task):
        def _dataset(self, parts, order, evidence=None):
            return super()._dataset(parts, order)

    problems(Deaf(**GOOD.__dict__), r"noisy .*: labels are flipped in \{\}, not 0.25 of ")


def test_a_quadrant_that_cannot_exist(monkeypatch):
    monkeypatch.setattr(draw_module, "_MOST_DRAWS", 1 << 15)
    c_first = Feature("c-first", "c-first", lambda rows: rows[:, 0] == 2)
    found = validate(replace(GOOD, target=c_first))
    assert len(found) == 1
    assert "cannot be drawn: too rare to draw: 0 of 1 rows with c-first, not contains-2" in found[0]


def test_splits_that_share_rows_or_a_source():
    problems(
        replace(GOOD, inputs=IgnoresSplits()), rf"prompt {ROW} is in \w+ and in \w+", r"source '\w+' is in"
    )
    problems(
        replace(GOOD, inputs=OneSource()), "source 'the same' is in", f"one source in two quadrants.*{ROW}"
    )


def test_equal_seeds_that_give_other_data():
    problems(
        replace(GOOD, inputs=Unseeded()),
        "equal seeds give .*'prompt'",
        f"counter-example at rate 0.25.*{ROW}",
    )


def test_counter_examples_that_are_not_nested():
    problems(
        replace(GOOD, inputs=OtherRowsForOtherSizes()), f"counter-example at rate 0.25 but not at 0.5: {ROW}"
    )


def test_rows_that_are_missing():
    problems(
        replace(GOOD, inputs=TooFew()), f"holds .* was asked for.*{ROW}", also=["label prior", "rate 0.25"]
    )


def test_a_prior_that_drifts():
    class Drifting(Task):
        def mixture(self, evidence, n, rng, split="train"):
            return super().mixture(replace(evidence, kind="one_sided"), n, rng, split)

    problems(Drifting(**GOOD.__dict__), "the label prior is 0.(25|375), not 0.5", "was asked for")


def test_rows_that_read_alike():
    problems(
        replace(GOOD, inputs=ReadAlike()),
        f"two different rows read alike: {ROW}",
        also=["counterfactuals: ", rf"(target|spurious) feature .* is [01] on {ROW}", "is in"],
    )


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (
            lambda row, edited, placebo, size: (placebo, placebo, size),
            "an edit of the (target|spurious) feature holds",
        ),
        (
            lambda row, edited, placebo, size: (edited, edited, size),
            "a placebo flips the (target|spurious) feature",
        ),
        (
            lambda row, edited, placebo, size: (edited, row, size),
            "a placebo of 0 are said to be of size [1-4]",
        ),
        (lambda row, edited, placebo, size: (edited, placebo, size + 1), "said to be of size [2-4]"),
    ],
)
def test_edits_that_do_not_do_what_they_say(wrong, told):
    class Wrong(Edits):
        pass

    Wrong.wrong = staticmethod(wrong)
    problems(replace(GOOD, inputs=Wrong()), f"counterfactuals: .*{told}.*{ROW}")


def test_an_edit_that_flips_the_feature_it_should_hold():
    class FlipsBoth(SymbolInputs):
        def edit(self, row, flip, hold, rng):
            wanted = [(f, not f.holds(row[None])[0]) for f in (flip, hold)]
            return self.draw(wanted, 1, rng)[0], super().edit(row, flip, hold, rng)[1], 1

    problems(
        replace(GOOD, inputs=FlipsBoth()),
        rf"an edit of the target feature flips spurious: {ROW} -> {ROW}, placebo {ROW}",
        rf"an edit of the spurious feature flips target: {ROW}",
        "said to be of size 1",
    )


@dataclass(frozen=True)
class Broken(LabelAnswers):
    how: str = ""

    def say(self, label, rng):
        return self.words[1 - label if self.how == "says the other" else label]

    def read(self, completion):
        return 0 if self.how == "reads nothing but 0" else super().read(completion)

    def score(self, completion, label):
        right = super().score(completion, label)
        return {"pays for anything": 1.0, "pays half": right / 2, "pays the wrong": 1 - right}.get(
            self.how, right
        )


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("says the other", "the word of label [01] is 'amber|birch', not|reads as"),
        ("reads nothing but 0", "'birch', said for label 1, reads as 0"),
        ("pays for anything", "rejected 'amber|birch' for label [01] gets 1.0; the optimum is 1.0"),
        ("pays half", "(completion|chosen) '(amber|birch)' for label [01] gets 0.5"),
        ("pays the wrong", "gets (0.0|1.0); the optimum is 1.0"),
    ],
)
def test_answers_that_do_not_fit_together(how, told):
    problems(replace(GOOD, answers=Broken(how=how)), told, "gets")


def test_ties_that_are_none():
    class Marked(Task):
        def preferences(self, evidence, n, rng, ties=0.0):
            rows = super().preferences(evidence, n, rng, ties)
            return rows.remove_columns("tie").add_column("tie", [1 - tie for tie in rows["tie"]])

    problems(Marked(**GOOD.__dict__), "rejected 'amber|birch' for label [01] gets [01].0; the optimum is 1.0")


def test_an_optimum_that_nothing_reaches_and_a_chance_level_above_it():
    problems(replace(GOOD, optimum=2.0), "gets 1.0; the optimum is 2.0")
    problems(replace(GOOD, answers=LabelAnswers(chance=1.0)), "the chance level 1.0 is not between 0 and")


def test_runs_too_long_for_their_symbols():
    task = replace(GOOD, answers=RunAnswers(symbol_words(4)))
    found = validate(task)
    assert any("cannot be drawn: ValueError" in entry or "cannot be checked" in entry for entry in found)


def test_data_that_change_on_the_way_through_a_file(monkeypatch):
    read = pyarrow.parquet.read_table
    monkeypatch.setattr(pyarrow.parquet, "read_table", lambda path: read(path).take([1, 0, 2, 3, 4, 5, 6, 7]))
    problems(GOOD, f"round trip: a row changes, .*{ROW}.* -> .*{ROW}")
    monkeypatch.setattr(
        pyarrow.parquet,
        "read_table",
        lambda path: read(path).drop_columns("source").replace_schema_metadata(),
    )
    problems(GOOD, "round trip: columns change", "round trip: a row changes")


def test_a_data_set_that_is_a_selection_of_another_survives():
    class Selects(Task):
        def probe_rows(self, n, rng):
            rows = super().probe_rows(2 * n, rng)
            return rows.select(
                [i for q in QUADRANTS for i in np.flatnonzero(np.array(rows["quadrant"]) == q)[: n // 4]]
            )

    assert validate(Selects(**GOOD.__dict__)) == []


def test_code_that_raises_is_told_and_does_not_hide_the_rest():
    def raises(row, flip, hold, rng):
        raise ZeroDivisionError("of mine")

    inputs = SymbolInputs()
    object.__setattr__(inputs, "edit", raises)
    assert validate(replace(GOOD, inputs=inputs)) == [
        "counterfactuals: cannot be drawn: ZeroDivisionError: of mine"
    ]


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "b c a", 3),
        ("a b c", "a b", 1),
        ("a b c", "x a b c", 1),
        ("the dog runs", "the two dogs run", 3),
    ],
)
def test_changed_words(before, after, size):
    assert changed_words(before, after) == size
