"""Checkpoints of a training: a folder with a model a step, called `step-000100` or `checkpoint-100`."""

from __future__ import annotations

import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np

from models.embedded import Progress, Recipe, pretrain
from tasks.errors import UserError

_NUMBER = re.compile(r"(?:step|checkpoint)[-_]?(\d+)")


def step_in(name: str) -> int | None:
    """The step that the name of a folder or of a revision tells, as `step-000100`, `step1000-tokens4B`."""
    found = _NUMBER.search(name)
    return int(found[1]) if found else None


def checkpoints_in(folder: Path) -> list[Path]:
    """The checkpoints of a folder in the order of their steps."""
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of checkpoints")
    found = {path: _NUMBER.fullmatch(path.name) for path in folder.iterdir() if path.is_dir()}
    steps = sorted((int(number[1]), path) for path, number in found.items() if number)
    if not steps:
        raise UserError(f"{folder} holds no checkpoints: no folder in it is called step-N or checkpoint-N")
    for (step, one), (later, other) in pairwise(steps):
        if step == later:
            raise UserError(f"{folder} holds two checkpoints of step {step}: {one.name} and {other.name}")
    return [path for _, path in steps]


def checkpoint_steps(n: int, steps: int) -> list[int]:
    """`n` different steps from 0 to the last, about as far apart in their logarithms: a loss falls early."""
    if not 2 <= n <= steps + 1:
        raise UserError(f"{n} checkpoints of {steps} steps cannot be kept; valid: 2 to {steps + 1}")
    placed = [0]
    for step in np.geomspace(steps, 1, n - 1)[::-1]:
        placed.append(max(placed[-1] + 1, round(step)))
    return placed


def pretrain_keeping(recipe: Recipe, folder: Path, n: int, progress: Progress | None = None) -> list[Path]:
    """Pre-train an embedded model anew and keep `n` models of it: the untrained, the whole, and between.

    The last is the model that the recipe always gives. The folder appears when it is complete.
    """
    steps, folder = checkpoint_steps(n, recipe.steps), folder.resolve()
    if folder == Path.cwd():
        raise UserError("--out: the working folder is left as it is; name a folder in it")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UserError(f"--out {folder}: exists and is left as it is; give a new or an empty folder")
    names = {step: f"step-{step:06d}" for step in steps}
    part = folder.parent / f".{folder.name}.part"
    shutil.rmtree(part, ignore_errors=True)  # of a process that was killed
    try:
        part.mkdir(parents=True)
        keep = {step: part / name for step, name in names.items() if step < recipe.steps}
        pretrain(recipe, part / names[recipe.steps], progress, keep)
        if folder.is_dir():
            folder.rmdir()
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [folder / name for name in names.values()]
