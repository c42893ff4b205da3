"""Training a reward model on preference pairs, and asking it what a policy is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.answers import chunks, prompt_ids
from models.language_model import LanguageModel
from models.passes import mixed_precision
from models.reward_model import (
    answered_ids,
    completion_ids,
    learned_rewards,
    raw_scores,
    reward_model_of,
    set_normalisation,
)
from models.train import Optimisation, train
from rl_finetune.checks import check_reward_settings
from rl_finetune.measure import count_answers
from rl_finetune.policy import ConstrainedPolicy, Ids, Policy
from rl_finetune.settings import Settings
from tasks.errors import UserError
from tasks.task import Task

REVISION = 1
"""Raised by hand when a change of the code changes what training a reward model does."""
NORMALISED_ON = 512
"""Answers of the reference whose rewards have mean 0 and standard deviation 1."""
_EXAMPLES = 8
"""Open answers of each label that a reward model chooses between."""


def bradley_terry(margins: Tensor, targets: Tensor) -> Tensor:
    """Mean negative log-likelihood, in nats, of pairs [n] whose scores differ by `margins`.

    A target is the probability that the chosen answer is preferred: 1, and 1/2 for a tie.

    References: Bradley and Terry 1952; Christiano et al. 2017, who give ties the target 1/2.
    """
    return -(
        targets * nn.functional.logsigmoid(margins) + (1 - targets) * nn.functional.logsigmoid(-margins)
    ).mean()


@dataclass(frozen=True)
class TrainedReward:
    """What training a reward model leaves behind."""

    lm: LanguageModel
    """The reward model, not yet normalised; its `weights_hash` is still that of the untrained one."""
    log: list[dict[str, Any]]
    """One row per log point and quadrant: step, loss, and how it ranks the answers there."""
    step_s: float
    """Seconds a step, logging left out."""


def train_reward_model(
    lm: LanguageModel,
    task: Task | None,
    pairs: Mapping[str, Any],
    settings: Settings,
    *,
    log_rows: Mapping[str, Mapping[str, Any]] | None = None,
) -> TrainedReward:
    """Train the body of `lm` and a head of zeros on `pairs`, each seen once, dropout off.

    Columns of pairs: prompt, chosen, rejected; tie, where some pairs are of equal reward. Equal pairs give
    equal weights: nothing is drawn. Only `log_rows`, the rows of its quadrants, need a task.
    """
    check_reward_settings(settings)
    trained = reward_model_of(lm)
    chosen = answered_ids(trained, pairs["prompt"], pairs["chosen"])
    rejected = answered_ids(trained, pairs["prompt"], pairs["rejected"])
    tie = pairs.get("tie") or [0] * len(chosen)
    targets = 1 - torch.tensor(tie, dtype=torch.float32, device=trained.model.device) / 2

    def loss(batch: range, step: int) -> Tensor:
        rows = slice(batch.start, batch.stop)
        with mixed_precision(trained.model, settings.bf16):
            scores = raw_scores(trained.model, chosen[rows] + rejected[rows])
        preferred, other = scores.chunk(2)
        return bradley_terry(preferred - other, targets[rows])

    log: list[dict[str, Any]] = []
    points = settings.log_steps
    asked = RewardPolicy(trained, task) if task else None

    def after(step: int, value: float) -> None:
        if step in points and log_rows and asked and task:
            for quadrant, rows in log_rows.items():
                counts = count_answers(trained, asked, task, rows)
                log.append({"step": step, "loss": value, "quadrant": quadrant, **asdict(counts)})

    step_s = train(
        trained.model,
        settings.batches(len(chosen), "pairs"),
        loss,
        steps=settings.steps,
        optimisation=Optimisation(settings.learning_rate),
        observe=after,
    )
    return TrainedReward(trained, log, step_s)


def normalise(
    trained: LanguageModel, reference: LanguageModel, policy: Policy, prompts: Sequence[str], seed: int
) -> tuple[float, float]:
    """Let the rewards of the reference's answers to held-out prompts have mean 0 and standard deviation 1.

    Returns the shift and the scale, which are kept in the model's configuration.
    """
    generator = torch.Generator(device=reference.model.device).manual_seed(seed)
    texts: list[str] = []
    with torch.inference_mode():
        for part in chunks(prompt_ids(reference, prompts), 512):
            texts += [row[0] for row in policy.sample(reference.model, part, 1, generator).texts]
    set_normalisation(trained.model.config, 0.0, 1.0)
    scores = np.array(learned_rewards(trained, prompts, texts))
    shift, scale = float(scores.mean()), float(scores.std())
    if not np.isfinite([shift, scale]).all():
        where = int(np.argmin(np.isfinite(scores)))
        raise UserError(
            f"{trained.name}: the reward model's score of {texts[where]!r} after {prompts[where]!r} "
            f"is {scores[where]}"
        )
    if scale == 0:
        raise UserError(f"{trained.name}: the reward model gives every answer the same score")
    set_normalisation(trained.model.config, shift, scale)
    return shift, scale


class RewardPolicy(ConstrainedPolicy):
    """A reward model as a policy: it answers what it scores higher, with the probability it was trained as.

    Open answers are judged by examples of either label, the same for every prompt, and by their mean score.
    """

    def __init__(self, lm: LanguageModel, task: Task) -> None:
        rng = np.random.default_rng(0)
        words = task.answers.words
        examples = (
            [[w] for w in words]
            if words
            else [[task.answers.say(label, rng) for _ in range(_EXAMPLES)] for label in (0, 1)]
        )
        self.words = tuple(said[0] for said in examples)
        self.examples = [completion_ids(lm, said) for said in examples]

    def distribution(self, model: Any, prompts: Ids) -> Tensor:
        said = [ids for examples in self.examples for ids in examples]
        scores = raw_scores(model, [[*p, *ids] for p in prompts for ids in said])
        return scores.view(len(prompts), len(self.examples), -1).mean(dim=2).log_softmax(dim=1)
