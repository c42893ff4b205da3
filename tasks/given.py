"""Rows that are given: the task of a file, `tsv:FILE`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

from tasks.answers import QUERY, LabelAnswers
from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET
from tasks.feature import Feature, Rows, Split, Truth
from tasks.splits import TENTHS, split_of
from tasks.task import Task
from tasks.tsv import Table, read_table

PREFIX = "tsv:"


@dataclass(frozen=True, eq=False)
class GivenInputs:
    """The rows of a file, as pairs (text, source) in an object array.

    A source stands in one split and, within a split, in one quadrant of those that it has: by its content
    alone. Draws are without replacement. A training set that is larger than its part of the file goes through
    the rows again, each time in a new order, as epochs do; distinct counter-examples and exposures are in the
    record of the run. Rows to test or probe on are never repeated, which would feign precision: asking for
    more than there are is refused.
    """

    table: Table
    rows: Rows
    tenth: Rows
    """Of each row: what tells its split."""
    at_home: Truth
    """Whether a row is of the one quadrant that its source stands in."""

    @property
    def legend(self) -> str:
        unused = (
            f"; columns not used: {', '.join(map(_named, self.table.unused))}" if self.table.unused else ""
        )
        return f"the {len(self.rows)} sentences of {self.table.path}{unused}"

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows:
        """n rows with these truths. The first k of n rows are the k rows of a smaller draw."""
        pool = self._pool(wanted, split)
        if n and (not len(pool) or (n > len(pool) and split != "train")):
            raise UserError(self._too_few(wanted, n, len(pool), split))
        orders: list[Rows] = []
        while sum(map(len, orders)) < n:
            orders.append(rng.permutation(pool))
        drawn = np.concatenate(orders)[:n] if orders else pool[:0]
        rows: Rows = self.rows[drawn]
        return rows

    def text(self, rows: Rows) -> list[str]:
        return list(rows[:, 0])

    def source(self, rows: Rows) -> list[str]:
        return list(rows[:, 1])

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        """None: the placebo of an edit is a sentence that no file holds."""
        return None

    def _pool(self, wanted: Sequence[tuple[Feature, bool]], split: Split | None) -> Rows:
        good = np.ones(len(self.rows), dtype=bool)
        if split:
            low, high = TENTHS[split]
            good &= self.at_home & (self.tenth >= low) & (self.tenth < high)
        for feature, value in wanted:
            good &= feature.holds(self.rows) == value
        return np.flatnonzero(good)

    def _too_few(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, found: int, split: Split | None
    ) -> str:
        asked = {feature.about: value for feature, value in wanted}
        names = [
            q
            for q in QUADRANTS
            if asked == {_ABOUT["target"]: bool(TARGET[q]), _ABOUT["spurious"]: bool(SPURIOUS[q])}
        ]
        told = names[0] if names else " and ".join(f"{f.name} {int(value)}" for f, value in wanted) or "any"
        where = f"in {split}" if split else "in all"
        hint = f"ask for at most {found}" if found else "the file has too few rows, or sources, to be split"
        return f"{self.table.path}: {found} rows of {told} {where}, not the {n} asked for; {hint}"


_ABOUT = {role: f"the file's {role} column" for role in ("target", "spurious")}


def file_of(name: str) -> Path:
    """The file of a task named `tsv:FILE`."""
    path = name.removeprefix(PREFIX)
    if not path:
        raise UserError("tsv: needs a file: tsv:FILE")
    return Path(path).expanduser()


def file_task(name: str) -> Task:
    """The task of the rows in a file, by its name `tsv:FILE`."""
    table = read_table(file_of(name))
    rows = np.empty((len(table.rows), 2), dtype=object)
    rows[:] = [(f"{row.sentence} {QUERY}", row.source) for row in table.rows]
    inputs = GivenInputs(table, rows, split_of(rows[:, 1:]), _at_home(table))
    target, spurious = (_feature(table, role) for role in ("target", "spurious"))
    missing = tuple(q for q in QUADRANTS if q not in {row.quadrant for row in table.rows})
    return Task(name, target, spurious, inputs, LabelAnswers(), missing=missing)


def _at_home(table: Table) -> Truth:
    """Whether each row is of its source's quadrant: the one of those present that the content picks."""
    present: dict[str, list[str]] = {}
    for quadrant in QUADRANTS:
        for row in table.rows:
            if row.quadrant == quadrant and quadrant not in present.setdefault(row.source, []):
                present[row.source].append(quadrant)
    codes = split_of(np.array([[source] for source in present], dtype=object), 120) // 10
    home = {
        source: quadrants[int(code) % len(quadrants)]
        for (source, quadrants), code in zip(present.items(), codes, strict=True)
    }
    return np.array([home[row.source] == row.quadrant for row in table.rows])


def _feature(table: Table, role: str) -> Feature:
    truth = {"target": TARGET, "spurious": SPURIOUS}[role]
    of_text = {f"{row.sentence} {QUERY}": bool(truth[row.quadrant]) for row in table.rows}
    name = f"{Path(table.path).stem}-{role}"
    return Feature(name, name, _lookup(of_text), about=_ABOUT[role])


def _lookup(of_text: dict[str, bool]) -> Callable[[Rows], Truth]:
    def holds(rows: Rows) -> Truth:
        return np.array([of_text[text] for text in rows[:, 0]], dtype=bool)

    return holds


def _named(column: str) -> str:
    return column or "(no name)"
