"""Preference pairs of a text problem: completions of the reference, of which the reward says the better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.answers import chunks, prompt_ids
from models.language_model import LanguageModel
from models.reward_model import learned_rewards
from rl_finetune.policy import FreePolicy
from rl_finetune.rewards import rewards_of
from rl_finetune.rollouts import sample
from tasks.errors import UserError
from tasks.text_problem import TextProblem

Texts = list[list[str]]
"""[prompts, samples]"""
_CHUNK = 256


@torch.inference_mode()
def completions_of(
    lm: LanguageModel, problem: TextProblem, prompts: Sequence[str], samples: int, seed: int
) -> Texts:
    """Completions of a model at temperature 1, several for each prompt."""
    policy, generator = FreePolicy(lm, problem), torch.Generator(device=lm.model.device).manual_seed(seed)
    found: Texts = []
    for part in chunks(prompt_ids(lm, prompts), _CHUNK):
        repeated = [ids for ids in part for _ in range(samples)]
        texts = policy.decode(
            sample(lm.model, repeated, most=policy.most, eos=policy.eos, generator=generator)
        )
        found += [texts[i : i + samples] for i in range(0, len(texts), samples)]
    return found


def text_pairs(
    problem: TextProblem, prompts: Sequence[str], completions: Texts, n: int, rng: np.random.Generator
) -> dict[str, list[str]]:
    """n pairs as columns prompt, chosen and rejected: two of a prompt's completions of unequal reward.

    Completions are taken with the problem's coverage. A prompt whose completions are all of one reward gives
    no pair.
    """
    samples = len(completions[0])
    asked = [(prompt, text) for prompt, texts in zip(prompts, completions, strict=True) for text in texts]
    flat = rewards_of(problem, [prompt for prompt, _ in asked], [text for _, text in asked])
    rewards = np.array(flat).reshape(-1, samples)
    columns: dict[str, list[str]] = {"prompt": [], "chosen": [], "rejected": []}
    for prompt, texts, values in zip(prompts, completions, rewards, strict=True):
        weights = np.array([problem.coverage(text) for text in texts])
        first = int(rng.choice(samples, p=weights / weights.sum()))
        others = np.where(values == values[first], 0.0, weights)
        if not others.any():
            continue
        second = int(rng.choice(samples, p=others / others.sum()))
        better, worse = (first, second) if values[first] > values[second] else (second, first)
        for name, value in (("prompt", prompt), ("chosen", texts[better]), ("rejected", texts[worse])):
            columns[name].append(value)
        if len(columns["prompt"]) == n:
            return columns
    raise UserError(f"{problem.name}: {len(prompts)} prompts give {len(columns['prompt'])} pairs, not {n}")


def agreement(reward_model: LanguageModel, pairs: dict[str, list[str]]) -> int:
    """In how many pairs a reward model gives the chosen completion the higher reward."""
    chosen, rejected = (
        learned_rewards(reward_model, pairs["prompt"], pairs[side]) for side in ("chosen", "rejected")
    )
    return sum(a > b for a, b in zip(chosen, rejected, strict=True))
