"""TRL's own trainers, given a model in a folder, rows and our settings through their public options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.save import save
from models.train import Optimisation
from rl_finetune.methods import KL, Method
from rl_finetune.policy import Ids
from rl_finetune.rewards import rewards_of
from rl_finetune.settings import Settings
from rl_finetune.trl_run import gathered
from tasks.errors import UserError
from tasks.task import Task

RLOO, GRPO = "rloo", "grpo"
REWARD = "bradley-terry"
"""The row of the reward model."""
Reward = Callable[..., list[float]]


_NO_KL = KL("none")


@dataclass(frozen=True)
class InTrl:
    """A method as TRL has it."""

    trainer: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of its configuration, so that its loss is our objective."""
    kl: KL = _NO_KL
    knobs: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The settings of the KL that it takes, and their values."""


_WHOLE = {"max_length": None}  # nothing is cut off
_IN_ORDER = {"train_sampling_strategy": "sequential"}
_ON_POLICY = {"shuffle_dataset": False}

TRAINERS = {
    # A mean over the tokens of a batch, where ours is one over its answers: the same up to a factor.
    "sft": InTrl("SFT", _WHOLE | _IN_ORDER),
    "dpo": InTrl("DPO", {"loss_type": "sigmoid"} | _WHOLE | _IN_ORDER, KL("log-ratios")),
    "ipo-per-token": InTrl("DPO", {"loss_type": "ipo"} | _WHOLE | _IN_ORDER, KL("log-ratios")),
    "kto": InTrl("KTO", _WHOLE | _IN_ORDER, KL("log-ratios")),
    # `luspo` by tokens is the sum along an answer; its other losses are means, which favour short answers.
    GRPO: InTrl(
        "GRPO",
        {"loss_type": "luspo", "scale_rewards": "group"} | _ON_POLICY,
        KL("loss", estimator="k2"),
        {"kl_in": ("loss",), "kl_estimator": ("k2", "k3")},
    ),
    RLOO: InTrl("RLOO", _ON_POLICY, KL("reward"), {"kl_in": ("reward",), "kl_estimator": ("k1",)}),
    REWARD: InTrl("Reward", _WHOLE | _IN_ORDER),
}


def rows_for(
    method: Method, settings: Settings, task: Task, prompts: Sequence[str], labels: Sequence[int], seed: Any
) -> dict[str, list[Any]]:
    """The columns that a method's trainer takes. Answers are drawn as the native loop draws them."""
    if method.samples == "policy":
        return {"prompt": list(prompts), "label": list(labels)}
    say = task.answers.say
    if method.samples == "demonstrations":
        return {"prompt": list(prompts), "completion": [" " + say(y, seed) for y in labels]}
    said = [(say(y, seed), say(1 - y, seed)) for y in labels]
    first, other = (
        np.array(rewards_of(task, prompts, [pair[side] for pair in said], labels)) for side in (0, 1)
    )
    if (first == other).any():
        i = int(np.argmax(first == other))
        raise UserError(
            f"{task.name}: {said[i][0]!r} and {said[i][1]!r} after {prompts[i]!r} have equal rewards, and "
            f"TRL's {method.name} has no ties"
        )
    ordered = [(a, b) if won else (b, a) for (a, b), won in zip(said, first > other, strict=True)]
    if method.name != "kto":
        chosen, rejected = ([" " + pair[side] for pair in ordered] for side in (0, 1))
        return {"prompt": list(prompts), "chosen": chosen, "rejected": rejected}
    # A batch is all of its better answers and then all of its worse ones: TRL estimates the KL on each answer
    # after the next row's prompt, which thus is another one.
    columns: dict[str, list[Any]] = {"prompt": [], "completion": [], "label": []}
    for batch in settings.batches(len(ordered)):
        for side in (0, 1):
            columns["prompt"] += [prompts[i] for i in batch]
            columns["completion"] += [" " + ordered[i][side] for i in batch]
            columns["label"] += [side == 0] * len(batch)
    return columns


def reward_function(
    task: Task, decode: Callable[[Ids], list[str]], seed: int, control: str, seen: list[float], rank: int = 0
) -> Reward:
    """The task's reward as TRL asks it, or a coin; the mean of every batch is added to `seen`.

    `rank`: which of the processes that share the batch asks.

    Answers are read as the native loop reads them: TRL's own texts leave out special tokens, so that what no
    answer may hold would go unseen.
    """

    def reward(
        prompts: list[str], completion_ids: Ids, label: list[int], trainer_state: Any, **_: Any
    ) -> list[float]:
        if control == "random_reward":
            coin = np.random.default_rng([seed, 7, trainer_state.global_step, *([rank] if rank else [])])
            found = [float(value) for value in coin.integers(2, size=len(prompts))]
        else:
            found = rewards_of(task, prompts, decode(completion_ids), label)
        seen.append(float(np.mean(gathered(float(np.mean(found))))))
        return found

    return reward


def save_without_dropout(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write a model, whole or not at all, that has no dropout: not every trainer can switch it off."""
    part = folder.with_name(f"{folder.name}.part")
    rates = {n: v for n, v in model.config.to_dict().items() if "drop" in n and isinstance(v, float)}
    rates = {name: getattr(model.config, name) for name in rates}
    try:
        for name in rates:
            setattr(model.config, name, 0.0)
        part.mkdir(parents=True, exist_ok=True)
        save(model, tokenizer, part)
    finally:
        for name, rate in rates.items():
            setattr(model.config, name, rate)
    part.rename(folder)


def trainer_of(
    name: str,
    folder: Path,
    out: Path,
    tokenizer: Any,
    rows: Mapping[str, list[Any]],
    settings: Settings,
    *,
    seed: int = 0,
    beta: float = 0.0,
    most: int = 1,
    reward: Reward | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    callbacks: Sequence[Any] = (),
    hooks: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """The trainer of a method, starting from the model in `folder`, which is its reference too.

    `most`: tokens of the longest answer. `hooks` are further arguments of the trainer, `options` further ones
    of its configuration.
    """
    import trl
    from datasets import Dataset

    row = TRAINERS[name]
    usual, end = Optimisation(settings.learning_rate), settings.steps + 1
    on_policy = name in (RLOO, GRPO)
    a_prompt = settings.samples_per_prompt if on_policy else 2 if name == "kto" else 1
    own: dict[str, Any] = dict(row.options)
    if row.kl.place != "none":
        own["beta"] = beta
    if on_policy:
        own |= {"num_generations": a_prompt, "max_completion_length": most, "temperature": 1.0}
    if name == GRPO:
        # Weighted by the importance ratio, k3 has the gradient of k2.
        own["use_bias_correction_kl"] = settings.kl_estimator != "k3"
    config = getattr(trl, f"{row.trainer}Config")(
        **{
            **own,
            "output_dir": str(out),
            "model_init_kwargs": {
                "dtype": str(dtype).removeprefix("torch."),
                "use_safetensors": True,
                "trust_remote_code": False,
            },
            "per_device_train_batch_size": settings.batch_size * a_prompt // settings.processes,
            "max_steps": settings.steps,
            "learning_rate": usual.learning_rate,
            "lr_scheduler_type": "polynomial",
            "lr_scheduler_kwargs": {"lr_end": usual.rate(end, end), "power": 1.0},
            "warmup_steps": max(1, round(usual.warmup * settings.steps)) - 1,  # it begins at a rate of 0
            "optim": "adamw_torch_fused",
            "weight_decay": usual.weight_decay,
            "max_grad_norm": usual.clip,
            "seed": seed,
            "use_cpu": device == "cpu",
            "dataloader_pin_memory": device != "cpu",
            "bf16": settings.bf16,
            "gradient_checkpointing": settings.gradient_checkpointing,
            "logging_steps": 1,
            "logging_nan_inf_filter": False,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            **options,
        }
    )
    if config.n_gpu > 1:
        raise UserError(
            f"TRL would split a batch over {config.n_gpu} GPUs; let it see one: CUDA_VISIBLE_DEVICES=0"
        )
    more: dict[str, Any] = dict(hooks or {})
    if on_policy:
        more["reward_funcs"] = reward
    if settings.lora:
        from peft import LoraConfig

        more["peft_config"] = LoraConfig(r=settings.lora, lora_alpha=2 * settings.lora, task_type="CAUSAL_LM")
    made = getattr(trl, f"{row.trainer}Trainer")(
        model=str(folder),
        args=config,
        train_dataset=Dataset.from_dict(dict(rows)),
        processing_class=tokenizer,
        callbacks=list(callbacks),
        **more,
    )
    from transformers import PrinterCallback

    if on_policy:
        for model in filter(None, (made.model, made.ref_model)):
            _count_positions(model)
    made.remove_callback(PrinterCallback)  # it prints every step to standard output
    return made


def _count_positions(model: Any) -> None:
    """Let a model count positions from the first token of a prompt on.

    TRL pads prompts on the left and says nothing of positions, and GPT-2 then counts the padding too: a short
    prompt would be scored at other positions than it was answered at.
    """
    body = model.get_base_model() if hasattr(model, "get_base_model") else model  # within adapters
    if "position_ids" not in inspect.signature(body.forward).parameters:
        return

    def count(model: Any, inputs: Any, options: dict[str, Any]) -> Any:
        mask = options.get("attention_mask")
        if mask is not None and options.get("position_ids") is None:
            options["position_ids"] = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return inputs, options

    model.register_forward_pre_hook(count, with_kwargs=True)
