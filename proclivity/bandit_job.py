"""A bandit job: choose a learning rate on development seeds, then tune the study's seeds side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from proclivity.job import Config, JobResult, plain_row
from rl_finetune.bandit_settings import bandit_settings_from

REPLICA_STEP_S = {"arms": 0.0006, "sequence": 0.0012}
"""Seconds that a gradient step of one replica takes on one thread, sampling included."""


def run(config: Config) -> JobResult:
    import torch

    from analysis.bandit_schema import BanditPoint, BanditRecord
    from proclivity.manifest import versions
    from rl_finetune.bandit_methods import set_method
    from rl_finetune.bandit_problems import problem_of
    from rl_finetune.bandits import choose_rate, fitted, tune

    began, start = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    settings = bandit_settings_from(config["settings"])
    problem = problem_of(config["task"], settings.compat)
    method = set_method(config["method"], settings)
    rate, trials = choose_rate(problem, method, settings, rates=config["rates"], seeds=config["development"])
    outcome = tune(problem, method, settings, rate=rate, seeds=config["seeds"])
    _, fit = fitted(problem.kind, tuple(config["seeds"]), settings.fit_steps)
    last = [point for point in outcome.points if point["step"] == settings.steps]
    wall = time.perf_counter() - start
    records = [
        BanditRecord(
            **point,
            arm=config["arm"],
            problem=problem.name,
            compat=problem.compat,
            method=method.name,
            negative_gradient=int(method.negative_gradient),
            samples_from=method.samples,
            beta=method.beta,
            kl=str(method.kl),
            learning_rate=rate,
            rates=" ".join(f"{tried:g}" for tried in config["rates"]),
            development=" ".join(f"{reward:.4g}" for reward in trials),
            development_seeds=len(config["development"]) if trials else 0,
            steps=settings.steps,
            batch_size=settings.batch_size,
            samples_per_prompt=settings.samples_per_prompt,
            batches=settings.batches,
            reuse=settings.reuse,
            contexts=settings.contexts,
            fit_steps=settings.fit_steps,
            fit_kl=fit[i],
            step_s=outcome.step_s,
            threads=torch.get_num_threads(),
            wall_s=wall,
            versions=versions(),
            started=began,
        )
        for i, point in enumerate(last)
    ]
    points = [plain_row(asdict(BanditPoint(**point))) for point in outcome.points]
    return JobResult([plain_row(asdict(record)) for record in records], points)


def check(config: Config) -> None:
    """Refuse a method that no bandit is tuned by."""
    from rl_finetune.bandit_methods import set_method

    set_method(config["method"], bandit_settings_from(config["settings"]))


def fingerprint(method: str, source_of: Callable[[str], dict[str, str]]) -> dict[str, str]:
    """Hashes of what a config only names; `source_of` hashes the file of a method of one's own."""
    from rl_finetune.bandit_methods import ABLATED, bandit_method
    from rl_finetune.bandits import REVISION

    own = {} if method in ABLATED else source_of(method)
    return {"bandits": str(REVISION), "revision": str(bandit_method(method).revision), **own}


def estimate(config: Config) -> float:
    """Seconds on one thread, roughly."""
    trials = len(config["rates"]) * len(config["development"]) if len(config["rates"]) > 1 else 0
    replicas = len(config["seeds"]) + trials
    return float(config["settings"]["steps"] * replicas * REPLICA_STEP_S[config["task"].partition("/")[0]])
