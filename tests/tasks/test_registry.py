"""Names: what exists is found, what does not is answered in one line, and a private task is one file."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tasks import (
    UserError,
    get_feature,
    get_task,
    include,
    list_features,
    list_tasks,
    registry,
    task,
    task_sources,
)
from tasks.validate import validate

PRIVATE = '''
"""Does the sequence start with its largest symbol, or hold symbol 5?"""

from tasks import Feature, Task, symbol_pair, task

LARGEST = Feature("largest-first", "largest-first", lambda rows: rows[:, 0] == rows.max(axis=1))
FIVE = Feature("five", "five", lambda rows: (rows == 5).any(axis=1))


@task("mine/largest-vs-five")
def largest_vs_five() -> Task:
    return symbol_pair("mine/largest-vs-five", LARGEST, FIVE, vocabulary=10, length=6)
'''


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """Tasks that a test registers are gone after it."""
    monkeypatch.setattr(registry, "_OWN", {})


def refused(call, *arguments):
    with pytest.raises(UserError) as error:
        call(*arguments)
    told = str(error.value)
    assert "\n" not in told
    assert "Traceback" not in told
    return told


def test_every_listed_name_is_a_task_of_that_name():
    names = list_tasks()
    assert names == sorted(set(names))
    for name in names:
        found = get_task(name)
        assert found.name == name
        prefix = name.partition("/")[0]
        if prefix != "english":
            assert name == f"{prefix}/{found.target.name}-vs-{found.spurious.name}"
    assert {name.partition("/")[0] for name in names} == {"english", "reviews", "symbolic"}


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("symbolic/first-last-vs-contains2", "'symbolic/first-last-vs-contains-2'"),
        ("symbolic/frist-last-vs-parity", "'symbolic/first-last-vs-parity'"),
        ("symbolc/first-last-vs-parity", "'symbolic/first-last-vs-parity'"),
        ("symbolic/first-last", "-first-last'"),
        ("english/agreement-base-lexcal", "'english/agreement-base-lexical'"),
        ("englsh/polarity-tense", "'english/polarity-tense'"),
        ("nothing like it", "among them "),
    ],
)
def test_an_unknown_task_is_answered_with_the_nearest(name, nearest):
    told = refused(get_task, name)
    assert "unknown task" in told
    assert nearest in told


def test_an_unknown_feature_is_answered_with_the_nearest():
    assert "did you mean 'contains-2'" in refused(get_feature, "contain-2")
    assert get_feature("contains-2").name == "contains-2"
    assert "contains-2" in list_features()


def test_an_impossible_pair_says_which_quadrant_is_missing():
    told = refused(get_task, "symbolic/contains-first-again-vs-few-distinct:length=64,vocabulary=16")
    assert "impossible pair" in told
    assert "neither" in told
    assert "target_only" in told
    assert "both" not in told
    assert "symbolic/contains-first-again-vs-few-distinct" in told


def test_a_pair_needs_two_families():
    assert "family 'contains'" in refused(get_task, "symbolic/contains-1-vs-contains-2")


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("lenght=8", "did you mean 'length'"),
        ("vocabulary=15", "15 is not a whole number from 16 to 128"),
        ("vocabulary=1.5", "1.5 is not a whole number"),
        ("length=5", "5 is not a whole number from 6 to 64"),
        ("length=-8", "-8 is not a whole number"),
        ("length", "key=value"),
        ("length=", "key=value"),
        ("answers=lable", "unknown way to answer 'lable'; did you mean 'label'"),
    ],
)
def test_a_bad_parameter_is_answered_in_one_line(parameters, told):
    assert told in refused(get_task, f"symbolic/first-last-vs-parity:{parameters}")


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("heldot=templates", "did you mean 'heldout'"),
        ("heldout=vocablary", "unknown way to hold out 'vocablary'; did you mean 'vocabulary'"),
        ("length=8", "unknown parameter of a task in english/ 'length'"),
        ("alone=targt", "did you mean 'target'"),
    ],
)
def test_a_bad_parameter_of_an_english_task_is_answered_in_one_line(parameters, told):
    assert told in refused(get_task, f"english/polarity-tense:{parameters}")


def test_the_sources_of_a_task_are_those_of_its_language():
    def folders(name):
        return {path.parent.name for path in task_sources(name)}

    assert folders("symbolic/first-last-vs-parity") == {"tasks", "symbols"}
    assert folders("english/polarity-tense:heldout=vocabulary") == {"tasks", "english"}
    assert folders("reviews/dash-vs-film:answers=sentiment") == {"tasks", "english"}
    assert folders("english/polarity-tense:alone=target") == {"tasks", "english", "symbols"}
    assert {"text.py", "lexicon.py", "polarity.py"} <= {
        p.name for p in task_sources("english/polarity-tense")
    }


def test_parameters_reach_the_rows():
    found = get_task("symbolic/first-last-vs-parity:vocabulary=40,length=12,answers=run")
    prompts = found.prompts(100, np.random.default_rng(0))["prompt"]
    assert {len(prompt.split()) for prompt in prompts} == {13}
    assert "s39" in {word for prompt in prompts for word in prompt.split()}
    assert found.answers.words is None


def test_a_private_task_is_one_file_of_twenty_lines(tmp_path):
    assert len(PRIVATE.strip().splitlines()) <= 20
    path = tmp_path / "private.py"
    path.write_text(PRIVATE)
    before = list_tasks()
    include(path)
    assert set(list_tasks()) - set(before) == {"mine/largest-vs-five"}
    found = get_task("mine/largest-vs-five")
    assert (found.name, found.target.name, found.spurious.name) == (
        "mine/largest-vs-five",
        "largest-first",
        "five",
    )
    assert validate(found) == []
    assert "did you mean 'mine/largest-vs-five'" in refused(get_task, "mine/largest-vs-fiv")
    assert path in task_sources("mine/largest-vs-five")
    assert path not in task_sources("symbolic/first-last-vs-parity")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def broken(:\n    pass\n", "SyntaxError"),
        ("import no_such_module\n", "No module named 'no_such_module'"),
        ("raise ValueError('one\\ntwo')\n", "ValueError: one two (broken.py line 1)"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("from tasks import Taks\n", "cannot import name 'Taks'"),
    ],
)
def test_a_broken_file_is_one_line_with_its_name(tmp_path, text, told):
    path = tmp_path / "broken.py"
    path.write_text(text)
    message = refused(include, path)
    assert told in message
    assert str(path) in message
    assert {name.partition("/")[0] for name in list_tasks()} == {"english", "reviews", "symbolic"}


def test_the_same_file_twice_is_no_clash(tmp_path, monkeypatch):
    path, other = tmp_path / "private.py", tmp_path / "linked.py"
    path.write_text(PRIVATE)
    other.symlink_to(path)
    monkeypatch.setenv(registry.INCLUDE, os.pathsep.join([str(path), str(other)]))
    include(path)
    assert get_task("mine/largest-vs-five").name == "mine/largest-vs-five"
    include(path)


def test_two_tasks_of_one_name_are_refused(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PRIVATE)
    include(tmp_path / "one.py")
    told = refused(include, tmp_path / "two.py")
    assert "there is a task 'mine/largest-vs-five' already" in told
    assert str(tmp_path / "one.py") in told and str(tmp_path / "two.py") in told
    (tmp_path / "both.py").write_text(
        PRIVATE.replace("mine/l", "mine/b") + PRIVATE.replace("mine/l", "mine/b")
    )
    assert "already" in refused(include, tmp_path / "both.py")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("symbolic/first-last-vs-contains-2", "as the shipped tasks alone do"),
        ("symbolic/mine-vs-yours", "as the shipped tasks alone do"),
        ("mine/a:b", "names are written word/word"),
        ("mine", "names are written word/word"),
        ("mine/a/b", "names are written word/word"),
        ("mine/a b", "names are written word/word"),
        ("", "names are written word/word"),
    ],
)
def test_a_name_that_cannot_be_a_task_of_ones_own_is_refused(name, told):
    message = refused(task(name), lambda: None)
    assert told in message and repr(name) in message and __file__ in message


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return None", "returns NoneType, not a Task"),
        ("return 1 / 0", "ZeroDivisionError: division by zero (private.py line 12)"),
        ("raise UserError('one')", "one"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_task_that_cannot_be_made_is_one_line(tmp_path, body, told):
    path = tmp_path / "private.py"
    text = PRIVATE.replace("import Feature", "import UserError, Feature")
    path.write_text(text[: text.index("return symbol_pair")] + body)
    include(path)
    message = refused(get_task, "mine/largest-vs-five")
    assert message.startswith(f"task 'mine/largest-vs-five' of {path}: ") and told in message


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    assert "no such file" in refused(include, tmp_path / "absent.py")
    assert "no such file" in refused(include, tmp_path)
    (tmp_path / "tasks.txt").write_text(PRIVATE)
    assert "ends in .py" in refused(include, tmp_path / "tasks.txt")


def test_an_installed_package_brings_its_tasks(monkeypatch):
    class Point:
        name = "theirs/pair"

        def load(self):
            return lambda: get_task("symbolic/first-last-vs-parity")

    monkeypatch.setattr(registry, "_installed", lambda: (Point(),))
    assert "theirs/pair" in list_tasks()
    assert get_task("theirs/pair").target.name == "first-last"


def test_the_decorator_leaves_the_function_as_it_is():
    def make():
        return get_task("symbolic/first-last-vs-parity")

    assert task("mine/again")(make) is make
    assert get_task("mine/again").name == "symbolic/first-last-vs-parity"


DIGEST = """
import sys, json, hashlib
import tasks, tasks.validate
heavy = {"torch", "datasets", "transformers", "pandas", "scipy", "pyarrow", "sklearn"} & set(sys.modules)
assert not heavy, f"import tasks brings {heavy}"
import numpy as np
task = tasks.get_task("symbolic/first-last-vs-contains-2").for_seed(3)
rng = np.random.default_rng(5)
rows = [
    task.preferences(tasks.Evidence("symmetric", 0.1), 40, rng).to_list(),
    task.probe_rows(40, rng).to_list(),
    task.counterfactuals(20, rng).to_list(),
    tasks.list_tasks(),
    tasks.third_feature(task, 200),
]
print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())
"""


def test_a_fresh_process_draws_the_same_and_import_tasks_is_light():
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == len(hashlib.sha256(json.dumps([]).encode()).hexdigest())
