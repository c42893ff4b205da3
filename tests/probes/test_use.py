"""What a model holds and what an answer of it uses: erasing and swapping tell them apart."""

from __future__ import annotations

import numpy as np
import torch

from models import LanguageModel, Optimisation, answer_ids, answer_log_probs, prompt_ids, train
from probes import probe, representations
from probes.use import Asked, use_of_layers
from tasks import Evidence, Task, get_task


def asked_of(task: Task, n: int) -> Asked:
    rows = [
        task.quadrant(q, n, np.random.default_rng([1, i])).to_dict() for i, q in enumerate(task.quadrants)
    ]
    edits = task.counterfactuals(4 * n, np.random.default_rng(2)).to_dict()
    of = {role: [i for i, flips in enumerate(edits["flips"]) if flips == role] for role in task.roles}
    return Asked(
        prompts=[prompt for part in rows for prompt in part["prompt"]],
        labels=np.array([label for part in rows for label in part["label"]]),
        conflict=np.repeat([q.endswith("_only") for q in task.quadrants], n),
        originals={role: [edits["prompt"][i] for i in found] for role, found in of.items()},
        edited={role: [edits["edited"][i] for i in found] for role, found in of.items()},
        direction={role: np.array([1 - 2 * edits[role][i] for i in found]) for role, found in of.items()},
    )


PAIRS = {"target": ("amber", "birch"), "spurious": ("coral", "delta")}


def two_minds(lm: LanguageModel, task: Task) -> LanguageModel:
    """A model that tells one feature in one pair of words and the other one in another pair."""
    rows = task.mixture(Evidence("symmetric", 0.5), 6400, np.random.default_rng(0)).to_dict()
    ids = prompt_ids(lm, rows["prompt"])

    def loss(batch: range, step: int) -> torch.Tensor:
        told = 0.0
        for role, words in PAIRS.items():
            said = answer_log_probs(
                lm.model, ids[batch.start : batch.stop], answer_ids(lm, words)
            ).log_softmax(-1)
            truth = torch.tensor(rows[role][batch.start : batch.stop])
            told = told - said[torch.arange(len(batch)), truth].mean()
        return torch.as_tensor(told)

    batches = (range(i, i + 64) for i in range(0, 6400, 64))
    train(lm.model, batches, loss, steps=100, optimisation=Optimisation(1e-2))
    return lm


def test_the_feature_that_an_answer_uses_is_missed_when_erased_and_followed_when_swapped(
    lm: LanguageModel,
) -> None:
    """Both features can be read at the end; which one is used depends on the words that are asked for."""
    task = get_task("symbolic/contains-1-vs-first-class")
    tuned = two_minds(lm, task)
    probed = task.probe_rows(800, np.random.default_rng(5))
    states = representations(tuned.model, tuned.tokenizer, list(probed["prompt"]), [0, -1])
    truths = {role: np.array(probed[role]) for role in task.roles}
    read = probe(states[-1], np.stack(list(truths.values()), axis=1), names=list(truths), n=800, seed=0)
    assert min(r.accuracy for r in read) > 0.95
    asked = asked_of(task, 50)
    for role, words in PAIRS.items():
        other = "spurious" if role == "target" else "target"
        found = use_of_layers(tuned, words, {-1: states[-1]}, truths, asked, 0)[-1]
        assert found[role].n == 200 and found[role].n_swaps > 100
        assert found[role].changed > 0.3 > 0.15 > max(found[role].changed_random, found[other].changed)
        assert found[role].swap > 0.8 and abs(found[other].swap) < 0.15 > abs(found[role].swap_random)
        first = use_of_layers(tuned, words, {0: states[0]}, truths, asked, 0)[0]
        assert first[role].changed == first[role].swap == 0, "the query mark itself knows nothing"
        if role == "target":
            assert found[role].conflict_error > 0.3 > 0.15 > found[other].conflict_error
