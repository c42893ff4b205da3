"""What all measures of diversity share: floors, ceilings, invariances, what is left out; and entropies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.measured import Measured
from analysis.outputs.diversity import DIVERSITY, diversity
from analysis.outputs.embedding import hashed_ngrams
from analysis.stage_schema import ACROSS, PER_INPUT
from tasks import UserError

TEXTS = st.lists(st.sampled_from("abcd"), max_size=6).map(" ".join)
OUTPUTS = st.lists(st.lists(TEXTS, max_size=4), min_size=1, max_size=5).filter(any)


def measured(outputs: Sequence[Sequence[str]], **options: Any) -> dict[tuple[str, str], Measured]:
    options = {"encode": hashed_ngrams, "compat": "kirk2024", "resamples": 50, **options}
    return {(m.measure, m.scope): m for m in diversity(outputs, **options)}


def values(found: dict[tuple[str, str], Measured], scope: str) -> list[float]:
    some = [m for (_, of), m in found.items() if of == scope]
    return [
        math.nan if x is None else x for m in some for x in (m.value, m.floor, m.ceiling, m.n, m.left_out)
    ]


def test_identical_outputs_are_on_the_floor_and_their_intervals_are_points() -> None:
    for m in measured([["a b c a d e"] * 5] * 4).values():
        if m.measure != "n-gram lengths":
            assert m.value == pytest.approx(m.floor, abs=1e-9), m
            assert m.value != pytest.approx(m.ceiling, abs=0.1), m
            assert m.low == m.high == pytest.approx(m.value, abs=1e-9), m


def test_outputs_that_share_no_word_are_on_the_ceiling() -> None:
    words = iter(f"w{i}" for i in range(1000))
    outputs = [[" ".join(next(words) for _ in range(3 + k + i)) for k in range(5)] for i in range(4)]
    for m in measured(outputs, encode=lambda texts: np.eye(len(texts))).values():
        if m.measure != "n-gram lengths":
            assert m.value == pytest.approx(m.ceiling, abs=1e-9), m
            assert m.value != pytest.approx(m.floor, abs=0.1), m


@settings(max_examples=20)
@given(OUTPUTS, st.randoms(use_true_random=False))
def test_the_order_of_outputs_of_inputs_and_the_words_do_not_matter(
    outputs: list[list[str]], random: Any
) -> None:
    found = measured(outputs)
    mixed = [random.sample(each, len(each)) for each in outputs]
    assert values(measured(mixed), PER_INPUT) == pytest.approx(
        values(found, PER_INPUT), nan_ok=True, abs=1e-6
    )
    mixed = random.sample(outputs, len(outputs))
    for scope in (PER_INPUT, ACROSS):
        assert values(measured(mixed), scope) == pytest.approx(values(found, scope), nan_ok=True, abs=1e-6)
    other = str.maketrans("abcd", "wxyz")
    renamed = measured([[text.translate(other) for text in each] for each in outputs])
    for key, m in found.items():
        if m.measure != "cosine":  # whose hashing may let two words collide
            assert renamed[key] == m


@settings(max_examples=30)
@given(OUTPUTS)
def test_a_copied_input_moves_no_mean_over_inputs(outputs: list[list[str]]) -> None:
    once, twice = measured(outputs), measured([*outputs, *outputs])
    for key, m in once.items():
        if m.scope == PER_INPUT:
            assert twice[key].value == pytest.approx(m.value, abs=1e-9)
            assert (twice[key].n, twice[key].left_out) == (2 * m.n, 2 * m.left_out)


@settings(max_examples=30)
@given(st.lists(st.sampled_from(["a b c", "a c", "d", "b a d c"]), min_size=2, max_size=4, unique=True))
def test_a_copy_of_an_output_never_raises_a_share_of_different_things(texts: list[str]) -> None:
    once, more = measured([texts]), measured([[*texts, *texts]])
    for name in ("distinct-n", "unique share"):
        assert more[name, PER_INPUT].value == pytest.approx((once[name, PER_INPUT].value or 0) / 2)


@settings(max_examples=30)
@given(OUTPUTS)
def test_every_output_is_counted_in_or_out_and_nothing_measured_is_silent(outputs: list[list[str]]) -> None:
    texts, empty = sum(map(len, outputs)), sum(not each for each in outputs)
    for m in measured(outputs).values():
        given_ = texts + empty if m.scope == PER_INPUT else len(outputs)
        assert m.outputs + m.left_out == given_, m
        assert (m.value is None) == (m.n == 0) == (m.outputs == 0), m


def test_empty_outputs_one_word_one_output_and_unequal_numbers() -> None:
    outputs = [["", "a b", " \n", "c"], ["a"], [], ["a", "a", "b"], ["", ""]]
    found = measured(outputs)
    per_input, across = found["ead", PER_INPUT], found["ead", ACROSS]
    assert (per_input.n, per_input.outputs, per_input.left_out) == (2, 5, 6)
    assert (across.n, across.outputs, across.left_out) == (2, 2, 3)  # "a" and "a"; two empty, one without any
    assert across.value == across.floor
    # As outputs, empty ones are outputs: 4 of 4, 2 of 3, 1 of 2.
    assert found["unique share", PER_INPUT].value == pytest.approx((1 + 2 / 3 + 1 / 2) / 3)
    assert found["unique share", PER_INPUT].left_out == 2
    assert found["n-gram lengths", PER_INPUT].value == pytest.approx((2 + 1) / 2)
    # Floors are those of each input's own number of outputs: "a b" of 2, one word of 3.
    assert found["distinct-n", PER_INPUT].floor == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_outputs_of_which_nothing_is_measured_have_no_value() -> None:
    for m in measured([["", ""], ["a"]]).values():
        if m.measure not in ("unique share", "ead (kirk2024)"):
            assert (m.value, m.low, m.high, m.floor, m.ceiling, m.n) == (None,) * 5 + (0,), m


def test_equal_seeds_give_equal_intervals() -> None:
    outputs = [[f"{a} {b}" for b in "abc"] + [a] for a in "abcdefgh"]
    assert measured(outputs, seed=3) == measured(outputs, seed=3)
    assert measured(outputs, seed=3) != measured(outputs, seed=4)


def test_a_vocabulary_is_taken_as_given_and_no_smaller_than_what_is_seen() -> None:
    outputs = [["a b", "b c"]]
    small, large = (measured(outputs, vocabulary=v)["ead", PER_INPUT].value for v in (3, 10**6))
    assert small is not None and large is not None and small > large
    assert large == pytest.approx(measured(outputs)["distinct-n", PER_INPUT].value, abs=1e-5)
    assert measured(outputs)["ead", PER_INPUT].value == small
    with pytest.raises(UserError, match="vocabulary: 2 is too small; the outputs have 3"):
        measured(outputs, vocabulary=2)


def test_entropies_of_a_policy_known_in_full() -> None:
    """Input 0 gives a or b, evenly; input 1 gives b for sure. Outputs are as often as they are likely."""
    half = math.log(0.5)
    outputs = [["a", "b"], ["b", "b"], ["b", "a"], ["b", "b"]]
    log_probs = [[half, half], [0.0, 0.0], [half, half], [0.0, 0.0]]
    mixture = [math.log(0.25), math.log(0.75), math.log(0.75), math.log(0.75)]  # of a, b, b, b
    found = {(m.measure, m.scope): m for m in diversity(outputs, log_probs=log_probs, mixture=mixture)}
    marginal = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert found["entropy", PER_INPUT].value == pytest.approx(math.log(2) / 2)
    assert found["marginal entropy", ACROSS].value == pytest.approx(marginal)
    information = found["information", ACROSS]
    assert information.value == pytest.approx(marginal - math.log(2) / 2)
    entropy = found["entropy", ACROSS].value
    assert entropy is not None and information.value == pytest.approx(marginal - entropy)
    assert (information.floor, information.ceiling) == (0, math.log(4))


def test_information_is_its_ceiling_for_outputs_that_name_their_inputs_and_its_floor_for_equal_ones() -> None:
    n = 8
    sure = [[0.0]] * n
    named = diversity([[f"w{i}"] for i in range(n)], log_probs=sure, mixture=[-math.log(n)] * n)[-1]
    equal = diversity([["a"]] * n, log_probs=sure, mixture=[0.0] * n)[-1]
    assert (named.measure, equal.measure) == ("information", "information")
    assert named.value == pytest.approx(named.ceiling) and equal.value == equal.floor == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"measures": ["eads"]}, "did you mean 'ead'"),
        ({"measures": ["nli"]}, "'nli' needs an NLI model"),
        ({"measures": ["cosine"], "encode": None}, "'cosine' needs an encoder"),
        ({"measures": ["information"]}, "needs `log_probs` and `mixture`"),
        ({"compat": "kirk"}, "did you mean 'kirk2024'"),
        ({"log_probs": [[0.0]]}, "one number is needed for each output"),
        ({"log_probs": [[0.0, 1.0], [0.0]]}, "log_probs of input 0: 1.0 is no log-probability"),
        ({"log_probs": [[0.0, 0.0], [-math.inf]]}, "log_probs of input 1: -inf is no"),
        ({"mixture": [0.0]}, "1 numbers for 2 inputs"),
        ({"log_probs": [[0.0, 0.0], [0.0]], "mixture": [0.0, -5.0]}, "mixture of input 1"),
        ({"seed": -1}, "seed: must be a whole number"),
        ({"resamples": 0}, "resamples: must be 1 or more"),
    ],
)
def test_mistakes_are_told_in_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        measured([["a", "b"], ["c"]], **options)
    assert "\n" not in str(error.value)


def test_outputs_that_are_none_are_refused() -> None:
    for nothing in ([], [[]]):
        with pytest.raises(UserError, match="there are no outputs"):
            diversity(nothing)
    with pytest.raises(UserError, match="outputs of input 1 are one string"):
        diversity([["a"], "b c"])


def test_every_measure_can_be_asked_for_by_name_and_is_told_of() -> None:
    options: dict[str, Any] = {
        "encode": hashed_ngrams,
        "nli": lambda a, b: np.tile([0.0, 1.0, 0.0], (len(a), 1)),
        "log_probs": [[-1.0, -1.0]] * 3,
        "mixture": [-1.5] * 3,
    }
    for name in DIVERSITY:
        assert {m.measure for m in diversity([["a b", "c"]] * 3, measures=[name], **options)} == {name}
