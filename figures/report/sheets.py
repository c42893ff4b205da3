"""Tables as the page's script reads them: by column, small, and safe inside the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from pandas import DataFrame, Series

INFINITE = 1.5e308
"""Stands for infinity, which JSON does not have; the script says it in a word."""
DIGITS = 5
"""Significant digits of a number on the page."""
LONG = 40
"""Characters of a cell from which on its column stands at the end of the table."""
KEPT = ("claim", "task", "problem", "model")
"""Columns that tell what a row is, however long."""
TEST, PRIMARY, SECONDARY = "test", "primary", "secondary"


@dataclass(frozen=True)
class Curves:
    """What is drawn along each row of a table, against one x."""

    x: str
    """Label of the x-axis."""
    panels: Mapping[str, Sequence[str]]
    """Names of the lines of each panel, by its y-label."""
    lines: Mapping[str, tuple[Sequence[float], Sequence[Sequence[float]]]]
    """By a row's id: the x, and the y of every line of every panel in order."""
    note: str = ""
    """What is not drawn, in words."""


@dataclass(frozen=True)
class Sheet:
    """A table of the page; a row opens on everything that is known of it."""

    id: str
    title: str
    table: DataFrame
    note: str = ""
    shown: Sequence[str] = ()
    """Columns of the table; all when empty. A row's own page has all of them."""
    docs: Mapping[str, str] = field(default_factory=dict)
    """What columns mean."""
    ids: str = ""
    """Column that names a row, under which its curves are; empty for none."""
    curves: Curves | None = None
    is_open: bool = False


def sheet_of_rows(id_: str, title: str, rows: Sequence[Mapping[str, Any]], **more: Any) -> Sheet:
    """A sheet of mappings; where a test is marked as the primary one, all others are called secondary."""
    table = DataFrame(list(rows))
    if "primary" in table and table["primary"].map(lambda value: isinstance(value, bool)).all():
        words = table["primary"].map({True: PRIMARY, False: SECONDARY})
        table = table.drop(columns="primary")
        table.insert(0, TEST, words)
    return Sheet(id_, title, table, **{"shown": _in_order(table)} | more)


def _in_order(table: DataFrame) -> list[str]:
    """What tells the rows apart first; sentences last; nothing that no row knows."""
    known = [str(name) for name in table if table[name].notna().any() and (table[name] != "").any()]
    if "p" in known:  # what was found stands together
        beside = [name for name in ("p_holm", "status") if name in known]
        known = [name for name in known if name not in beside]
        known[known.index("p") + 1 : known.index("p") + 1] = beside
    longest = {name: table[name].map(lambda v: len(v) if isinstance(v, str) else 0).max() for name in known}
    last = [name for name in known if longest[name] > LONG and name not in KEPT]
    return [name for name in known if name not in last] + last


def encode(sheet: Sheet) -> dict[str, Any]:
    """A sheet as plain values; a column is one value for all, a list, or numbers into a list of words."""
    told: dict[str, Any] = {
        "id": sheet.id,
        "rows": len(sheet.table),
        "columns": [
            {"name": str(name), "doc": sheet.docs.get(str(name), ""), **_column(sheet.table[name])}
            for name in sheet.table
        ],
        "shown": [str(name) for name in (sheet.shown or sheet.table)],
        "ids": sheet.ids,
    }
    if sheet.curves is not None:
        lines = {
            row: [[_number(x) for x in xs], [[_number(y) for y in ys] for ys in series]]
            for row, (xs, series) in sheet.curves.lines.items()
        }
        panels = [[label, list(names)] for label, names in sheet.curves.panels.items()]
        told["curves"] = {"x": sheet.curves.x, "panels": panels, "note": sheet.curves.note, "lines": lines}
    return told


def _column(values: Series) -> dict[str, Any]:
    plain = [_value(value) for value in values]
    known = [value for value in plain if value is not None]
    is_text = any(isinstance(value, str) for value in known)
    kind = "text" if is_text else "yes" if known and all(isinstance(v, bool) for v in known) else "number"
    if is_text:
        plain = [value if value is None or isinstance(value, str) else str(value) for value in plain]
    different = list(dict.fromkeys(plain))
    if len(different) == 1:
        return {"kind": kind, "same": different[0]}
    if kind == "text" and 2 * len(different) < len(plain):
        place = {value: i for i, value in enumerate(different)}
        return {"kind": kind, "words": different, "values": [place[value] for value in plain]}
    return {"kind": kind, "values": plain}


def _value(value: Any) -> Any:
    """A cell as JSON has it; what is not known is None."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA:
        return None
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return _number(value)
    return json.dumps(value, default=str)


def _number(value: float | None) -> float | int | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(INFINITE, value)
    if isinstance(value, int):
        return value
    rounded = float(f"{float(value):.{DIGITS}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def as_script(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
