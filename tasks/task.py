"""A task: a problem whose right answer is the target feature, together with one or more spurious features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.answers import Answers, rewards
from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET, Cell, Evidence, quadrant_of
from tasks.feature import Feature, Rows, Split, Truth

if TYPE_CHECKING:
    from datasets import Dataset


class Inputs(Protocol):
    """An input language: where rows come from and how they read."""

    @property
    def legend(self) -> str:
        """How to read its prompts, in one line."""

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows: ...

    def text(self, rows: Rows) -> list[str]:
        """The prompts, ending where the answer begins."""

    def source(self, rows: Rows) -> list[str]:
        """What a row was made from; no source stands in two splits."""

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        """(edited row, placebo row, edit size), or None where no small edit does it."""


class Problem(Protocol):
    """Prompts, a reward, its optimum and its chance level."""

    @property
    def name(self) -> str: ...
    @property
    def optimum(self) -> float: ...
    @property
    def chance(self) -> float: ...

    def prompts(self, n: int, rng: Generator) -> Dataset: ...

    def reward(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]: ...


@dataclass(frozen=True)
class Task:
    """Features on one input language, mostly a pair. Methods depend on arguments and generator alone."""

    name: str
    target: Feature
    spurious: Feature
    inputs: Inputs
    answers: Answers
    optimum: float = 1.0
    missing: tuple[str, ...] = ()
    """Quadrants that cannot exist, because of what the features mean; what needs one is refused."""
    others: tuple[Feature, ...] = ()
    """Further spurious features, which divide each quadrant into cells. A quadrant leaves them as they fall,
    a mixture sets them as the evidence says."""

    @property
    def roles(self) -> dict[str, Feature]:
        """Every feature by the column of its truth: target, spurious, spurious_2, ..."""
        more = {f"spurious_{i}": feature for i, feature in enumerate(self.others, 2)}
        return {"target": self.target, "spurious": self.spurious, **more}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The combinations of truths that exist, quadrant by quadrant: of a pair, its quadrants."""
        return tuple(cell for cell in self._cells if quadrant_of(cell) not in self.missing)

    @property
    def _cells(self) -> tuple[Cell, ...]:
        return tuple(Evidence().cells(0, len(self.others)))

    @property
    def quadrants(self) -> tuple[str, ...]:
        """The quadrants that exist."""
        return tuple(q for q in QUADRANTS if q not in self.missing)

    @property
    def chance(self) -> float:
        return self.answers.chance

    def swapped(self, name: str) -> Task:
        """The task with the roles of its target and its spurious feature exchanged."""
        other = {"target_only": "spurious_only", "spurious_only": "target_only"}
        missing = tuple(other.get(quadrant, quadrant) for quadrant in self.missing)
        return replace(self, name=name, target=self.spurious, spurious=self.target, missing=missing)

    def for_seed(self, seed: int) -> Task:
        """The task with the mapping of labels to words drawn for a tuning seed."""
        return replace(self, answers=self.answers.drawn(np.random.default_rng([seed, 0xA])))

    def quadrant(self, name: str, n: int, rng: Generator, split: Split | None = "test") -> Dataset:
        """n rows of one quadrant."""
        return self.cell((TARGET[name], SPURIOUS[name]), n, rng, split)

    def cell(self, cell: Cell, n: int, rng: Generator, split: Split | None = "test") -> Dataset:
        """n rows with these truths of the features, in the order of `roles`; those not given are free."""
        return self._dataset({cell: self._draw(cell, n, rng, split)}, rng)

    def mixture(self, evidence: Evidence, n: int, rng: Generator, split: Split = "train") -> Dataset:
        """n fine-tuning rows in random order. Under noise `label`, which is rewarded, is not always `target`.

        Of equal generators, counter-examples nest as the rate grows, if the shares of further spurious
        features stay; flipped labels as the noise grows and, among counter-examples, as the rate does.
        """
        streams, order = self._streams(rng)
        parts = {
            cell: self._draw(cell, k, streams[cell], split)
            for cell, k in evidence.cells(n, len(self.others)).items()
            if k
        }
        return self._dataset(parts, order, evidence)

    def prompts(self, n: int, rng: Generator) -> Dataset:
        """n rows at no evidence: both and neither."""
        return self.mixture(Evidence(), n, rng)

    def probe_rows(self, n: int, rng: Generator) -> Dataset:
        """n rows, as many of each cell (of a pair a quarter a quadrant), on which every feature is probed."""
        if n % len(self._cells):
            raise UserError(
                f"probe rows are as many in every cell: {n} is not a multiple of {len(self._cells)}"
            )
        streams, order = self._streams(rng)
        each = n // len(streams)
        return self._dataset({c: self._draw(c, each, s, "validation") for c, s in streams.items()}, order)

    def counterfactuals(self, n: int, rng: Generator) -> Dataset:
        """Minimal edits of n test rows, a quarter of each quadrant.

        One row per edit: the columns of the original, `flips` (target or spurious), `edited`, a `placebo` of
        the same size that flips neither, and `size` in symbols or words. What is not flipped is held, further
        spurious features too. Rows without a small edit are left out, as are missing quadrants.
        """
        from datasets import Dataset, Features, Value

        out: list[dict[str, Any]] = []
        for quadrant, stream in zip(QUADRANTS, rng.spawn(len(QUADRANTS)), strict=True):
            if quadrant in self.missing:
                continue
            cell = (TARGET[quadrant], SPURIOUS[quadrant])
            rows = self._draw(cell, n // len(QUADRANTS), stream, "test")
            originals = self._dataset({cell: rows}, None)
            for row, original in zip(rows, originals, strict=True):
                for flips, flip in self.roles.items():
                    held = [feature for role, feature in self.roles.items() if role != flips]
                    found = self.inputs.edit(row, flip, _together(held, row), stream)
                    if found:
                        edited, placebo = self.inputs.text(np.stack(found[:2]))
                        edit = {"flips": flips, "edited": edited, "placebo": placebo, "size": found[2]}
                        out.append({**original, **edit})
        columns = Features(
            {
                **originals.features,
                **dict.fromkeys(("flips", "edited", "placebo"), Value("string")),
                "size": Value("int64"),
            }
        )
        return Dataset.from_dict({name: [row[name] for row in out] for name in columns}, features=columns)

    def demonstrations(self, evidence: Evidence, n: int, rng: Generator) -> Dataset:
        """The mixture with a `completion` of full reward."""
        rows = self.mixture(evidence, n, rng)
        return rows.add_column("completion", [self.answers.say(y, rng) for y in rows["label"]])

    def preferences(self, evidence: Evidence, n: int, rng: Generator, ties: float = 0.0) -> Dataset:
        """The mixture with a `chosen` completion of full reward and a `rejected` one of the other label.

        In a share `ties` of the rows, at random and marked `tie`, what is rejected has full reward too: with
        a word a label it is the chosen word again. Of equal generators the ties nest as their share grows.
        """
        if not 0 <= ties <= 1:
            raise UserError(f"ties {ties} is outside 0 to 1")
        rows = self.mixture(evidence, n, rng)
        (stream,) = rng.spawn(1)
        tie = (stream.permutation(len(rows)) < round(ties * len(rows))).astype(int).tolist()
        chosen = [self.answers.say(y, rng) for y in rows["label"]]
        wrong = [y if tied else 1 - y for y, tied in zip(rows["label"], tie, strict=True)]
        rejected = [self.answers.say(y, rng) for y in wrong]
        return rows.add_column("chosen", chosen).add_column("rejected", rejected).add_column("tie", tie)

    def reward(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        """Rewards in [0, 1], with the signature that TRL calls; reads the `label` column."""
        return rewards(self.answers, completions, columns["label"])

    def _streams(self, rng: Generator) -> tuple[dict[Cell, Generator], Generator]:
        """A generator a cell and one for the order; the first cell of a quadrant has the quadrant's."""
        *streams, order = rng.spawn(len(QUADRANTS) + 1)
        more = 2 ** len(self.others) - 1
        of_cells = [of_cell for stream in streams for of_cell in (stream, *stream.spawn(more))]
        return dict(zip(self._cells, of_cells, strict=True)), order

    def _draw(self, cell: Cell, n: int, rng: Generator, split: Split | None) -> Rows:
        quadrant = quadrant_of(cell)
        if quadrant in self.missing:
            raise UserError(f"{self.name} has no {quadrant} rows: its features exclude that quadrant")
        wanted = list(zip(self.roles.values(), map(bool, cell), strict=False))
        return self.inputs.draw(wanted, n, rng, split)

    def _dataset(
        self, parts: Mapping[Cell, Rows], order: Generator | None, evidence: Evidence | None = None
    ) -> Dataset:
        from datasets import Dataset

        rows = np.concatenate(list(parts.values()))
        sizes = [len(p) for p in parts.values()]
        quadrant = np.repeat([quadrant_of(cell) for cell in parts], sizes)
        # The first rows of a draw: whatever its size, the same ones.
        flipped = np.concatenate([np.arange(k) < (evidence.flipped(k) if evidence else 0) for k in sizes])
        if order is not None:
            shuffled = order.permutation(len(rows))
            rows, quadrant, flipped = rows[shuffled], quadrant[shuffled], flipped[shuffled]
        target = _truth(TARGET, quadrant)
        return Dataset.from_dict(
            {
                "prompt": self.inputs.text(rows),
                "label": [int(t != f) for t, f in zip(target, flipped.tolist(), strict=True)],
                "target": target,
                "spurious": _truth(SPURIOUS, quadrant),
                "quadrant": quadrant.tolist(),
                "source": self.inputs.source(rows),
                **{
                    role: feature.holds(rows).astype(int).tolist()
                    for role, feature in self.roles.items()
                    if feature in self.others
                },
            }
        )


def _together(held: Sequence[Feature], row: Rows) -> Feature:
    """One feature that stands for all that are held: it holds where each of them is as it is on a row."""
    if len(held) == 1:
        return held[0]
    was = [bool(feature.holds(row[None])[0]) for feature in held]

    def unchanged(rows: Rows) -> Truth:
        same: Truth = np.all([f.holds(rows) == w for f, w in zip(held, was, strict=True)], axis=0)
        return same

    name = " and ".join(feature.name for feature in held)
    return Feature(name, name, unchanged)


def _truth(table: dict[str, int], quadrant: NDArray[Any]) -> list[int]:
    return [table[q] for q in quadrant.tolist()]
