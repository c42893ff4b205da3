"""Of records of one config, made by sources of several versions, those of the newest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def superseded(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Keys of finished records of which another with the same config was started later.

    A key is of a config and of the sources, data and weights that it was done with: folders that are brought
    together, or a place that several versions wrote to, may hold one config under several keys.
    """
    started: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["status"] == "ok" and row["config_hash"]:
            keys = started.setdefault(row["config_hash"], {})
            keys[row["key"]] = max(row["started"], keys.get(row["key"], ""))
    newest = {max((when, key) for key, when in keys.items())[1] for keys in started.values()}
    return {key for keys in started.values() for key in keys} - newest


def left_out(keys: set[str]) -> list[str]:
    """What is said of them: one line, or none."""
    if not keys:
        return []
    records = "1 record is" if len(keys) == 1 else f"{len(keys)} records are"
    return [f"{records} of earlier sources: newer ones of the same config are read"]
