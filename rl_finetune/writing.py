"""Completions that a policy writes, each with what can be said of it: its probability, KL and entropy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.answers import chunks, completion_log_probs, pad, prompt_ids
from models.language_model import LanguageModel
from models.shared_prompts import read_after, shares_prompts
from rl_finetune.objectives import entropy, kl
from rl_finetune.policy import FreePolicy
from tasks.text_problem import TextProblem

CHUNK = 128
"""Completions that are written at once, unless told."""
_HELD, _MOST = 2**24, 512
"""Numbers that are held at once, roughly, while completions are scored, and how many completions."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Writing:
    """Completions [prompts, samples] at temperature 1. Sums along them are exact at each token, in nats."""

    texts: list[list[str]]
    ids: list[list[list[int]]]
    """Their tokens, the end among them where they have one."""
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
    chunk: int = CHUNK,
) -> Writing:
    """What `lm` writes after prompts; `reference` is the model whose distance is measured.

    Equal seeds and chunks give equal texts.
    """
    policy = FreePolicy(lm, problem)
    texts: list[list[str]] = []
    ids: list[list[list[int]]] = []
    found: dict[str, list[Tensor]] = {"log_prob": [], "kl": [], "entropy": []}
    for part in chunks(prompt_ids(lm, prompts), max(1, chunk // samples)):
        said, again = policy.say(lm.model, part, samples, generator)
        texts += said
        ids += again
        choices, taken, inside = _choices(lm.model, part, again)
        other = choices if reference is lm.model else _choices(reference, part, again)[0]
        shape = (len(part), samples)
        found["log_prob"].append((taken * inside).sum(dim=1).view(shape))
        found["kl"].append((kl(choices, other) * inside).sum(dim=1).view(shape))
        found["entropy"].append((entropy(choices) * inside).sum(dim=1).view(shape))
    whole = {name: torch.cat(parts).cpu().numpy() for name, parts in found.items()}
    tokens = np.array([[len(each) for each in row] for row in ids])
    ended = np.array([[each[-1] == policy.eos for each in row] for row in ids])
    floats = {name: values.astype(np.float64) for name, values in whole.items()}
    return Writing(texts, ids, **floats, tokens=tokens, ended=ended)


def _choices(
    model: Any, prompts: Sequence[Sequence[int]], again: Sequence[Sequence[Sequence[int]]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities of what could be said along completions, of what was, and where they are.

    Each prompt is read once, where the model can remember it.
    """
    of = [i for i, row in enumerate(again) for _ in row]
    flat = [list(each) for row in again for each in row]
    if not shares_prompts(model):
        return completion_log_probs(model, [prompts[i] for i in of], flat)
    logits, _ = read_after(model, prompts, of, flat, "logits")
    said, inside = (t.to(model.device) for t in pad(flat))
    choices = logits[:, :-1].float().log_softmax(-1)
    return choices, choices.gather(2, said[:, :, None]).squeeze(2), inside.bool()


def at_once(lm: LanguageModel, tokens: int) -> int:
    """How many completions of so many tokens can be scored at once without much memory."""
    return max(1, min(_MOST, _HELD // (tokens * int(lm.model.config.vocab_size))))


@torch.inference_mode()
def log_probs_after(
    lm: LanguageModel, problem: TextProblem, prompts: Sequence[str], texts: Sequence[Sequence[str]]
) -> list[list[float]]:
    """Log-probabilities of given texts, some for each prompt, their ends included, in nats."""
    policy = FreePolicy(lm, problem)
    return _scored(lm, prompt_ids(lm, prompts), [policy.encode(row) for row in texts])


@torch.inference_mode()
def mixture(lm: LanguageModel, prompts: Sequence[str], ids: Sequence[list[int]]) -> Floats:
    """Of each completion, the log of its mean probability over prompts, in nats: by the marginal policy."""
    each = np.array(_scored(lm, prompt_ids(lm, prompts), [list(ids)] * len(prompts)))
    mean: Floats = np.logaddexp.reduce(each, axis=0) - np.log(len(prompts))
    return mean


def _scored(
    lm: LanguageModel, prompts: Sequence[list[int]], completions: Sequence[Sequence[list[int]]]
) -> list[list[float]]:
    """Log-probabilities of completions, some for each prompt."""
    found: list[list[float]] = []
    most = at_once(lm, max(len(ids) for row in completions for ids in row))
    for part in chunks(range(len(prompts)), max(1, most // max(map(len, completions)))):
        rows = [completions[i] for i in part]
        _, taken, inside = _choices(lm.model, [prompts[i] for i in part], rows)
        ends = np.cumsum([len(row) for row in rows])[:-1]
        found += [each.tolist() for each in np.split((taken * inside).sum(dim=1).cpu().numpy(), ends)]
    return found
