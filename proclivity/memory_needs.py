"""How much memory a job takes, told by its config before any model is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from proclivity.job import DTYPES, TRUST, Config
from rl_finetune.settings import Settings, settings_from
from tasks import get_task
from tasks.errors import UserError

if TYPE_CHECKING:
    from models.footprint import Footprint, Load, Shape

FREE = "free"
_TOKENS_A_WORD = 1.5
_AT_ONCE = 512
"""Rows that are answered at once (`rl_finetune.measure`)."""
_WARMED = 128
"""Rows by which a format warm-up is judged (`rl_finetune.warmup`)."""
_TRL = 4e8
"""Bytes that TRL, accelerate and PEFT take beside the model."""
_PROBED = 256
"""Rows that are read at once (`probes.extract`)."""
_MARGIN = 2
"""Tokens of an answer and its end."""


def needed(config: Config) -> Footprint | None:
    """What one process of a job takes at its peak; None of an embedded model, which is small, and of jobs on
    texts, of whose length nothing is known."""
    if config["job"] not in ("run", "reward_model", "use", "probe") or config["model"].startswith(
        "embedded/"
    ):
        return None
    from models.footprint import footprint

    size = 2 if config.get("dtype", DTYPES[0]) == "bfloat16" else 4
    return footprint(_shape(config["model"], config.get(TRUST, False)), _load(config), size)


@cache
def _shape(model: str, trust: bool) -> Shape:
    from models.footprint import shape_of
    from models.language_model import configuration

    return shape_of(configuration(model, trust_remote_code=trust), trust_remote_code=trust)


@cache
def _length(task: str) -> int:
    """Tokens of a long prompt: words differ in how many they have."""
    import numpy as np

    asked = get_task(task)
    words = 0
    for n in (64, 8, 1):
        with suppress(UserError):  # a file has as many rows as it has
            rows = asked.quadrant(asked.quadrants[0], n, np.random.default_rng(0))
            words = max(words, max(len(str(prompt).split()) for prompt in rows["prompt"]))
    return math.ceil(words * _TOKENS_A_WORD) + _MARGIN


def _load(config: Config) -> Load:
    from models.footprint import Load

    length = _length(config["task"])
    if config["job"] == "probe":
        trained = 64 if config["probe"] == "finetune" else 0
        return Load(length, rows=trained, measured=_PROBED, copies=1 if trained else 0)
    settings = settings_from(dict(config["settings"]))
    free = settings.answers == FREE
    by_trl = settings.backend == "trl"
    tuned = config["job"] != "use"
    rows, places = _batch(config, settings, length)
    # The reference before and after a format warm-up, and the policy; TRL's trainer has its own of these two.
    copies = (1 + (free and not by_trl) + (2 + _asks_reference(config, settings)) * by_trl) * tuned
    return Load(
        length,
        rows=rows * tuned,
        places=places,
        measured=max(min(_AT_ONCE, settings.eval_n), _WARMED if free and tuned else 0),
        measured_places=length if free else 1,
        copies=copies,
        lora=settings.lora,
        recomputed=settings.gradient_checkpointing,
        half=settings.bf16,
        split=settings.processes > 1,
        libraries=_TRL if by_trl and tuned else 0.0,
    )


def _batch(config: Config, settings: Settings, length: int) -> tuple[int, int]:
    """Sequences of a step in one process, and places of each at which the whole vocabulary is asked for."""
    from rl_finetune import get_method

    if config["job"] == "reward_model":
        return 2 * settings.batch_size // settings.processes, 0
    method = get_method(config["method"]) if config["job"] == "run" else None
    samples = {"demonstrations": 1, "pairs": 2}.get(
        method.samples if method else "", settings.samples_per_prompt
    )
    if settings.answers != FREE:
        return settings.batch_size, 1  # one pass scores all answers
    on_trl = settings.backend == "trl" and samples == settings.samples_per_prompt
    return settings.batch_size * samples // settings.processes, _MARGIN if on_trl else length


def _asks_reference(config: Config, settings: Settings) -> bool:
    """Whether TRL's trainer holds a reference of its own; adapters are taken off in its place."""
    from rl_finetune import as_in_trl, get_method

    if config["job"] != "run" or settings.backend != "trl" or settings.lora:
        return False
    return bool(as_in_trl(get_method(config["method"]), settings).beta)


def distinct(configs: Iterable[Config], most: int = 1) -> list[Config]:
    """Jobs that differ in what their memory depends on; of those that do not, as many as `most`."""
    keys = ("job", "model", "task", "method", "settings", "probe", "dtype")
    found: dict[str, list[Config]] = {}
    for config in configs:
        if config["job"] in ("run", "reward_model", "use", "probe"):
            same = found.setdefault(repr([config.get(k) for k in keys]), [])
            same.extend([config] * (len(same) < most))
    return [config for same in found.values() for config in same]


def told(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """A line a model: what its largest job takes in one process, in bytes, or why that cannot be told."""
    rows: dict[str, dict[str, Any]] = {}
    silent: set[str] = set()
    for config in distinct(configs):
        model = config["model"]
        source = model.partition("@")[0]
        if model.startswith("embedded/") or source in silent:  # of one that is not there no revision is
            continue
        try:
            one = needed(config)
        except UserError as e:
            silent.add(source)
            rows[model] = {"model": source, "unknown": str(e)}
            continue
        if one and one.total > rows.get(model, {}).get("bytes", 0):
            rows[model] = {"model": model, "bytes": one.total, "parts": vars(one)}
    return list(rows.values())


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.0f} GB" if size >= 1e10 else f"{size / 1e9:.1f} GB"


def lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same as text."""
    found = []
    for row in rows:
        if "unknown" in row:
            found.append(f"  {row['model']}: memory cannot be told: {row['unknown']}")
        else:
            parts = ", ".join(
                f"{name} {gigabytes(size)}" for name, size in row["parts"].items() if size >= 5e7
            )
            found.append(f"  {row['model']}: about {gigabytes(row['bytes'])} a process ({parts})")
    return found
