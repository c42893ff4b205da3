"""What was measured, for people, for programs, for the history and for the README."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import Machine
from benchmarks.ratio import Ratio

HERE = Path(__file__).parent
HISTORY = HERE / "history.csv"
COLUMNS = ("date", "commit", "machine", "benchmark", "name", "ratio", "low", "high", "limit", "n")
README = HERE / "README.md"
START, END = "<!-- table: begin -->", "<!-- table: end -->"
WITHIN = {True: "yes", False: "NO", None: "-"}


@dataclass
class Measured:
    """All that one command measured, in the order in which it did."""

    machine: Machine
    quick: bool
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    ratios: dict[str, list[Ratio]] = field(default_factory=dict)
    """By benchmark."""
    seconds: dict[str, float] = field(default_factory=dict)
    """That each benchmark took."""
    not_measured: dict[str, str] = field(default_factory=dict)
    """Benchmark and why."""
    failed: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Plain JSON values."""
        ratios = [
            {"benchmark": name, **asdict(ratio), "within": ratio.within}
            for name, each in self.ratios.items()
            for ratio in each
        ]
        return {**asdict(self), "machine": {**asdict(self.machine), "id": self.machine.id}, "ratios": ratios}


def number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def cells(ratio: Ratio) -> list[str]:
    """A ratio in words: name, ours, peer, ratio, limit, whether within it."""
    peer = f"{ratio.beside} {number(ratio.peer)} {ratio.unit}" if ratio.beside else "-"
    limit = "-" if ratio.limit is None else f"{'>=' if ratio.at_least else '<='} {ratio.limit:g}"
    middle = (
        number(ratio.ratio)
        if ratio.n == 1
        else f"{number(ratio.ratio)} ({number(ratio.low)} to {number(ratio.high)})"
    )
    return [ratio.name, f"{number(ratio.ours)} {ratio.unit}", peer, middle, limit, WITHIN[ratio.within]]


HEAD = ["measured", "ours", "its peer", "ratio, turns", "limit", "within"]


def table(measured: Measured) -> str:
    """The table for a terminal."""
    rows = [HEAD, *(cells(ratio) for each in measured.ratios.values() for ratio in each)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{name}: not measured: {why}" for name, why in measured.not_measured.items()]
    return "\n".join([about(measured), "", *lines])


def about(measured: Measured) -> str:
    """The machine in one line."""
    m = measured.machine
    quick = "quick, not to be compared; " if measured.quick else ""
    return (
        f"{quick}{m.id}, {m.ram_gb:g} GB, GPU {m.gpu}, {m.os}, Python {m.python}, torch {m.torch}, "
        f"load {m.load:g} at the start, {measured.date[:10]}"
    )


def write_json(measured: Measured, path: Path) -> None:
    """All of it, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}")
    partial.write_text(json.dumps(measured.plain(), indent=1), encoding="utf-8")
    partial.replace(path)


def record(measured: Measured, path: Path = HISTORY) -> int:
    """Append a line a ratio to the history; how many."""
    rows = list(_history(measured))
    is_new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
    return len(rows)


def _history(measured: Measured) -> Iterator[dict[str, Any]]:
    same = {"date": measured.date, "commit": commit(), "machine": measured.machine.id}
    for name, each in measured.ratios.items():
        for ratio in each:
            told = {
                column: getattr(ratio, column) for column in ("name", "ratio", "low", "high", "limit", "n")
            }
            yield (
                same
                | {"benchmark": name}
                | {k: f"{v:.5g}" if isinstance(v, float) else v for k, v in told.items()}
            )


def commit() -> str:
    """The commit that was measured, marked where files have changed since; "" outside a repository."""
    try:
        told = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude", "*"]
        return subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def write_readme(plain: Mapping[str, Any], path: Path = README) -> None:
    """Put the table of a measurement, as its JSON has it, between the README's two marks."""
    text = path.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n{in_readme(plain)}\n{END}{after}", encoding="utf-8")


def in_readme(plain: Mapping[str, Any]) -> str:
    """The machine and the table in Markdown."""
    fields = {name: value for name, value in plain["machine"].items() if name != "id"}
    measured = Measured(Machine(**fields), plain["quick"], plain["date"], not_measured=plain["not_measured"])
    rows = [["benchmark", *HEAD], ["---"] * (1 + len(HEAD))]
    for row in plain["ratios"]:
        told = {name: value for name, value in row.items() if name not in ("benchmark", "within")}
        rows.append([f"`{row['benchmark']}`", *cells(Ratio(**told))])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += [f"\n`{name}`: not measured: {why}." for name, why in plain["not_measured"].items()]
    return "\n".join([about(measured) + ".", "", *lines])


def verdict(measured: Measured, asked: Sequence[str]) -> str:
    """What failed, what is over its limit, and what was not reached."""
    lines = [f"{name}: failed: {why}" for name, why in measured.failed.items()]
    for name, each in measured.ratios.items():
        lines += [
            f"{name}: {ratio.name}: {'under' if ratio.at_least else 'over'} its limit"
            for ratio in each
            if ratio.within is False
        ]
    known = {*measured.ratios, *measured.failed, *measured.not_measured}
    if left := [name for name in asked if name not in known]:
        lines.append(f"stopped before {', '.join(left)}")
    return "\n".join(lines)
