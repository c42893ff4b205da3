"""Is a policy right as often as the probabilities of its answer words say?"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proclivity.answer import table
from proclivity.metric_files import Questions, read_questions
from proclivity.shown import infinite
from tasks import QUADRANTS

if TYPE_CHECKING:
    from analysis.measured import Measured
    from analysis.outputs.calibration import Calibration
    from rl_finetune import Answered

Row = dict[str, Any]
"""Of probabilities.csv: `quadrant`, the probability of each word as `p_<word>`, and `right`, the word."""
TABLE = "probabilities"
COLUMNS = {"ece": "ECE (top label)", "brier": "Brier", "nll": "NLL"}
"""Columns of a record and the measures that they hold."""
NONE = (
    "no calibration: these answers have no probabilities that are known, being no closed list of words or "
    "the best of sampled ones"
)
LOST = (
    "no calibration: the answers' probabilities are not beside this record, which an earlier version made or "
    "whose {} was taken away; with another --out they are measured"
)


def rows_of(
    words: Sequence[str] | None, asked: Mapping[str, Mapping[str, Any]], answered: Mapping[str, Answered]
) -> list[Row]:
    """The probabilities of every row asked; none of answers that are no closed list."""
    return [
        {"quadrant": q, **{f"p_{w}": p for w, p in zip(words, row, strict=True)}, "right": words[label]}
        for q, rows in asked.items()
        if words and answered[q].probabilities
        for row, label in zip(answered[q].probabilities, rows["label"], strict=True)
    ]


def columns(rows: Sequence[Row]) -> dict[str, float | None]:
    """Columns of a record: the numbers alone, since it is other runs that say how sure they are."""
    from analysis.outputs.calibration import calibration

    found: dict[str, float | None] = {}
    for q, questions in _questions(rows).items():
        measures = _named(calibration(questions.probabilities, questions.right, resamples=1))
        found |= {f"{column}_{q}": measures[name].value for column, name in COLUMNS.items()}
        found[f"ece_calibrated_{q}"] = measures[COLUMNS["ece"]].floor
    return found


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write what `metrics calibration --group quadrant` reads, if there is anything."""
    if rows:
        with (folder / f"{TABLE}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def made(tables: Mapping[str, Sequence[Row]]) -> dict[str, Questions]:
    """The questions of each quadrant, of a job just done."""
    return _questions(tables.get(TABLE, []))


def kept(folder: Path) -> dict[str, Questions]:
    """The same, of one that was done before."""
    path = folder / f"{TABLE}.csv"
    return read_questions(path, "quadrant")[0] if path.exists() else {}


def of(questions: Mapping[str, Questions]) -> dict[str, Calibration]:
    """Calibration on each quadrant, with intervals over its rows."""
    from analysis.outputs.calibration import calibration

    return {q: calibration(asked.probabilities, asked.right) for q, asked in questions.items()}


def told(found: Mapping[str, Calibration], record: Row, folder: Path | None) -> str:
    """What a person reads of it, and how to go on."""
    if not found:
        measured = any(record.get(f"brier_{q}", 0.0) is not None for q in QUADRANTS)
        return LOST.format(f"{TABLE}.csv") if measured and folder else NONE
    lines = ["are its answers as often right as their probabilities say? 95 % intervals over rows"]
    lines.append(table([{"quadrant": q, **_shown(_named(each))} for q, each in found.items()]))
    lines += [f"{q}: {note}" for q, each in found.items() for note in infinite(each.measures)]
    # A policy that says one word at its base rate is calibrated, and has an ECE in every quadrant.
    lines.append(
        "in a quadrant one word is always right; calibrated policies too have an ECE in one by itself"
    )
    if folder:
        command = f"proclivity metrics calibration {folder / TABLE}.csv"
        lines.append(f"more of it: {command} --group quadrant; without --group, of all quadrants together")
    return "\n".join(lines)


def _questions(rows: Sequence[Row]) -> dict[str, Questions]:
    found: dict[str, Questions] = {}
    for row in rows:
        p = {name.removeprefix("p_"): value for name, value in row.items() if name.startswith("p_")}
        questions = found.setdefault(row["quadrant"], Questions())
        questions.probabilities.append(list(p.values()))
        questions.right.append(list(p).index(row["right"]))
    return found


def _named(found: Calibration) -> dict[str, Measured]:
    return {each.measure: each for each in found.measures}


def _shown(measures: Mapping[str, Measured]) -> dict[str, Any]:
    row: dict[str, Any] = {"n": measures["accuracy"].n}
    for name in COLUMNS.values():
        each = measures[name]
        short = name.split()[0]
        row[short] = "infinite" if each.value == math.inf else each.value
        row[f"{short} 95 %"] = None if each.low is None else f"{each.low:.3f}-{each.high:.3f}"
        if name == COLUMNS["ece"]:
            row["if calibrated"] = each.floor
    return row
