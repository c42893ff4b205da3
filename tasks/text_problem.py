"""A text problem: prompts that are answered by free text, and a reward of such text; no feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.random import Generator

from tasks.errors import UserError
from tasks.feature import Split

if TYPE_CHECKING:
    from datasets import Dataset

Rewards = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""Of completions after prompts."""


def _not_yet(prompts: Sequence[str], completions: Sequence[str]) -> Sequence[float]:
    raise UserError("the reward stands on data that are not there yet; see TextProblem.on")


def _alike(completion: str) -> float:
    return 1.0


@dataclass(frozen=True)
class TextProblem:
    """A `Problem` with neither target feature nor labels: the reward says how good a text is."""

    name: str
    write: Callable[[int, Generator, Split], list[str]]
    """n prompts of a split; splits share none."""
    most: int
    """Tokens of a completion, its end among them; what is longer is cut."""
    optimum: float
    chance: float
    """Reward of words drawn at random, which go on to the limit."""
    show: Callable[[int, Generator, Split], list[tuple[str, str]]] | None = None
    """n prompts of a split with a demonstration each, from which a reference learns how answers look."""
    rewards: Rewards = _not_yet
    of_data: Callable[[Sequence[str]], TextProblem] | None = None
    """The problem by completions of the reference, where its reward depends on how they are."""
    coverage: Callable[[str], float] = _alike
    """How likely, relative to others, a completion of the reference is to be among the preference data."""

    in_words: bool = False
    """Whether `most` is of words, of each of which a tokenizer may make several tokens."""

    def prompts(self, n: int, rng: Generator, split: Split = "train") -> Dataset:
        from datasets import Dataset

        return Dataset.from_dict({"prompt": self.write(n, rng, split)})

    def demonstrations(self, n: int, rng: Generator, split: Split = "train") -> Dataset:
        """n prompts, each with a `completion`."""
        from datasets import Dataset

        if self.show is None:
            raise UserError(f"{self.name} has no demonstrations")
        prompts, completions = zip(*self.show(n, rng, split), strict=True)
        return Dataset.from_dict({"prompt": prompts, "completion": completions})

    def on(self, completions: Sequence[str]) -> TextProblem:
        """The problem on data: completions of the reference."""
        return self.of_data(completions) if self.of_data else self

    def reward(self, prompts: Sequence[str], completions: Sequence[str], **columns: Any) -> list[float]:
        """Rewards with the signature that TRL calls."""
        return [float(value) for value in self.rewards(prompts, completions)]
