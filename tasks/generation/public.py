"""The public data that Kirk et al. and SuperHF used, by Hub name, as text-out tasks without a gold reward.

    public/tldr           posts and their summaries; shift: news articles (CNN/DailyMail)
    public/alpaca         instructions of AlpacaFarm; shifts: AlpacaEval, Sequential Instructions
    public/hh             dialogues of Anthropic's HH, helpful and harmless
    public/webgpt         questions of WebGPT
    public/self-instruct  prompts of Self-Instruct
    public/superhf        these three and HH's red-team attempts, prompts to 1,024 characters

Their outputs are judged by reward models or chat models (`analysis.outputs`). There is no spurious rule,
hence no evidence. Splits are those of the data; one that is lacking is cut from another by the prompt's
content. Whether a prompt of one file stands in another file too is not looked at.

Columns were read from the originals' code or the data's cards. Assumed are `instruction`, `output` and an
optional `input` of UCL-DARK/alpaca-farm-id-test and UCL-DARK/sequential-instructions, and that comparisons
on CNN/DailyMail stand in the validation split of openai/summarize_from_feedback.

References:
    Kirk et al. 2024 (https://arxiv.org/abs/2310.06452), section 4.
    Mukobi et al. 2023 (https://arxiv.org/abs/2310.16763), for the last four.
    Dubois et al. 2023 (https://arxiv.org/abs/2305.14387), for AlpacaFarm and its format of instructions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from numpy.random import Generator
from numpy.typing import NDArray

from tasks.errors import UserError
from tasks.feature import Split
from tasks.generation import formats
from tasks.generation.draws import Part, drawn
from tasks.generation.formats import Fields, Pair
from tasks.generation.generation import IN, Generation, Row, Rule, Shift
from tasks.generation.hub import Source
from tasks.splits import TENTHS

if TYPE_CHECKING:
    import numpy as np
    from datasets import Dataset

Parts = Mapping[tuple[str, Split], Sequence[Part[Row]]]
"""By shift and split."""
PairParts = Mapping[tuple[str, Split], Sequence[Part[Pair]]]
S = TypeVar("S")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
NEWS = Shift("cnn-dailymail", "news", 1, "Articles of newspapers in place of posts.")
EVAL = Shift("alpaca-eval", "evaluation", 1, "Instructions of other sources, for evaluation.")
SEQUENTIAL = Shift("sequential", "sequential", 1, "Instructions of several steps.")
SUMMARY, ANSWER, REPLY = 48, 300, 64
"""Tokens of a completion: Kirk et al.'s summaries, AlpacaFarm's answers, SuperHF's replies."""
LONGEST = 1024
"""Characters of a prompt of SuperHF."""


@dataclass(frozen=True)
class Public(Generation):
    """Prompts and reference answers of public data; preference pairs where the data have some."""

    parts: Parts = field(default_factory=dict)
    pairs: PairParts = field(default_factory=dict)

    def draw(self, n: int, rng: Generator, split: Split, *, conflicts: int, shift: str) -> list[Row]:
        if conflicts:
            raise UserError(f"{self.name}: public data have no spurious rule; evidence must be 0")
        parts = self._of(self.parts, "prompts", shift, split)
        return drawn(parts, n, rng, once=split != "train", key=lambda row: row.prompt)

    def has_preferences(self, shift: str, split: Split) -> bool:
        return (shift, split) in self.pairs

    def preferences(
        self, n: int, rng: Generator, split: Split = "train", *, evidence: float = 0.0, shift: str = IN
    ) -> Dataset:
        """n pairs that people, or a model in their place, have ordered; ties are passed over."""
        from datasets import Dataset

        if evidence:
            raise UserError(f"{self.name}: public data have no spurious rule; evidence must be 0")
        parts = self._of(self.pairs, "preferences", shift, split)
        pairs = drawn(parts, n, rng, once=split != "train", key=lambda pair: pair)
        columns = zip(*pairs, strict=True) if pairs else ((), (), ())
        return Dataset.from_dict(dict(zip(("prompt", "chosen", "rejected"), map(list, columns), strict=True)))

    def flawed(self, row: Row, rng: Generator) -> str:
        raise UserError(f"{self.name}: which answers are worse stands in the data alone; see preferences")

    def follows(self, prompts: Sequence[str], completions: Sequence[str]) -> list[Rule]:
        raise UserError(f"{self.name}: public data have no spurious rule to keep to")

    def entailment(self, premises: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float64]:
        raise UserError(f"{self.name}: there is no grammar that knows what entails what; name an NLI model")

    def _of(self, parts: Mapping[tuple[str, Split], S], what: str, shift: str, split: Split) -> S:
        if (shift, split) in parts:
            return parts[shift, split]
        there = [f"{s} of {name}" for name, s in parts]
        raise UserError(
            f"{self.name}: no {what} for {split} of {shift}; there are {', '.join(there) or 'none'}"
        )


def _public(name: str, most: int, parts: Parts, pairs: PairParts, shifts: Sequence[Shift] = ()) -> Public:
    def write(n: int, rng: Generator, split: Split) -> list[str]:
        return [row.prompt for row in task.rows(n, rng, split)]

    def show(n: int, rng: Generator, split: Split) -> list[tuple[str, str]]:
        return [(row.prompt, row.completion) for row in task.rows(n, rng, split)]

    def rewards(prompts: Sequence[str], completions: Sequence[str]) -> Sequence[float]:
        raise UserError(f"{name}: no gold reward; judge by a reward model or a chat model")

    task = Public(
        f"public/{name}",
        write,
        most,
        math.nan,
        math.nan,
        show,
        rewards,
        shifts=tuple(shifts),
        parts=parts,
        pairs=pairs,
    )
    return task


def _tldr() -> Public:
    posts, compared = "UCL-DARK/openai-tldr-filtered", "UCL-DARK/openai-tldr-summarisation-preferences"
    columns = ("subreddit", "title", "post", "summary")
    info = ("info.subreddit", "info.title", "info.post", "summaries", "choice")
    parts, pairs = dict[tuple[str, Split], list[Part[Row]]](), dict[tuple[str, Split], list[Part[Pair]]]()
    for split in SPLITS:
        news = Source("abisee/cnn_dailymail", split, ("article", "highlights"), "3.0.0")
        parts[IN, split] = [Part(Source(posts, split, columns), formats.tldr)]
        parts[NEWS.name, split] = [Part(news, formats.news)]
        pairs[IN, split] = [Part(Source(compared, split, info), formats.tldr_pair)]
    of_news = ("info.article", "summaries", "choice", "batch")
    judged = Source("openai/summarize_from_feedback", "validation", of_news, "comparisons")
    pairs[NEWS.name, "test"] = [Part(judged, formats.news_pair)]
    return _public("tldr", SUMMARY, parts, pairs, [NEWS])


def _alpaca() -> Public:
    farm, asked = "tatsu-lab/alpaca_farm", ("instruction", "output")

    def of(hub: str, split: str, config: str = "") -> list[Part[Row]]:
        return [Part(Source(hub, split, asked, config), formats.alpaca)]

    parts: Parts = {
        (IN, "train"): of(farm, "sft", "alpaca_instructions"),
        (IN, "validation"): of(farm, "val", "alpaca_instructions"),
        (IN, "test"): of("UCL-DARK/alpaca-farm-id-test", "train"),
        (EVAL.name, "test"): of("tatsu-lab/alpaca_eval", "eval", "alpaca_eval"),
        (SEQUENTIAL.name, "test"): of("UCL-DARK/sequential-instructions", "train"),
    }
    columns = ("instruction", "output_1", "output_2", "preference")
    human = Source(farm, "preference", columns, "alpaca_human_preference")
    pairs: PairParts = {(IN, "train"): [Part(human, formats.alpaca_pair)]}
    return _public("alpaca", ANSWER, parts, pairs, [EVAL, SEQUENTIAL])


def _dialogues(longest: int = 0) -> tuple[Parts, PairParts]:
    """HH has no validation split: it is cut from the training split."""
    cuts: dict[Split, tuple[str, tuple[int, int]]]
    cuts = {"train": ("train", (0, 8)), "validation": ("train", (8, 10)), "test": ("test", (0, 10))}
    parts, pairs = dict[tuple[str, Split], list[Part[Row]]](), dict[tuple[str, Split], list[Part[Pair]]]()
    for split, (theirs, tenths) in cuts.items():
        sources = [
            Source("Anthropic/hh-rlhf", theirs, ("chosen", "rejected"), folder, True)
            for folder in ("helpful-base", "harmless-base")
        ]
        parts[IN, split] = [Part(source, formats.dialogue, tenths, longest) for source in sources]
        pairs[IN, split] = [Part(source, formats.dialogue_pair, tenths, longest) for source in sources]
    return parts, pairs


def _cut(source: Source, read: Callable[[Fields], Row | None], longest: int = 0) -> Parts:
    """Splits of data that have one."""
    return {(IN, split): [Part(source, read, TENTHS[split], longest)] for split in SPLITS}


_QUESTIONS = Source(
    "openai/webgpt_comparisons",
    "train",
    ("question.full_text", "answer_0", "answer_1", "score_0", "score_1"),
)
_SELF = Source("yizhongw/self_instruct", "train", ("prompt", "completion"), "self_instruct")
_ATTEMPTS = Source("Anthropic/hh-rlhf", "train", ("transcript",), "red-team-attempts", True)


def _questions(longest: int = 0) -> tuple[Parts, PairParts]:
    pairs = {
        (IN, split): [Part(_QUESTIONS, formats.question_pair, TENTHS[split], longest)] for split in SPLITS
    }
    return _cut(_QUESTIONS, formats.question, longest), pairs


def _superhf() -> Public:
    (dialogues, replies), (questions, replied) = _dialogues(LONGEST), _questions(LONGEST)
    instructed = _cut(_SELF, formats.self_instruct, LONGEST)
    attempted = _cut(_ATTEMPTS, formats.attempt, LONGEST)
    parts: Parts = {
        (IN, s): [*dialogues[IN, s], *questions[IN, s], *instructed[IN, s], *attempted[IN, s]] for s in SPLITS
    }
    pairs: PairParts = {(IN, s): [*replies[IN, s], *replied[IN, s]] for s in SPLITS}
    return _public("superhf", REPLY, parts, pairs)


PUBLIC = {
    task.name: task
    for task in (
        _tldr(),
        _alpaca(),
        _public("hh", REPLY, *_dialogues()),
        _public("webgpt", REPLY, *_questions()),
        _public("self-instruct", REPLY, _cut(_SELF, formats.self_instruct), {}),
        _superhf(),
    )
}
