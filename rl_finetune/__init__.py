"""How it is tuned: objectives, methods, rollouts, the tuning of a policy on a task.

Names are resolved on first use, so that the settings can be read without loading torch.
"""

from typing import TYPE_CHECKING

from tasks.first_use import on_first_use

if TYPE_CHECKING:
    from rl_finetune.best_of_n import BestOf
    from rl_finetune.checks import CONTROLS, check
    from rl_finetune.learned_reward import JudgedTask, judged, judged_by
    from rl_finetune.measure import (
        NOTHING,
        AnswerCounts,
        Answered,
        answers_and_counts,
        answers_to,
        count_answers,
    )
    from rl_finetune.method_registry import get_method, method, method_source, method_table
    from rl_finetune.methods import KL, METHODS, Batch, Method
    from rl_finetune.pairs import half_of, preference_pairs
    from rl_finetune.policy import Policy, policy_of
    from rl_finetune.reward_training import (
        RewardPolicy,
        TrainedReward,
        bradley_terry,
        normalise,
        train_reward_model,
    )
    from rl_finetune.settings import Settings, settings_from
    from rl_finetune.trl_backend import (
        as_in_trl,
        check_trl,
        finetune_with_trl,
        keep_reference,
        kept_reference,
        train_reward_model_with_trl,
    )
    from rl_finetune.trl_run import check_tracker
    from rl_finetune.tuning import Observer, Tuned, finetune
    from rl_finetune.warmup import warm_up

__all__ = [
    "CONTROLS",
    "KL",
    "METHODS",
    "NOTHING",
    "AnswerCounts",
    "Answered",
    "Batch",
    "BestOf",
    "JudgedTask",
    "Method",
    "Observer",
    "Policy",
    "RewardPolicy",
    "Settings",
    "TrainedReward",
    "Tuned",
    "answers_and_counts",
    "answers_to",
    "as_in_trl",
    "bradley_terry",
    "check",
    "check_tracker",
    "check_trl",
    "count_answers",
    "finetune",
    "finetune_with_trl",
    "get_method",
    "half_of",
    "judged",
    "judged_by",
    "keep_reference",
    "kept_reference",
    "method",
    "method_source",
    "method_table",
    "normalise",
    "policy_of",
    "preference_pairs",
    "settings_from",
    "train_reward_model",
    "train_reward_model_with_trl",
    "warm_up",
]

_ROOMS = {
    "best_of_n": ["BestOf"],
    "learned_reward": ["JudgedTask", "judged", "judged_by"],
    "measure": ["NOTHING", "AnswerCounts", "Answered", "answers_and_counts", "answers_to", "count_answers"],
    "method_registry": ["get_method", "method", "method_source", "method_table"],
    "methods": ["KL", "METHODS", "Batch", "Method"],
    "pairs": ["half_of", "preference_pairs"],
    "policy": ["Policy", "policy_of"],
    "reward_training": [
        "RewardPolicy",
        "TrainedReward",
        "bradley_terry",
        "normalise",
        "train_reward_model",
    ],
    "settings": ["Settings", "settings_from"],
    "trl_backend": [
        *("as_in_trl", "check_trl", "finetune_with_trl", "keep_reference", "kept_reference"),
        "train_reward_model_with_trl",
    ],
    "trl_run": ["check_tracker"],
    "checks": ["CONTROLS", "check"],
    "tuning": ["Observer", "Tuned", "finetune"],
    "warmup": ["warm_up"],
}

if not TYPE_CHECKING:  # where it is seen, every misspelt name has a type
    __getattr__, __dir__ = on_first_use(__name__, _ROOMS)
