"""Public data by Hub name: from the Hub, or from a folder of the same files.

With the environment variable PROCLIVITY_DATA the data sets are read from its folder, which has a folder for
each, named as on the Hub: `abisee/cnn_dailymail`. Within it a split is a file or files `SPLIT.EXT` or
`SPLIT-*.EXT`, in the folder itself, in `data`, or in one named like the configuration; or one file
`CONFIGURATION.EXT` for all. Such is a download of the Hub's repository, of those that hold their data.

A data set that the Hub reads by a script is asked for as the Hub has converted it (`refs/convert/parquet`).
That was written without access to the Hub, and not tried on it.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.errors import UserError, one_line

if TYPE_CHECKING:
    from datasets import Dataset

FOLDER = "PROCLIVITY_DATA"
KINDS = {"jsonl": "json", "json": "json", "csv": "csv", "parquet": "parquet"}
"""Extensions, and who reads them; those of text may be followed by `.gz`."""
ALIASES = {"validation": ("validation", "valid", "val", "dev")}
CONVERTED = "refs/convert/parquet"


@dataclass(frozen=True)
class Source:
    """A split of a data set, with the columns that it must have."""

    hub: str
    """Its name on the Hub."""
    split: str
    columns: tuple[str, ...]
    """`info.post` is the field `post` of the column `info`."""
    config: str = ""
    """Its configuration, or folder."""
    folder: bool = False
    """Whether that is a folder of the repository, and no configuration."""

    def __str__(self) -> str:
        return " ".join(filter(None, [self.hub, self.config, f"split {self.split}"]))


def read_source(source: Source) -> Dataset:
    """Its rows; UserError where there are none, or a column lacks."""
    return _read(source, os.environ.get(FOLDER, ""))


@lru_cache(maxsize=16)
def _read(source: Source, root: str) -> Dataset:
    import datasets
    from datasets.exceptions import DatasetsError

    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    try:
        rows = _local(source, Path(root).expanduser()) if root else _from_hub(source)
    except (OSError, ValueError, RuntimeError, DatasetsError) as e:
        cause = e.__cause__ if isinstance(e, DatasetsError) and e.__cause__ else e
        what = " ".join(str(cause).split())[:200]
        where = "" if root else f"; without the Hub, name a folder that holds {source.hub} in {FOLDER}"
        raise UserError(f"{source} cannot be read: {what or one_line(e)}{where}") from None
    _check(source, rows)
    return rows


def _from_hub(source: Source) -> Dataset:
    from datasets import load_dataset

    place = {"data_dir": source.config} if source.folder else {"name": source.config or None}
    try:
        return load_dataset(source.hub, **place, split=source.split)
    except RuntimeError as e:
        if "scripts are no longer supported" not in str(e):
            raise
    files = f"{source.config or 'default'}/{source.split}/*.parquet"
    return load_dataset(source.hub, data_files={source.split: files}, revision=CONVERTED, split=source.split)


def _local(source: Source, root: Path) -> Dataset:
    from datasets import load_dataset

    folder = root / source.hub
    if not folder.is_dir():
        raise UserError(f"{FOLDER}: no folder {source.hub} in {root}")
    places = [p for p in (folder / source.config, folder) if p.is_dir()]
    places = list(dict.fromkeys(d for p in places for d in (p, p / "data")))
    names = ALIASES.get(source.split, (source.split,))
    wanted = [(place, name) for place in places for name in names]
    wanted += [(folder, source.config)] * bool(source.config)
    for place, name in wanted:
        for extension, kind in KINDS.items():
            endings = [extension] if kind == "parquet" else [extension, f"{extension}.gz"]
            for ending in endings:
                files = [place / f"{name}.{ending}"] if (place / f"{name}.{ending}").is_file() else []
                files = files or sorted(place.glob(f"{name}-*.{ending}"))
                if files:
                    chosen = [str(file) for file in files]
                    return load_dataset(kind, data_files={source.split: chosen}, split=source.split)
    tried = f"{names[0]}.jsonl, .json, .csv or .parquet"
    raise UserError(
        f"{source}: no {tried} in {folder}" + f" or its folder {source.config}" * bool(source.config)
    )


def _check(source: Source, rows: Dataset) -> None:
    for column in source.columns:
        name, _, field = column.partition(".")
        if name not in rows.column_names:
            has = ", ".join(rows.column_names)
            raise UserError(f"{source}: no column {name!r}; it has {has}")
        feature = rows.features[name]
        if field and (not isinstance(feature, dict) or field not in feature):
            has = ", ".join(feature) if isinstance(feature, dict) else "none"
            raise UserError(f"{source}: no field {field!r} in column {name!r}; it has {has}")
