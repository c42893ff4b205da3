"""Tuning on TRL's own trainers: what TRL has, and the same rows, rewards, reference and log as in our loop.

Where it is not the native loop to the letter: TRL samples free answers; its warm-up of the learning rate
begins at 0; SFT's loss is a mean over tokens; GRPO's KL is in the loss and by tokens, each of which is blind
to what it does to the KL of later ones.
"""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from models.language_model import LanguageModel, weights_hash
from models.reward_model import answered_ids, reward_model_of
from rl_finetune.checks import check
from rl_finetune.measure import count_answers
from rl_finetune.methods import Method
from rl_finetune.policy import FreePolicy
from rl_finetune.reward_training import RewardPolicy, TrainedReward
from rl_finetune.settings import BACKEND, OWN, Settings
from rl_finetune.trl_run import REFERENCE, Watched, keeping, run
from rl_finetune.trl_trainers import (
    REWARD,
    TRAINERS,
    reward_function,
    rows_for,
    save_without_dropout,
    trainer_of,
)
from rl_finetune.tuning import Observer, Tuned
from tasks.errors import UserError
from tasks.task import Task

REVISION = 1
"""Raised by hand when a change of the code changes what tuning on TRL does."""


@dataclass(frozen=True)
class TunedByTrl(Tuned):
    resumed_from_step: int = 0
    """The step at which a killed run was taken up again."""


@dataclass(frozen=True)
class TrainedRewardByTrl(TrainedReward):
    resumed_from_step: int = 0


def check_trl(method: str, settings: Settings, control: str) -> None:
    """Refuse what TRL's trainers do not have, and say what they have."""
    has = ", ".join(name for name in TRAINERS if name != REWARD)
    if method == "ipo":
        raise UserError(
            "TRL's IPO takes log-ratios by tokens: give --method ipo-per-token, or --backend native"
        )
    if method not in TRAINERS:
        raise UserError(f"TRL has no trainer for {method}; --backend trl takes {has}")
    if method != REWARD and settings.answers != "free":
        raise UserError("TRL's trainers answer from the full vocabulary: --backend trl needs --answers free")
    if settings.entropy_bonus:
        raise UserError("TRL has no entropy bonus that falls to 0: --backend trl needs --entropy-bonus 0")
    row = TRAINERS[method]
    takes = dict(row.knobs)
    told = [f"{name} {' or '.join(values)}" for name, values in takes.items()]
    told = [*told, *(["beta"] if row.kl.place != "none" else [])]
    asked = {f.name: getattr(settings, f.name) for f in fields(Settings) if f.metadata.get("later")}
    usual = {f.name: f.default for f in fields(Settings)}
    if row.kl.place == "none" and settings.beta:
        asked["beta"] = settings.beta
    for name, value in asked.items():
        if name not in BACKEND and value != usual[name] and value not in takes.get(name, ()):
            raise UserError(
                f"TRL's {method} has no {name} {value}; of the settings of the KL it has "
                f"{', '.join(told) or 'none'}, or give --backend native"
            )
    if control == "random_reward" and method not in ("grpo", "rloo"):
        raise UserError(f"TRL's {method} asks for no reward, which the control random_reward gives")
    if settings.processes > 1 and method in ("kto", REWARD):
        what = "kto estimates its KL on whole batches" if method == "kto" else "a reward model has one"
        raise UserError(
            f"--backend trl: {what}, which are not split: give --processes 1, not {settings.processes}"
        )
    if settings.lora and find_spec("peft") is None:
        raise UserError("--lora needs the library peft: pip install 'proclivity[lora]'")


def as_in_trl(method: Method, settings: Settings) -> Method:
    """The method as TRL's trainer has it, for the record."""
    kl = TRAINERS[method.name].kl
    if settings.kl_estimator != OWN:
        kl = replace(kl, estimator=settings.kl_estimator)  # type: ignore[arg-type]
    return replace(method.set(settings), kl=kl)


def finetune_with_trl(
    lm: LanguageModel,
    task: Task,
    rows: Mapping[str, Any],
    method: Method,
    settings: Settings,
    *,
    seed: int,
    control: str = "",
    log_rows: Mapping[str, Mapping[str, Any]] | None = None,
    observe: Observer | None = None,
    scratch: Path | None = None,
    **options: Any,
) -> TunedByTrl:
    """Tune a copy of `lm` (the reference) as `finetune` does, on the method's trainer in TRL.

    With `scratch`, a folder of this run alone, checkpoints are kept there and a killed run is taken up again.
    `options` are further ones of the trainer's configuration.
    """
    check(method, settings, control)
    check_trl(method.name, settings, control)
    rank = _rank(settings)
    policy = FreePolicy(lm, task)
    if lm.model.config.is_encoder_decoder:
        raise UserError(f"{lm.name}: TRL's trainers take causal models; --backend native tunes others too")
    method = as_in_trl(method, settings)
    rng = np.random.default_rng([seed, 7])
    labels = np.asarray(rows["label"])
    if control == "shuffled_labels":
        labels = rng.permutation(labels)
    settings.batches(len(labels))
    prompts, asked = list(rows["prompt"])[: settings.rows], labels.tolist()[: settings.rows]
    columns = rows_for(method, settings, task, prompts, asked, rng)
    seen = Watched()

    def look(step: int, loss: float, model: Any) -> None:
        now = replace(lm, model=model)
        if step in settings.log_steps and log_rows:
            recent = seen.rewards[-20:]
            head = {"step": step, "loss": loss, "reward_train": _mean(recent)}
            for quadrant, labelled in log_rows.items():
                counts = count_answers(now, policy, task, labelled, lm.model)
                seen.log.append({**head, "quadrant": quadrant, **asdict(counts)})
        if observe:
            observe(step, now)

    with _folder(scratch) as folder:
        reference = folder / REFERENCE

        def make(callbacks: list[Any]) -> Any:
            keep_reference(lm, folder)
            return trainer_of(
                method.name,
                reference,
                folder,
                copy.deepcopy(lm.tokenizer),
                columns,
                settings,
                seed=seed,
                beta=method.beta,
                most=policy.most,
                reward=reward_function(task, policy.decode, seed, control, seen.rewards, rank),
                dtype=lm.model.dtype,
                device=lm.model.device.type,
                callbacks=callbacks,
                **{**(keeping(settings.steps) if scratch else {}), **options},
            )

        model, resumed = run(make, seen, settings.steps, look)
        tuned = replace(lm, model=_with_weights(copy.deepcopy(lm.model), model))
    tail = seen.rewards[-max(1, settings.steps // 20) :]
    return TunedByTrl(
        tuned, seen.log, _mean(tail), seen.spent / settings.steps, method.beta, resumed_from_step=resumed
    )


def train_reward_model_with_trl(
    lm: LanguageModel,
    task: Task,
    pairs: Mapping[str, Any],
    settings: Settings,
    *,
    log_rows: Mapping[str, Mapping[str, Any]] | None = None,
    scratch: Path | None = None,
    **options: Any,
) -> TrainedRewardByTrl:
    """Train a reward model as `train_reward_model` does, on TRL's trainer, which has no ties."""
    check_trl(REWARD, settings, "")
    _rank(settings)
    if any(pairs["tie"]):
        raise UserError("TRL's reward trainer has no ties: give --ties 0, or --backend native")
    trained = reward_model_of(lm)
    settings.batches(len(pairs["prompt"]), "pairs")
    sides = {
        f"{side}_ids": answered_ids(trained, pairs["prompt"], pairs[side])[: settings.rows]
        for side in ("chosen", "rejected")
    }
    seen = Watched()
    policy = RewardPolicy(trained, task)

    def look(step: int, loss: float, model: Any) -> None:
        if step in settings.log_steps and log_rows:
            for quadrant, rows in log_rows.items():
                counts = count_answers(replace(trained, model=model), policy, task, rows)
                seen.log.append({"step": step, "loss": loss, "quadrant": quadrant, **asdict(counts)})

    with _folder(scratch) as folder:
        start = folder / REFERENCE

        def make(callbacks: list[Any]) -> Any:
            if not start.is_dir():
                save_without_dropout(trained.model, trained.tokenizer, start)
            return trainer_of(
                REWARD,
                start,
                folder,
                copy.deepcopy(lm.tokenizer),
                sides,
                settings,
                dtype=lm.model.dtype,
                device=lm.model.device.type,
                callbacks=callbacks,
                **{**(keeping(settings.steps) if scratch else {}), **options},
            )

        model, resumed = run(make, seen, settings.steps, look)
        made = replace(trained, model=_with_weights(trained.model, model))
    return TrainedRewardByTrl(made, seen.log, seen.spent / settings.steps, resumed)


def kept_reference(lm: LanguageModel, scratch: Path | None) -> LanguageModel | None:
    """The warmed-up model that a killed run started from; None where there is none."""
    if scratch is None or not (scratch / REFERENCE).is_dir():
        return None
    kept = with_weights_of(lm, scratch / REFERENCE)
    return replace(kept, weights_hash=weights_hash(kept.model))


def keep_reference(lm: LanguageModel, scratch: Path) -> None:
    """Write the model that a run starts from, if it is not there yet."""
    if not (scratch / REFERENCE).is_dir():
        scratch.mkdir(parents=True, exist_ok=True)
        save_without_dropout(lm.model, lm.tokenizer, scratch / REFERENCE)


def with_weights_of(lm: LanguageModel, folder: Path) -> LanguageModel:
    """A model with the weights of a folder, and its own configuration."""
    from transformers import AutoModelForCausalLM

    read = AutoModelForCausalLM.from_pretrained(
        folder, dtype=lm.model.dtype, use_safetensors=True, trust_remote_code=False
    )
    return replace(lm, model=_with_weights(copy.deepcopy(lm.model), read))


def _with_weights(model: Any, trained: Any) -> Any:
    """A model with the weights of another, adapters merged, and with none of what TRL added to it."""
    if hasattr(trained, "merge_and_unload"):
        trained = trained.merge_and_unload()
    model.load_state_dict(trained.state_dict())
    return model.eval()


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    """The folder of a run: its own, or one that is gone afterwards."""
    if scratch is None:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)
    else:
        scratch.mkdir(parents=True, exist_ok=True)
        yield scratch


def _rank(settings: Settings) -> int:
    """Which of the processes of a run this is; as many as its settings say must have been launched."""
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if launched != settings.processes:
        raise UserError(
            f"{launched} processes were launched for a run of {settings.processes}: give --processes N, "
            "and proclivity launches them itself"
        )
    return int(os.environ.get("RANK", "0"))


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
