"""Whether a task keeps what every task promises, recomputed from the data that it hands out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
from numpy.random import Generator, default_rng

from tasks import promises
from tasks.errors import UserError
from tasks.evidence import QUADRANTS, Cell, Evidence, EvidenceKind, cell_name, quadrant_of
from tasks.feature import Feature, Rows, Split
from tasks.promises import NOISE, RATES, Data
from tasks.task import Inputs, Task


@dataclass(frozen=True)
class Check:
    """One promise, as it was found."""

    name: str
    n: int
    """What was looked at: rows; data sets (counts), counter-examples (nested), edits (counterfactuals),
    completions (answers) or held-out rows (surface cues)."""
    problems: tuple[str, ...]
    """How the promise is broken, each with an example; empty when it is kept."""


def validate(task: Task, *, n: int = 8, seed: int = 0) -> list[str]:
    """The promises that a task breaks, a problem an entry, with an example; empty when it keeps them all.

    `n` is the rows of each data set that is drawn, times 2 for each further spurious feature.
    """
    return [problem for check in checks(task, n=n, seed=seed) for problem in check.problems]


def checks(task: Task, *, n: int = 8, seed: int = 0, surface: bool = False) -> list[Check]:
    """Every promise of a task, with what was looked at. `surface`: also the cues beyond the features."""
    if n < 8 or n % 8:
        raise UserError(f"rows to validate on come in eights: {n} is not a multiple of 8")
    n *= 2 ** len(task.others)
    recorder = _Recorder(task.inputs)
    watched = replace(task, inputs=recorder)
    methods = _methods(watched, n)
    data, problems = _draw(_mixtures(watched, n) | methods, seed)
    if problems:
        return [Check("drawing", len(data), tuple(problems))]
    again, problems = _draw(methods, seed)
    if problems:
        return [Check("drawing", len(data) + len(again), tuple(problems))]
    rows = sum(map(len, data.values()))
    edits = data["counterfactuals"]
    said = [data[name] for name in data if name.startswith(("demonstrations", "preferences"))]
    todo: dict[str, tuple[int, Callable[[], Iterable[str]]]] = {
        "different texts": (
            len(recorder.rows),
            lambda: [f"two different rows read alike: {text!r}" for text in recorder.alike[:1]],
        ),
        "predicates": (rows, lambda: promises.predicates(task, data, recorder.truth)),
        "counts": (len(data), lambda: promises.counts(task, data, n)),
        "splits": (rows, lambda: promises.splits(data)),
        "equal seeds": (sum(map(len, again.values())), lambda: promises.equal_seeds(data, again)),
        "nested counter-examples": (
            promises.nested_n(data, _kinds(task)),
            lambda: promises.nested(data, _kinds(task)),
        ),
        "counterfactuals": (len(edits), lambda: promises.counterfactuals(task, edits, recorder.truth)),
        "answers": (sum(map(len, said)), lambda: promises.answers(task, data, seed)),
        "round trip": (n, lambda: _round_trip(task, n, seed)),
    }
    found = [_checked(name, looked_at, check) for name, (looked_at, check) in todo.items()]
    return [*found, _surface(task, seed)] if surface else found


def _checked(name: str, n: int, check: Callable[[], Iterable[str]]) -> Check:
    problems: list[str] = []
    try:
        problems += check()
    except Exception as e:  # a private task may raise anything, and the other checks still tell
        problems.append(f"{name}: cannot be checked: {_told(e)}")
    return Check(name, n, tuple(problems))


def _surface(task: Task, seed: int) -> Check:
    from tasks.surface import surface

    try:
        problems, n = surface(task, seed)
    except Exception as e:  # as above
        problems, n = [f"surface cues: cannot be checked: {_told(e)}"], 0
    return Check("surface cues", n, tuple(problems))


class _Recorder:
    """Inputs that remember the row from which each text was written."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.legend = inputs.legend
        self.rows: dict[str, Rows] = {}
        self.alike: list[str] = []

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows:
        return self.inputs.draw(wanted, n, rng, split)

    def text(self, rows: Rows) -> list[str]:
        texts = self.inputs.text(rows)
        for i, text in enumerate(texts):
            row = rows[i : i + 1]
            if not np.array_equal(self.rows.setdefault(text, row), row):
                self.alike.append(text)
        return texts

    def source(self, rows: Rows) -> list[str]:
        return self.inputs.source(rows)

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        return self.inputs.edit(row, flip, hold, rng)

    def truth(self, feature: Feature, texts: Sequence[str]) -> list[int]:
        return [int(holds) for holds in feature.holds(np.concatenate([self.rows[text] for text in texts]))]


_Draw = Callable[[Generator], Any]


def _mixtures(task: Task, n: int) -> dict[str, _Draw]:
    """Every kind of evidence at every rate, and every split at one."""

    def mixture(kind: EvidenceKind, rate: float, split: Split) -> tuple[str, _Draw]:
        evidence = promises.evidence_on(task, kind, rate)
        return f"mixture {kind} {rate} {split}", lambda rng: task.mixture(evidence, n, rng, split)

    kinds = _kinds(task)
    return dict(
        [mixture(kind, rate, "train") for kind in kinds for rate in RATES[1:]]
        + [mixture(kind, RATES[-1], split) for kind in kinds[:1] for split in get_args(Split)]
        + [mixture("symmetric", RATES[0], "train")]
    )


def _kinds(task: Task) -> list[EvidenceKind]:
    """The kinds of evidence that need no missing quadrant."""

    def needs(kind: EvidenceKind) -> set[str]:
        return {q for rate in RATES for q, k in Evidence(kind, rate).counts(8).items() if k}

    return [kind for kind in get_args(EvidenceKind) if needs(kind).isdisjoint(task.missing)]


def _methods(task: Task, n: int) -> dict[str, _Draw]:
    """Everything else that a task hands out."""

    def quadrant(name: str, split: Split) -> tuple[str, _Draw]:
        return f"quadrant {name} {split}", lambda rng: task.quadrant(name, n, rng, split)

    def cell(truths: Cell) -> tuple[str, _Draw]:
        name = cell_name(quadrant_of(truths), truths[2:])
        return f"cell {name} test", lambda rng: task.cell(truths, n, rng)

    kinds = _kinds(task)
    evidence = promises.evidence_on(task, *((kinds[0], RATES[1]) if kinds else ("symmetric", 0.0)))
    noisy = replace(evidence, noise=NOISE)
    told = f"{evidence.kind} {evidence.rate} train"
    return {
        **dict(quadrant(name, "test") for name in QUADRANTS if name not in task.missing),
        **(dict(map(cell, task.cells)) if task.others else {}),
        **({} if task.missing else {"probe_rows": lambda rng: task.probe_rows(n, rng)}),
        "counterfactuals": lambda rng: task.counterfactuals(n, rng),
        f"noisy {told}": lambda rng: task.mixture(noisy, n, rng),
        f"demonstrations {told}": lambda rng: task.demonstrations(evidence, n, rng),
        f"preferences {told}": lambda rng: task.preferences(evidence, n, rng, ties=RATES[1]),
    }


def _draw(datasets: dict[str, _Draw], seed: int) -> tuple[Data, list[str]]:
    """Each from an equal generator, so that a split or rate that is ignored shows. Stops at an error."""
    data: Data = {}
    for name, dataset in datasets.items():
        try:
            data[name] = dataset(default_rng(seed)).to_list()
        except Exception as e:  # a private task may raise anything
            return data, [f"{name}: cannot be drawn: {_told(e)}"]
    return data, []


def _told(e: Exception) -> str:
    return str(e) if isinstance(e, UserError) else f"{type(e).__name__}: {e}"


def _round_trip(task: Task, n: int, seed: int) -> Iterator[str]:
    """Data survive being written to a file and read back."""
    from datasets import Dataset
    from pyarrow import parquet

    rows = task.prompts if task.missing else task.probe_rows
    written = rows(n, default_rng(seed))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        parquet.write_table(written.with_format("arrow")[:], path)
        read = Dataset(parquet.read_table(path))
    if read.features != written.features:
        yield f"round trip: columns change, {written.features} -> {read.features}"
    for one, other in zip(written.to_list(), read.to_list(), strict=True):
        if one != other:
            yield f"round trip: a row changes, {one} -> {other}"
            break
