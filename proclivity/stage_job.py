"""A job of a stage on a text-out task: is it sound, what its record stands on, how long, what is kept."""

from __future__ import annotations

from pathlib import Path

from proclivity.job import POLICY, REWARD_MODEL, Config, JobResult, hash_of
from proclivity.stage_study import SFT, Measuring
from rl_finetune.settings import settings_from
from tasks.errors import UserError
from tasks.problems import problem_sources, text_out

REVISION = 1
"""Raised by hand when a change of the code changes what stages are trained on, or what is measured."""
RATE = 1.2e-3
"""Seconds that the model passes of one completion take, roughly, on one thread."""


def check(config: Config) -> None:
    """Refuse a stage that is known to fail."""
    from rl_finetune import check as check_tuning
    from rl_finetune import get_method

    settings = settings_from(dict(config["settings"]))
    problem = text_out(config["task"])
    if config["evidence_rate"] and not int(settings.rows * config["evidence_rate"] + 1e-9):
        raise UserError(
            f"evidence {config['evidence_rate']:g} of {settings.rows} prompts of {config['policy']} is no "
            "counter-example at all"
        )
    if not problem.has_gold:
        if config["evidence_rate"] or config["measured"]["conflicts"]:
            raise UserError(
                f"{config['task']} has no spurious rule: evidence and measured.conflicts must be 0"
            )
        if config.get("made", {}).get("pairs") == "sampled":
            raise UserError(f"{config['task']} has no gold reward to order completions by; use pairs: task")
    if config["stage"] == "reward":
        return
    method = get_method(config["method"])
    if settings.backend != "native" or settings.prior != "reference" or settings.answers != "free":
        raise UserError(
            f"{config['task']}: text-out tasks take answers=free, backend=native, prior=reference"
        )
    if method.trains:
        check_tuning(method, settings, config["control"])
    if config["stage"] == "policy" and config["policy"] != SFT and method.samples == "demonstrations":
        raise UserError(
            f"{config['task']}: {method.name} learns from no pairs or rewards; that is what sft is"
        )


def fingerprint(config: Config) -> dict[str, str]:
    """Hashes of what the config only names, but for the weights and the method."""
    from rl_finetune.reward_training import REVISION as TRAINING

    source = hash_of(*(path.read_bytes() for path in problem_sources(config["task"])))
    training = {"training": str(TRAINING)} if config["stage"] == "reward" else {}
    return {"task": source, "stages": str(REVISION), **training}


def estimate(config: Config) -> float:
    """Seconds on one thread, roughly."""
    settings, told = settings_from(dict(config["settings"])), Measuring(**config["measured"])
    if config["stage"] == "sft":
        return float(RATE * settings.rows + 5)
    if config["stage"] == "reward":
        return float(2 * RATE * settings.rows * config["made"]["samples"])
    shifts = 1 + (len(told.shifts) or 6)
    n = settings.samples_per_prompt if config["method"] == "best-of-n" else 1
    measured = shifts * told.inputs * told.samples * n
    trained = 0 if config["policy"] == SFT or n > 1 else 2 * settings.rows * settings.samples_per_prompt
    return RATE * (measured + trained) + 6


def run(config: Config) -> JobResult:
    from proclivity.stage_run import run_stage

    return run_stage(config)


def save(result: JobResult, folder: Path) -> None:
    """Write a stage's tables, and the model that it trained where that is kept."""
    import pandas as pd

    from models import save as save_model

    for name, rows in result.tables.items():
        if rows:
            pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")
    if result.policy is not None and result.keep:
        kept = folder / (REWARD_MODEL if result.records[0]["stage"] == "reward" else POLICY)
        kept.mkdir()
        save_model(result.policy.model, result.policy.tokenizer, kept)
