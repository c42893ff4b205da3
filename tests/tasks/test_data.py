"""The data that a task hands out: nested, matched, minimal, and what they say they are."""

from collections import Counter
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, UserError, get_task, third_feature
from tasks.english.pairs import list_pairs as list_english
from tasks.symbols.catalogue import catalogue
from tasks.symbols.edits import counterfactual
from tasks.symbols.pairs import list_pairs
from tasks.validate import validate

TASK = get_task("symbolic/first-last-vs-contains-2")
A_FEW = list_pairs()[:: len(list_pairs()) // 8]


def rng(seed=0):
    return np.random.default_rng(seed)


def conflicts(rows):
    return Counter(r["prompt"] for r in rows.to_list() if r["quadrant"] in ("target_only", "spurious_only"))


@settings(max_examples=25)
@given(
    st.sampled_from(["symmetric", "one_sided", "one_sided_balanced"]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(1, 100),
    st.integers(0, 2**32),
)
def test_counter_examples_at_a_lower_rate_are_among_those_at_a_higher(kind, one, other, n, seed):
    low, high = sorted((one, other))
    fewer = conflicts(TASK.mixture(Evidence(kind, low), n, rng(seed)))
    more = conflicts(TASK.mixture(Evidence(kind, high), n, rng(seed)))
    assert fewer <= more
    assert more.total() == sum(
        v for q, v in Evidence(kind, high).counts(n).items() if q not in ("both", "neither")
    )


def flipped(rows):
    return Counter(r["prompt"] for r in rows.to_list() if r["label"] != r["target"])


@settings(max_examples=25)
@given(
    st.sampled_from(["symmetric", "one_sided", "one_sided_balanced"]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(1, 100),
    st.integers(0, 2**32),
)
def test_noise_flips_labels_of_the_same_rows_and_of_more_as_it_grows(kind, one, other, n, seed):
    low, high = (Evidence(kind, 0.2, noise) for noise in sorted((one, other)))
    clean, fewer, more = (TASK.mixture(e, n, rng(seed)) for e in (Evidence(kind, 0.2), low, high))
    assert flipped(clean).total() == 0
    assert flipped(fewer) <= flipped(more)
    for evidence, rows in ((low, fewer), (high, more)):
        assert rows.remove_columns("label").to_list() == clean.remove_columns("label").to_list()
        found = Counter(r["quadrant"] for r in rows.to_list() if r["label"] != r["target"])
        assert found == Counter({q: evidence.flipped(k) for q, k in evidence.counts(n).items()})


def test_flipped_counter_examples_at_a_lower_rate_are_flipped_at_a_higher():
    fewer, more = (TASK.mixture(Evidence("symmetric", rate, 0.25), 80, rng()) for rate in (0.1, 0.4))
    assert (flipped(fewer) & conflicts(fewer)).total() > 0
    assert flipped(fewer) & conflicts(fewer) <= flipped(more) & conflicts(more)


def test_demonstrations_and_rewards_go_by_the_label_that_noise_flipped():
    rows = TASK.demonstrations(Evidence("symmetric", 0.25, 0.25), 80, rng())
    assert list(rows["label"]) != list(rows["target"])
    assert [TASK.answers.read(said) for said in rows["completion"]] == list(rows["label"])
    assert set(TASK.reward(rows["prompt"], rows["completion"], label=rows["label"])) == {TASK.optimum}


def test_other_seeds_give_other_rows():
    """Equal seeds giving equal rows would be no achievement for a task that has only one data set."""
    one, other = (TASK.mixture(Evidence("symmetric", 0.25), 64, rng(seed)) for seed in (0, 1))
    assert len(set(one["prompt"]) & set(other["prompt"])) < 8


def test_rows_of_a_mixture_come_in_random_order():
    """Position in the data set must not tell the quadrant."""
    quadrants = TASK.mixture(Evidence("symmetric", 0.5), 2000, rng())["quadrant"]
    first_half = Counter(quadrants[:1000])
    assert chisquare([first_half[q] for q in QUADRANTS]).pvalue > 1e-4


@pytest.mark.parametrize("name", A_FEW)
def test_every_prompt_is_as_long_as_every_other_and_ends_in_the_question(name):
    prompts = get_task(name).probe_rows(40, rng())["prompt"]
    assert {len(prompt.split(" ")) for prompt in prompts} == {9}
    assert all(prompt.endswith(" ?") for prompt in prompts)


def test_columns_say_what_the_quadrant_is():
    for quadrant in QUADRANTS:
        rows = TASK.quadrant(quadrant, 20, rng())
        assert set(rows["quadrant"]) == {quadrant}
        assert set(rows["label"]) == set(rows["target"]) == {TARGET[quadrant]}
        assert set(rows["spurious"]) == {SPURIOUS[quadrant]}
        words = [prompt.split()[:-1] for prompt in rows["prompt"]]
        assert {row[0] == row[-1] for row in words} == {bool(TARGET[quadrant])}
        assert {"c" in row for row in words} == {bool(SPURIOUS[quadrant])}


def test_prompts_are_the_task_at_no_evidence():
    assert Counter(TASK.prompts(30, rng())["quadrant"]) == {"both": 15, "neither": 15}


def test_probe_rows_are_a_quarter_of_each_and_refuse_what_cannot_be():
    assert Counter(TASK.probe_rows(40, rng())["quadrant"]) == dict.fromkeys(QUADRANTS, 10)
    with pytest.raises(UserError, match="30 is not a multiple of 4"):
        TASK.probe_rows(30, rng())


def test_data_survive_parquet_and_disk(tmp_path):
    for i, rows in enumerate(
        [
            TASK.preferences(Evidence("one_sided", 0.2), 20, rng()),
            TASK.counterfactuals(20, rng()),
            TASK.demonstrations(Evidence(), 20, rng()).select(range(3, 9)),
        ]
    ):
        rows.to_parquet(tmp_path / f"{i}.parquet")
        read = Dataset.from_parquet(str(tmp_path / f"{i}.parquet"), cache_dir=str(tmp_path / "cache"))
        assert read.features == rows.features
        assert read.to_list() == rows.to_list()
        rows.save_to_disk(tmp_path / str(i))
        assert Dataset.load_from_disk(str(tmp_path / str(i))).to_list() == rows.to_list()


def test_preferences_prefer_the_right_label():
    rows = TASK.preferences(Evidence("symmetric", 0.25), 40, rng())
    assert [TASK.answers.read(said) for said in rows["chosen"]] == list(rows["label"])
    assert [TASK.answers.read(said) for said in rows["rejected"]] == [1 - y for y in rows["label"]]


A_PREFERENCE_OF_EACH = st.sampled_from(
    ["symbolic/first-last-vs-contains-2", "symbolic/contains-1-vs-first-class:answers=run", list_english()[0]]
)


@settings(max_examples=25)
@given(
    A_PREFERENCE_OF_EACH, st.sampled_from([0, 0.1, 0.5]), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1)
)
def test_ties_are_k_of_n_pairs_of_equal_reward_and_change_nothing_else(name, rate, n, one, other):
    task, evidence = get_task(name), Evidence("symmetric", rate, 0.25)
    clean, fewer, more = (task.preferences(evidence, n, rng(), ties) for ties in (0, *sorted((one, other))))
    mixture = task.mixture(evidence, n, rng())
    assert set(clean["tie"]) == {0}
    assert all(few <= many for few, many in zip(fewer["tie"], more["tie"], strict=True))
    for rows, ties in ((clean, 0), (fewer, min(one, other)), (more, max(one, other))):
        assert rows.select_columns(mixture.column_names).to_list() == mixture.to_list()
        assert sum(rows["tie"]) == round(ties * n)
        chosen, rejected = (
            task.reward(rows["prompt"], rows[c], label=rows["label"]) for c in ("chosen", "rejected")
        )
        assert set(chosen) == {task.optimum}
        assert [low == high for low, high in zip(rejected, chosen, strict=True)] == [
            t == 1 for t in rows["tie"]
        ]
        for row, same in zip(rows.to_list(), clean.to_list(), strict=True):
            assert row["chosen"] == same["chosen"]
            assert row["tie"] or row["rejected"] == same["rejected"]


def test_ties_are_in_random_order_and_in_every_quadrant():
    """Neither the place in the data set nor the quadrant must tell a tie."""
    rows = TASK.preferences(Evidence("symmetric", 0.5), 4000, rng(), 0.25)
    ties = np.array(rows["tie"])
    assert abs(ties[:2000].mean() - 0.25) < 0.03
    found = Counter(q for q, tie in zip(rows["quadrant"], ties, strict=True) if tie)
    assert chisquare([found[q] for q in QUADRANTS]).pvalue > 1e-4


@pytest.mark.parametrize("ties", [-0.1, 1.1, float("nan")])
def test_an_impossible_share_of_ties_is_refused(ties):
    with pytest.raises(UserError, match=r"ties .* is outside 0 to 1"):
        TASK.preferences(Evidence(), 8, rng(), ties)


def neighbours(row, size, vocabulary):
    """Every row that differs from `row` in exactly `size` places."""
    for places in combinations(range(len(row)), size):
        for shifts in product(range(1, vocabulary), repeat=size):
            out = row.copy()
            out[list(places)] = (row[list(places)] + shifts) % vocabulary
            yield out


@pytest.mark.parametrize(
    ("flip", "hold"),
    [
        ("first-last", "contains-2"),
        ("contains-2", "first-last"),
        ("sorted-prefix", "parity"),
        ("few-distinct", "smallest-last"),
    ],
)
def test_edits_are_the_fewest_changes_by_exhaustive_search(flip, hold):
    features = catalogue(4, 5)
    flip, hold = features[flip], features[hold]
    sizes = Counter()
    for row in rng(1).integers(4, size=(25, 5), dtype=np.int8):
        possible = 0
        for size in (1, 2, 3, 4):
            rows = np.array(list(neighbours(row, size, 4)))
            held = hold.holds(rows) == hold.holds(row[None])
            flipped = flip.holds(rows) != flip.holds(row[None])
            if (held & flipped).any() and (held & ~flipped).any():
                possible = size
                break
        found = counterfactual(row, flip, hold, rng(2), vocabulary=4)
        assert (found[2] if found else 0) == possible
        if found:
            edited, placebo, size = found
            assert (edited != row).sum() == (placebo != row).sum() == size
            assert flip.holds(edited[None]) != flip.holds(row[None])
            assert flip.holds(placebo[None]) == flip.holds(row[None])
            both = np.stack([edited, placebo])
            assert (hold.holds(both) == hold.holds(row[None])).all()
        sizes[possible] += 1
    assert sizes[1]


def test_there_is_no_edit_where_none_exists():
    features = catalogue(4, 5)
    never = features["contains-all"]  # symbols 6 and 7 are not among four
    assert (
        counterfactual(np.arange(4).repeat(2)[:5], never, features["first-last"], rng(), vocabulary=4) is None
    )


@pytest.mark.parametrize(("flip", "hold"), [("first-last", "contains-2"), ("few-distinct", "first-last")])
def test_edits_are_uniform_over_the_candidates(flip, hold):
    """Also where candidates are found by sampling, as they are above one change."""
    features = catalogue(4, 5)
    flip, hold = features[flip], features[hold]
    row = np.array([0, 1, 2, 3, 1] if flip.name == "first-last" else [0, 3, 1, 2, 3], dtype=np.int8)
    found = [counterfactual(row, flip, hold, rng(seed), vocabulary=4) for seed in range(1500)]
    size = found[0][2]
    rows = np.array(list(neighbours(row, size, 4)))
    held = hold.holds(rows) == hold.holds(row[None])
    flipped = flip.holds(rows) != flip.holds(row[None])
    for which, allowed in ((0, rows[held & flipped]), (1, rows[held & ~flipped])):
        counts = Counter(f[which].tobytes() for f in found)
        expected = {r.tobytes() for r in allowed}
        assert set(counts) <= expected
        assert len(expected) == 1 or chisquare([counts[r] for r in expected]).pvalue > 1e-4


def test_counterfactuals_of_most_rows_exist():
    rows = TASK.counterfactuals(40, rng())
    assert len(rows) > 60
    assert Counter(rows["flips"])["target"] > 30
    assert Counter(rows["flips"])["spurious"] > 30


@pytest.mark.parametrize("name", A_FEW[:4])
def test_the_third_feature_is_the_best_of_the_rest(name):
    """Recomputed on rows of the base distribution, of which both and neither are picked out."""
    task = get_task(name)
    rows = rng(7).integers(16, size=(400_000, 8), dtype=np.int8)
    target, spurious = task.target.holds(rows), task.spurious.holds(rows)
    both, neither = rows[target & spurious], rows[~target & ~spurious]
    accuracy = {
        feature.name: abs(feature.holds(both).mean() - feature.holds(neither).mean()) / 2 + 0.5
        for feature in catalogue().values()
        if feature.family not in (task.target.family, task.spurious.family)
    }
    found, told = third_feature(task, 4000)
    assert accuracy[found] > max(accuracy.values()) - 0.03
    assert abs(told - accuracy[found]) < 0.03


def test_no_third_feature_of_text_tells_both_from_neither():
    """The quadrants are readings of one source, so that any other feature is as frequent in each of them."""
    for name in ("english/agreement-hard-plural", "english/polarity-length", "reviews/film-vs-opener"):
        found, told = third_feature(get_task(name), 4000)
        assert found and 0.5 <= told < 0.55
    task = get_task("english/polarity-length")
    copy = replace(task.target, name="copy", family="copy")
    assert third_feature(replace(task, inputs=replace(task.inputs, catalogue=(copy,)))) == ("copy", 1.0)


def test_validate_refuses_fewer_rows_than_it_needs():
    with pytest.raises(UserError, match="multiple of 8"):
        validate(TASK, n=12)
