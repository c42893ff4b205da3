"""A run on a text problem: tune the reference against a reward model, and measure what it writes."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from proclivity.job import Config, JobResult, hash_of, identity, plain_row
from proclivity.text_data import REVISION, Shared, shared
from proclivity.text_study import Data
from rl_finetune.settings import Settings, settings_from
from tasks.errors import UserError
from tasks.problems import problem_sources

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune.text_measure import Written

RATE = 2.3e-3
"""Seconds a completion, roughly: sampled, scored and learnt from."""


def check(config: Config) -> None:
    """Refuse a run that is known to fail."""
    from rl_finetune import check as check_tuning
    from rl_finetune import get_method

    method, settings = get_method(config["method"]), settings_from(dict(config["settings"]))
    check_tuning(method, settings, config["control"])
    if not method.trains or method.samples == "demonstrations":
        raise UserError(f"{config['task']}: {method.name} does not learn from pairs or rewards")
    if settings.backend != "native" or settings.prior != "reference":
        raise UserError(f"{config['task']}: text problems take backend=native and prior=reference alone")
    if settings.answers != "free":
        raise UserError(f"{config['task']}: its answers are texts; use answers=free")
    if settings.rows % config["data"]["pairs_batch"]:
        raise UserError(
            f"{settings.rows} pairs, as many as prompts, are no multiple of pairs_batch "
            f"{config['data']['pairs_batch']}"
        )


def fingerprint(config: Config) -> dict[str, str]:
    """Hashes of what the config only names, but for the weights and the method."""
    from rl_finetune import get_method
    from rl_finetune.reward_training import REVISION as TRAINING

    source = hash_of(*(path.read_bytes() for path in problem_sources(config["task"])))
    sft = str(get_method("sft").revision)  # what makes the reference
    return {"task": source, "data": str(REVISION), "sft": sft, "training": str(TRAINING)}


def estimate(config: Config) -> float:
    """Seconds on one thread, roughly, with a share in the data that several runs use."""
    settings = settings_from(dict(config["settings"]))
    measured = settings.log_points * settings.log_n + settings.eval_n
    return 3.0 + RATE * (settings.rows * settings.samples_per_prompt + measured)


def run(config: Config) -> JobResult:
    import torch

    from rl_finetune import finetune, get_method
    from rl_finetune.learned_reward import judge_of
    from rl_finetune.text_measure import preferred, written_by

    start = time.perf_counter()
    settings, seed = settings_from(dict(config["settings"])), config["seed_data"]
    data = Data(**config["data"])
    found = shared(config["model"], config["task"], data, settings.rows, seed)
    reference, judge = found.reference, judge_of(found.reward_model, found.reference)
    method = get_method(config["method"])
    prompts = list(found.problem.prompts(settings.eval_n, np.random.default_rng([seed, 6]), "test")["prompt"])
    used = method.set(settings)
    points: list[dict[str, Any]] = []

    def observe(step: int, now: LanguageModel) -> None:
        if step and step not in settings.log_steps | {settings.steps}:
            return
        asked = prompts if step in (0, settings.steps) else prompts[: settings.log_n]
        written = written_by(now, found.problem, asked, judge, reference.model, seed)
        chosen, rejected = preferred(now, found.problem, found.held_out)
        points.append(
            {"step": step * used.reuse, "completions": step * settings.batch_size * _each(settings, used)}
            | {"log_prob_chosen": chosen, "log_prob_rejected": rejected}
            | _columns(written)
        )

    observe(0, reference)
    outcome = finetune(
        reference,
        replace(found.problem, rewards=judge, of_data=None),
        found.pairs,
        method,
        settings,
        seed=config["seed_tune"],
        control=config["control"],
        observe=observe,
    )
    common = {
        **identity(config, reference, found.pairs["prompt"]),
        **_of_data(found),
        "method": config["method"],
        "samples_from": used.samples,
        "beta": used.beta,
        "kl_place": str(used.kl),
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "samples_per_prompt": _each(settings, used),
        "reuse": used.reuse,
        "seed_tune": config["seed_tune"],
        "steps": settings.steps * used.reuse,
        "step_s": outcome.step_s,
        "threads": torch.get_num_threads(),
        "wall_s": time.perf_counter() - start,
    }
    return JobResult([_record({**common, **point}) for point in points], policy=outcome.lm)


def _record(values: dict[str, Any]) -> dict[str, Any]:
    from analysis.text_schema import TextRecord

    return plain_row(asdict(TextRecord(**values)))


def _each(settings: Settings, method: Any) -> int:
    """Completions for each prompt."""
    given = {"pairs": 2, "demonstrations": 1}
    return given.get(method.samples, settings.samples_per_prompt)


def _columns(written: Written) -> dict[str, Any]:
    """What was written, as columns of a record."""
    lengths = np.repeat(list(written.lengths), list(written.lengths.values()))
    low, middle, high = np.quantile(lengths, [0.05, 0.5, 0.95])
    half = 1.96 / written.n**0.5
    return {
        "n": written.n,
        "reward": written.reward,
        "reward_low": written.reward - half * written.reward_sd,
        "reward_high": written.reward + half * written.reward_sd,
        "reward_learned": written.reward_learned,
        "length": written.length,
        "length_low": written.length - half * written.length_sd,
        "length_high": written.length + half * written.length_sd,
        "length_q05": float(low),
        "length_q50": float(middle),
        "length_q95": float(high),
        "lengths": json.dumps(written.lengths),
        "ended": written.ended,
        "tokens": written.tokens,
        "kl_reverse": written.kl,
        "entropy": written.entropy,
    }


def _of_data(found: Shared) -> dict[str, Any]:
    """What a run's data are, as columns of a record."""
    from models.language_model import weights_hash

    texts = found.pairs["chosen"] + found.pairs["rejected"]
    lengths = [len(text.split()) for text in texts]
    return {
        "pairs": len(found.pairs["prompt"]),
        "pairs_length": float(np.mean(lengths)),
        "pairs_shortest": float(np.quantile(lengths, 0.05)),
        "reference_mode": found.mode,
        "reward_model": weights_hash(found.reward_model.model),
        "agreed": found.agreed,
        "agreed_n": len(found.held_out["prompt"]),
    }
