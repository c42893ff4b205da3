"""Rows in tab-separated files: read with every problem told at once, and written to be read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from tasks.errors import UserError
from tasks.evidence import QUADRANTS, TARGET

COLUMNS = ("sentence", "section", "label")
SECTIONS = {**{q: q for q in QUADRANTS}, "weak": "spurious_only", "strong": "target_only"}
"""Names of the quadrants: ours, and the literature's."""
_SHOWN = 5


@dataclass(frozen=True)
class Line:
    """One row of a file, as it may be used."""

    sentence: str
    quadrant: str
    source: str
    """What the sentence was made from: the file's `source`, or the sentence itself."""


@dataclass(frozen=True)
class Table:
    """The rows of one file."""

    path: Path
    rows: tuple[Line, ...]
    unused: tuple[str, ...]
    """Columns that nothing reads."""


@dataclass
class _Problems:
    """What is wrong, by kind: line numbers, and the first five of them in words."""

    lines: dict[str, list[int]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, line: int, what: str = "") -> None:
        self.lines.setdefault(kind, []).append(line)
        if len(self.lines[kind]) <= _SHOWN:
            self.told.setdefault(kind, []).append(f"{line} {what}".rstrip())

    def rows(self) -> int:
        return len({line for lines in self.lines.values() for line in lines})

    def parts(self) -> Iterator[str]:
        for kind, lines in self.lines.items():
            more = ", ..." if len(lines) > _SHOWN else ""
            word = "line" if len(lines) == 1 else "lines"
            yield f"{len(lines)} {kind} ({word} {', '.join(self.told[kind])}{more})"


def read_table(path: str | Path) -> Table:
    """A file's rows; UserError that tells every problem of every row where there is one.

    Columns `sentence`, `section`, `label` and, if rows were made from common sources, `source`. UTF-8, with
    or without a byte order mark, lines ended as on Unix or Windows; fields may be quoted as spreadsheets do.
    """
    path = Path(path)
    lines = _lines(path)
    header = _header(path, lines)
    problems = _Problems()
    rows: list[Line] = []
    first: dict[str, tuple[int, str, str]] = {}
    for number, raw in enumerate(lines[1:], 2):
        if not raw.strip(b"\r"):
            continue
        try:
            fields = [_unquoted(field_) for field_ in raw.rstrip(b"\r").decode().split("\t")]
        except UnicodeDecodeError as e:
            problems.add("not UTF-8", number, f"byte {e.start + 1}")
            continue
        if any(mark in text for text in fields for mark in "\r\0"):
            problems.add("carriage return or NUL within", number)
            continue
        if len(fields) != len(header):
            problems.add("wrong number of fields", number, f"has {len(fields)}, not {len(header)}")
            continue
        cells = {name: value.strip() for name, value in zip(header, fields, strict=True)}
        row = _row(cells, number, first, problems)
        if row:
            rows.append(row)
    _refuse(path, problems, rows)
    return Table(path, tuple(rows), tuple(name for name in header if name not in (*COLUMNS, "source")))


def _lines(path: Path) -> list[bytes]:
    if path.is_dir():
        raise UserError(f"{path}: a folder, not a file of rows")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: this is UTF-16; save it as UTF-8")
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content.partition(b"\n")[0]:
        raise UserError(f"{path}: the header holds NUL bytes, as UTF-16 does; save it as UTF-8 text")
    if b"\r" in content and b"\n" not in content:
        raise UserError(
            f"{path}: lines end in a carriage return alone; save it with Unix or Windows line ends"
        )
    if not content.strip():
        raise UserError(f"{path}: the file is empty; a header with {', '.join(COLUMNS)} comes first")
    return content.split(b"\n")


def _header(path: Path, lines: Sequence[bytes]) -> list[str]:
    try:
        header = [_unquoted(name).strip() for name in lines[0].rstrip(b"\r").decode().split("\t")]
    except UnicodeDecodeError:
        raise UserError(f"{path}: line 1, the header, is not UTF-8") from None
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UserError(f"{path}: no column {' or '.join(missing)} in line 1, the header; {_hint(header)}")
    for name in (*COLUMNS, "source"):
        if header.count(name) > 1:
            raise UserError(f"{path}: {header.count(name)} columns are named {name}")
    return header


def _hint(header: Sequence[str]) -> str:
    if len(header) == 1:
        return "are the columns separated by tabs?"
    if set(header) & {*SECTIONS}:
        return f"a row stands where the names {', '.join(COLUMNS)} belong"
    if {name.lower() for name in header} >= {*COLUMNS}:
        return "write the names in lower case"
    return f"it has {', '.join(header)}"


def _row(
    cells: dict[str, str], number: int, first: dict[str, tuple[int, str, str]], problems: _Problems
) -> Line | None:
    """The row, or None where its section is unknown; `first` is where each sentence was first met."""
    sentence, section, label = (cells[name] for name in COLUMNS)
    quadrant = SECTIONS.get(section)
    if quadrant is None:
        near = get_close_matches(section.lower(), SECTIONS, n=1)
        hint = f", did you mean {near[0]!r}?" if near else ""
        problems.add("unknown section", number, f"{section!r}{hint}")
    if label not in ("0", "1"):
        problems.add("label that is not 0 or 1", number, repr(label))
    elif quadrant and int(label) != TARGET[quadrant]:
        problems.add("label that disagrees with its section", number, f"{section} with label {label}")
    if "source" in cells and not cells["source"]:
        problems.add("empty source", number)
    if not sentence:
        problems.add("empty sentence", number)
    elif sentence in first:
        line, other, said = first[sentence]
        if said != label:
            problems.add("sentence with two labels", number, f"says {label}, line {line} says {said}")
        elif other != quadrant:
            problems.add("sentence with two sections", number, f"says {section}, line {line} another")
        else:
            problems.add("duplicated row", number, f"repeats {line}")
    else:
        first[sentence] = (number, quadrant or section, label)
    return Line(sentence, quadrant, cells.get("source", sentence)) if quadrant else None


def _refuse(path: Path, problems: _Problems, rows: Iterable[Line]) -> None:
    present = {row.quadrant for row in rows}
    names = {quadrant: section for section, quadrant in SECTIONS.items()}
    # The quadrants of one conflict may be wanting, as in the published data, but not those of both.
    absent = [q for q in QUADRANTS if q not in present]
    needed = absent if {"target_only", "spurious_only"} <= {*absent} else {"both", "neither"} & {*absent}
    missing = [q if names[q] == q else f"{q} ({names[q]})" for q in QUADRANTS if q in needed]
    parts = list(problems.parts())
    if problems.rows():
        rows_ = "1 row" if problems.rows() == 1 else f"{problems.rows()} rows"
        parts = [f"{rows_} cannot be used: {', '.join(parts)}"]
    if missing:
        parts.append(f"no row of {' or '.join(missing)}")
    if parts:
        raise UserError(f"{path}: {'; '.join(parts)}")


def _unquoted(text: str) -> str:
    """A field as spreadsheets write it: in quotes, the quotes inside doubled. Other quotes are letters."""
    inner = text[1:-1]
    if len(text) >= 2 and text[0] == text[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return text


def write_table(path: Path, rows: Iterable[Line]) -> None:
    """The rows with the columns sentence, section, label, source."""
    lines = ["\t".join((*COLUMNS, "source"))]
    for row in rows:
        fields = (row.sentence, row.quadrant, str(TARGET[row.quadrant]), row.source)
        for text in fields:
            if any(mark in text for mark in "\t\n\r\0"):
                raise UserError(f"{path}: a row with a tab, a line end or a NUL cannot be written: {text!r}")
        lines.append("\t".join(_quoted(text) for text in fields))
    path.write_bytes(("\n".join(lines) + "\n").encode())


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if text.startswith('"') else text
