"""A probe job: the features of a task on the same rows, a record a layer and feature."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import Config, JobResult, identity, load_model, plain_row
from tasks import Task, get_task
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from models import LanguageModel


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
        inputs = representations(lm.model, lm.tokenizer, list(rows["prompt"]), _layers(config["layers"]))
    head = identity(config, lm, rows["prompt"])
    records = []
    for layer, matrix in inputs.items():
        results = probe(
            matrix,
            labels,
            names=[feature.name for feature in roles.values()],
            n=config["n"],
            shuffles=config["shuffles"],
            seed=config["seed_probe"],
            predictor=_predictor(config, task, lm),
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
                site=answer_site(lm.model),
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
            )
            records.append(plain_row(asdict(record)))
    return records


def _prompts(config: Config, lm: LanguageModel, prompts: Sequence[str]) -> Any:
    """What the whole model reads: an array of lists of token ids."""
    from models import prompt_ids

    if config["input"] == "raw" or config["layers"] != "last":
        raise UserError("the probe finetune tunes the whole model: it has no layers and no raw inputs")
    ids = np.empty(len(prompts), dtype=object)
    for i, row in enumerate(prompt_ids(lm, prompts)):
        ids[i] = row
    return ids


def _predictor(config: Config, task: Task, lm: LanguageModel) -> Any:
    """What a kind of probe predicts with."""
    from models import answer_ids
    from probes import linear, mlp, whole_model

    if config["probe"] == "linear":
        return linear()
    if config["probe"] == "mlp":
        return mlp(seed=config["seed_probe"])
    words = task.for_seed(config["seed_probe"]).answers.words
    if words is None:
        raise UserError(f"{task.name}: its answers are no closed list, which the probe finetune needs")
    return whole_model(lm.model, answer_ids(lm, words), seed=config["seed_probe"])


def _layers(text: str) -> Any:
    """`last`, `all`, or numbers separated by commas."""
    if text in ("last", "all"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"layers {text!r}: give last, all, or numbers such as 0,1,2") from None
