"""The project's one error type: what a user got wrong, said in one line."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """What a user got wrong: what, where, and what would be right. Shown without a stack trace."""


def unknown(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """The error for a name that does not exist, with the nearest names that do."""
    names = sorted(valid)
    near = get_close_matches(str(name), names, n=3, cutoff=0.5)
    if near:
        hint = "did you mean " + " or ".join(repr(n) for n in near) + "?"
    elif len(names) <= 12:
        hint = "valid: " + ", ".join(names)
    else:
        hint = f"{len(names)} are known, among them " + ", ".join(names[:5])
    return UserError(f"unknown {kind} {str(name)!r}; {hint}")
