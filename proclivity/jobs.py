"""The composition: one job's walk from a plain config through tasks, models, probes and methods to its records."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rl_finetune.settings import Settings, settings_from
from tasks import QUADRANTS, Evidence, Task, get_task, task_sources, third_feature
from tasks.errors import UserError, unknown

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import AnswerCounts, Policy

SETTINGS = Settings
Config = Mapping[str, Any]
Progress = Callable[[str, int, int], None]
_PROBE = {"input": "model", "layers": "last", "n": 2000, "probe": "linear", "shuffles": 5, "seed_probe": 0}
"""How a warmed-up reference is probed."""
_SEEN = 256
"""Most counter-examples of the tuning rows that are asked again afterwards."""


@dataclass(frozen=True)
class JobResult:
    records: list[dict[str, Any]]
    log: list[dict[str, Any]] | None = None
    policy: Any = field(default=None, repr=False)
    """The tuned model, for a caller in the same process."""


def execute(config: Config) -> JobResult:
    """Do one job: `run` tunes a policy and measures its use, `use` measures a model as it is, `probe` probes it."""
    return {"run": _run, "use": _run, "probe": _probe}[config["job"]](config)


def prepare(configs: Sequence[Config], progress: Progress | None) -> None:
    """Pre-train the embedded models that the jobs need, side by side where there are several."""
    from models.embedded import PREFIX, is_cached, pretrained_folder, recipe_of

    names = sorted({c["model"] for c in configs if c["model"].startswith(PREFIX)})
    missing = [recipe for recipe in map(recipe_of, names) if not is_cached(recipe)]
    if len(missing) <= 1:
        for recipe in missing:
            pretrained_folder(recipe, progress)
        return
    workers = min(len(missing), os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(pretrained_folder, recipe) for recipe in missing]
        for done, future in enumerate(as_completed(waiting), 1):
            future.result()
            if progress:
                progress(f"pre-training {len(missing)} models", done, len(missing))


def validate_settings(settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    return asdict(settings_from(dict(settings), where))


def estimate(config: Config) -> float:
    """Seconds that a job takes on one thread, roughly, on an embedded model."""
    if config["job"] == "probe":
        return 1.0 + 0.4 * (config["input"] == "raw")
    settings = config["settings"]
    return 1.5 + settings["steps"] * settings["batch_size"] * 2e-4 * (
        4 if settings["answers"] == "free" else 1
    )


def learnability(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """The rows of the shipped learnability list for the recipes that the jobs use."""
    import csv

    bases = {c["model"].partition(":")[0] for c in configs}
    with (Path(__file__).parent / "studies" / "learnability.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["recipe"] in bases]


@cache
def fingerprint_of(model: str, task: str, method: str, kind: str) -> dict[str, str]:
    from models.embedded import PREFIX, recipe_hash, recipe_of

    if model.startswith(PREFIX):
        weights = recipe_hash(recipe_of(model))
    else:
        weights = _hash(*(p.read_bytes() for p in sorted(Path(model).glob("*.safetensors"))))
    source = _hash(*(p.read_bytes() for p in task_sources(task)))
    return {"weights": weights, "task": source, "revision": str(_revision(method, kind))}


def fingerprint(config: Config) -> dict[str, str]:
    """Hashes of what a config only names."""
    return fingerprint_of(config["model"], config["task"], config.get("method", ""), config["job"])


def _revision(method: str, kind: str) -> int:
    if kind == "probe":
        from probes import REVISION

        return REVISION
    if method:
        from rl_finetune import get_method

        return get_method(method).revision
    return 1


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def _load(model: str, init: str) -> LanguageModel:
    from models import load

    if init not in ("pretrained", "random"):
        raise unknown("init", init, ["pretrained", "random"])
    return load(model, init=init)  # type: ignore[arg-type]


@cache
def _third(task: str) -> tuple[str, float | None]:
    return third_feature(get_task(task)) or ("", None)


def _identity(config: Config, task: Task, lm: LanguageModel, prompts: Sequence[str]) -> dict[str, Any]:
    from importlib.metadata import version

    recipe = _recipe(config["model"])
    libraries = ("proclivity", "torch", "transformers", "numpy")
    return {
        "model": config["model"],
        "revision": lm.revision or "",
        "init": config["init"],
        "dial": recipe.dial if recipe else "",
        "weights_hash": lm.weights_hash,
        "data_hash": _hash("\n".join(prompts).encode()),
        "config_hash": _hash(repr(sorted(config.items())).encode()),
        "task": config["task"],
        "target": task.target.name,
        "spurious": task.spurious.name,
        "target_family": task.target.family,
        "spurious_family": task.spurious.family,
        "seed_data": config["seed_data"],
        "versions": " ".join(
            [f"python {platform.python_version()}", *(f"{n} {version(n)}" for n in libraries)]
        ),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _recipe(model: str) -> Any:
    from models.embedded import PREFIX, recipe_of

    return recipe_of(model) if model.startswith(PREFIX) else None


def _probe(config: Config) -> JobResult:
    if config["probe"] != "linear":
        raise unknown("kind of probe", config["probe"], ["linear"])
    return JobResult(_probed(config, get_task(config["task"]), _load(config["model"], config["init"])))


def _probed(config: Config, task: Task, lm: LanguageModel) -> list[dict[str, Any]]:
    """One row a layer and feature: both features on the same rows."""
    import json

    from analysis import ProbeRecord
    from models import prompt_ids
    from probes import probe, raw_design, representations

    start = time.perf_counter()
    rows = task.probe_rows(config["n"], np.random.default_rng([config["seed_data"], 5]))
    labels = np.stack([rows["target"], rows["spurious"]], axis=1)
    if config["input"] == "raw":
        inputs = {-1: raw_design(prompt_ids(lm, rows["prompt"]))}
    else:
        inputs = representations(lm.model, lm.tokenizer, list(rows["prompt"]), _layers(config["layers"]))
    head = _identity(config, task, lm, rows["prompt"])
    roles = {"target": task.target, "spurious": task.spurious}
    records = []
    for layer, matrix in inputs.items():
        results = probe(
            matrix,
            labels,
            names=[feature.name for feature in roles.values()],
            n=config["n"],
            shuffles=config["shuffles"],
            seed=config["seed_probe"],
            standardise=config["input"] != "raw",
        )
        for (role, feature), result in zip(roles.items(), results, strict=True):
            record = ProbeRecord(
                **head,
                feature=feature.name,
                role=role,
                family=feature.family,
                input=config["input"],
                layer=layer,
                probe=config["probe"],
                n=config["n"],
                seed_probe=config["seed_probe"],
                bits_per_label=result.bits_per_label,
                bits_total=result.bits_total,
                bits_unmixed=result.bits_unmixed / config["n"],
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
            records.append(_plain(asdict(record)))
    return records


def _layers(text: str) -> Any:
    """`last`, `all`, or numbers separated by commas."""
    if text in ("last", "all"):
        return text
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"layers {text!r}: give last, all, or numbers such as 0,1,2") from None


def _run(config: Config) -> JobResult:
    import torch

    from analysis import RunRecord
    from rl_finetune import count_answers, finetune, get_method, policy_of, warm_up

    start = time.perf_counter()
    settings = settings_from(dict(config["settings"]))
    task = get_task(config["task"]).for_seed(config["seed_tune"])
    lm = _load(config["model"], config["init"])
    evidence = Evidence(config["evidence_kind"], config["evidence_rate"])
    seed = config["seed_data"]
    rows = task.mixture(evidence, settings.rows, np.random.default_rng([seed, 1])).to_dict()
    third, third_accuracy = _third(config["task"])
    recipe = _recipe(config["model"])
    warmed, bits = lm, []
    if settings.answers == "free":
        # The warmed-up model is the reference, so it is probed; the model before it is probed by a job of its own.
        warmed = warm_up(lm, task, settings, config["seed_warmup"])
        bits = _probed({**config, **_PROBE}, task, warmed)
    policy = policy_of(warmed, task, settings.answers)
    values: dict[str, Any] = {}
    tuned, log = warmed, None
    if config["job"] == "run":
        log_rows = {
            q: task.quadrant(q, settings.log_n, np.random.default_rng([seed, 2, i]), "validation").to_dict()
            for i, q in enumerate(QUADRANTS)
        }
        outcome = finetune(
            warmed,
            task,
            rows,
            get_method(config["method"]),
            settings,
            seed=config["seed_tune"],
            control=config["control"],
            log_rows=log_rows,
        )
        tuned, log = outcome.lm, [_plain(row) for row in outcome.log]
        values |= {"reward_train": outcome.reward, "step_s": outcome.step_s}
        values |= _counterexamples(rows, task, tuned, policy)
    counts = {
        q: count_answers(
            tuned,
            policy,
            task,
            task.quadrant(q, settings.eval_n, np.random.default_rng([seed, 3, i])),
            warmed.model,
        )
        for i, q in enumerate(QUADRANTS)
    }
    conflicts = ["spurious_only"] if evidence.kind != "symmetric" else ["spurious_only", "target_only"]
    record = RunRecord(
        **_identity(config, task, warmed, rows["prompt"]),
        **_use(counts),
        **_reliance(config, task, tuned, policy, settings.counterfactual_n),
        **values,
        arm=config["arm"],
        third_feature=third,
        third_accuracy=third_accuracy,
        evidence_kind=evidence.kind,
        evidence_rate=evidence.rate,
        evidence_k=sum(
            c for q, c in evidence.counts(settings.rows).items() if q in ("target_only", "spurious_only")
        ),
        evidence_n=settings.rows,
        evidence_mi=evidence.information(settings.rows),
        label_prior=evidence.label_prior(settings.rows),
        method=config["method"],
        answers=settings.answers,
        control=config["control"],
        seed_pretrain=recipe.seed if recipe else 0,
        seed_warmup=config["seed_warmup"],
        seed_tune=config["seed_tune"],
        episodes=settings.rows,
        steps=settings.steps,
        batch_size=settings.batch_size,
        samples_per_prompt=settings.samples_per_prompt,
        learning_rate=settings.learning_rate,
        fresh_errors=sum(counts[q].errors for q in conflicts),
        fresh_n=sum(counts[q].n for q in conflicts),
        threads=torch.get_num_threads(),
        wall_s=time.perf_counter() - start,
    )
    return JobResult([_plain(asdict(record)), *bits], log, tuned)


def _use(counts: Mapping[str, AnswerCounts]) -> dict[str, Any]:
    """Counts, use and what the answers look like, as columns of a record."""
    from analysis import QuadrantCounts, use_of

    n = {q: c.n for q, c in counts.items()}
    errors = {q: c.errors for q, c in counts.items()}
    p_error = {q: c.p_error for q, c in counts.items()}
    ones, invalid = sum(c.ones for c in counts.values()), sum(c.invalid for c in counts.values())
    use = use_of(QuadrantCounts(n, errors, p_error, ones, invalid))
    total = sum(n.values())

    def mean(name: str) -> float:
        return float(sum(getattr(c, name) * c.n for c in counts.values())) / total

    return {
        **{f"n_{q}": k for q, k in n.items()},
        **{f"errors_{q}": k for q, k in errors.items()},
        **{f"p_error_{q}": p for q, p in p_error.items()},
        "invalid": invalid,
        "ones": ones,
        "n_answers": total,
        "U": use.U,
        "D": use.D,
        "B": use.B,
        "label": use.label,
        "U_probability": use.U_probability,
        "reward_both_neither": (counts["both"].reward + counts["neither"].reward) / 2,
        "kl_forward": mean("kl_forward"),
        "kl_reverse": mean("kl_reverse"),
        "entropy": mean("entropy"),
    }


def _counterexamples(
    rows: Mapping[str, Any], task: Task, tuned: LanguageModel, policy: Policy
) -> dict[str, int]:
    """How many counter-examples were shown, how many of them differ, and errors on those asked again."""
    from rl_finetune import count_answers

    shown = [i for i, (t, s) in enumerate(zip(rows["target"], rows["spurious"], strict=True)) if t != s]
    distinct = {rows["prompt"][i]: rows["label"][i] for i in shown}
    out = {"distinct_counterexamples": len(distinct), "exposures": len(shown)}
    if distinct:
        asked = dict(list(distinct.items())[:_SEEN])
        seen = count_answers(tuned, policy, task, {"prompt": list(asked), "label": list(asked.values())})
        out |= {"seen_errors": seen.errors, "seen_n": seen.n}
    return out


def _reliance(config: Config, task: Task, tuned: LanguageModel, policy: Policy, n: int) -> dict[str, Any]:
    """Signed change of the answer when one feature alone is flipped, less that under placebo edits."""
    from analysis import reliance
    from rl_finetune import answers_to

    if not n:
        return {}
    edits = task.counterfactuals(n, np.random.default_rng([config["seed_data"], 4])).to_dict()
    said = {
        column: np.array(
            [math.nan if a < 0 else a for a in answers_to(tuned, policy, task, edits[column])[0]]
        )
        for column in ("prompt", "edited", "placebo")
    }
    out: dict[str, Any] = {}
    for feature, held in (("target", "spurious"), ("spurious", "target")):
        rows = np.array([f == feature for f in edits["flips"]])
        if rows.any():
            value = np.array(edits[feature])[rows]
            result = reliance(
                *(said[c][rows] for c in ("prompt", "edited", "placebo")),
                1 - 2 * value,
                np.array(edits[held])[rows],
            )
            out |= {f"reliance_{feature}": result.value, "reliance_n": result.n}
    return out


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON values; what is no number is None."""
    out = {}
    for name, value in row.items():
        value = value.item() if isinstance(value, np.generic) else value
        out[name] = None if isinstance(value, float) and not math.isfinite(value) else value
    return out
