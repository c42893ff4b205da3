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
from rl_finetune.policy import FreePolicy
from rl_finetune.rewards import rewards_of
from rl_finetune.writing import written
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


def written_by(
    lm: LanguageModel,
    problem: TextProblem,
    prompts: Sequence[str],
    judge: LearnedReward,
    reference: Any,
    seed: int,
) -> Written:
    """What `lm` writes after prompts, at temperature 1."""
    generator = torch.Generator(device=lm.model.device).manual_seed(seed)
    found = written(lm, problem, prompts, 1, reference, generator)
    texts = [row[0] for row in found.texts]
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
        ended=int(found.ended.sum()),
        tokens=float(found.tokens.mean()),
        kl=float(found.kl.mean()),
        entropy=float(found.entropy.mean()),
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
