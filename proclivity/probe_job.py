"""A probe job: the features of a task on the same rows, a record a layer and feature."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import Config, JobResult, identity, model_of, plain_row, recipe
from proclivity.use_of_layers import used_columns
from tasks import Task, get_task
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from models import LanguageModel
    from probes import Predictor, ProbeResult


def run_probe(config: Config) -> JobResult:
    from probes import KINDS

    if config["probe"] not in KINDS:
        raise unknown("kind of probe", config["probe"], KINDS)
    if config["probe"] == "variational" and config.get("compat"):
        raise UserError("a published definition needs a probe that is fitted block by block, not variational")
    lm = model_of(config)
    return JobResult(probed(config, get_task(config["task"]), lm))


def probed(config: Config, task: Task, lm: LanguageModel) -> list[dict[str, Any]]:
    """One row a layer and feature: all features on the same rows."""
    from analysis import ProbeRecord
    from models import prompt_ids
    from probes import answer_site, prequential, probe, raw_design, representations, variational

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
    used: dict[int, dict[str, dict[str, Any]]] = {}
    if config.get("use"):
        if config["input"] == "raw" or config["probe"] == "finetune" or _site(config) != "answer":
            raise UserError(
                "use is measured in the state that is answered from: no raw inputs, no other site"
            )
        used = used_columns(config, task, lm, inputs, {role: rows[role] for role in roles})
    predictor = _predictor(config, task, lm)
    often = _often(config, task)
    records = []
    for layer, matrix in inputs.items():
        results = probe(
            matrix,
            labels,
            names=[feature.name for feature in roles.values()],
            n=config["n"],
            shuffles=config["shuffles"],
            seed=config["seed_probe"],
            code=partial(prequential, predictor=predictor) if predictor else variational,
            standardise=config["input"] != "raw",
            orders=config.get("orders", 1),
        )
        frozen = _frozen(config, rows, matrix)
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
                **_derived(result),
                corpus_share=often.get(role),
                curve=result.curve.to_json(),
                wall_s=time.perf_counter() - start,
                **(_published(config, rows, role, matrix, predictor) if predictor else {}),
                **used.get(layer, {}).get(role, {}),
                **frozen,
            )
            records.append(plain_row(asdict(record)))
    return records


def _derived(result: ProbeResult) -> dict[str, Any]:
    """Functions of the curve."""
    low, high = result.curve.labels_needed()
    return {
        "v_information": result.v_information,
        "labels_needed_low": low,
        "labels_needed_high": high,
    }


def _published(
    config: Config, rows: Mapping[str, Any], role: str, matrix: Any, predictor: Predictor
) -> dict[str, Any]:
    """The feature's MDL as a paper would have it, where one was asked for."""
    from probes import published_mdl, published_rows, standardised

    if not config.get("compat"):
        return {}
    at = published_rows(role, {name: rows[name] for name in ("target", "spurious")})
    X, labels = matrix[at], np.asarray(rows[role])[at]
    X = X if config["input"] == "raw" else standardised(X)
    mdl, n = published_mdl(X, labels, predictor, compat=config["compat"], seed=config["seed_probe"])
    return {"compat": config["compat"], "compat_mdl": mdl, "compat_n": n}


def _frozen(config: Config, rows: Mapping[str, Any], matrix: Any) -> dict[str, Any]:
    """Which feature a probe fitted on both and neither goes by on the conflict rows, where it was asked."""
    from probes import frozen_use, standardised

    if not config.get("frozen"):
        return {}
    if config["probe"] == "finetune":
        raise UserError("frozen asks a probe of frozen states, and the probe finetune tunes the model")
    X = matrix if config["input"] == "raw" else standardised(matrix)
    return {"frozen_U": frozen_use(X, np.asarray(rows["target"]), np.asarray(rows["spurious"]))}


def _often(config: Config, task: Task) -> dict[str, float]:
    """By role, the share of the documents that the model has read in which the feature holds, if known."""
    embedded = recipe(config["model"])
    if embedded is None or config["init"] != "pretrained" or config["input"] != "model":
        return {}
    return dict(zip(task.roles, embedded.corpus.often(task) or (), strict=False))


def _prompts(config: Config, lm: LanguageModel, prompts: Sequence[str]) -> Any:
    """What the whole model reads: an array of lists of token ids."""
    from models import prompt_ids

    if config["input"] == "raw" or config["layers"] != "last" or _site(config) != "answer":
        raise UserError("the probe finetune tunes the whole model: it has no layers, sites or raw inputs")
    ids = np.empty(len(prompts), dtype=object)
    for i, row in enumerate(prompt_ids(lm, prompts)):
        ids[i] = row
    return ids


def _predictor(config: Config, task: Task, lm: LanguageModel) -> Predictor | None:
    """The probe that is fitted block by block; None for the variational code, which has no blocks."""
    from models import answer_ids
    from probes import linear, mlp, whole_model

    kind, seed = config["probe"], config["seed_probe"]
    if kind == "variational":
        return None
    if kind != "finetune":
        return linear() if kind == "linear" else mlp(seed=seed)
    words = task.for_seed(seed).answers.words
    if words is None:
        raise UserError(f"{task.name}: its answers are no closed list, which the probe finetune needs")
    return whole_model(lm.model, answer_ids(lm, words), seed=seed)


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
