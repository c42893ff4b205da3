"""What each layer's state is used for, as columns of probe records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import TUNED, Config
from tasks import Task
from tasks.errors import UserError

if TYPE_CHECKING:
    from models import LanguageModel
    from probes.use import Asked


def used_columns(
    config: Config, task: Task, lm: LanguageModel, states: Mapping[int, Any], truths: Mapping[str, Any]
) -> dict[int, dict[str, dict[str, Any]]]:
    """By layer and role. Subspaces are fitted on the states and truths of the rows that are probed."""
    from probes.use import use_of_layers

    words = task.for_seed(_seed_of_words(config)).answers.words
    if words is None:
        raise UserError(f"{task.name}: its answers are no closed list, which measuring use needs")
    truths = {role: np.array(truth) for role, truth in truths.items()}
    found = use_of_layers(lm, words, states, truths, _asked(config, task), config["seed_probe"])
    return {
        layer: {
            role: {
                "use_n": use.n,
                "use_changed": use.changed,
                "use_changed_random": use.changed_random,
                "use_conflict_error": use.conflict_error,
                "swap_n": use.n_swaps,
                "swap": use.swap,
                "swap_random": use.swap_random,
            }
            for role, use in of_roles.items()
        }
        for layer, of_roles in found.items()
    }


def _asked(config: Config, task: Task) -> Asked:
    """Test rows, a quarter a quadrant, and minimal edits, on which use is measured."""
    from probes.use import Asked

    drawn = [
        task.quadrant(q, config["use"], np.random.default_rng([config["seed_data"], 8, i]))
        for i, q in enumerate(task.quadrants)
    ]
    conflict = [q in ("target_only", "spurious_only") for q in task.quadrants]
    edits = task.counterfactuals(config["use"], np.random.default_rng([config["seed_data"], 9])).to_dict()
    of_role = {role: [i for i, f in enumerate(edits["flips"]) if f == role] for role in task.roles}
    return Asked(
        prompts=[prompt for rows in drawn for prompt in rows["prompt"]],
        labels=np.array([label for rows in drawn for label in rows["label"]]),
        conflict=np.repeat(conflict, [len(rows) for rows in drawn]),
        originals={role: [edits["prompt"][i] for i in rows] for role, rows in of_role.items()},
        edited={role: [edits["edited"][i] for i in rows] for role, rows in of_role.items()},
        direction={role: np.array([1 - 2 * edits[role][i] for i in rows]) for role, rows in of_role.items()},
    )


def _seed_of_words(config: Config) -> int:
    """The seed by which words mean labels: that of the tuning, to a policy that `finetune` kept."""
    try:
        return int(json.loads((Path(config["model"]) / TUNED).read_text())["seed_tune"])
    except (OSError, ValueError, KeyError):
        return int(config["seed_probe"])
