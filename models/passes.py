"""How forward passes are done: in mixed precision, or compiled."""

from __future__ import annotations

import copy
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from tasks.errors import UserError

COMPILERS = ("g++", "clang++", "c++")


def mixed_precision(model: Any, on: bool) -> AbstractContextManager[object]:
    """Where it is on, products of matrices are in bfloat16 meanwhile; weights stay as they are."""
    return torch.autocast(model.device.type, dtype=torch.bfloat16) if on else nullcontext()


def check_compiler() -> None:
    """UserError where nothing compiles what torch.compile writes."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else COMPILERS
    if not any(map(shutil.which, wanted)):
        raise UserError(
            f"compile=true needs a C++ compiler, and there is no {' or '.join(wanted)} here; install one, or "
            "leave it out"
        )


def compiled(model: Any) -> Any:
    """A twin of a model, of the same weights, whose body is compiled at its first pass; its head is not, so
    that what the head reads can be read."""
    twin = copy.deepcopy(model, {id(p): p for p in model.parameters()})
    body = twin.base_model
    body.forward = torch.compile(body.forward)
    return twin


class Seconds:
    """Seconds of a kind of work, added up."""

    def __init__(self) -> None:
        self.spent = 0.0


@contextmanager
def compiling() -> Iterator[Seconds]:
    """Counts the seconds that torch compiles for meanwhile."""
    from torch._dynamo.callback import callback_handler

    found, begun = Seconds(), [0.0]

    def start(_: Any) -> None:
        begun[0] = time.perf_counter()

    def end(_: Any) -> None:
        found.spent += time.perf_counter() - begun[0]

    callback_handler.register_start_callback(start)
    callback_handler.register_end_callback(end)
    try:
        yield found
    finally:
        callback_handler.remove_start_callback(start)
        callback_handler.remove_end_callback(end)
