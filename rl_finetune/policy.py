"""The policy being tuned, in its two ways to answer: constrained to the answer words, or free."""

from __future__ import annotations

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
from models.language_model import LanguageModel, writes
from rl_finetune.objectives import entropy
from rl_finetune.rollouts import sample
from tasks.errors import UserError
from tasks.task import Task

Ids = Sequence[Sequence[int]]
_EXAMPLES = 64
"""Open answers by which the longest is judged: words differ in their number of tokens."""


@dataclass(frozen=True)
class Sampled:
    """Answers to a batch of prompts, all [prompts, samples]."""

    texts: list[list[str]]
    log_probs: Tensor
    """Differentiable, in nats."""
    again: Any
    """What `Policy.log_probs` needs to score the same answers under another model."""
    entropy: Tensor
    """Differentiable entropy of the answer distribution [prompts], in nats.

    Free answers have an estimate: from samples, unbiased in value and gradient; on a demonstration, the sum
    of its next-token entropies.
    """


@dataclass(frozen=True)
class Greedy:
    """The most probable answers to a batch of prompts."""

    texts: list[str]
    probabilities: Tensor | None
    """Of the two labels' words [prompts, 2]; None where the answers are no closed list."""
    distribution: Tensor
    """Log-probabilities [prompts, choices] on which KL and entropy are measured."""


class Policy(Protocol):
    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled: ...

    def demonstrate(self, model: Any, prompts: Ids, completions: Sequence[str]) -> Sampled: ...

    def log_probs(self, model: Any, prompts: Ids, again: Any) -> Tensor: ...

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        """Log-probabilities [prompts, choices] on which KL and entropy are measured."""

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        """The most probable answers, and what they were chosen from."""


class ConstrainedPolicy:
    """The model's distribution renormalised over the answer words; one forward pass samples and scores."""

    def __init__(self, lm: LanguageModel, task: Task) -> None:
        if task.answers.words is None:
            raise UserError(f"{task.name}: its answers are no closed list; use answers=free")
        self.words = task.answers.words
        self.candidates = answer_ids(lm, self.words)

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        return answer_log_probs(model, prompts, self.candidates).log_softmax(dim=-1)

    def _sampled(self, distribution: Tensor, chosen: Tensor) -> Sampled:
        texts = [[self.words[i] for i in row] for row in chosen.tolist()]
        return Sampled(texts, distribution.gather(1, chosen), chosen, entropy(distribution))

    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled:
        distribution = self.distribution(model, prompts)
        chosen = torch.multinomial(
            distribution.detach().exp(), samples, replacement=True, generator=generator
        )
        return self._sampled(distribution, chosen)

    def demonstrate(self, model: Any, prompts: Ids, completions: Sequence[str]) -> Sampled:
        chosen = torch.tensor([[self.words.index(c)] for c in completions], device=model.device)
        return self._sampled(self.distribution(model, prompts), chosen)

    def log_probs(self, model: Any, prompts: Ids, again: Any) -> Tensor:
        return self.distribution(model, prompts).gather(1, again)

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        distribution = self.distribution(model, prompts)
        texts = [self.words[i] for i in distribution.argmax(dim=1).tolist()]
        return Greedy(texts, distribution.exp(), distribution)


class FreePolicy:
    """Whole completions over the full vocabulary, up to and including the end token."""

    def __init__(self, lm: LanguageModel, task: Task) -> None:
        self.tokenizer = lm.tokenizer
        if not writes(lm.model):
            raise UserError(f"{lm.name} is an encoder and writes no words; use answers=constrained")
        if lm.tokenizer.eos_token_id is None:
            raise UserError(
                f"{lm.name}: free answers end in an end-of-text token, and its tokenizer has none"
            )
        self.eos = int(lm.tokenizer.eos_token_id)
        self.words = task.answers.words
        rng = np.random.default_rng(0)
        examples = self.words or {task.answers.say(k % 2, rng) for k in range(_EXAMPLES)}
        self.most = max(len(ids) for ids in answer_ids(lm, sorted(examples))) + 1

    def encode(self, completions: Sequence[str]) -> list[list[int]]:
        ids = self.tokenizer([" " + c for c in completions], add_special_tokens=False)["input_ids"]
        return [[*row, self.eos] for row in ids]

    def decode(self, ids: Ids) -> list[str]:
        ended = [list(row[:-1]) if row and row[-1] == self.eos else list(row) for row in ids]
        texts: list[str] = self.tokenizer.batch_decode(ended)
        return [t.strip() for t in texts]

    def sample(self, model: Any, prompts: Ids, samples: int, generator: torch.Generator) -> Sampled:
        repeated = [p for p in prompts for _ in range(samples)]
        ids = sample(model, repeated, most=self.most, eos=self.eos, generator=generator)
        rows = [ids[i : i + samples] for i in range(0, len(ids), samples)]
        log_probs = self.log_probs(model, prompts, rows)
        surprise = -log_probs.detach()
        spread = (surprise * (1 + log_probs + surprise)).mean(dim=1)
        return Sampled([self.decode(row) for row in rows], log_probs, rows, spread)

    def demonstrate(self, model: Any, prompts: Ids, completions: Sequence[str]) -> Sampled:
        ids = self.encode(completions)
        log_probs, taken, inside = completion_log_probs(model, prompts, ids)
        spread = (entropy(log_probs) * inside).sum(dim=1)
        said = (taken * inside).sum(dim=1, keepdim=True)
        return Sampled([[c] for c in completions], said, [[row] for row in ids], spread)

    def log_probs(self, model: Any, prompts: Ids, again: Any) -> Tensor:
        samples = len(again[0])
        repeated = [p for p in prompts for _ in range(samples)]
        flat = sequence_log_probs(model, repeated, [ids for row in again for ids in row])
        return flat.view(len(prompts), samples)

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        return next_token_logits(model, prompts).log_softmax(dim=-1)

    def greedy(self, model: Any, prompts: Ids) -> Greedy:
        answers = self.decode(sample(model, prompts, most=self.most, eos=self.eos, generator=None))
        distribution = self.distribution(model, prompts)
        if self.words is None:
            return Greedy(answers, None, distribution)
        scores = [sequence_log_probs(model, prompts, [ids] * len(prompts)) for ids in self.encode(self.words)]
        return Greedy(answers, torch.stack(scores, dim=1).softmax(dim=1), distribution)


def policy_of(lm: LanguageModel, task: Task, answers: str) -> Policy:
    """`answers`: constrained or free."""
    return FreePolicy(lm, task) if answers == "free" else ConstrainedPolicy(lm, task)
