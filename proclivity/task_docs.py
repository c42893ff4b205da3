"""The page docs/tasks.md: every feature of the shipped tasks, as the code defines it.

python -m proclivity.task_docs docs/tasks.md
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proclivity.text_docs import text_out_section
from tasks import (
    QUADRANTS,
    SPURIOUS,
    TARGET,
    Feature,
    Task,
    UserError,
    get_task,
    list_shipped,
)
from tasks.papers import OWN, PAPERS
from tasks.text import read_four_ways

_EXAMPLE = "symbolic/first-last-vs-contains-2"
_SOURCES = 64
"""Of so many sources the one with the shortest sentences is shown."""

_HEAD = """\
# The tasks and their features

<!-- Written by `make docs` from the code; a test compares. Change the code, not this page. -->

A **feature** is true of a prompt or not. A **task** asks for the truth of one feature, its **target**, and
carries a second one, its **spurious** feature, which agrees with the target unless there is evidence to the
contrary. Near copies of a feature form one **family**: statistics count families, and the two features of a
task are of two families.

The truths of the two features divide prompts into four **quadrants**:

| quadrant | target | spurious | right answer | in the papers |
|---|---|---|---|---|
| `both` | true | true | 1 | both |
| `neither` | false | false | 0 | neither |
| `target_only` | true | false | 1 | strong |
| `spurious_only` | false | true | 0 | weak |

At no evidence a model is tuned on `both` and `neither` alone, where the two features cannot be told apart;
the other two quadrants show which of them it uses. Every prompt ends in `?`; behind it stands the answer,
for each label a word drawn anew for each seed.

| language | tasks | features | families |
|---|---|---|---|
{languages}

## From the command line

    # all tasks; one task's definitions and rows; whether it keeps its promises; its rows as files
    proclivity tasks ls
    proclivity tasks show {example}
    proclivity tasks validate {example}
    proclivity tasks export {example} --out out/rows

    # how extractable are its two features; which of them does a tuned model use
    proclivity probe --model embedded/symbols --task {example}
    proclivity finetune --model embedded/symbols --task {example} --method sft

{names}

## A task of your own

`proclivity tasks new mine/negated-vs-timed` writes a file with a working task of sentences, to be changed:
lists of words, two features as functions of the text, and one function that writes a sentence with each
feature set as asked. `--include FILE` makes its tasks known to any command. `proclivity tasks validate` then
says whether the quadrants, splits and answers are right, and whether words, their places or the length of a
prompt give away more than the two features do. A task of symbols is as short: see
[own-task.md](how-to/own-task.md). Rows that there are already need no code: `--task tsv:FILE`."""


@dataclass(frozen=True)
class Entry:
    """One feature, and the tasks that it is in."""

    feature: Feature
    target_of: tuple[Task, ...]
    spurious_of: tuple[Task, ...]

    @property
    def example(self) -> Task:
        """Of the tasks whose target it is, if there are any: the one whose other feature is told shortest."""
        if self.target_of:
            return min(self.target_of, key=lambda task: len(task.spurious.about))
        return min(self.spurious_of, key=lambda task: len(task.target.about))


def page(tasks: dict[str, list[str]]) -> str:
    """The page, from the names of tasks by input language."""
    found = {language: [get_task(name) for name in names] for language, names in tasks.items()}
    parts = {language: entries(found[language]) for language in found}
    counts = [
        (f"[{language}](#{language})", len(found[language]), len(part), len({e.feature.family for e in part}))
        for language, part in parts.items()
    ]
    _, _, names = (inspect.getdoc(get_task) or "").partition("\n\n")
    head = _HEAD.format(languages="\n".join(map(_row, counts)), names=names, example=_EXAMPLE)
    told = [line for language, part in parts.items() for line in _language(language, part)]
    return "\n".join([head, "", *told, *text_out_section(), *_papers()])


def entries(tasks: Sequence[Task]) -> list[Entry]:
    """The features of tasks, in the order in which they are first met; UserError where one is not told."""
    features: dict[str, Feature] = {}
    for task in tasks:
        for feature in (task.target, task.spurious):
            first = features.setdefault(feature.name, feature)
            problem = _problem(feature, first)
            if problem:
                raise UserError(f"{task.name}: feature {feature.name!r} {problem}")
    return [
        Entry(
            feature,
            tuple(task for task in tasks if task.target.name == name),
            tuple(task for task in tasks if task.spurious.name == name),
        )
        for name, feature in features.items()
    ]


def _problem(feature: Feature, first: Feature) -> str:
    if not feature.about:
        return "has no definition (about=...)"
    if feature.paper not in (OWN, *PAPERS):
        return f"has paper={feature.paper!r}, which is none of tasks/papers.py: {', '.join((OWN, *PAPERS))}"
    if (feature.family, feature.about, feature.paper) != (first.family, first.about, first.paper):
        return "has another family, definition or paper than a feature of the same name"
    return ""


def _language(language: str, part: Sequence[Entry]) -> Iterator[str]:
    inputs = part[0].example.inputs
    yield from (f"## {language}", "", f"How a prompt reads: {inputs.legend}.", "")
    yield _row(("feature", "family", "holds when", "paper", "target of", "spurious in"))
    yield "|---|---|---|---|---|---|"
    for entry in part:
        f, (target, spurious) = entry.feature, (len(entry.target_of), len(entry.spurious_of))
        paper = f"[{f.paper}]" if f.paper in PAPERS else f.paper
        yield _row((f"`{f.name}`", f.family, f.about, paper, _tasks(target), _tasks(spurious)))
    yield from ("", f"### Examples in {language}", "")
    shown: dict[str, list[str]] = {}
    for entry in part:
        shown.setdefault(entry.example.name, []).append(entry.feature.name)
    for name, features in shown.items():
        yield from _example(get_task(name), features)


def _example(task: Task, features: Sequence[str]) -> Iterator[str]:
    """A task's prompts, shown for some of its features, which stand out."""
    roles = (("target", task.target.name), ("spurious", task.spurious.name))
    told = [f"{f'**{name}**' if name in features else name} ({role})" for role, name in roles]
    yield from (f"{' and '.join(told)}: `{task.name}`", "")
    for quadrant, prompt in _prompts(task).items():
        yield f"    {quadrant:15}{prompt}"
    yield ""


def _prompts(task: Task) -> dict[str, str]:
    """A prompt a quadrant, of one source where a source has a reading in each."""
    rng = np.random.default_rng(list(task.name.encode()))
    drawn = {}
    for quadrant in task.quadrants:
        wanted = [(task.target, bool(TARGET[quadrant])), (task.spurious, bool(SPURIOUS[quadrant]))]
        drawn[quadrant] = task.inputs.draw(wanted, _SOURCES, rng, "test")
    sentences = read_four_ways(task)
    if sentences:
        readings = map(sentences.readings, sentences.source(drawn[task.quadrants[0]]))
        found = min(readings, key=lambda reading: sum(map(len, reading.values())))
    else:
        found = {quadrant: task.inputs.text(rows)[0] for quadrant, rows in drawn.items()}
    return {q: found.get(q, "(cannot exist: the definitions exclude it)") for q in QUADRANTS}


def _papers() -> Iterator[str]:
    yield from ("## Papers", "")
    yield "A definition above may be narrower than the paper's; what is written here is what the code does."
    yield ""
    for name, (title, address) in PAPERS.items():
        yield f"- {name}: {title}. [{address}]({address})"
    yield ""
    yield from (f"[{name}]: {address}" for name, (_, address) in PAPERS.items())
    yield ""


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _tasks(n: int) -> str:
    return {0: "-", 1: "1 task"}.get(n, f"{n} tasks")


def main(path: str) -> None:
    """Write the page, whole or not at all."""
    text = page(list_shipped())
    Path(path).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
