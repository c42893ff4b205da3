"""A task: a problem whose right answer is the target feature, together with a spurious feature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.answers import Answers, rewards
from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET, Evidence
from tasks.feature import Feature, Rows, Split

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
    """A pair of features on one input language. Methods depend on arguments and generator alone."""

    name: str
    target: Feature
    spurious: Feature
    inputs: Inputs
    answers: Answers
    optimum: float = 1.0
    missing: tuple[str, ...] = ()
    """Quadrants that cannot exist, because of what the features mean; what needs one is refused."""

    @property
    def quadrants(self) -> tuple[str, ...]:
        """The quadrants that exist."""
        return tuple(q for q in QUADRANTS if q not in self.missing)

    @property
    def chance(self) -> float:
        return self.answers.chance

    def for_seed(self, seed: int) -> Task:
        """The task with the mapping of labels to words drawn for a tuning seed."""
        return replace(self, answers=self.answers.drawn(np.random.default_rng([seed, 0xA])))

    def quadrant(self, name: str, n: int, rng: Generator, split: Split | None = "test") -> Dataset:
        """n rows of one quadrant."""
        return self._dataset({name: self._draw(name, n, rng, split)}, rng)

    def mixture(self, evidence: Evidence, n: int, rng: Generator, split: Split = "train") -> Dataset:
        """n fine-tuning rows in random order. Equal generators nest counter-examples as the rate grows.

        Under label noise `label` is what is rewarded, and `target` the truth. Of equal generators the rows
        with a flipped label are nested too, as the noise grows and, among counter-examples, as the rate does.
        """
        *streams, order = rng.spawn(len(QUADRANTS) + 1)
        counts = evidence.counts(n)
        parts = {
            q: self._draw(q, counts[q], stream, split)
            for q, stream in zip(QUADRANTS, streams, strict=True)
            if counts[q]
        }
        return self._dataset(parts, order, evidence)

    def prompts(self, n: int, rng: Generator) -> Dataset:
        """n rows at no evidence: both and neither."""
        return self.mixture(Evidence(), n, rng)

    def probe_rows(self, n: int, rng: Generator) -> Dataset:
        """n rows, a quarter of each quadrant, on which both features are probed."""
        if n % len(QUADRANTS):
            raise UserError(f"probe rows come in quarters: {n} is not a multiple of {len(QUADRANTS)}")
        *streams, order = rng.spawn(len(QUADRANTS) + 1)
        each = n // len(QUADRANTS)
        parts = {q: self._draw(q, each, s, "validation") for q, s in zip(QUADRANTS, streams, strict=True)}
        return self._dataset(parts, order)

    def counterfactuals(self, n: int, rng: Generator) -> Dataset:
        """Minimal edits of n test rows, a quarter of each quadrant.

        One row per edit: the columns of the original, `flips` (target or spurious), `edited`, a `placebo` of
        the same size that flips neither, and `size` in symbols or words. Rows without a small edit are left
        out, as are missing quadrants.
        """
        from datasets import Dataset, Features, Value

        out: list[dict[str, Any]] = []
        for quadrant, stream in zip(QUADRANTS, rng.spawn(len(QUADRANTS)), strict=True):
            if quadrant in self.missing:
                continue
            rows = self._draw(quadrant, n // len(QUADRANTS), stream, "test")
            originals = self._dataset({quadrant: rows}, None)
            for row, original in zip(rows, originals, strict=True):
                for flips, flip, hold in (
                    ("target", self.target, self.spurious),
                    ("spurious", self.spurious, self.target),
                ):
                    found = self.inputs.edit(row, flip, hold, stream)
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

    def _draw(self, quadrant: str, n: int, rng: Generator, split: Split | None) -> Rows:
        if quadrant in self.missing:
            raise UserError(f"{self.name} has no {quadrant} rows: its features exclude that quadrant")
        wanted = [(self.target, bool(TARGET[quadrant])), (self.spurious, bool(SPURIOUS[quadrant]))]
        return self.inputs.draw(wanted, n, rng, split)

    def _dataset(
        self, parts: dict[str, Rows], order: Generator | None, evidence: Evidence | None = None
    ) -> Dataset:
        from datasets import Dataset

        rows = np.concatenate(list(parts.values()))
        sizes = [len(p) for p in parts.values()]
        quadrant = np.repeat(list(parts), sizes)
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
            }
        )


def _truth(table: dict[str, int], quadrant: NDArray[Any]) -> list[int]:
    return [table[q] for q in quadrant.tolist()]
