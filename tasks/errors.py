"""The project's one error type: what a user got wrong, said in one line."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from difflib import get_close_matches

LARGEST_SEED = 2**32 - 1
"""The largest seed that every library takes and every table holds."""


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


def one_line(error: BaseException) -> str:
    """An exception as one line, with the place it came from unless it is the user's mistake."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.filename}: " * (error.filename is not None) + os.strerror(error.errno)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<")]
    told = not frames or isinstance(error, SyntaxError)  # which says itself where it is
    place = "" if told else f" ({os.path.basename(frames[-1].filename)} line {frames[-1].lineno})"
    return f"{type(error).__name__}: {text}{place}"


def seed_or_error(value: int, name: str = "seed") -> int:
    """A seed that is one; a UserError that begins with its name for any other number."""
    if not 0 <= value <= LARGEST_SEED:
        raise UserError(f"{name}: must be a whole number from 0 to {LARGEST_SEED}, not {value}")
    return value
