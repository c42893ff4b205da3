"""What a run has to do with its policy: tune it in our loop or on TRL's trainers, or answer best of n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.job import Config, plain_row
from proclivity.launch import launch
from proclivity.measured import reached_columns
from rl_finetune.settings import Settings
from tasks import Task

if TYPE_CHECKING:
    from models import LanguageModel
    from rl_finetune import BestOf, Method, Observer, Policy, Tuned

Log = list[dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """A policy that is ready to be measured."""

    lm: LanguageModel
    answering: Policy | BestOf
    log: Log | None
    steps: int
    """Batches that it was tuned on: 0 where nothing is tuned."""
    columns: dict[str, Any]


def reference_of(config: Config, lm: LanguageModel, task: Task, settings: Settings) -> LanguageModel:
    """The model that tuning starts from: as it is, or after the format warm-up of free answers."""
    from rl_finetune import kept_reference, warm_up

    if settings.answers != "free" or config["job"] == "use":
        return lm
    by_trl = settings.backend == "trl" and config["job"] == "run"
    kept = kept_reference(lm, _scratch(config)) if by_trl else None
    return kept or warm_up(lm, task, settings, config["seed_warmup"])


def make(
    config: Config,
    task: Task,
    rows: Mapping[str, Any],
    lm: LanguageModel,
    reference: LanguageModel,
    policy: Policy,
    settings: Settings,
    log_rows: Mapping[str, Mapping[str, Any]],
    observe: Observer | None,
) -> Made:
    """Tune by the config's method, where it tunes anything. `lm` is the model before any format warm-up."""
    import torch

    from rl_finetune import BestOf, as_in_trl, finetune, finetune_with_trl, get_method

    method = get_method(config["method"])
    by_trl = settings.backend == "trl"
    used = as_in_trl(method, settings) if by_trl else method.set(settings)
    columns = columns_of(used, settings)
    if not method.trains:
        generator = torch.Generator(device=reference.model.device).manual_seed(config["seed_tune"])
        best = BestOf(policy, settings.samples_per_prompt, generator)
        return Made(reference, best, None, 0, columns)
    asked = {
        "seed": config["seed_tune"],
        "control": config["control"],
        "log_rows": log_rows,
        "observe": observe,
    }
    outcome: Tuned
    if by_trl:
        if settings.processes > 1:
            trained = launch(config, reference)
        else:
            told = {"report_to": config["report_to"]} if "report_to" in config else {}
            trained = finetune_with_trl(
                reference, task, rows, method, settings, **asked, scratch=_scratch(config), **told
            )
        outcome = trained
        columns |= {"resumed_from_step": trained.resumed_from_step}
    else:
        prior = lm if settings.prior == "pretrained" else None
        outcome = finetune(reference, task, rows, method, settings, **asked, prior=prior)
    return made_of(outcome, policy, settings, columns)


def columns_of(used: Method, settings: Settings) -> dict[str, Any]:
    """A method, with the settings' knobs in the place of its own, as columns of a record."""
    return {
        "beta": used.beta,
        "kl": str(used.kl),
        "samples_from": used.samples,
        "reuse": used.reuse,
        "reward_role": used.reward,
        "negative_gradient": used.negative_gradient,
        "kl_target": settings.kl_target,
    }


def made_of(outcome: Tuned, policy: Policy, settings: Settings, columns: Mapping[str, Any]) -> Made:
    """What tuning left behind, ready to be measured."""
    found = {
        **columns,
        "reward_train": outcome.reward,
        "step_s": outcome.step_s,
        "beta_last": outcome.beta,
        "stacked": outcome.stacked,
        "compile_s": outcome.compile_s if settings.compile else None,
        **reached_columns(outcome.log),
    }
    return Made(outcome.lm, policy, [plain_row(row) for row in outcome.log], settings.steps, found)


def _scratch(config: Config) -> Path | None:
    """The folder of the run's own checkpoints."""
    return Path(config["scratch"]) if "scratch" in config else None
