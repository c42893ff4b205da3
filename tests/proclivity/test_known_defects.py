"""The defects of the field's original generators, each planted alone: `tasks validate` tells it by name.

A case is a task with one defect, the check that fails, and what it says. Its sound twin differs in nothing
else.

References: Lovering et al. 2021 (https://openreview.net/forum?id=mNtmhaDkAr); Cruz et al. 2023
(https://arxiv.org/abs/2311.04046): in the generators that were published with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tasks import Evidence, Feature, Task, get_task, registry, text_feature, text_pair
from tasks.symbols.pairs import SymbolInputs

Call = Callable[..., tuple[int, str, str]]
Wanted = Sequence[tuple[Feature, bool]]
ROW = r"'([a-p] ){8}\?'"

FIRST_LAST = get_task("symbolic/first-last-vs-contains-2")
PREFIX = get_task("symbolic/prefix-duplicate-vs-contains-2")

WORDS = {
    "who": "baker nurse pilot farmer singer lawyer poet judge miner guard",
    "verb": "see hear find greet follow thank draw visit help call",
    "whom": "dog cat horse child king queen thief friend girl boy",
    "where": "gate lake market forest station harbour office school hall bridge",
}
SLOTS = {slot: words.split() for slot, words in WORDS.items()}
NOT = text_feature("negated", "negation", lambda text: " not " in text)
TODAY = text_feature("timed", "time", lambda text: "today" in text)


def plain(words: dict[str, str], target: bool, spurious: bool) -> str:
    polarity, opening = "not" if target else "indeed", "today" if spurious else "surely"
    return f"{opening} the {words['who']} did {polarity} {words['verb']} the {words['whom']}"


SENTENCES = text_pair("mine/sound", NOT, TODAY, SLOTS, plain)


class PlantedAround(SymbolInputs):
    """`both`: the 2 is put among the other symbols, never where the duplicate is planted."""

    def draw(self, wanted: Wanted, n: int, rng: np.random.Generator, split: Any = None) -> Any:
        rows = super().draw(wanted, 2 * n + 20, rng, split)
        if len(wanted) == 2 and all(value for _, value in wanted):
            rows = rows[rows[:, 0] != 2]
        return rows[:n]


class FreeInNeither(SymbolInputs):
    """`neither` asks nothing of the spurious feature, as the subjects of filler-gap sentences were free."""

    def draw(self, wanted: Wanted, n: int, rng: np.random.Generator, split: Any = None) -> Any:
        free = [value for _, value in wanted] == [False, False]
        return super().draw(wanted[:1] if free else wanted, n, rng, split)


def longer(words: dict[str, str], target: bool, spurious: bool) -> str:
    """Theirs had 17, 13 and 22 words on average in both, neither and spurious_only, by clauses with `and`."""
    clauses = {(True, True): 1, (False, False): 0, (True, False): 1, (False, True): 2}[target, spurious]
    return plain(words, target, spurious) + f" and the {words['where']} was closed" * clauses


class Drifting(Task):
    """Counter-examples of one label alone, whatever kind of evidence was asked for."""

    def mixture(self, evidence: Evidence, n: int, rng: np.random.Generator, split: Any = "train") -> Any:
        return super().mixture(replace(evidence, kind="one_sided"), n, rng, split)


class SplitAfterwards(SymbolInputs):
    """The vocabulary was to be held out, and the switch did nothing: a row may be in any split."""

    def draw(self, wanted: Wanted, n: int, rng: np.random.Generator, split: Any = None) -> Any:
        return super().draw(wanted, n, rng, None)


class SourcesInAllSplits(SymbolInputs):
    """Rows are divided, and the reviews that they were made from are not."""

    def source(self, rows: Any) -> list[str]:
        return [row[:1].tobytes().hex() for row in rows]


class Unseeded(SymbolInputs):
    """The seed is read from the command line and seeds nothing."""

    def draw(self, wanted: Wanted, n: int, rng: np.random.Generator, split: Any = None) -> Any:
        return super().draw(wanted, n, np.random.default_rng(), split)


@dataclass(frozen=True)
class Defect:
    name: str
    sound: Task
    task: Task
    check: str
    """The promise that is broken, by its name in the table."""
    told: str
    """What is said, as a pattern."""
    also: tuple[str, ...] = ()
    """Promises that cannot be kept either, once this one is broken."""


DEFECTS = [
    Defect(
        "the place of the 2 leaks first = last",
        *(FIRST_LAST, replace(FIRST_LAST, inputs=PlantedAround())),
        *("surface cues", r"words by position tells both from base rows .* most telling: 'c' in place [18],"),
    ),
    Defect(
        "the place of the 2 leaks first = second",
        *(PREFIX, replace(PREFIX, inputs=PlantedAround())),
        *("surface cues", r"words by position tells both from base rows .* most telling: 'c' in place [12],"),
    ),
    Defect(
        "spurious feature present in neither",
        *(FIRST_LAST, replace(FIRST_LAST, inputs=FreeInNeither())),
        *(
            "predicates",
            rf"spurious feature contains-2 is 1 on {ROW}, which stands in neither with spurious = 0",
        ),
        also=("surface cues",),
    ),
    Defect(
        "length differs by quadrant",
        *(SENTENCES, text_pair("mine/longer", NOT, TODAY, SLOTS, longer)),
        *("surface cues", r"length tells both with neither from target_only with spurious_only.*\d+ words"),
    ),
    Defect(
        "label prior moves with the evidence",
        *(FIRST_LAST, Drifting(**FIRST_LAST.__dict__)),
        *("counts", r"mixture symmetric 0\.5 train: the label prior is 0\.25, not 0\.5"),
    ),
    Defect(
        "rows in train and in test",
        *(FIRST_LAST, replace(FIRST_LAST, inputs=SplitAfterwards())),
        *("splits", rf"prompt {ROW} is in \w+ and in \w+"),
    ),
    Defect(
        "sources in train and in test",
        *(FIRST_LAST, replace(FIRST_LAST, inputs=SourcesInAllSplits())),
        *("splits", r"source '\w+' is in \w+ and in \w+"),
    ),
    Defect(
        "a seed that seeds nothing",
        *(FIRST_LAST, replace(FIRST_LAST, inputs=Unseeded())),
        *("equal seeds", rf"equal seeds give .*{ROW}.* and .*{ROW}"),
        also=("nested counter-examples",),
    ),
]
BY_NAME = [pytest.param(defect, id=defect.name) for defect in DEFECTS]


@pytest.fixture
def validated(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Task], tuple[int, dict[str, str], str]]:
    """Exit status, the problems column of each promise, and the words of `proclivity tasks validate`."""

    def run(task: Task) -> tuple[int, dict[str, str], str]:
        monkeypatch.setattr(registry, "_OWN", {"mine/task": lambda: task})
        status, out, _ = call("tasks", "validate", "mine/task")
        rows = re.findall(r"^(\D+?) +\d+ *(\d*)$", out.split("\n\n")[0], re.MULTILINE)
        return status, dict(rows), out

    return run


@pytest.mark.parametrize("defect", BY_NAME)
def test_the_defect_is_told_by_name(defect: Defect, validated: Callable[[Task], Any]) -> None:
    status, problems, out = validated(defect.task)
    assert (status, "0 of 1 tasks keep every promise" in out) == (1, True)
    failed = {check for check, n in problems.items() if n}
    assert defect.check in failed <= {defect.check, *defect.also}
    assert re.search(f"^mine/task: .*{defect.told}", out, re.MULTILINE), out


def test_the_sound_twins_keep_every_promise(validated: Callable[[Task], Any]) -> None:
    twins = {defect.sound.name: defect.sound for defect in DEFECTS}
    for task in twins.values():
        status, problems, out = validated(task)
        assert (status, set(problems.values())) == (0, {""}), out
        assert {defect.check for defect in DEFECTS} < problems.keys()


def test_each_differs_from_its_twin_in_one_thing() -> None:
    for defect in DEFECTS:
        sound, task = defect.sound, defect.task
        assert (sound.target, sound.spurious, sound.answers) == (task.target, task.spurious, task.answers)
        assert (type(sound) is type(task)) != (sound.inputs == task.inputs)
