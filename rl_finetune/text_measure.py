"""What a policy writes on a text problem: rewards, lengths, distances to the reference, log-probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.answers import chunks, prompt_ids
from models.language_model import LanguageModel
from rl_finetune.learned_reward import LearnedReward
from rl_finetune.objectives import entropy, kl
from rl_finetune.policy import FreePolicy
from rl_finetune.rewards import rewards_of
from tasks.text_problem import TextProblem

_CHUNK = 128


@dataclass(frozen=True)
class Written:
    """Completions that a policy samples, one a prompt. Means and their standard deviations."""

    n: int
    reward: float
    """By the problem's own reward, the gold one."""
    reward_sd: float
    reward_learned: float
    length: float
    """Words."""
    length_sd: float
    lengths: dict[int, int]
    """How many completions have each length."""
    ended: int
    """Completions that end before the limit."""
    tokens: float
    """Tokens of a completion, its end among them."""
    kl: float
    """KL(policy || reference) in nats a completion: next-token KLs, exact, summed along it."""
    entropy: float
    """Entropy in nats a completion, in the same way."""


@torch.inference_mode()
def written_by(
    lm: LanguageModel,
    problem: TextProblem,
    prompts: Sequence[str],
    judge: LearnedReward,
    reference: Any,
    seed: int,
) -> Written:
    """What `lm` writes after prompts, at temperature 1."""
    policy, generator = FreePolicy(lm, problem), torch.Generator(device=lm.model.device).manual_seed(seed)
    texts: list[str] = []
    ended, spread, distance, tokens = 0, 0.0, 0.0, 0
    for part in chunks(prompt_ids(lm, prompts), _CHUNK):
        sampled = policy.sample(lm.model, part, 1, generator)
        texts += [row[0] for row in sampled.texts]
        ended += sum(row[0][-1] == policy.eos for row in sampled.again)
        other = policy.score(reference, part, sampled.again)
        tokens += int(sampled.inside.sum())
        spread += float((entropy(sampled.choices) * sampled.inside).sum())
        distance += float((kl(sampled.choices, other.choices) * sampled.inside).sum())
    rewards = torch.tensor(rewards_of(problem, prompts, texts), dtype=torch.float64)
    lengths = [len(text.split()) for text in texts]
    n = len(texts)
    return Written(
        n=n,
        reward=float(rewards.mean()),
        reward_sd=_sd(rewards),
        reward_learned=sum(judge(list(prompts), texts)) / n,
        length=sum(lengths) / n,
        length_sd=_sd(torch.tensor(lengths, dtype=torch.float64)),
        lengths=dict(sorted(Counter(lengths).items())),
        ended=ended,
        tokens=tokens / n,
        kl=distance / n,
        entropy=spread / n,
    )


def _sd(values: Tensor) -> float:
    return float(values.std()) if len(values) > 1 else 0.0


@torch.inference_mode()
def preferred(
    lm: LanguageModel, problem: TextProblem, pairs: Mapping[str, Sequence[str]]
) -> tuple[float, float]:
    """Mean log-probabilities, in nats, of the chosen and of the rejected completions."""
    policy, total = FreePolicy(lm, problem), torch.zeros(2)
    ids = prompt_ids(lm, pairs["prompt"])
    given = list(zip(ids, pairs["chosen"], pairs["rejected"], strict=True))
    for part in chunks(given, _CHUNK):
        again = policy.write([[chosen, rejected] for _, chosen, rejected in part])
        total += policy.score(lm.model, [i for i, _, _ in part], again).log_probs.sum(dim=0).cpu()
    chosen, rejected = (total / len(given)).tolist()
    return chosen, rejected
