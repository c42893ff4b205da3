"""What the methods compared on a text problem share: the reference, preference pairs and the reward model.

It is kept in the process, since jobs on the same data follow one another. Equal configs give equal weights in
every process of as many threads.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from proclivity.job import load_model
from proclivity.text_study import Data
from rl_finetune.settings import Settings
from tasks.problems import get_problem, list_problems
from tasks.text_problem import TextProblem

if TYPE_CHECKING:
    from models import LanguageModel

REVISION = 2
"""Raised by hand when a change of the code changes the data that runs share."""
NORMALISED_ON = 256
"""Completions of the reference whose learned rewards have mean 0 and standard deviation 1."""
_SPARE = 1.25
"""Prompts, as a multiple of the pairs wanted: some have completions of one reward alone."""
Pairs = dict[str, list[str]]


@dataclass(frozen=True)
class Shared:
    """What the methods share on a problem and a seed."""

    problem: TextProblem
    reference: LanguageModel
    pairs: Pairs
    held_out: Pairs
    reward_model: LanguageModel
    mode: int
    """Commonest number of words in the reference's completions."""
    agreed: int
    """Held-out pairs that the reward model orders as the gold reward does."""


@lru_cache(maxsize=2)
def reference(model: str, name: str, data: Data) -> LanguageModel:
    """The model that has learnt from the problem's demonstrations; one for all seeds."""
    from models.language_model import weights_hash
    from rl_finetune import finetune, get_method

    problem, lm = get_problem(name), load_model(model, "pretrained")
    steps = data.demonstrations // data.batch
    rows = problem.demonstrations(steps * data.batch, np.random.default_rng([0, 21])).to_dict()
    settings = _settings(steps, data.batch, data.rate)
    tuned = finetune(lm, problem, rows, get_method("sft"), settings, seed=0).lm
    return replace(tuned, weights_hash=weights_hash(tuned.model))


def _settings(steps: int, batch: int, rate: float) -> Settings:
    return Settings(
        steps=steps, batch_size=batch, learning_rate=rate, answers="free", entropy_bonus=0.0, log_points=0
    )


@lru_cache(maxsize=4)
def _drawn(
    model: str, like: str, data: Data, n: int, seed: int, split: str
) -> tuple[list[str], list[list[str]]]:
    """Prompts and the reference's completions, which problems of the same prompts share."""
    from rl_finetune.text_pairs import completions_of

    problem = get_problem(like)
    stream = {"train": 1, "validation": 2}[split]
    prompts = problem.prompts(round(_SPARE * n), np.random.default_rng([seed, stream]), split)  # type: ignore[arg-type]
    asked = list(prompts["prompt"])
    seeded = 2 * seed + stream - 1
    return asked, completions_of(reference(model, like, data), problem, asked, data.samples, seeded)


@lru_cache(maxsize=2)
def shared(model: str, name: str, data: Data, n: int, seed: int) -> Shared:
    """The data of a problem and seed, with n pairs."""
    from rl_finetune import normalise, policy_of, train_reward_model
    from rl_finetune.text_pairs import agreement, text_pairs
    from tasks.lengths import mode_of

    like = alike(name)
    lm = reference(model, like, data)
    prompts, drawn = _drawn(model, like, data, n, seed, "train")
    texts = [text for row in drawn for text in row]
    problem = get_problem(name).on(texts)
    pairs = text_pairs(problem, prompts, drawn, n, np.random.default_rng([seed, 3]))
    asked, others = _drawn(model, like, data, data.held_out, seed, "validation")
    held_out = text_pairs(problem, asked, others, data.held_out, np.random.default_rng([seed, 4]))
    settings = _settings(n // data.pairs_batch, data.pairs_batch, data.rate)
    made = train_reward_model(lm, None, pairs, settings).lm
    normal = problem.prompts(NORMALISED_ON, np.random.default_rng([seed, 5]), "validation")
    normalise(made, lm, policy_of(lm, problem, "free"), list(normal["prompt"]), seed)
    return Shared(problem, lm, pairs, held_out, made, mode_of(texts), agreement(made, held_out))


def alike(name: str) -> str:
    """The first problem with the same prompts, and so with the same demonstrations."""
    write = get_problem(name).write
    return next(other for other in list_problems() if get_problem(other).write is write)
