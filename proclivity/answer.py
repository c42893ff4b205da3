"""What a command answers: one value, shown as text or as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A command's answer."""

    data: Any
    """What `--json` prints."""
    text: str
    """What a person reads."""
    status: int = 0
    """Exit status: 1 if the study had failed runs."""
    error: str = ""
    """What went wrong after the answer was found, such as a full disk; told after it, with exit status 2."""


def as_json(value: Any) -> str:
    """Strict JSON on one or more lines; NaN and infinities are null."""
    return json.dumps(plain(value), indent=1, allow_nan=False)


def plain(value: Any) -> Any:
    """A value as JSON has it: dataclasses and data frames as mappings and lists, numpy's numbers as ours."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if hasattr(value, "to_dict"):
        return plain(value.to_dict("records"))
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Sequence | set | frozenset):
        return [plain(v) for v in value]
    return str(value)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as aligned columns under the first row's names."""
    if not rows:
        return "(none)"
    names = list(rows[0])
    cells = [names, *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def _cell(value: Any) -> str:
    if value is None or value is False:
        return "-"
    if value is True:
        return "yes"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """3.2 s, 4 min 10 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(n: float) -> str:
    """Bytes in a unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    raise AssertionError


def failures(failed: Mapping[str, str], total: int) -> str:
    """How many jobs failed, and why, the commonest reasons first."""
    if not failed:
        return ""
    reasons = Counter(failed.values()).most_common(3)
    why = "; ".join(f"{n} x {reason}" for reason, n in reasons)
    return f"\n{len(failed)} of {total} jobs failed: {why} (again with --retry-failed)"
