"""Real jobs at the smallest size: killed, with a reward that raises, with weights that are no numbers, and
with the cache of pre-trained models taken away."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any

from benchmarks.soak.campaign import CHEAP, Campaign
from benchmarks.soak.field import ENDS_S, Field, contents

MODEL = "embedded/symbols:steps=30,width=16"
PAIRS = ["symbolic/contains-1-vs-first-class", "symbolic/last-class-vs-contains-2"]
REAL: dict[str, Any] = CHEAP | {
    "name": "soak-real",
    "models": [MODEL],
    "pairs": {"list": PAIRS},
    "probe": {"n": 80, "shuffles": 1, "inputs": ["model"]},
    "settings": {
        "steps": 6,
        "batch_size": 16,
        "eval_n": 30,
        "log_n": 8,
        "log_points": 2,
        "counterfactual_n": 8,
    },
    "arms": {"main": {"methods": ["rloo", "sft"], "evidence": {"rates": [0, 0.25]}}},
}
FRAGILE = """
import os
import random
from dataclasses import dataclass, replace

from tasks import get_task, task
from tasks.answers import LabelAnswers


@dataclass(frozen=True)
class Fragile(LabelAnswers):
    def score(self, completion: str, label: int) -> float:
        if random.random() < float(os.environ.get("SOAK_BREAK", "0")):
            raise ValueError("the reward broke")
        return super().score(completion, label)


@task("mine/fragile")
def fragile():
    return replace(get_task("symbolic/contains-1-vs-first-class"), name="mine/fragile", answers=Fragile())
"""
"""A private task whose reward raises now and then."""


def _field(
    campaign: Campaign, name: str = "real", value: Mapping[str, Any] = REAL, include: str = ""
) -> Field:
    """A study of real jobs, with a cache of its own."""
    cache = campaign.folder / "cache"
    return campaign.field(campaign.study(name, value), jobs="real", cache=cache, include=include)


def _undisturbed(campaign: Campaign, found: Field, include: str = "") -> Mapping[str, Any]:
    cache = campaign.folder / "cache"
    return campaign.undisturbed(found.study, jobs="real", cache=cache, include=include)


def killed(campaign: Campaign) -> None:
    """kill -9 of the runner and all of its workers, as by a power cut, in a study of real jobs."""
    found = _field(campaign)
    undisturbed = _undisturbed(campaign, found)
    for _ in range(3):
        command = found.run()
        before = len(contents(found.folder))
        limit = time.monotonic() + campaign.rng.uniform(2, 20)
        while command.running() and time.monotonic() < limit and len(contents(found.folder)) < before + 3:
            time.sleep(0.1)
        command.kill(everyone=True)
        wrong = found.look() + [f"left running: {told}" for told in command.orphans(ENDS_S)]
        campaign.told("kill -9 of all processes, real jobs", "gone on with", wrong)
    wrong = found.finish(undisturbed)
    campaign.told("kill -9 of all processes, real jobs: to the end", "all jobs done", wrong)
    campaign.close(found, wrong)


def reward(campaign: Campaign) -> None:
    """A reward of a private task that raises at random."""
    include = campaign.folder / "fragile.py"
    include.write_text(FRAGILE)
    value = REAL | {"name": "soak-reward", "pairs": {"list": ["mine/fragile"]}}
    found = _field(campaign, "reward", value, str(include))
    undisturbed = _undisturbed(campaign, found, str(include))
    for chance in ("0.002", "1"):
        command = found.run(SOAK_BREAK=chance)
        command.wait()
        failed = command.process.returncode == 1
        words = (
            r"jobs failed: .*its reward function raised ValueError: the reward broke \(fragile.py line \d+\)"
        )
        wrong = found.ended(command, int(failed), words if failed else "")
        campaign.told(
            "reward that raises", "runs failed, the others done" if failed else "no run met it", wrong
        )
    wrong = found.finish(undisturbed)
    campaign.told("reward that raises: to the end", "failed jobs done once it does not", wrong)
    campaign.close(found, wrong)


def weights(campaign: Campaign) -> None:
    """A model whose weights are no numbers."""
    from safetensors.numpy import load_file, save_file

    cached = _field(campaign)
    _undisturbed(campaign, cached)
    (source,) = (path.parent for path in (campaign.folder / "cache").rglob("model.safetensors"))
    for name in ("one weight", "all weights"):
        model = cached.base / name.replace(" ", "-")
        shutil.copytree(source, model)
        told = load_file(model / "model.safetensors")
        for weight in told.values():
            weight.flat[0 if name == "one weight" else slice(None)] = float("nan")
        save_file(told, model / "model.safetensors", metadata={"format": "pt"})
        value = REAL | {"name": "soak-nan", "models": [str(model)]}
        found = _field(campaign, f"nan-{name.replace(' ', '-')}", value)
        wrong = found.ended(found.run(), 1, r"jobs failed: .*NaN")
        done = len(contents(found.folder))
        wrong += [f"{done} jobs have a record on weights that are NaN"] * bool(done)
        campaign.told("NaN weights", f"{name}: every job failed, named so", wrong)
        campaign.close(found, wrong)
    campaign.close(cached, [])


def cache(campaign: Campaign) -> None:
    """The cache of pre-trained models is deleted while a study reads it."""
    undisturbed = _undisturbed(campaign, _field(campaign))
    for _ in range(2):
        found = _field(campaign)
        own = found.base / "cache"
        found.environment["PROCLIVITY_CACHE"] = str(own)
        command = found.run()
        limit = time.monotonic() + 60
        while command.running() and not list(own.rglob("recipe.json")) and time.monotonic() < limit:
            time.sleep(0.02)
        time.sleep(campaign.rng.uniform(0, 5))
        shutil.rmtree(own, ignore_errors=True)
        command.wait()
        status = command.process.returncode
        wrong = found.ended(command, status if status in (0, 1) else 0)
        what = "the study went on" if status == 0 else "jobs failed and were done again"
        wrong += found.finish(undisturbed)
        campaign.told("cache deleted while in use", what, wrong)
        campaign.close(found, wrong)
