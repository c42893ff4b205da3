"""A feature's predicate answers with one truth a row, or is refused."""

import dataclasses

import numpy as np
import pytest

from tasks import Feature, UserError, get_feature, symbol_pair


@pytest.mark.parametrize(
    ("predicate", "told"),
    [
        (lambda rows: (rows == 2).sum(axis=1), "not int64 (16384,)"),
        (lambda rows: rows == 2, "not bool (16384, 8)"),
        (lambda rows: (rows == 2).any(), "not bool"),
        (lambda rows: True, "not bool"),
        (lambda rows: [2 in row for row in rows], "not list"),
        (lambda rows: None, "not NoneType"),
        (lambda rows: rows[:, 8] == 2, "fails: IndexError: index 8 is out of bounds"),
        (lambda rows: rows.reshape(-1, 7), "fails: ValueError"),
        (lambda rows: rows.words, "fails: AttributeError"),
    ],
)
def test_a_predicate_that_does_not_answer_row_by_row_is_named(predicate, told):
    wrong = Feature("wrong", "wrong", predicate)
    task = symbol_pair("mine/wrong-vs-parity", wrong, get_feature("parity"))
    for pair in (task, dataclasses.replace(task, target=task.spurious, spurious=wrong)):
        with pytest.raises(UserError) as error:
            pair.quadrant("both", 4, np.random.default_rng(0))
        message = str(error.value)
        assert message.startswith("feature 'wrong': its predicate ") and told in message
        assert "\n" not in message


def test_a_copy_of_a_feature_is_the_feature():
    parity = get_feature("parity")
    assert dataclasses.replace(parity) == parity
    assert dataclasses.replace(parity, name="odd").holds.function is parity.holds.function
