"""Probing a policy while it is tuned: an observer of the tuning loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proclivity.job import Config, plain_row
from proclivity.probe_job import probed
from tasks import Task

if TYPE_CHECKING:
    from models import LanguageModel

Observer = Callable[[int, "LanguageModel"], None]


def probing_observer(
    config: Config,
    task: Task,
    last: int,
    use_of: Callable[[LanguageModel], Mapping[str, Any]],
    records: list[dict[str, Any]],
) -> Observer:
    """An observer that probes the policy after steps 0, K, 2K, ... and the last, K being `probe_every`.

    It adds a record a feature to `records`, with what `use_of` says of the policy (U, B). It draws from no
    random state but its own, so that tuning is what it would be without.
    """
    asked = {**config, **config["reference_probe"]}

    def observe(step: int, lm: LanguageModel) -> None:
        if step % config["probe_every"] and step != last:
            return
        from models.language_model import weights_hash

        now = replace(lm, weights_hash=weights_hash(lm.model))
        use = use_of(now)
        told = plain_row({"step": step, "U": use["U"], "B": use["B"]})
        records.extend(record | told for record in probed(asked, task, now))

    return observe
