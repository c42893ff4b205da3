"""Tasks with several spurious features: cells, mixtures, edits, and the pair as the simple case."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, Task, UserError, get_task
from tasks.symbols.draw import matches
from tasks.validate import validate

PAIR = get_task("symbolic/contains-1-vs-first-class")
TWO = get_task("symbolic/contains-1-vs-first-class:also=last-class")
THREE = get_task("symbolic/first-below-last-vs-contains-2:also=near-agree+middle-class")


def rng(seed=0):
    return np.random.default_rng(seed)


def cell_of(task, row):
    return tuple(row[role] for role in task.roles)


def test_a_pair_is_the_task_whose_cells_are_its_quadrants():
    assert PAIR.cells == tuple((TARGET[q], SPURIOUS[q]) for q in QUADRANTS)
    assert list(PAIR.roles) == ["target", "spurious"]
    for quadrant, cell in zip(QUADRANTS, PAIR.cells, strict=True):
        assert PAIR.quadrant(quadrant, 9, rng()).to_list() == PAIR.cell(cell, 9, rng()).to_list()


@pytest.mark.parametrize("task", [TWO, THREE])
def test_every_cell_exists_and_its_rows_have_its_truths(task):
    assert set(task.cells) == set(product((0, 1), repeat=len(task.roles)))
    assert len(task.cells) == 2 ** len(task.roles)
    for cell in task.cells:
        rows = task.cell(cell, 12, rng())
        assert {cell_of(task, row) for row in rows} == {cell}
        assert set(rows["label"]) == {cell[0]}


def test_a_cell_is_the_base_distribution_given_its_truths():
    """Against brute-force rejection: how often each symbol occurs in each place."""
    cell = (1, 0, 1)
    base = rng(1).integers(16, size=(200_000, 8), dtype=np.int8)
    brute = base[matches(base, list(zip(TWO.roles.values(), map(bool, cell), strict=True)))]
    rows = TWO.cell(cell, 6000, rng(2), None)
    drawn = np.array([["abcdefghijklmnop".index(s) for s in p.split()[:-1]] for p in rows["prompt"]])
    for place in range(8):
        expected = np.bincount(brute[:, place], minlength=16) / len(brute)
        found = np.bincount(drawn[:, place], minlength=16)
        assert found[expected == 0].sum() == 0
        there = expected > 0
        assert chisquare(found[there], expected[there] * len(drawn)).pvalue > 1e-5


def test_a_quadrant_leaves_further_features_as_they_fall():
    rows = TWO.quadrant("both", 2000, rng())
    base = rng(1).integers(16, size=(200_000, 8), dtype=np.int8)
    both = base[PAIR.target.holds(base) & PAIR.spurious.holds(base)]
    assert abs(np.mean(rows["spurious_2"]) - TWO.others[0].holds(both).mean()) < 0.04
    assert set(rows["target"]) == set(rows["spurious"]) == {1}


@settings(max_examples=15)
@given(
    st.sampled_from([TWO, THREE]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.lists(st.floats(0, 1), max_size=1).map(tuple),
    st.integers(1, 80),
)
def test_a_mixture_holds_the_cells_that_the_evidence_says(task, rate, noise, others, n):
    evidence = Evidence("symmetric", rate, noise, others)
    rows = task.mixture(evidence, n, rng()).to_list()
    cells = evidence.cells(n, len(task.others))
    assert Counter(cell_of(task, row) for row in rows) == Counter(cells)
    flipped = Counter(cell_of(task, row) for row in rows if row["label"] != row["target"])
    assert flipped == Counter({cell: evidence.flipped(k) for cell, k in cells.items()})
    assert rows == task.mixture(evidence, n, rng()).to_list()
    same = replace(evidence, rate=rate / 2)
    conflicts = [
        Counter(row["prompt"] for row in some if row["target"] != row["spurious"])
        for some in (task.mixture(same, n, rng()).to_list(), rows)
    ]
    assert conflicts[0] <= conflicts[1] or not others


def test_without_evidence_every_spurious_feature_is_the_label():
    for row in THREE.mixture(Evidence(), 40, rng()):
        assert set(cell_of(THREE, row)) == {row["label"]}


def test_probe_rows_are_as_many_in_every_cell():
    assert Counter(cell_of(TWO, row) for row in TWO.probe_rows(32, rng())) == dict.fromkeys(TWO.cells, 4)
    with pytest.raises(UserError, match="36 is not a multiple of 8"):
        TWO.probe_rows(36, rng())


def test_an_edit_flips_one_feature_and_holds_all_others():
    """Truths told from the texts, by the features themselves."""
    rows = THREE.counterfactuals(16, rng()).to_list()
    assert {row["flips"] for row in rows} == set(THREE.roles)
    for row in rows:
        texts = [row["prompt"], row["edited"], row["placebo"]]
        matrix = np.array([["abcdefghijklmnop".index(s) for s in text.split()[:-1]] for text in texts])
        for role, feature in THREE.roles.items():
            original, edited, placebo = feature.holds(matrix)
            assert (edited != original) == (role == row["flips"])
            assert placebo == original


@pytest.mark.parametrize(
    "name",
    [
        "symbolic/contains-1-vs-first-class:also=last-class",
        "symbolic/first-below-last-vs-contains-2:also=near-agree+middle-class,answers=run",
        "symbolic/contains-1-vs-first-class:also=last-class+middle-class+near-agree,length=10",
        "symbolic/contains-1-vs-coin:also=last-class",
    ],
)
def test_tasks_of_several_features_keep_every_promise(name):
    assert validate(get_task(name)) == []


def test_a_mixture_that_forgets_a_further_feature_breaks_a_promise():
    class Forgets(Task):
        def mixture(self, evidence, n, rng, split="train"):
            return super().mixture(replace(evidence, others=(0.5,)), n, rng, split)

    found = validate(Forgets(**TWO.__dict__))
    assert any("holds" in problem and "was asked for" in problem for problem in found)


def test_a_further_feature_alone_is_a_task_without_the_others():
    task = get_task("symbolic/contains-1-vs-first-class:also=last-class,alone=spurious_2")
    assert (task.target.name, task.others) == ("last-class", ())


@pytest.mark.parametrize(
    ("also", "told"),
    [
        ("last-clas", "did you mean 'last-class'"),
        ("contains-2", "2 features are of the family 'contains'"),
        ("last-class+last-class", "2 features are of the family 'last-class'"),
        ("contains-first-again+few-distinct+balanced+class-run+sorted-prefix", "impossible features"),
    ],
)
def test_further_features_that_cannot_be_are_refused_in_one_line(also, told):
    with pytest.raises(UserError, match=told) as error:
        get_task(f"symbolic/contains-1-vs-first-class:also={also}")
    assert "\n" not in str(error.value)
