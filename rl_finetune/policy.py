"""The policy being tuned, in its two ways to answer: constrained to the answer words, or free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from models.answers import (
    answer_ids,
    answer_log_probs,
    completion_log_probs,
    next_token_logits,
    sequence_log_probs,
)
from models.final_states import along_completions, before_answers, reading
from models.language_model import LanguageModel, writes
from models.passes import mixed_precision
from models.train import Diverged
from rl_finetune.objectives import entropy
from rl_finetune.rollouts import sample
from tasks.errors import UserError
from tasks.task import Task
from tasks.text_problem import TextProblem

Ids = Sequence[Sequence[int]]
_EXAMPLES = 64
"""Open answers, or demonstrations, by which the longest is judged: words differ in their number of tokens."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Answers to a batch of prompts under a model, all differentiable."""

    log_probs: Tensor
    """Of whole answers [prompts, samples], in nats."""
    choices: Tensor
    """Log-probabilities of all that could be said [prompts, samples or 1, places, choices]."""
    inside: Tensor
    """Which places are an answer's [prompts, samples or 1, places]."""
    along: Tensor | None = None
    """Log-probabilities of the tokens that were said [prompts, samples, places], 0 where there is none; None
    where an answer is one token."""
    states: Tensor | None = None
    """Final hidden states that they were predicted from [prompts, samples or 1, places, width], detached."""
    estimate: Tensor | None = None
    """Of the entropy, where a better one can be had than the answers' next-token entropies."""

    @property
    def entropy(self) -> Tensor:
        """Differentiable entropy of the answer distribution [prompts], in nats.

        Free answers have an estimate: from the policy's own samples, unbiased in value and gradient; on other
        answers, the sum of the next-token entropies along them.
        """
        if self.estimate is not None:
            return self.estimate
        return (entropy(self.choices) * self.inside).sum(dim=-1).mean(dim=1)

    @property
    def actions(self) -> Tensor:
        """Log-probabilities of an answer's tokens [prompts, samples, places]."""
        return self.log_probs[..., None] if self.along is None else self.along

    @property
    def tokens(self) -> Tensor:
        """Number of places of each answer [prompts, samples or 1]; a constrained answer is one."""
        return self.inside.sum(dim=-1)


@dataclass(frozen=True, kw_only=True)
class Sampled(Scored):
    """Answers that a model gave itself."""

    texts: list[list[str]]
    """[prompts, samples]"""
    again: Any
    """What `Policy.score` needs to score the same answers under another model."""


@dataclass(frozen=True)
class Greedy:
    """The most probable answers to a batch of prompts."""

    texts: list[str]
    probabilities: Tensor | None
    """Of the two labels' words [prompts, 2]; None where the answers are no closed list."""
    distribution: Tensor
    """Log-probabilities [prompts, choices] on which KL and entropy are measured."""


class Policy(Protocol):
    def say(
        self, model: Any, prompts: Ids, samples: int, generator: torch.Generator
    ) -> tuple[list[list[str]], Any]:
        """Sampled answers [prompts, samples], not scored, and what `score` needs to score them."""

    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled: ...

    def write(self, texts: Sequence[Sequence[str]]) -> Any:
        """Given answers [prompts, samples] as `score` takes them."""

    def score(self, model: Any, prompts: Ids, again: Any) -> Scored: ...

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        """Log-probabilities [prompts, choices] on which KL and entropy are measured."""

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        """The most probable answers, and what they were chosen from."""


class ConstrainedPolicy:
    """The model's distribution renormalised over the answer words; one forward pass samples and scores."""

    def __init__(self, lm: LanguageModel, task: Task, bf16: bool = False) -> None:
        self.bf16 = bf16
        if task.answers.words is None:
            raise UserError(f"{task.name}: its answers are no closed list; use answers=free")
        self.words = task.answers.words
        self.candidates = answer_ids(lm, self.words)

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        return answer_log_probs(model, prompts, self.candidates).log_softmax(dim=-1)

    def say(
        self, model: Any, prompts: Ids, samples: int, generator: torch.Generator
    ) -> tuple[list[list[str]], Tensor]:
        with torch.no_grad():
            said = self.sample(model, prompts, samples, generator)
        return said.texts, said.again

    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled:
        distribution, states = self._asked(model, prompts)
        if distribution.isnan().any():
            raise Diverged("the policy's probabilities are NaN")
        again = torch.multinomial(distribution.detach().exp(), samples, replacement=True, generator=generator)
        texts = [[self.words[i] for i in row] for row in again.tolist()]
        return Sampled(texts=texts, again=again, **self._said(distribution, states, again))

    def write(self, texts: Sequence[Sequence[str]]) -> Tensor:
        return torch.tensor([[self.words.index(text) for text in row] for row in texts])

    def score(self, model: Any, prompts: Ids, again: Any) -> Scored:
        return Scored(**self._said(*self._asked(model, prompts), again.to(model.device)))

    def _asked(self, model: Any, prompts: Ids) -> tuple[Tensor, Tensor]:
        with reading(model) as read, mixed_precision(model, self.bf16):
            distribution = self.distribution(model, prompts)
        return distribution, before_answers(model, read[0], prompts)

    def _said(self, distribution: Tensor, states: Tensor, again: Tensor) -> dict[str, Tensor]:
        inside = torch.ones((len(distribution), 1, 1), dtype=torch.bool, device=distribution.device)
        return {
            "log_probs": distribution.gather(1, again),
            "choices": distribution[:, None, None],
            "inside": inside,
            "states": states[:, None, None],
        }

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        distribution = self.distribution(model, prompts)
        texts = [self.words[i] for i in distribution.argmax(dim=1).tolist()]
        return Greedy(texts, distribution.exp(), distribution)


class FreePolicy:
    """Whole completions over the full vocabulary, up to and including the end token."""

    def __init__(self, lm: LanguageModel, task: Task | TextProblem, bf16: bool = False) -> None:
        self.bf16 = bf16
        self.tokenizer = lm.tokenizer
        if not writes(lm.model):
            raise UserError(f"{lm.name} is an encoder and writes no words; use answers=constrained")
        if lm.tokenizer.eos_token_id is None:
            raise UserError(
                f"{lm.name}: free answers end in an end-of-text token, and its tokenizer has none"
            )
        self.eos = int(lm.tokenizer.eos_token_id)
        self.words: tuple[str, ...] | None = None
        self.of_texts = isinstance(task, TextProblem)
        if isinstance(task, TextProblem):
            self.most = math.ceil(task.most * self._tokens_a_word(task))
            return
        self.words = task.answers.words
        rng = np.random.default_rng(0)
        examples = self.words or {task.answers.say(k % 2, rng) for k in range(_EXAMPLES)}
        self.most = max(len(ids) for ids in answer_ids(lm, sorted(examples))) + 1

    def _tokens_a_word(self, problem: TextProblem) -> float:
        """Tokens, of demonstrations, that a word and an end have at most on the average of a text."""
        if not (problem.in_words and problem.show):
            return 1.0
        said = [text for _, text in problem.show(_EXAMPLES, np.random.default_rng(0), "train") if text]
        ids = self.tokenizer([" " + text for text in said], add_special_tokens=False)["input_ids"]
        return max(len(row) / len(text.split()) for row, text in zip(ids, said, strict=True))

    def encode(self, completions: Sequence[str]) -> list[list[int]]:
        ids = self.tokenizer([" " + c for c in completions], add_special_tokens=False)["input_ids"]
        ended = [[*row, self.eos] for row in ids]
        # A text that goes on to the limit was cut off, and did not end.
        return [row[: self.most] for row in ended] if self.of_texts else ended

    def decode(self, ids: Ids) -> list[str]:
        ended = [list(row[:-1]) if row and row[-1] == self.eos else list(row) for row in ids]
        texts: list[str] = self.tokenizer.batch_decode(ended)
        return [t.strip() for t in texts]

    def say(
        self, model: Any, prompts: Ids, samples: int, generator: torch.Generator
    ) -> tuple[list[list[str]], list[list[list[int]]]]:
        with mixed_precision(model, self.bf16):
            ids = sample(model, prompts, most=self.most, eos=self.eos, generator=generator, samples=samples)
        again = [ids[i : i + samples] for i in range(0, len(ids), samples)]
        return [self.decode(row) for row in again], again

    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled:
        texts, again = self.say(model, prompts, samples, generator)
        said = self._said(model, prompts, again)
        surprise = -said["log_probs"].detach()
        spread = (surprise * (1 + said["log_probs"] + surprise)).mean(dim=1)
        return Sampled(texts=texts, again=again, estimate=spread, **said)

    def write(self, texts: Sequence[Sequence[str]]) -> list[list[list[int]]]:
        return [self.encode(row) for row in texts]

    def score(self, model: Any, prompts: Ids, again: Any) -> Scored:
        return Scored(**self._said(model, prompts, again))

    def _said(self, model: Any, prompts: Ids, again: Any) -> dict[str, Tensor]:
        shape = (len(prompts), len(again[0]))
        repeated = [p for p in prompts for _ in range(shape[1])]
        with reading(model) as read, mixed_precision(model, self.bf16):
            choices, taken, inside = completion_log_probs(
                model, repeated, [ids for row in again for ids in row]
            )
        along = taken * inside
        states = along_completions(model, read[0], choices.shape[1])
        return {
            "log_probs": along.sum(dim=1).view(shape),
            "choices": choices.unflatten(0, shape),
            "inside": inside.unflatten(0, shape),
            "along": along.unflatten(0, shape),
            "states": states.unflatten(0, shape),
        }

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        return next_token_logits(model, prompts).log_softmax(dim=-1)

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        answers = self.decode(sample(model, prompts, most=self.most, eos=self.eos, generator=None))
        distribution = self.distribution(model, prompts)
        if self.words is None:
            return Greedy(answers, None, distribution)
        scores = [sequence_log_probs(model, prompts, [ids] * len(prompts)) for ids in self.encode(self.words)]
        return Greedy(answers, torch.stack(scores, dim=1).softmax(dim=1), distribution)


def policy_of(lm: LanguageModel, task: Task | TextProblem, answers: str, *, bf16: bool = False) -> Policy:
    """`answers`: constrained or free; `bf16`: it is tuned in mixed precision. It is measured as it is."""
    if answers == "free":
        return FreePolicy(lm, task, bf16)
    if isinstance(task, TextProblem):
        raise UserError(f"{task.name}: its answers are texts; use answers=free")
    return ConstrainedPolicy(lm, task, bf16)
