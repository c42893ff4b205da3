"""The page of features says what the code says, of every shipped task, and refuses what is not told."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from proclivity.cli import parser
from proclivity.task_docs import entries, main
from tasks import QUADRANTS, SPURIOUS, TARGET, UserError, get_task, list_shipped, symbol_words
from tasks.symbols.pairs import SymbolInputs

PAGE = Path(__file__).parent.parent.parent / "docs" / "tasks.md"
TEXT = PAGE.read_text(encoding="utf-8")
TASK = get_task("symbolic/first-last-vs-contains-2")


def test_the_committed_page_is_what_the_code_says_now(tmp_path):
    main(str(tmp_path / "tasks.md"))
    same = (tmp_path / "tasks.md").read_bytes() == PAGE.read_bytes()
    assert same, "docs/tasks.md is not what the code says: run `make docs` and commit it"


def test_every_feature_has_its_family_definition_and_example():
    tasks = [get_task(name) for names in list_shipped().values() for name in names]
    features = {f.name: f for task in tasks for f in (task.target, task.spurious)}
    assert len(features) > 40
    for name, feature in features.items():
        assert TEXT.count(f"| `{name}` | {feature.family} | {feature.about} |") == 1
        assert f"**{name}** (" in TEXT


def test_every_prompt_shown_is_of_its_quadrant():
    """Read back from the page, and told by the features themselves."""
    blocks = re.findall(r"\): `([^`]+)`\n\n((?:    .*\n)+)", TEXT)
    assert len(blocks) > 40
    for name, block in blocks:
        task = get_task(name)
        prompts = dict(line.split(maxsplit=1) for line in block.splitlines())
        assert tuple(prompts) == QUADRANTS
        for quadrant in task.quadrants:
            rows = row_of(task, prompts[quadrant])
            truths = [int(feature.holds(rows)[0]) for feature in (task.target, task.spurious)]
            assert truths == [TARGET[quadrant], SPURIOUS[quadrant]], (name, quadrant)
        for quadrant in task.missing:
            assert "cannot exist" in prompts[quadrant]


def row_of(task, prompt):
    if isinstance(task.inputs, SymbolInputs):
        words = symbol_words(task.inputs.vocabulary)
        return np.array([[words.index(word) for word in prompt.removesuffix(" ?").split()]])
    return np.array([[prompt, "no source"]], dtype=object)


def test_every_command_on_the_page_is_one():
    commands = re.findall(r"^    proclivity (.*)$", TEXT, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        assert parser().parse_args(shlex.split(command)).body


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"about": ""}, "feature 'first-last' has no definition"),
        (
            {"paper": ""},
            "feature 'first-last' has paper='', which is none of tasks/papers.py: this package, ",
        ),
        ({"paper": "Nobody 1999"}, "feature 'first-last' has paper='Nobody 1999'"),
    ],
)
def test_what_is_not_told_is_an_error(change, told):
    assert [entry.feature.name for entry in entries([TASK])] == ["first-last", "contains-2"]
    with pytest.raises(UserError, match=f"{TASK.name}: {re.escape(told)}"):
        entries([replace(TASK, target=replace(TASK.target, **change))])


def test_one_name_with_two_definitions_is_an_error():
    other = replace(TASK, name="other", target=replace(TASK.target, about="something else"))
    with pytest.raises(
        UserError, match="other: feature 'first-last' has another family, definition or paper"
    ):
        entries([TASK, other])
