"""Files of outputs and of probabilities that any framework wrote: read row by row, refused by line."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from tasks.errors import UserError

METHOD = "method"
"""The column that rows are parted by if no other is named."""
PROBABILITY = re.compile(r"p(\d+)|p_(.+)")


@dataclass(frozen=True)
class Written:
    """One output."""

    group: str
    input: str
    output: str
    numbers: Mapping[str, float]
    """Its numeric columns."""
    reference: str = ""
    """The answer that it is compared with, where that was asked for."""


@dataclass
class Questions:
    """Questions of a group: probabilities of the choices and the place of the right one, or, in a file with
    `confidence` and `correct`, one probability each and 1 or 0."""

    probabilities: list[list[float]] = field(default_factory=list)
    right: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Outputs:
    """A JSON-lines file."""

    rows: list[Written]
    numbers: tuple[str, ...]
    """Numeric columns that it has."""
    unused: tuple[str, ...]
    """Columns that nothing reads."""

    def groups(self) -> dict[str, list[Written]]:
        found: dict[str, list[Written]] = {}
        for row in self.rows:
            found.setdefault(row.group, []).append(row)
        return found


def by_input(rows: Sequence[Written]) -> dict[str, list[Written]]:
    """The rows of each input, inputs in the order of the file."""
    found: dict[str, list[Written]] = {}
    for row in rows:
        found.setdefault(row.input, []).append(row)
    return found


def read_outputs(
    path: Path, numbers: Collection[str], group: str | None, *, required: bool = False, judged: bool = False
) -> Outputs:
    """One JSON object a line: `input`, and `output` (a string) or `outputs` (a list of them).

    `numbers` may be given, in every line or in none; beside `outputs` each is a list as long, or one number
    for all. An input may have several lines. `input` may be any JSON value. With `required` they must be
    given; with `judged` there must be texts `input`, the prompt, and `reference`, one for all outputs.
    """
    lines = list(_json_lines(path))
    names = list(dict.fromkeys(name for _, line in lines for name in line))
    group = _group(path, group, names)
    present = [name for name in numbers if required or name in names]
    rows = []
    for number, line in lines:
        where = f"{path}: line {number}"
        several = "outputs" in line
        if several and "output" in line:
            raise UserError(f"{where}: output and outputs; one of them is right")
        texts = _value(where, line, "outputs" if several else "output")
        if not several:
            texts = [texts]
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            what = "outputs is a list of strings" if several else "output is a string"
            raise UserError(f"{where}: {what}, not {_short(line['outputs' if several else 'output'])}")
        of_input = json.dumps(_value(where, line, "input"), sort_keys=True)
        columns = {
            name: _numbers(where, name, _value(where, line, name), len(texts), several) for name in present
        }
        named = str(_value(where, line, group)) if group else ""
        for name in ("input", "reference") if judged else ():
            if not isinstance(_value(where, line, name), str):
                raise UserError(f"{where}: {name} is a text to be judged, not {_short(line[name])}")
        reference = line["reference"] if judged else ""
        for k, text in enumerate(texts):
            own = {name: column[k] for name, column in columns.items()}
            rows.append(Written(named, of_input, text, own, reference))
        if not texts:
            raise UserError(f'{where}: outputs is empty; at least one output is needed, which may be ""')
    read = {"input", "output", "outputs", group, *numbers, *(["reference"] if judged else [])}
    return Outputs(rows, tuple(present), tuple(name for name in names if name not in read))


def read_questions(path: Path, group: str | None) -> tuple[dict[str, Questions], bool, tuple[str, ...]]:
    """A CSV file with a header, by group; whether it has the probability of every choice; unused columns.

    Either `right` and p1, p2, ... or p_NAME, an empty field for a choice that a question does not have;
    `right` is the name or the number, from 1, of the right choice. Or `confidence` and `correct`.
    """
    from analysis.outputs.calibration import problem_of

    header, lines = _csv_lines(path)
    group = _group(path, group, header)
    choices = {(m[1] or m[2]): name for name in header if (m := PROBABILITY.fullmatch(name))}
    whole = bool(choices) and "right" in header
    needed = ["right"] if choices else ["confidence", "correct"]
    for name in needed:
        if name not in header:
            raise UserError(f"{path}: line 1: {_missing(name, header)}")
    found: dict[str, Questions] = {}
    for number, line in lines:
        where = f"{path}: line {number}"
        of = found.setdefault(line[group] if group else "", Questions())
        if whole:
            given = {name: line[column] for name, column in choices.items() if line[column].strip()}
            p = [_number(where, choices[name], text) for name, text in given.items()]
            right = _right(where, line["right"].strip(), list(choices), list(given))
            if problem := problem_of(p, right):
                raise UserError(f"{where}: {problem}")
        else:
            p = [_number(where, "confidence", line["confidence"])]
            correct = _number(where, "correct", line["correct"])
            if not 0 <= p[0] <= 1:
                raise UserError(f"{where}: confidence is {p[0]:g}, not a number from 0 to 1")
            if correct not in (0, 1):
                raise UserError(f"{where}: correct is {correct:g}; 0 and 1 are right")
            right = int(correct)
        of.probabilities.append(p)
        of.right.append(right)
    read = {group, "right", *choices.values()} if whole else {group, "confidence", "correct"}
    return found, whole, tuple(name for name in header if name not in read)


def _right(where: str, said: str, names: Sequence[str], given: Sequence[str]) -> int:
    """The place of the right choice among those that the question has."""
    name = said
    if said not in names and said.isascii() and said.isdigit() and 1 <= int(said) <= len(names):
        name = names[int(said) - 1]
    if name not in names:
        near = get_close_matches(said, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names)}, or a number from 1"
        raise UserError(f"{where}: right is {said!r}, which is no choice; {hint}")
    if name not in given:
        raise UserError(f"{where}: the right choice, {said}, has no probability")
    return given.index(name)


def _text(path: Path) -> list[str]:
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file")
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    lines = content.split(b"\n")
    if not content.strip():
        raise UserError(f"{path}: the file is empty")
    decoded = []
    for number, line in enumerate(lines, 1):
        try:
            decoded.append(line.removesuffix(b"\r").decode())
        except UnicodeDecodeError as e:
            raise UserError(f"{path}: line {number}: not UTF-8, byte {e.start + 1}") from None
    return decoded


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, text in enumerate(_text(path), 1):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except ValueError as e:
            raise UserError(f"{path}: line {number}: not JSON: {e}") from None
        except RecursionError:
            raise UserError(f"{path}: line {number}: JSON that is nested too deeply") from None
        if any(0xD800 <= ord(letter) <= 0xDFFF for letter in json.dumps(value, ensure_ascii=False)):
            raise UserError(
                f"{path}: line {number}: half of a surrogate pair (\\ud800 to \\udfff), no letter"
            )
        if not isinstance(value, dict):
            raise UserError(f"{path}: line {number}: a JSON object is needed, not {_short(value)}")
        yield number, value


def _csv_lines(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    reader = csv.reader([line + "\n" for line in _text(path)], strict=True)
    rows = []
    try:
        header = [name.strip() for name in next(reader)]
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, row))
    except csv.Error as e:
        raise UserError(f"{path}: line {reader.line_num}: not CSV: {e}") from None
    for name in header:
        if header.count(name) > 1:
            raise UserError(f"{path}: line 1: {header.count(name)} columns are named {name!r}")
    if not rows:
        raise UserError(f"{path}: a header and no row below it")
    for number, row in rows:
        if len(row) != len(header):
            raise UserError(f"{path}: line {number}: {len(row)} fields, the header has {len(header)}")
    return header, [(number, dict(zip(header, row, strict=True))) for number, row in rows]


def _group(path: Path, asked: str | None, names: Collection[str]) -> str | None:
    """The column to part the rows by, if any."""
    if asked is None:
        return METHOD if METHOD in names else None
    if asked not in names:
        near = get_close_matches(asked, names, n=1)
        hint = f"is it {near[0]!r}?" if near else f"there are {', '.join(names)}"
        raise UserError(f"{path}: --group: no column {asked!r}; {hint}")
    return asked


def _missing(name: str, names: Collection[str]) -> str:
    others = [other for other in names if other not in ("input", "output")]  # which are near each other
    near = get_close_matches(name, others, n=1, cutoff=0.5)
    return f"no column {name!r}; " + (f"is it {near[0]!r}?" if near else f"there are {', '.join(names)}")


def _value(where: str, line: Mapping[str, Any], name: str) -> Any:
    if name not in line:
        raise UserError(f"{where}: {_missing(name, list(line))}")
    return line[name]


def _numbers(where: str, name: str, value: Any, count: int, several: bool) -> list[float]:
    if not isinstance(value, list):
        return [_number(where, name, value)] * count
    if not several or len(value) != count:
        raise UserError(f"{where}: {name} has {len(value)} numbers for {count} output{'s' * (count != 1)}")
    return [_number(where, name, each) for each in value]


def _number(where: str, name: str, value: Any) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise UserError(f"{where}: {name} is {_short(value)}, not a finite number")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
