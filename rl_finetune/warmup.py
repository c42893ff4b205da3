"""The format warm-up of free answers: teach a model how answers look, and nothing of when to give which."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.answers import prompt_ids
from models.language_model import LanguageModel, weights_hash
from models.train import Optimisation, train
from rl_finetune.policy import Policy, policy_of
from rl_finetune.settings import Settings
from tasks.errors import UserError
from tasks.task import Task

REVISION = 1
"""Raised by hand when a change of the code changes what the warm-up does."""
MASS = 0.99
"""The warm-up ends when complete answers hold this share of the probability."""
_BLOCK = 20
_PROMPTS = 128


def warm_up(lm: LanguageModel, task: Task, settings: Settings, seed: int) -> LanguageModel:
    """A copy of `lm` that answers in the task's format, both labels alike on base-distribution prompts.

    It then is the reference: the model that is probed, the start of the method and the far end of every KL.
    """
    rng = np.random.default_rng([seed, 11])
    policy = policy_of(lm, task, "free")
    warmed = replace(lm, model=copy.deepcopy(lm.model))
    prompts = task.inputs.text(task.inputs.draw([], _PROMPTS, rng, "validation"))
    held_out = prompt_ids(lm, prompts)
    optimisation = Optimisation(settings.learning_rate, warmup=0.0, schedule="constant")

    def batches() -> Iterator[list[list[int]]]:
        for _ in range(_BLOCK):
            yield prompt_ids(lm, task.inputs.text(task.inputs.draw([], settings.batch_size, rng, "train")))

    def loss(batch: list[list[int]], step: int) -> Tensor:
        said = [policy.write([[task.answers.say(label, rng)] for _ in batch]) for label in (0, 1)]
        return -torch.stack([policy.score(warmed.model, batch, s).log_probs.mean() for s in said]).mean()

    for _ in range(max(1, settings.warmup_steps // _BLOCK)):
        train(warmed.model, batches(), loss, steps=_BLOCK, optimisation=optimisation)
        mass = _mass(warmed, policy, task, held_out, seed)
        if mass >= MASS:
            return replace(warmed, weights_hash=weights_hash(warmed.model))
    raise UserError(
        f"{task.name}: after {settings.warmup_steps} steps of format warm-up the answers hold {mass:.3f} of "
        f"the probability, not {MASS}; raise warmup_steps"
    )


@torch.inference_mode()
def _mass(lm: LanguageModel, policy: Policy, task: Task, prompts: list[list[int]], seed: int) -> float:
    """Probability of a complete answer: exact for answer words, else the share of valid samples."""
    if task.answers.words:
        scores = [
            policy.score(lm.model, prompts, policy.write([[word]] * len(prompts))).log_probs
            for word in task.answers.words
        ]
        return float(torch.cat(scores, dim=1).exp().sum(dim=1).mean())
    sampled = policy.sample(lm.model, prompts, 8, torch.Generator(device=lm.model.device).manual_seed(seed))
    return float(np.mean([task.answers.read(text) >= 0 for row in sampled.texts for text in row]))
