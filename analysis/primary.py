"""Whether a study's primary test is still the one that was written down before its first run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.statistics.decisions import holm

if TYPE_CHECKING:
    from analysis.records import Study


def digest(value: object) -> str:
    """A short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def signed(primary: Mapping[str, Any]) -> dict[str, Any]:
    """What a study's manifest says of its primary test before the first run."""
    return {"primary": dict(primary), "primary_hash": digest(primary)}


def changed(manifest: Mapping[str, Any]) -> str:
    """One line that says how the primary test is not the one written down; empty when it is.

    A manifest without a primary test has none to change.
    """
    primary, written = manifest.get("primary", {}), manifest.get("primary_hash")
    defined = manifest.get("definition", {}).get("primary", primary)
    if not primary and not defined and written is None:
        return ""
    if written is None:
        why = "has no hash"
    elif (now := digest(primary)) != written:
        why = f"has hash {now}, and {written} was written down before the first run"
    elif defined != primary:
        why = "is not that of the study's definition"
    else:
        return ""
    return f"The primary test in study.json {why}: every test below is secondary."


def late(study: Study) -> str:
    """One line if records are older than study.json, so that it does not show what was written before them.

    A store whose study.json was moved away is gone on with under a new one.
    """
    import pandas as pd

    tables = (study.runs, study.bandits, study.texts, study.stages)
    started = pd.concat([t.reindex(columns=["key", "started"]) for t in tables]).drop_duplicates("key")
    written = pd.to_datetime(study.manifest.get("created"), utc=True, errors="coerce")
    before = pd.to_datetime(started["started"], utc=True, errors="coerce") < written
    if not study.manifest.get("primary") or not before.any():
        return ""
    return (
        f"study.json was written when {int(before.sum())} of {len(started)} runs had begun: it does not show "
        "that the primary test was named before them."
    )


def correct(manifest: Mapping[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with `p_holm` over all but the primary one; over all when the primary test was changed."""
    void = bool(changed(manifest))
    rows = [row | {"primary": row["primary"] and not void} for row in rows]
    rest = [row for row in rows if not row["primary"]]
    for row, adjusted in zip(rest, holm([row["p"] for row in rest]), strict=True):
        row["p_holm"] = adjusted
    return rows
