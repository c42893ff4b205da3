"""models, methods, cache: what there is."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer, plain, size, table
from proclivity.composition import jobs
from proclivity.progress import step_bar
from tasks.errors import UserError

if TYPE_CHECKING:
    from models import Recipe


def models_ls(arguments: Namespace) -> Answer:
    from models import list_recipes

    return _rows(list_recipes(), "model")


def models_pretrain(arguments: Namespace) -> Answer:
    from models import recipe_of
    from models.embedded import folder_of

    recipe = recipe_of(arguments.model)
    if arguments.checkpoints is not None or arguments.out:
        return _keep(recipe, arguments)
    config = {"job": "probe", "model": arguments.model, "init": "pretrained", "input": "model"}
    with step_bar() as progress:
        jobs().prepare([config], progress)
    kept = json.loads((folder_of(recipe) / "recipe.json").read_text())
    found = {name: value for name, value in kept.items() if name not in asdict(recipe)}
    text = "\n".join(f"  {name.replace('_', ' ')}: {_told(value)}" for name, value in found.items())
    return Answer({"model": arguments.model, **found}, f"{arguments.model} is pre-trained\n{text}")


def _keep(recipe: Recipe, arguments: Namespace) -> Answer:
    """The checkpoints of an embedded model, which is pre-trained anew for them."""
    from models import pretrain_keeping

    if arguments.checkpoints is None or not arguments.out:
        raise UserError("--checkpoints N and --out D are given together")
    with step_bar() as progress:
        kept = pretrain_keeping(recipe, Path(arguments.out), arguments.checkpoints, progress)
    return Answer({"model": arguments.model, "checkpoints": kept}, "\n".join(map(str, kept)))


def _told(value: Any) -> str:
    if isinstance(value, list):  # k of n
        return f"{value[0]} of {value[1]}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def methods_ls(arguments: Namespace) -> Answer:
    from rl_finetune import method_table

    return _rows(method_table(), "method")


def _rows(value: Any, name: str) -> Answer:
    """Rows of a table, from a list of names, of mappings or of dataclasses, or a mapping by name."""
    value = plain(value)
    if isinstance(value, dict):
        value = [
            {name: key, **(row if isinstance(row, dict) else {"about": row})} for key, row in value.items()
        ]
    rows = [row if isinstance(row, dict) else {name: row} for row in value]
    return Answer(rows, table(rows))


def cache_ls(arguments: Namespace) -> Answer:
    sizes = {path.name: _bytes(path) for path in _cached()}
    total = sum(sizes.values())
    text = table([{"name": name, "size": size(n)} for name, n in sizes.items()])
    return Answer(
        {"folder": _cache(), "entries": sizes, "bytes": total}, f"{text}\n{_cache()}: {size(total)}"
    )


def cache_clear(arguments: Namespace) -> Answer:
    paths = _cached()
    total = sum(map(_bytes, paths))
    for path in paths:
        shutil.rmtree(path)
    return Answer({"removed": [path.name for path in paths], "bytes": total}, f"removed {size(total)}")


def _cache() -> Path:
    from models import cache_dir

    return Path(cache_dir())


def _cached() -> list[Path]:
    # Only what was certainly put there by us: the cache may have been pointed at a folder with other things.
    return sorted(path.parent for path in _cache().glob("models/*/recipe.json"))


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
