"""A probe job: the features of a task on the same rows, a record a layer and feature."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import TUNED, Config, JobResult, identity, load_model, plain_row
from tasks import Task, get_task
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from models import LanguageModel
    from probes.use import Asked


def run_probe(config: Config) -> JobResult:
    from probes import KINDS

    if config["probe"] not in KINDS:
        raise unknown("kind of probe", config["probe"], KINDS)
    return JobResult(probed(config, get_task(config["task"]), load_model(config["model"], config["init"])))


def probed(config: Config, task: Task, lm: LanguageModel) -> list[dict[str, Any]]:
    """One row a layer and feature: all features on the same rows."""
    from analysis import ProbeRecord
    from models import prompt_ids
    from probes import answer_site, probe, raw_design, representations

    start = time.perf_counter()
    rows = task.probe_rows(config["n"], np.random.default_rng([config["seed_data"], 5]))
    roles = task.roles
    labels = np.stack([rows[role] for role in roles], axis=1)
    inputs: dict[int, Any]
    if config["probe"] == "finetune":
        inputs = {-1: _prompts(config, lm, rows["prompt"])}
    elif config["input"] == "raw":
        inputs = {-1: raw_design(prompt_ids(lm, rows["prompt"]))}
    else:
        layers, site = _layers(config["layers"]), _site(config)
        inputs = representations(lm.model, lm.tokenizer, list(rows["prompt"]), layers, site=site)
    head = identity(config, lm, rows["prompt"])
    asked = _asked(config, task) if config.get("use") else None
    records = []
    for layer, matrix in inputs.items():
        used: dict[str, dict[str, Any]] = {}
        if asked:
            used = _used(config, task, lm, layer, matrix, {role: rows[role] for role in roles}, asked)
        results = probe(
            matrix,
            labels,
            names=[feature.name for feature in roles.values()],
            n=config["n"],
            shuffles=config["shuffles"],
            seed=config["seed_probe"],
            code=_code(config, task, lm),
            standardise=config["input"] != "raw",
            orders=config.get("orders", 1),
        )
        for (role, feature), result in zip(roles.items(), results, strict=True):
            record = ProbeRecord(
                **head,
                feature=feature.name,
                role=role,
                family=feature.family,
                input=config["input"],
                layer=layer,
                site=answer_site(lm.model) if _site(config) == "answer" else str(_site(config)),
                probe=config["probe"],
                n=config["n"],
                seed_probe=config["seed_probe"],
                bits_per_label=result.bits_per_label,
                bits_total=result.bits_total,
                bits_unmixed=result.bits_unmixed / config["n"],
                orders=result.orders,
                bits_low=result.bits_low,
                bits_high=result.bits_high,
                control_mean=result.control_mean,
                control_low=result.control_low,
                control_high=result.control_high,
                censored=bool(result.censored),
                accuracy=result.accuracy,
                selectivity=result.selectivity,
                converged=bool(result.converged),
                curve=json.dumps(result.curve.rows()),
                wall_s=time.perf_counter() - start,
                **used.get(role, {}),
            )
            records.append(plain_row(asdict(record)))
    return records


def _prompts(config: Config, lm: LanguageModel, prompts: Sequence[str]) -> Any:
    """What the whole model reads: an array of lists of token ids."""
    from models import prompt_ids

    if config["input"] == "raw" or config["layers"] != "last" or _site(config) != "answer":
        raise UserError("the probe finetune tunes the whole model: it has no layers, sites or raw inputs")
    ids = np.empty(len(prompts), dtype=object)
    for i, row in enumerate(prompt_ids(lm, prompts)):
        ids[i] = row
    return ids


def _code(config: Config, task: Task, lm: LanguageModel) -> Any:
    """How a kind of probe codes labels."""
    from models import answer_ids
    from probes import linear, mlp, prequential, variational, whole_model

    kind, seed = config["probe"], config["seed_probe"]
    if kind == "variational":
        return variational
    if kind != "finetune":
        return partial(prequential, predictor=linear() if kind == "linear" else mlp(seed=seed))
    words = task.for_seed(seed).answers.words
    if words is None:
        raise UserError(f"{task.name}: its answers are no closed list, which the probe finetune needs")
    return partial(prequential, predictor=whole_model(lm.model, answer_ids(lm, words), seed=seed))


def _asked(config: Config, task: Task) -> Asked:
    """Test rows, a quarter a quadrant, and minimal edits, on which use is measured."""
    from probes.use import Asked

    if config["input"] == "raw" or config["probe"] == "finetune" or _site(config) != "answer":
        raise UserError("use is measured in the state that is answered from: no raw inputs, no other site")
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


def _used(
    config: Config,
    task: Task,
    lm: LanguageModel,
    layer: int,
    states: Any,
    truths: dict[str, Any],
    asked: Asked,
) -> dict[str, dict[str, Any]]:
    """By role, the columns of a record that say what a layer's state is used for."""
    from probes.use import layer_use

    words = task.for_seed(_seed_of_words(config)).answers.words
    if words is None:
        raise UserError(f"{task.name}: its answers are no closed list, which measuring use needs")
    truths = {role: np.array(truth) for role, truth in truths.items()}
    found = layer_use(lm, words, layer, states, truths, asked, config["seed_probe"])
    return {
        role: {
            "use_n": use.n,
            "use_changed": use.changed,
            "use_changed_random": use.changed_random,
            "use_conflict_error": use.conflict_error,
            "swap_n": use.n_swaps,
            "swap": use.swap,
            "swap_random": use.swap_random,
        }
        for role, use in found.items()
    }


def _seed_of_words(config: Config) -> int:
    """The seed by which words mean labels: that of the tuning, to a policy that `finetune` kept."""
    try:
        return int(json.loads((Path(config["model"]) / TUNED).read_text())["seed_tune"])
    except (OSError, ValueError, KeyError):
        return int(config["seed_probe"])


def _site(config: Config) -> str | int:
    """A name, or a number: a place in the prompt."""
    site = str(config.get("site", "answer"))
    return int(site) if re.fullmatch(r"-?\d+", site) else site


def _layers(text: str) -> Any:
    """`last`, `all`, or numbers separated by commas."""
    if text in ("last", "all"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"layers {text!r}: give last, all, or numbers such as 0,1,2") from None
