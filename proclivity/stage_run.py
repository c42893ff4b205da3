"""A stage on a text-out task: an SFT model, a reward model, or a policy tuned from the one on the other.

Every stage has a record, tables beside it (analysis/stage_schema.py), and the model that it trained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.job import KEPT, Config, JobResult, device_of, identity, load_model, plain_row
from proclivity.stage_data import pairs_of, rows_of, said_by
from proclivity.stage_measures import (
    Answering,
    Asked,
    Table,
    choices_of,
    diversity_of,
    inputs_of,
    measures_of,
    outputs_of,
    point,
    share,
)
from proclivity.stage_study import SFT, Measuring
from rl_finetune.settings import Settings, settings_from
from tasks.generation.generation import IN, Generation
from tasks.problems import text_out

if TYPE_CHECKING:
    from models import LanguageModel

HELD_OUT_PAIRS = 200
"""Pairs of each distribution that a reward model is judged by."""
NORMALISED_ON = 256
"""Prompts on whose completions by the SFT model rewards have mean 0 and standard deviation 1."""


def run_stage(config: Config) -> JobResult:
    import torch

    start = time.perf_counter()
    problem = text_out(config["task"])
    settings = settings_from(dict(config["settings"]))
    do = {"sft": _sft, "reward": _reward, "policy": _policy}[config["stage"]]
    found = do(config, problem, settings)
    record = {
        **identity(config, found.started_from, found.prompts),
        "target": "target rule",
        "spurious": "spurious rule",
        **{
            name: config[name] for name in ("arm", "stage", "policy", "method", "seed_tune") if name in config
        },
        **{name: _key_of(config, name) for name in KEPT},
        "learning_rate": settings.learning_rate,
        "batch_size": settings.batch_size,
        "samples_per_prompt": settings.samples_per_prompt,
        "evidence_rate": config["evidence_rate"],
        "evidence_k": found.conflicts,
        "evidence_n": len(found.prompts),
        "threads": torch.get_num_threads(),
        "wall_s": time.perf_counter() - start,
        **found.columns,
    }
    return JobResult(
        [_record(record)],
        policy=found.trained,
        tables={name: [plain_row(row) for row in rows] for name, rows in found.tables.items()},
        keep=config.get("keep", "final") == "final",
    )


@dataclass(frozen=True)
class _Found:
    """What a stage came to."""

    started_from: LanguageModel
    trained: LanguageModel | None
    prompts: Sequence[str]
    """Those that it learnt from."""
    conflicts: int
    columns: dict[str, Any]
    tables: dict[str, Table]


def _sft(config: Config, problem: Generation, settings: Settings) -> _Found:
    from rl_finetune import finetune, get_method

    lm, told = load_model(config["model"], config["init"]), Measuring(**config["measured"])
    rows = rows_of(
        problem, settings.rows, config["seed_data"], "demonstrations", evidence=config["evidence_rate"]
    )
    measures: Table = []

    def observe(step: int, now: LanguageModel) -> None:
        if step in _points(settings.steps, told.points):
            asked = Asked(problem, now, None, None, config["seed_data"], _sampling(config))
            found = point(Answering(now), asked, told, step)
            measures.extend(row for row in found if row["measure"] != "kl")  # it is far from no SFT model

    observe(0, lm)
    outcome = finetune(
        lm,
        problem,
        {"prompt": [row.prompt for row in rows], "completion": [row.completion for row in rows]},
        get_method("sft"),
        settings,
        seed=config["seed_tune"],
        observe=observe,
    )
    columns = {"samples_from": "demonstrations", "steps": settings.steps, "completions": settings.rows}
    columns |= {"step_s": outcome.step_s, "kl_place": "none"}
    return _Found(
        lm,
        outcome.lm,
        [row.prompt for row in rows],
        sum(row.conflict for row in rows),
        columns,
        {"measures": measures},
    )


def _reward(config: Config, problem: Generation, settings: Settings) -> _Found:
    from models.reward_model import learned_rewards
    from rl_finetune import normalise, policy_of, train_reward_model

    lm, seed, rate = _model(config, "sft"), config["seed_data"], config["evidence_rate"]
    say = _say(config, lm, problem)
    pairs = pairs_of(problem, settings.rows, seed, say=say, half=config["half"], evidence=rate)
    trained = train_reward_model(lm, None, pairs, settings)
    normal = [
        row.prompt
        for row in rows_of(problem, NORMALISED_ON, seed, "normal", split="validation", evidence=rate)
    ]
    normalise(trained.lm, lm, policy_of(lm, problem, "free"), normal, seed)
    measures: Table = []
    told = Measuring(**config["measured"])
    for shift in (IN, *_shifts(problem, told)):
        if not problem.has_preferences(shift, "test"):
            continue
        held = pairs_of(
            problem,
            HELD_OUT_PAIRS,
            seed,
            say=say,
            split="test",
            evidence=told.conflicts,
            shift=shift,
            what="judged",
            all_of_them=False,  # off distribution a model can be too bad, or too good, for unequal pairs
        )
        better, worse = (
            learned_rewards(trained.lm, held["prompt"], held[side]) if held["prompt"] else []
            for side in ("chosen", "rejected")
        )
        right = [a > b for a, b in zip(better, worse, strict=True)]
        measures.append(share("accuracy", right, settings.steps, shift))
        if not problem.has_gold:
            continue
        rows = rows_of(problem, HELD_OUT_PAIRS, seed, "judged", split="test", evidence=1.0, shift=shift)
        prompts = [row.prompt for row in rows]
        target = learned_rewards(trained.lm, prompts, [row.completion for row in rows])
        spurious = learned_rewards(trained.lm, prompts, [row.spurious for row in rows])
        preferred = [b > a for a, b in zip(target, spurious, strict=True)]
        measures.append(share("spurious preference", preferred, settings.steps, shift))
    columns = {"samples_from": "reference", "steps": settings.steps, "completions": 2 * settings.rows}
    columns |= {"step_s": trained.step_s, "kl_place": "none"}
    conflicts = sum(pairs["conflict"])
    return _Found(lm, trained.lm, pairs["prompt"], conflicts, columns, {"measures": measures})


def _policy(config: Config, problem: Generation, settings: Settings) -> _Found:
    from models import load_reward_model
    from rl_finetune import finetune, get_method
    from rl_finetune.learned_reward import judge_of

    reference, seed, rate = _model(config, "sft"), config["seed_data"], config["evidence_rate"]
    device = device_of(config["model"])
    judges = {
        name: judge_of(load_reward_model(config[name], device), reference, share_prompts=True)
        for name in ("reward_model", "held_out_reward")
    }
    told = Measuring(**config["measured"])
    asked = Asked(
        problem, reference, judges["reward_model"], judges["held_out_reward"], seed, _sampling(config)
    )
    measures: Table = []
    method = get_method(config["method"])
    tunes = method.trains and config["policy"] != SFT
    used = method.set(settings)
    rows: dict[str, list[Any]] = {"prompt": []}
    conflicts, steps, columns = 0, 0, dict[str, Any]()
    answering = Answering(reference, settings.samples_per_prompt if not method.trains else 1)
    if tunes:
        steps = settings.steps * used.reuse

        def observe(step: int, now: LanguageModel) -> None:
            if step in _points(settings.steps, told.points) and step < settings.steps:
                measures.extend(point(Answering(now), asked, told, step * used.reuse))

        observe(0, reference)
        if used.samples == "pairs":
            say = _say(config, reference, problem)
            rows = pairs_of(problem, settings.rows, seed, say=say, half=1, evidence=rate)
            conflicts = sum(rows["conflict"])
        else:
            drawn = rows_of(problem, settings.rows, seed, "prompts", evidence=rate)
            rows = {"prompt": [row.prompt for row in drawn]}
            conflicts = sum(row.conflict for row in drawn)
        outcome = finetune(
            reference,
            replace(problem, rewards=asked.learned),  # type: ignore[arg-type]
            rows,
            method,
            settings,
            seed=config["seed_tune"],
            control=config["control"],
            observe=observe,
        )
        answering = Answering(outcome.lm)
        columns |= {"beta": outcome.beta, "step_s": outcome.step_s}
    tables: dict[str, Table] = {"measures": measures, "outputs": [], "choices": []}
    for shift in (IN, *_shifts(problem, told)):
        inputs = inputs_of(asked, told, shift)
        outputs, writing = outputs_of(answering, asked, inputs, told.samples, shift)
        tables["outputs"] += outputs
        measures += measures_of(outputs, writing, answering, steps, shift, seed)
        measures += diversity_of(answering, asked, inputs, writing, steps, shift)
        if answering.best_of == 1 and problem.has_gold:
            tables["choices"] += choices_of(answering.lm, problem, inputs, shift)
    each = {"pairs": 2}.get(used.samples, settings.samples_per_prompt)
    columns |= {
        "samples_from": used.samples if tunes else "reference",
        "kl_place": str(used.kl) if tunes else "none",
        "reuse": used.reuse if tunes else 1,
        "steps": steps,
        "completions": settings.rows * each if tunes else 0,
    }
    return _Found(reference, answering.lm if tunes else None, rows["prompt"], conflicts, columns, tables)


def _model(config: Config, name: str) -> LanguageModel:
    """A model that an earlier stage kept."""
    from models import load

    return load(config[name], device=device_of(config["model"]))


def _say(config: Config, lm: LanguageModel, problem: Generation) -> Any:
    """What preference pairs are of: the SFT model's completions, or None for the task's own."""
    made = config["made"]
    return said_by(lm, problem, made["samples"], config["seed_data"]) if made["pairs"] == "sampled" else None


def _sampling(config: Config) -> int:
    """The seed of what is sampled to measure a stage: another one for every tuning."""
    return 1000 * int(config["seed_data"]) + int(config["seed_tune"])


def _shifts(problem: Generation, told: Measuring) -> tuple[str, ...]:
    return tuple(shift.name for shift in problem.shifts if not told.shifts or shift.name in told.shifts)


def _points(steps: int, points: int) -> set[int]:
    """Batches after which a stage is measured, before the first among them."""
    return {0, *(round(steps * (i + 1) / points) for i in range(points))}


def _key_of(config: Config, name: str) -> str:
    """The key of the job that kept a model, in whose folder it is."""
    return Path(config[name]).parent.name if name in config else ""


def _record(values: dict[str, Any]) -> dict[str, Any]:
    from analysis.stage_schema import StageRecord

    return plain_row(asdict(StageRecord(**values)))
