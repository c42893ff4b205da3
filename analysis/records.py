"""The record schema, one flat row per run and per probe, and the reader of a study folder."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.bandit_schema import BanditPoint, BanditRecord
from analysis.newest import left_out, superseded
from analysis.schema import OLDEST, SCHEMA, CellRecord, ProbeRecord, RunRecord
from analysis.stage_schema import Choice, Measurement, Output, StageRecord
from analysis.sums import differs
from analysis.text_schema import TextRecord
from tasks.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = [
    "LEARNABILITY",
    "SCHEMA",
    "CellRecord",
    "ProbeRecord",
    "RunRecord",
    "Study",
    "read_study",
    "write_compact",
]

LEARNABILITY = {
    "feature": "str", "family": "str", "recipe": "str", "method": "str", "episodes": "int",
    "seed": "int", "dial": "str", "task": "str", "accuracy": "float", "threshold": "float",
    "learnable": "bool",
}  # fmt: skip
"""Columns of `learnability.csv`: one row per feature, recipe, dial, task and seed. The task is the one that
the feature was tried in; empty for a symbolic feature beside the coin."""


def _types(schema: type) -> dict[str, str]:
    return {f.name: str(f.type).split(" |")[0] for f in dataclasses.fields(schema)}


KINDS = {
    "run": RunRecord,
    "probe": ProbeRecord,
    "bandit": BanditRecord,
    "text": TextRecord,
    "stage": StageRecord,
}
COLUMNS = {kind: _types(schema) for kind, schema in KINDS.items()}
CELLS, POINTS = _types(CellRecord), _types(BanditPoint)
_BESIDE = {"measures": Measurement, "outputs": Output, "choices": Choice}
OF_STAGES = {name: _types(schema) for name, schema in _BESIDE.items()}
"""The tables beside the record of a stage, by the names of their files."""
EARLIER = {
    kind: {f.name: f.metadata["earlier"] for f in dataclasses.fields(schema) if "earlier" in f.metadata}
    for kind, schema in {**KINDS, **_BESIDE}.items()
}
"""What records hold in columns that came after they were written."""
_EMPTY: dict[str, Any] = {"str": "", "int": 0, "float": math.nan, "bool": False}
_DTYPE = {"str": "str", "int": "int64", "float": "float64", "bool": "bool"}


@dataclass(frozen=True)
class Study:
    """A study as data frames. Failed runs are rows too, with status "failed"."""

    name: str
    manifest: dict[str, Any]
    """`study.json`: name, paper, scale, primary test, full definition, versions."""
    runs: DataFrame
    """One row per run, columns of `RunRecord`."""
    probes: DataFrame
    """One row per probe, columns of `ProbeRecord`."""
    learnability: DataFrame
    """One row per feature and seed, columns of `LEARNABILITY`; empty when the study has no list."""
    problems: list[str]
    """One line for every record that could not be read, and one for those of which a newer one of the same
    config is read; these records are in no frame."""
    cells: DataFrame = field(default_factory=lambda: frame([], CELLS))
    """One row per run and cell, columns of `CellRecord`, of runs whose task has several spurious features."""
    bandits: DataFrame = field(default_factory=lambda: frame([], COLUMNS["bandit"]))
    """One row per bandit run and seed, columns of `BanditRecord`."""
    points: DataFrame = field(default_factory=lambda: frame([], POINTS))
    """One row per bandit run, seed and measurement, columns of `BanditPoint`."""
    texts: DataFrame = field(default_factory=lambda: frame([], COLUMNS["text"]))
    """One row per run on a text problem and point along it, columns of `TextRecord`."""
    stages: DataFrame = field(default_factory=lambda: frame([], COLUMNS["stage"]))
    """One row per stage of tuning on a text-out task, columns of `StageRecord`."""
    measures: DataFrame = field(default_factory=lambda: frame([], OF_STAGES["measures"]))
    """One row per stage, step, shift and measure, columns of `Measurement`."""
    outputs: DataFrame = field(default_factory=lambda: frame([], OF_STAGES["outputs"]))
    """One row per completion of a stage at its end, columns of `Output`."""
    choices: DataFrame = field(default_factory=lambda: frame([], OF_STAGES["choices"]))
    """One row per stage, input and answer of a multiple choice, columns of `Choice`."""


def _value(kind: str, value: object) -> Any:
    """A JSON value as the column's type; None is the column's empty value."""
    if value is None:
        return _EMPTY[kind]
    whole = isinstance(value, float) and value.is_integer()
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and (isinstance(value, int) or whole) and not isinstance(value, bool):
        return int(value)  # type: ignore[call-overload]
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise ValueError(f"is {value!r}, not {kind}")


def _cell(name: str, kind: str, value: object) -> Any:
    """A cell of a list, in which only a dial and a task may be empty."""
    if value is None and name not in ("dial", "task"):
        raise ValueError(f"column {name} is empty")
    return _value(kind, value)


def check(record: object) -> dict[str, Any]:
    """One record as a complete row; a ValueError says in words what is wrong with it."""
    if not isinstance(record, dict):
        raise ValueError("not a record (a JSON object)")
    failed = record.get("status") == "failed"
    # A failed run has no schema: what it knows, its name and why it failed, never changed its meaning.
    if problem := _other_schema(record.get("schema", SCHEMA if failed else None)):
        raise ValueError(problem)
    kind = record.get("kind", "run" if failed else None)
    if kind not in COLUMNS:
        raise ValueError(f"kind {kind!r} is none of {', '.join(COLUMNS)}")
    columns = COLUMNS[kind]
    # A finished one must be whole.
    record = EARLIER[kind] | record
    missing = [name for name in (("key", "error") if failed else columns) if name not in record]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ValueError("missing columns " + ", ".join(missing[:5]) + more)
    row = {}
    for name, type_ in columns.items():
        try:
            row[name] = _value(type_, record.get(name))
        except ValueError as error:
            raise ValueError(f"column {name} {error}") from None
    return row | {"kind": kind, "schema": SCHEMA}


def _other_schema(schema: object) -> str:
    """What is wrong with a schema's number, or ""."""
    if isinstance(schema, bool) or not isinstance(schema, int | float) or schema != schema // 1:
        return f"schema {schema!r} is no version of the schema, such as {SCHEMA}"
    if schema > SCHEMA:
        return f"schema {schema:g} is newer than {SCHEMA}, the newest this version reads"
    return (
        f"schema {schema:g} is older than {OLDEST}, the oldest this version reads" if schema < OLDEST else ""
    )


def _records(root: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Every readable record below `runs/`; a record file holds one record or a list of them."""
    for folder in sorted((root / "runs").iterdir()):
        path = folder / "record.json"
        if folder.name.startswith("."):
            continue
        if not folder.is_dir():
            problems.append(f"{folder.relative_to(root)}: not a folder")
            continue
        if not path.exists():
            problems.append(f"{path.relative_to(root)}: missing")
            continue
        try:
            text = path.read_bytes()
            content = json.loads(text)
            why = differs(path, text)
        except (ValueError, OSError) as error:
            problems.append(f"{path.relative_to(root)}: not readable as JSON ({error})")
            continue
        if why:
            problems.append(f"{path.relative_to(root)}: {why}")
            continue
        for record in content if isinstance(content, list) else [content]:
            try:
                yield check(record)
            except ValueError as error:
                problems.append(f"{path.relative_to(root)}: {error}")


def frame(rows: list[dict[str, Any]], columns: dict[str, str]) -> DataFrame:
    """Rows as a data frame with exactly the schema's columns and types, also when there are none."""
    import pandas as pd

    data = {
        name: pd.Series([row[name] for row in rows], dtype=_DTYPE[type_]) for name, type_ in columns.items()
    }
    return pd.DataFrame(data)


def _table(path: Path, columns: dict[str, str], problems: list[str], *, records: bool) -> DataFrame:
    """A parquet or CSV table, each row checked like a record of its own."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    if not path.exists():
        problems.append(f"{path.name}: missing")
    else:
        try:
            table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        except Exception as error:  # pyarrow and pandas raise many kinds for a damaged file
            problems.append(f"{path.name}: not readable ({str(error).splitlines()[0]})")
            table = pd.DataFrame()
        values = table.astype(object).where(table.notna(), None).to_dict("records")
        wrong: dict[str, list[int]] = {}
        for number, value in enumerate(values):
            try:
                if records:
                    rows.append(check(value))
                else:
                    rows.append({name: _cell(name, type_, value[name]) for name, type_ in columns.items()})
            except KeyError as error:
                wrong.setdefault(f"missing column {error.args[0]}", []).append(number)
            except ValueError as error:
                wrong.setdefault(str(error), []).append(number)
        for problem, numbers in wrong.items():  # a table of an earlier version has it in every row
            others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
            problems.append(f"{path.name} row {numbers[0]}{others}: {problem}")
    return frame(rows, columns)


def _as_published(path: Path) -> None:
    if why := differs(path):
        raise ValueError(why)


def _long(
    root: Path, problems: list[str], columns: dict[str, str], stored: list[Path], compact: str
) -> DataFrame:
    """The tables beside the records of a store, or the one table of a compact study."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    is_store = (root / "runs").is_dir()
    for path in stored if is_store else root.glob(compact):
        told = {"key": path.parent.name} if is_store else {}
        try:
            _as_published(path)
            table = pd.read_parquet(path).astype(object)
            for value in table.where(table.notna(), None).to_dict("records"):
                row = {**value, **told}
                rows.append({name: _value(type_, row[name]) for name, type_ in columns.items()})
        except KeyError as error:
            problems.append(f"{path.relative_to(root)}: missing column {error.args[0]}")
        except Exception as error:  # pyarrow and pandas raise many kinds for a damaged file
            problems.append(f"{path.relative_to(root)}: not readable ({str(error).splitlines()[0]})")
    return frame(rows, columns)


def _wide(
    root: Path, problems: list[str], columns: dict[str, str], stored: list[Path], name: str
) -> DataFrame:
    """The tables of a name beside the records of a store, or that of a compact study, read whole.

    They are long, so their types are checked by column, not value by value.
    """
    import pandas as pd

    is_store, found = (root / "runs").is_dir(), [frame([], columns)]
    for path in stored if is_store else root.glob(f"{name}.parquet"):
        if not path.exists():  # a stage has the tables that it could fill
            continue
        try:
            _as_published(path)
            table = pd.read_parquet(path)
            told = table.assign(key=path.parent.name) if is_store else table
            told = told.assign(**{n: v for n, v in EARLIER[name].items() if n not in told})
            found.append(told[list(columns)].astype({n: _DTYPE[t] for n, t in columns.items()}))
        except KeyError as error:
            problems.append(f"{path.relative_to(root)}: missing column {error.args[0]}")
        except Exception as error:  # pyarrow and pandas raise many kinds for a damaged file
            problems.append(f"{path.relative_to(root)}: not readable ({str(error).splitlines()[0]})")
    return pd.concat(found, ignore_index=True) if len(found) > 1 else found[0]


def _if_there(root: Path, kind: str, problems: list[str]) -> DataFrame:
    """The compact records of a kind that not every study has."""
    path = root / f"{kind}s.parquet"
    return _table(path, COLUMNS[kind], problems, records=True) if path.exists() else frame([], COLUMNS[kind])


def read_study(folder: Path | str) -> Study:
    """Read a study folder: the store's layout (`runs/<key>/record.json`) or a compact one (parquet)."""
    root = Path(folder)
    path = root / "study.json"
    if not path.is_file():
        raise UserError(f"{root} is not a study: it has no study.json")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"{path} is not readable as JSON ({error})") from None
    if not isinstance(manifest, dict):
        raise UserError(f"{path} is not a study's description (a JSON object)")
    definition = manifest.get("definition", {})
    if not isinstance(definition, dict) or not isinstance(definition.get("probe", {}), dict):
        raise UserError(f"{path} is not a study's description: its definition is no JSON object")
    if not isinstance(manifest.get("primary"), dict):
        raise UserError(f"{path} is not a study's description: its primary test is no JSON object")
    if problem := _other_schema(manifest.get("schema", SCHEMA)):
        raise UserError(f"{path}: {problem}")

    problems: list[str] = []
    stored, compact = (root / "runs").is_dir(), (root / "runs.parquet").exists()
    earlier: set[str] = set()
    if stored:
        if compact:
            problems.append("runs.parquet: not read, for there is a folder runs beside it")
        rows = list(_records(root, problems))
        if manifest.get("name") != "single":  # what is done there by hand stays, whatever came later
            earlier = superseded(rows)
        problems += left_out(earlier)
        rows = [row for row in rows if row["key"] not in earlier]
        runs = frame([row for row in rows if row["kind"] == "run"], COLUMNS["run"])
        probes = frame([row for row in rows if row["kind"] == "probe"], COLUMNS["probe"])
        bandits = frame([row for row in rows if row["kind"] == "bandit"], COLUMNS["bandit"])
        texts = frame([row for row in rows if row["kind"] == "text"], COLUMNS["text"])
        stages = frame([row for row in rows if row["kind"] == "stage"], COLUMNS["stage"])
    else:
        runs = _table(root / "runs.parquet", COLUMNS["run"], problems, records=True)
        probes = _table(root / "probes.parquet", COLUMNS["probe"], problems, records=True)
        bandits, texts, stages = (_if_there(root, kind, problems) for kind in ("bandit", "text", "stage"))
    listed = (root / "learnability.csv").exists() or not stored  # a store of unlisted models has none
    learnability = frame([], LEARNABILITY)
    if listed:
        learnability = _table(root / "learnability.csv", LEARNABILITY, problems, records=False)
    tables = [path for path in root.glob("runs/[!.]*/cells.parquet") if path.parent.name not in earlier]
    cells = _long(root, problems, CELLS, sorted(tables), "cells.parquet")
    logs = [
        root / "runs" / key / "log.parquet"
        for key in sorted(set(bandits.loc[bandits["status"] == "ok", "key"]))
    ]
    points = _long(root, problems, POINTS, logs, "bandit_points.parquet")
    done = sorted(set(stages.loc[stages["status"] == "ok", "key"]))
    beside = [
        _wide(root, problems, columns, [root / "runs" / key / f"{name}.parquet" for key in done], name)
        for name, columns in OF_STAGES.items()
    ]
    return Study(
        str(manifest.get("name", root.name)),
        manifest,
        *(runs, probes, learnability, problems, cells, bandits, points, texts, stages, *beside),
    )


def _told(outputs: DataFrame) -> DataFrame:
    """Outputs without their texts, numbers to four places: what tables and figures stand on."""
    return outputs.assign(prompt="", completion="", reference="").round(4)


def write_compact(study: Study, folder: Path | str) -> None:
    """Write a study as four files, small enough for a repository; each appears whole or not at all.

    Further ones have the cells, the bandits and their measurements, and the runs on text problems, where
    there are any.
    """
    root = Path(folder)
    root.mkdir(parents=True, exist_ok=True)

    def put(name: str, write: Any) -> None:
        partial = root / f".{name}.{os.getpid()}"
        try:
            write(partial)
            os.replace(partial, root / name)
        finally:
            partial.unlink(missing_ok=True)

    text = json.dumps(study.manifest, indent=1, sort_keys=True)
    put("study.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))
    tables = [("runs", study.runs, ["key"]), ("probes", study.probes, ["key", "role"])]
    more = [
        ("cells", study.cells, ["key"]),
        ("bandits", study.bandits, ["key", "seed"]),
        ("texts", study.texts, ["key", "step"]),
        ("bandit_points", study.points, ["key", "seed", "step"]),
        ("stages", study.stages, ["key"]),
        ("measures", study.measures, ["key", "step", "shift", "measure", "scope"]),
        ("outputs", _told(study.outputs), ["key", "shift", "input", "sample"]),
        ("choices", study.choices, ["key", "shift", "input", "choice"]),
    ]
    tables += [table for table in more if len(table[1])]
    for name, table, order in tables:
        rows = table.sort_values(order, kind="stable")
        put(f"{name}.parquet", lambda path, rows=rows: rows.to_parquet(path, index=False, compression="zstd"))
    put("learnability.csv", lambda path: study.learnability.to_csv(path, index=False))
