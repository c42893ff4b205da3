"""Rows drawn from data too large to be looked through: in a random order, read one after the other."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.random import Generator

from tasks.errors import UserError
from tasks.generation.formats import Fields, Pair
from tasks.generation.generation import Row
from tasks.generation.hub import Source, read_source
from tasks.splits import split_of

T = TypeVar("T", Row, Pair)
_CHUNK = 256


@dataclass(frozen=True)
class Part(Generic[T]):
    """A part of a split's rows, and how to read one."""

    source: Source
    read: Callable[[Fields], T | None]
    """None for a row that is of no use."""
    tenths: tuple[int, int] = (0, 10)
    """By the prompt's content, from which tenth up to which."""
    longest: int = 0
    """Characters of a prompt; 0 for any number."""


def drawn(
    parts: Sequence[Part[T]], n: int, rng: Generator, *, once: bool, key: Callable[[T], Hashable]
) -> list[T]:
    """n rows, as many of each part, mixed. Rows of equal key are one row.

    With `once` no row is repeated, and to ask for more than there are is an error. Else the rows are gone
    through again, each time in a new order, as epochs do.
    """
    found = list[T]()
    for i, part in enumerate(parts):
        found += _of_part(part, n // len(parts) + (i < n % len(parts)), rng, once, key)
    return [found[i] for i in rng.permutation(len(found))] if len(parts) > 1 else found


def _of_part(part: Part[T], n: int, rng: Generator, once: bool, key: Callable[[T], Hashable]) -> list[T]:
    found = list[T]()
    while len(found) < n:
        before, seen = len(found), set[Hashable]()
        for item in _in_random_order(part, rng):
            if len(found) == n:
                break
            if key(item) not in seen:
                seen.add(key(item))
                found.append(item)
        if len(found) < n and (once or len(found) == before):
            raise UserError(f"{part.source}: {len(seen)} different rows of use, not the {n} asked for")
    return found


def _in_random_order(part: Part[T], rng: Generator) -> Iterator[T]:
    rows = read_source(part.source)
    order = rng.permutation(len(rows))
    for start in range(0, len(order), _CHUNK):
        for fields in rows.select(order[start : start + _CHUNK]):
            try:
                item = part.read(fields)
            except (TypeError, AttributeError, KeyError, ValueError, IndexError) as e:
                raise UserError(
                    f"{part.source}: a row that cannot be read ({type(e).__name__}: {e})"
                ) from None
            if item is not None and _is_of(part, item.prompt if isinstance(item, Row) else item[0]):
                yield item


def _is_of(part: Part[T], prompt: str) -> bool:
    if part.longest and len(prompt) > part.longest:
        return False
    low, high = part.tenths
    if (low, high) == (0, 10):
        return True
    return bool(low <= split_of(np.array([[prompt]], dtype=object))[0] < high)
