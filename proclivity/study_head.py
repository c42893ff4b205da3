"""What every study file begins with."""

from __future__ import annotations

import re
from typing import Any, Literal

from tasks.errors import UserError

Paper = Literal["", "lovering2021", "cruz2023", "kirk2024", "tajwar2024", "superhf2023"]
Scale = Literal["smoke", "quick", "laptop", "gpu", "paper"]


def check_name(name: str) -> None:
    """Refuse a name that is none for a file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise UserError(f"name: letters, digits, '-', '_' and '.' make a name, not {name!r}")


def plain_value(value: Any) -> Any:
    """A value as JSON has it, as study.json keeps definitions."""
    if isinstance(value, dict):
        return {k: plain_value(v) for k, v in value.items()}
    return [plain_value(v) for v in value] if isinstance(value, list | tuple) else value
