"""The task of a file: its rows split by source, drawn without replacement, never more than there are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks import QUADRANTS, SPURIOUS, TARGET, Evidence, UserError, get_task, task_sources
from tasks.tsv import Line, read_table, write_table
from tasks.validate import checks, validate

SPLITS = ("train", "validation", "test")


def rng(seed=0):
    return np.random.default_rng(seed)


def task_of(folder, rows, name="rows.tsv"):
    write_table(folder / name, rows)
    return get_task(f"tsv:{folder / name}")


def rows_of(n, sources=None):
    """n rows a quadrant; with `sources`, each row is made from one of so many."""
    out = []
    for i in range(n):
        for q in QUADRANTS:
            source = f"source {i % sources}" if sources else f"{q} {i}"
            out.append(Line(f"{q[:3]} number {i}", q, source))
    return out


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return task_of(tmp_path_factory.mktemp("file"), rows_of(200))


def pools(task):
    """Every row that can be drawn, by split and quadrant: as many as are drawn before they are refused."""
    out = {}
    for split in SPLITS:
        for q in QUADRANTS:
            wanted = [(task.target, bool(TARGET[q])), (task.spurious, bool(SPURIOUS[q]))]
            out[split, q] = task.inputs.rows[task.inputs._pool(wanted, split)]
    return out


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from(QUADRANTS)), min_size=8, max_size=120, unique=True
    ).filter(lambda rows: {q for _, q in rows} == set(QUADRANTS))
)
def test_no_source_is_in_two_splits_or_in_two_quadrants_of_a_split(tmp_path_factory, drawn):
    rows = [Line(f"{q} of {source}", q, str(source)) for source, q in drawn]
    found = pools(task_of(tmp_path_factory.mktemp("file"), rows))
    home = {}
    for where, pool in found.items():
        for text, source in pool:
            assert home.setdefault(source, where) == where
            assert text.startswith(f"{where[1]} of {source} ")
    # Every source is used: none is lost between the splits.
    assert set(home) == {row.source for row in rows}


def test_rows_split_the_same_whatever_their_order(tmp_path):
    rows = rows_of(40, sources=25)
    one, other = (pools(task_of(tmp_path, part, name)) for part, name in ((rows, "a"), (rows[::-1], "b")))
    for where, pool in one.items():
        assert {tuple(row) for row in pool} == {tuple(row) for row in other[where]}


def test_it_keeps_every_promise(task, tmp_path):
    assert validate(task) == []
    assert validate(task_of(tmp_path, rows_of(800, sources=800))) == []
    assert {check.name: check.n for check in checks(task, surface=True)}["surface cues"] == 0


def test_draws_are_without_replacement_and_beyond_the_file_refused(task):
    for (split, quadrant), pool in pools(task).items():
        drawn = task.quadrant(quadrant, len(pool), rng(1), split)
        assert len(set(drawn["prompt"])) == len(pool)
        assert set(drawn["quadrant"]) == {quadrant}
        if split == "train":
            continue
        with pytest.raises(UserError) as error:
            task.quadrant(quadrant, len(pool) + 1, rng(1), split)
        told = f"rows.tsv: {len(pool)} rows of {quadrant} in {split}, not the {len(pool) + 1} asked for; "
        assert told + f"ask for at most {len(pool)}" in str(error.value)


def test_a_split_without_rows_says_so_also_when_tuning(tmp_path):
    task = task_of(tmp_path, rows_of(1))
    said = 0
    for (split, quadrant), pool in pools(task).items():
        if not len(pool):
            with pytest.raises(UserError, match=f"0 rows of {quadrant} in {split}.*too few rows, or sources"):
                task.quadrant(quadrant, 1, rng(), split)
            said += 1
    assert said >= 8


def test_tuning_beyond_the_file_goes_through_the_rows_again_in_a_new_order(task):
    size = len(pools(task)["train", "both"])
    both = [(task.target, True), (task.spurious, True)]
    drawn = task.inputs.draw(both, 3 * size, rng(), "train")[:, 0].tolist()
    rounds = [drawn[i * size : (i + 1) * size] for i in range(3)]
    assert len({tuple(part) for part in rounds}) == 3
    assert len({frozenset(part) for part in rounds}) == 1
    assert Counter(drawn).most_common(1)[0][1] == 3


@settings(max_examples=25)
@given(
    st.sampled_from(["symmetric", "one_sided", "one_sided_balanced"]),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.integers(1, 3000),
    st.integers(0, 2**32),
)
def test_counter_examples_at_a_lower_rate_are_among_those_at_a_higher(task, kind, one, other, n, seed):
    """Also where the rows are gone through again."""

    def conflicts(rate):
        rows = task.mixture(Evidence(kind, rate), n, rng(seed))
        columns = (rows[name] for name in ("prompt", "target", "spurious"))
        return Counter(p for p, t, s in zip(*columns, strict=True) if t != s)

    low, high = sorted((one, other))
    assert conflicts(low) <= conflicts(high)


def test_equal_seeds_give_equal_rows_and_others_do_not(task):
    evidence = Evidence("symmetric", 0.25)
    one, same, other = (task.mixture(evidence, 64, rng(seed)).to_list() for seed in (0, 0, 1))
    assert one == same
    assert [row["prompt"] for row in one] != [row["prompt"] for row in other]


def test_labels_and_features_are_the_file_s(task):
    sections = {row.sentence: row.quadrant for row in read_table(task.inputs.table.path).rows}
    for row in task.probe_rows(80, rng()):
        quadrant = sections[row["prompt"].removesuffix(" ?")]
        assert (row["quadrant"], row["target"]) == (quadrant, TARGET[quadrant])
        assert (row["spurious"], row["label"]) == (SPURIOUS[quadrant], TARGET[quadrant])
    assert task.target.about == "the file's target column"
    assert {task.target.family, task.spurious.family} == {"rows-target", "rows-spurious"}


def test_counterfactuals_have_columns_and_no_rows(task, tmp_path):
    symbols = get_task("symbolic/first-last-vs-contains-2").counterfactuals(8, rng())
    for given_task in (task, task_of(tmp_path, rows_of(400, sources=400))):
        rows = given_task.counterfactuals(8, rng())
        assert len(rows) == 0
        assert rows.features == symbols.features


@pytest.mark.parametrize("name", ["a,b=c:d.tsv", "alone=target", "x:alone=target", "sp ace", "ö-vs-ü.tsv"])
def test_any_letters_may_be_in_a_path(tmp_path, name):
    assert validate(task_of(tmp_path, rows_of(200), name)) == []


def test_the_run_key_s_sources_hold_the_file(tmp_path):
    task = task_of(tmp_path, rows_of(2))
    assert tmp_path / "rows.tsv" in task_sources(task.name)
    assert {"given.py", "tsv.py", "splits.py"} <= {path.name for path in task_sources(task.name)}


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    task_of(tmp_path, rows_of(2))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(get_task("tsv:~/rows.tsv").inputs.rows) == 8
    assert tmp_path / "rows.tsv" in task_sources("tsv:~/rows.tsv")


def test_columns_that_nothing_reads_are_named(tmp_path):
    path = tmp_path / "rows.tsv"
    write_table(path, rows_of(2))
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{head}\tnotes\t", *(f"{line}\tx\ty" for line in lines)]))
    assert "columns not used: notes, (no name)" in get_task(f"tsv:{path}").inputs.legend


def test_a_name_without_a_file_is_refused():
    with pytest.raises(UserError, match="tsv:FILE"):
        get_task("tsv:")
