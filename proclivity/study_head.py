"""What every study file begins with."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tasks.errors import UserError

Paper = Literal["", "lovering2021", "cruz2023", "kirk2024", "tajwar2024", "superhf2023"]
Scale = Literal["smoke", "quick", "laptop", "gpu", "paper"]


@dataclass(frozen=True)
class Resources:
    """What one job asks of the machine that it runs on. No part of the study: a folder can be gone on with
    under another request."""

    cpus: float = 1.0
    """Cores that are kept free for it. They are room, not threads: a job has one, as without Ray."""
    gpus: float = 0.0
    """GPUs, or a part of one that jobs share."""

    def __post_init__(self) -> None:
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus)):
            if not (0 <= value < math.inf):
                raise UserError(f"{name}: must be a number from 0, not {value:g}")
            if value > 1 and value != int(value):
                raise UserError(f"{name}: must be whole above 1, not {value:g}")
        if not self.cpus and not self.gpus:
            raise UserError("cpus: must be above 0 where no GPU is asked for")

    def __str__(self) -> str:
        return f"{_counted(self.cpus, 'CPU')} and {_counted(self.gpus, 'GPU')}"


def _counted(n: float, what: str) -> str:
    return f"{n:g} {what}" + ("" if n == 1 else "s")


def check_name(name: str) -> None:
    """Refuse a name that is none for a file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"name: letters, digits, '-', '_' and '.' make a name, not {name!r}")


def definition_of(study: Any) -> dict[str, Any]:
    """A study as plain JSON values, without what its machines are asked for."""
    plain: dict[str, Any] = plain_value(asdict(study))
    del plain["resources"]
    return plain


def plain_value(value: Any) -> Any:
    """A value as JSON has it, as study.json keeps definitions."""
    if isinstance(value, dict):
        return {k: plain_value(v) for k, v in value.items()}
    return [plain_value(v) for v in value] if isinstance(value, list | tuple) else value
