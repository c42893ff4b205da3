"""What a policy answers on labelled rows, against the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from models.answers import measured, prompt_ids
from models.language_model import LanguageModel
from rl_finetune.batches import Rows
from rl_finetune.best_of_n import BestOf
from rl_finetune.learned_reward import gold_and_learned
from rl_finetune.objectives import entropy, kl
from rl_finetune.policy import Greedy, Policy
from tasks.task import Task


@dataclass(frozen=True)
class AnswerCounts:
    """Greedy answers to rows of one kind, and the probabilities behind them."""

    n: int
    errors: int
    """Answers that are not the label; invalid ones among them."""
    invalid: int
    ones: int
    """Answers that say label 1."""
    p_error: float
    """Mean probability of the wrong answer; NaN where the answers are no closed list."""
    reward: float
    """Mean reward of the greedy answers, by the task's own reward."""
    entropy: float
    """Mean entropy, in nats, of the answer distribution (free answers: of the next token)."""
    kl_reverse: float
    """Mean KL(policy || reference) of the same distribution, in nats."""
    kl_forward: float
    """Mean KL(reference || policy), in nats."""
    reward_learned: float = math.nan
    """Mean learned reward of the greedy answers; NaN for a task under its own reward."""


NOTHING = AnswerCounts(0, 0, 0, 0, *[math.nan] * 5)
"""Of a quadrant that does not exist."""


@dataclass(frozen=True)
class Answered:
    """Answers to rows of one kind: the counts, and what each row's were chosen from."""

    counts: AnswerCounts
    probabilities: list[list[float]]
    """Of the two labels' words, a row each; empty where the answers are no closed list, or sampled."""


def _said(
    lm: LanguageModel, policy: Policy | BestOf, task: Task, rows: Rows, batch_size: int
) -> Iterator[tuple[Rows, Greedy]]:
    """Rows, batch by batch, with their answers."""
    for start in range(0, len(rows.ids), batch_size):
        part = rows.part(range(start, start + batch_size))
        if isinstance(policy, BestOf):
            measured(lm, policy.distribution(lm.model, part.ids))
            yield part, policy.best(lm.model, task, part)
        else:
            said = policy.greedy(lm.model, part.ids)
            measured(lm, said.distribution)
            yield part, said


@torch.inference_mode()
def answers_to(
    lm: LanguageModel, policy: Policy | BestOf, task: Task, prompts: Sequence[str], batch_size: int = 512
) -> tuple[list[int], list[str]]:
    """Labels read from the greedy answers (-1 where none can be), and the answers."""
    rows = Rows(list(prompts), prompt_ids(lm, prompts), [])
    texts = [text for _, said in _said(lm, policy, task, rows, batch_size) for text in said.texts]
    return [task.answers.read(t) for t in texts], texts


def count_answers(
    lm: LanguageModel,
    policy: Policy | BestOf,
    task: Task,
    rows: Mapping[str, Any],
    reference: Any = None,
    batch_size: int = 512,
) -> AnswerCounts:
    """Counts of `lm.model`'s answers to `rows` (columns prompt, label). KLs are 0 without a reference."""
    return answers_and_counts(lm, policy, task, rows, reference, batch_size).counts


@torch.inference_mode()
def answers_and_counts(
    lm: LanguageModel,
    policy: Policy | BestOf,
    task: Task,
    rows: Mapping[str, Any],
    reference: Any = None,
    batch_size: int = 512,
) -> Answered:
    """The same with the probabilities of the answers."""
    labels = list(rows["label"])
    texts: list[str] = []
    probabilities: list[list[float]] = []
    wrong: list[float] = []
    spread, reverse, forward = 0.0, 0.0, 0.0
    asked = Rows(list(rows["prompt"]), prompt_ids(lm, rows["prompt"]), labels)
    for part, said in _said(lm, policy, task, asked, batch_size):
        texts += said.texts
        right = torch.tensor(part.labels)
        if said.probabilities is not None:
            wrong += (1 - said.probabilities.cpu()[torch.arange(len(right)), right]).tolist()
            probabilities += said.probabilities.tolist()
        spread += float(entropy(said.distribution).sum())
        if reference is not None:
            other = policy.distribution(reference, part.ids)
            reverse += float(kl(said.distribution, other).sum())
            forward += float(kl(other, said.distribution).sum())
    read = [task.answers.read(t) for t in texts]
    n = len(labels)
    gold, learned = gold_and_learned(task, list(rows["prompt"]), texts, labels)
    counts = AnswerCounts(
        n=n,
        errors=sum(r != y for r, y in zip(read, labels, strict=True)),
        invalid=sum(r < 0 for r in read),
        ones=sum(r == 1 for r in read),
        p_error=sum(wrong) / n if wrong else float("nan"),
        reward=sum(gold) / n,
        entropy=spread / n,
        kl_reverse=reverse / n,
        kl_forward=forward / n,
        reward_learned=sum(learned) / n,
    )
    return Answered(counts, probabilities)
