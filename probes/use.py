"""How far a model's answers hang on what one state holds of a feature: representation is not use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.language_model import LanguageModel
from probes.causal import feature_subspace, log_odds, random_subspace
from probes.extract import representations

RANDOM = 5
"""Random subspaces that stand beside each feature's."""


@dataclass(frozen=True)
class LayerUse:
    """What erasing or swapping one feature in one state does to the answers."""

    n: int
    """Prompts that were asked."""
    changed: float
    """Share of greedy answers that change when the feature is erased."""
    changed_random: float
    """The same for random subspaces of equal rank, a mean."""
    conflict_error: float
    """Error on the two quadrants in conflict with the feature erased: U, of a policy that has learnt."""
    n_swaps: int
    """Pairs of prompts that differ in the feature alone."""
    swap: float
    """Mean change of the probability of label 1, towards the feature's new value, when it is swapped in."""
    swap_random: float
    """The same for random subspaces."""


@dataclass(frozen=True)
class Asked:
    """What a model is asked under edits."""

    prompts: Sequence[str]
    labels: NDArray[np.int64]
    conflict: NDArray[np.bool_]
    """Whether a prompt's target and spurious feature disagree."""
    originals: Mapping[str, Sequence[str]]
    """By role: prompts whose feature is flipped."""
    edited: Mapping[str, Sequence[str]]
    """By role: the same prompts with that feature flipped, and the other one held."""
    direction: Mapping[str, NDArray[np.int64]]
    """By role: 1 where the flip makes the feature true, -1 where false."""


def use_of_layers(
    lm: LanguageModel,
    words: Sequence[str],
    states: Mapping[int, NDArray[np.floating]],
    truths: Mapping[str, NDArray[Any]],
    asked: Asked,
    seed: int,
) -> dict[int, dict[str, LayerUse]]:
    """By layer and role, what the state there is used for. Subspaces are fitted on `states` and `truths`."""
    plain = log_odds(lm, asked.prompts, words)
    before = {role: log_odds(lm, prompts, words) for role, prompts in asked.originals.items() if prompts}
    others = {
        role: representations(lm.model, lm.tokenizer, asked.edited[role], list(states)) for role in before
    }
    found: dict[int, dict[str, LayerUse]] = {}
    for layer, matrix in states.items():
        answers = partial(log_odds, lm, words=words, layer=layer)
        controls = [random_subspace(matrix, seed + i) for i in range(RANDOM)]
        changed_random = [_changed(plain, answers(asked.prompts, edit=each.erase)) for each in controls]
        for role, truth in truths.items():
            own = feature_subspace(matrix, truth)
            erased = answers(asked.prompts, edit=own.erase)
            wrong = (erased > 0) != asked.labels
            swaps = []
            if role in before:
                moved = torch.from_numpy(others[role][layer])
                for each in (own, *controls):
                    after = answers(asked.originals[role], edit=each.swap(moved))
                    change = _probability(after) - _probability(before[role])
                    swaps.append(float((asked.direction[role] * change).mean()))
            found.setdefault(layer, {})[role] = LayerUse(
                n=len(plain),
                changed=_changed(plain, erased),
                changed_random=float(np.mean(changed_random)),
                conflict_error=float(wrong[asked.conflict].mean()),
                n_swaps=len(before.get(role, ())),
                swap=swaps[0] if swaps else float("nan"),
                swap_random=float(np.mean(swaps[1:])) if swaps else float("nan"),
            )
    return found


def _changed(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(((one > 0) != (other > 0)).mean())


def _probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 + 0.5 * np.tanh(log_odds / 2))
