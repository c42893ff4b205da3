"""What a run has to do with reward models: train one on pairs, or tune on one that is kept in a folder."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import TUNED, Config, device_of, plain_row
from proclivity.policy_job import Made
from rl_finetune.settings import Settings
from tasks import Evidence, Task, UserError

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import Policy, TrainedReward

NO_REFERENCE = {"kl_forward": math.nan, "kl_reverse": math.nan}
"""A reward model gives no answers, so that it is at no distance from the model it was made of."""


def check(config: Config, rewarded: str) -> None:
    """Refuse a folder that is no reward model, and what leaves no room for one."""
    from models.reward_model import check_reward_folder

    place = "reward_model"
    if isinstance(config["reward_model"], str):  # and not the job of a study that is to train it
        place = "--reward-model"
        check_reward_folder(Path(config["reward_model"]))
    if rewarded == "none":
        raise UserError(f"{place}: {config['method']} does not use the reward")
    if config["control"]:
        raise UserError(f"--reward-model and --control {config['control']} exclude each other")


def pairs(config: Config, task: Task, evidence: Evidence, n: int) -> dict[str, list[Any]]:
    """The preference pairs that a reward model is trained on."""
    from rl_finetune import preference_pairs

    ties, half = config.get("ties", 0.0), config.get("half", 0)
    return preference_pairs(task, evidence, n, [config["seed_data"], 8], ties=ties, half=half)


def train(
    config: Config,
    task: Task,
    rows: Mapping[str, Any],
    reference: LanguageModel,
    policy: Policy,
    settings: Settings,
    log_rows: Mapping[str, Mapping[str, Any]],
) -> Made:
    """A reward model trained on pairs and normalised on the reference's answers; it says what it prefers."""
    from rl_finetune import RewardPolicy, normalise, train_reward_model, train_reward_model_with_trl
    from rl_finetune.reward_training import NORMALISED_ON

    told: dict[str, Any] = {}
    trained: TrainedReward
    if settings.backend == "trl":
        scratch = Path(config["scratch"]) if "scratch" in config else None
        reported = {"report_to": config["report_to"]} if "report_to" in config else {}
        by_trl = train_reward_model_with_trl(
            reference, task, rows, settings, log_rows=log_rows, scratch=scratch, **reported
        )
        trained, told = by_trl, {"resumed_from_step": by_trl.resumed_from_step}
    else:
        trained = train_reward_model(reference, task, rows, settings, log_rows=log_rows)
    seed = config["seed_data"]
    held_out = task.mixture(Evidence(), NORMALISED_ON, np.random.default_rng([seed, 9]), "validation")
    normalise(trained.lm, reference, policy, list(held_out["prompt"]), seed)
    told |= {"step_s": trained.step_s, "ties": sum(rows["tie"]), "half": config.get("half", 0)}
    log = [plain_row(row) for row in trained.log]
    return Made(trained.lm, RewardPolicy(trained.lm, task), log, settings.steps, told)


def judge(config: Config, task: Task) -> LanguageModel | None:
    """The reward model that a run is tuned on; one that was trained with other answer words is refused."""
    if "reward_model" not in config:
        return None
    from models import load_reward_model

    folder = config["reward_model"]
    told = _told(folder)
    words = told.get("words")
    if words and tuple(words) != task.answers.words:
        raise UserError(
            f"{folder} was trained with the answers {', '.join(words)}; give --seed {told.get('seed_tune')}, "
            "under which the policy has the same"
        )
    return load_reward_model(folder, device_of(config["model"]))


def name_of(reward_model: LanguageModel) -> str:
    """The key of its record; of one that was trained elsewhere, its folder."""
    return str(_told(reward_model.name).get("key", reward_model.name))


def _told(folder: str) -> dict[str, Any]:
    """What was written beside a reward model; nothing of one that was trained elsewhere."""
    try:
        told = json.loads((Path(folder) / TUNED).read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
