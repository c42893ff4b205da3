"""Completions that a policy writes, each with what can be said of it: its probability, KL and entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.answers import chunks, prompt_ids, sequence_log_probs
from models.language_model import LanguageModel
from rl_finetune.objectives import entropy, kl
from rl_finetune.policy import FreePolicy
from tasks.text_problem import TextProblem

_CHUNK = 128
"""Completions that are scored at once."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Writing:
    """Completions [prompts, samples] at temperature 1. Sums along them are exact at each token, in nats."""

    texts: list[list[str]]
    log_prob: Floats
    kl: Floats
    """KL(policy || reference) of the next token, summed."""
    entropy: Floats
    tokens: NDArray[np.int64]
    """The end among them."""
    ended: NDArray[np.bool_]
    """Before the limit."""


@torch.inference_mode()
def written(
    lm: LanguageModel,
    problem: TextProblem,
    prompts: Sequence[str],
    samples: int,
    reference: Any,
    generator: torch.Generator,
) -> Writing:
    """What `lm` writes after prompts; `reference` is the model whose distance is measured."""
    policy = FreePolicy(lm, problem)
    texts: list[list[str]] = []
    ended: list[list[bool]] = []
    found: dict[str, list[Any]] = {"log_prob": [], "kl": [], "entropy": [], "tokens": []}
    for part in chunks(prompt_ids(lm, prompts), max(1, _CHUNK // samples)):
        sampled = policy.sample(lm.model, part, samples, generator)
        other = policy.score(reference, part, sampled.again)
        texts += [list(row) for row in sampled.texts]
        ended += [[ids[-1] == policy.eos for ids in row] for row in sampled.again]
        found["log_prob"].append(sampled.log_probs)
        found["kl"].append((kl(sampled.choices, other.choices) * sampled.inside).sum(dim=-1))
        found["entropy"].append((entropy(sampled.choices) * sampled.inside).sum(dim=-1))
        found["tokens"].append(sampled.inside.sum(dim=-1))
    whole = {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
    tokens = whole.pop("tokens").astype(np.int64)
    return Writing(
        texts, **{n: v.astype(np.float64) for n, v in whole.items()}, tokens=tokens, ended=np.array(ended)
    )


@torch.inference_mode()
def log_probs_after(
    lm: LanguageModel, problem: TextProblem, prompts: Sequence[str], texts: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Log-probabilities of given texts, some for each prompt, their ends included, in nats."""
    policy = FreePolicy(lm, problem)
    pairs = [
        (ids, again)
        for ids, row in zip(prompt_ids(lm, prompts), texts, strict=True)
        for again in policy.encode(row)
    ]
    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    flat = np.empty(len(pairs))
    for part in chunks(order, _CHUNK):
        scores = sequence_log_probs(lm.model, [pairs[i][0] for i in part], [pairs[i][1] for i in part])
        flat[list(part)] = scores.cpu().numpy()
    ends = np.cumsum([len(row) for row in texts])[:-1]
    return [part.tolist() for part in np.split(flat, ends)]


def mixture(lm: LanguageModel, problem: TextProblem, prompts: Sequence[str], texts: Sequence[str]) -> Floats:
    """Of each text, the log of its mean probability over prompts, in nats: under the marginal policy."""
    rows = [list(texts)] * len(prompts)
    each = np.array(log_probs_after(lm, problem, prompts, rows))
    mean: Floats = np.logaddexp.reduce(each, axis=0) - np.log(len(prompts))
    return mean
