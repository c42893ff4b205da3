"""Whether a task keeps what every task promises, recomputed from the data that it hands out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
from numpy.random import Generator, default_rng

from tasks.errors import UserError
from tasks.evidence import QUADRANTS, SPURIOUS, TARGET, Evidence, EvidenceKind
from tasks.feature import Feature, Rows, Split
from tasks.task import Inputs, Task

Row = dict[str, Any]
Data = dict[str, list[Row]]
"""Every data set of a task by what it is: `mixture symmetric 0.25`, `quadrant both of train`, ..."""

_RATES = (0.0, 0.25, 0.5)
_CONFLICTS = ("target_only", "spurious_only")


def validate(task: Task, *, n: int = 8, seed: int = 0) -> list[str]:
    """The promises that a task breaks, one problem an entry, with an example row; empty when it keeps them all.

    `n` is the rows of each data set that is drawn. That a symbolic quadrant is the base distribution conditioned
    on the two predicates is a theorem about how it is drawn, and tested where the drawing is.
    """
    if n % 8:
        raise UserError(f"rows to validate on come in eights: {n} is not a multiple of 8")
    recorder = _Recorder(task.inputs)
    watched = replace(task, inputs=recorder)
    data, problems = _draw(_datasets(watched, n), seed)
    if problems:
        return problems
    again, _ = _draw(_redrawn(watched, n), seed)
    checks: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("predicates", lambda: _predicates(task, data, recorder)),
        ("evidence", lambda: _evidence(data, n)),
        ("splits", lambda: _splits(data)),
        ("equal seeds", lambda: _equal_seeds(data, again)),
        ("nested counter-examples", lambda: _nested(data)),
        ("counterfactuals", lambda: _counterfactuals(task, data["counterfactuals"], recorder)),
        ("answers", lambda: _answers(task, data, seed)),
        ("round trip", lambda: _round_trip(task, n, seed)),
    ]
    for name, check in checks:
        try:
            problems += check()
        except (
            Exception
        ) as e:  # a private task's own code may raise anything, and the other checks still tell
            problems.append(f"{name} could not be checked: {type(e).__name__}: {e}")
    return problems


class _Recorder:
    """Inputs that remember the row from which each text was written."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.rows: dict[str, Rows] = {}
        self.alike: list[str] = []

    def draw(
        self, wanted: Sequence[tuple[Feature, bool]], n: int, rng: Generator, split: Split | None = None
    ) -> Rows:
        return self.inputs.draw(wanted, n, rng, split)

    def text(self, rows: Rows) -> list[str]:
        texts = self.inputs.text(rows)
        for i, text in enumerate(texts):
            row = rows[i : i + 1]
            if not np.array_equal(self.rows.setdefault(text, row), row):
                self.alike.append(text)
        return texts

    def source(self, rows: Rows) -> list[str]:
        return self.inputs.source(rows)

    def edit(self, row: Rows, flip: Feature, hold: Feature, rng: Generator) -> tuple[Rows, Rows, int] | None:
        return self.inputs.edit(row, flip, hold, rng)

    def truth(self, feature: Feature, texts: Sequence[str]) -> list[int]:
        rows = np.concatenate([self.rows[text] for text in texts])
        return [int(value) for value in feature.holds(rows)]


def _redrawn(task: Task, n: int) -> dict[str, Callable[[Generator], Any]]:
    """What is drawn a second time: every method of a task once."""
    evidence = Evidence("symmetric", 0.25)
    return {
        "quadrant both of test": lambda rng: task.quadrant("both", n, rng),
        "probe_rows": lambda rng: task.probe_rows(n, rng),
        "counterfactuals": lambda rng: task.counterfactuals(n, rng),
        "demonstrations": lambda rng: task.demonstrations(evidence, n, rng),
        "preferences": lambda rng: task.preferences(evidence, n, rng),
    }


def _datasets(task: Task, n: int) -> dict[str, Callable[[Generator], Any]]:
    out = {
        f"quadrant {q} of {split}": lambda rng, q=q, split=split: task.quadrant(q, n, rng, split)
        for q in QUADRANTS
        for split in get_args(Split)
    }
    out |= {
        f"mixture {kind} {rate}": lambda rng, kind=kind, rate=rate: task.mixture(Evidence(kind, rate), n, rng)
        for kind in get_args(EvidenceKind)
        for rate in (_RATES if kind == "symmetric" else _RATES[1:])
    }
    return out | _redrawn(task, n)


def _draw(datasets: dict[str, Callable[[Generator], Any]], seed: int) -> tuple[Data, list[str]]:
    """All of them from equal generators, so that a split or a rate that is ignored shows. Stops at the first error."""
    data: Data = {}
    for name, dataset in datasets.items():
        try:
            data[name] = dataset(default_rng(seed)).to_list()
        except Exception as e:  # whatever a private task raises is a problem to tell
            told = str(e) if isinstance(e, UserError) else f"{type(e).__name__}: {e}"
            return data, [f"{name} cannot be drawn: {told}"]
    return data, []


def _predicates(task: Task, data: Data, recorder: _Recorder) -> Iterator[str]:
    for text in recorder.alike[:1]:
        yield f"two different rows read alike: {text!r}"
    for name, rows in data.items():
        if not rows:
            continue
        kind, quadrant, *_ = [*name.split(), ""]
        texts = [row["prompt"] for row in rows]
        for role, feature, table in (
            ("target", task.target, TARGET),
            ("spurious", task.spurious, SPURIOUS),
        ):
            for row, truth in zip(rows, recorder.truth(feature, texts), strict=True):
                if row[role] != truth:
                    yield f"{name}: {role} feature {feature.name} is {truth}, not {row[role]}, on {row['prompt']!r}"
                    break
                if row[role] != table[row["quadrant"]]:
                    yield f"{name}: a row of {row['quadrant']} says {role} = {row[role]}: {row['prompt']!r}"
                    break
        for row in rows:
            if row["label"] != row["target"]:
                yield f"{name}: label {row['label']} is not the target feature's on {row['prompt']!r}"
                break
            if kind == "quadrant" and row["quadrant"] != quadrant:
                yield f"{name}: holds a row of {row['quadrant']}: {row['prompt']!r}"
                break


def _evidence(data: Data, n: int) -> Iterator[str]:
    for name, rows in data.items():
        if name != "counterfactuals" and len(rows) != n:
            yield f"{name}: {len(rows)} rows where {n} were asked for"
        found = Counter(row["quadrant"] for row in rows)
        kind, *rest = name.split()
        if kind == "probe_rows" and set(found.values()) != {n // 4}:
            yield f"{name}: not a quarter of each quadrant but {dict(found)}"
        if kind != "mixture":
            continue
        evidence = Evidence(rest[0], float(rest[1]))  # type: ignore[arg-type]
        if found != Counter(evidence.counts(n)):
            yield f"{name}: {dict(found)} where {evidence.counts(n)} was asked for"
        prior = sum(row["label"] for row in rows) / len(rows)
        stated = 0.5 if evidence.kind != "one_sided" else evidence.label_prior(n)
        if prior != stated:
            yield f"{name}: the label prior is {prior}, not {stated}"


def _split(name: str) -> str:
    if name.startswith("quadrant"):
        return name.split()[-1]
    return {"probe_rows": "validation", "counterfactuals": "test"}.get(name, "train")


def _splits(data: Data) -> Iterator[str]:
    for column in ("prompt", "source"):
        where: dict[str, str] = {}
        for name, rows in data.items():
            split = _split(name)
            shared = [row for row in rows if where.setdefault(row[column], split) != split]
            if shared:
                yield f"{name}: its {column} {shared[0][column]!r} is in {where[shared[0][column]]} and in {split}"
                break
    for name, rows in data.items():
        if name.startswith("mixture"):
            quadrant: dict[str, str] = {}
            for row in rows:
                if quadrant.setdefault(row["source"], row["quadrant"]) != row["quadrant"]:
                    yield f"{name}: two quadrants of one source: {row['prompt']!r}"
                    break


def _equal_seeds(data: Data, again: Data) -> Iterator[str]:
    for name, second in again.items():
        first = data[name]
        if len(first) != len(second):
            yield f"{name}: equal seeds give {len(first)} and {len(second)} rows"
        for one, other in zip(first, second, strict=False):
            if one != other:
                yield f"{name}: equal seeds give {one} and {other}"
                break


def _nested(data: Data) -> Iterator[str]:
    for kind in get_args(EvidenceKind):
        fewer, more = (
            Counter(row["prompt"] for row in data[f"mixture {kind} {rate}"] if row["quadrant"] in _CONFLICTS)
            for rate in _RATES[1:]
        )
        for prompt in fewer - more:
            yield f"{kind} evidence: counter-example at rate {_RATES[1]}, none at {_RATES[2]}: {prompt!r}"
            break


def _counterfactuals(task: Task, rows: list[Row], recorder: _Recorder) -> Iterator[str]:
    told: set[str] = set()
    for row in rows:
        for problem in _edit_problems(task, row, recorder):
            if problem not in told:
                told.add(problem)
                yield f"counterfactuals: {problem}: {row['prompt']!r} -> {row['edited']!r}, {row['placebo']!r}"


def _edit_problems(task: Task, row: Row, recorder: _Recorder) -> Iterator[str]:
    texts = [row["prompt"], row["edited"], row["placebo"]]
    for role, feature in (("target", task.target), ("spurious", task.spurious)):
        original, edited, placebo = recorder.truth(feature, texts)
        if role == row["flips"] and edited == original:
            yield f"an edit said to flip the {role} feature does not"
        if role != row["flips"] and edited != original:
            yield f"an edit that should hold the {role} feature flips it"
        if placebo != original:
            yield f"a placebo flips the {role} feature"
    sizes = [changed_words(texts[0], text) for text in texts[1:]]
    if sizes != [row["size"]] * 2:
        yield f"{sizes[0]} words of the edit and {sizes[1]} of the placebo are changed, not {row['size']}"


def changed_words(before: str, after: str) -> int:
    """Words replaced, put in or taken out."""
    old, new = before.split(), after.split()
    if len(old) == len(new):
        return sum(a != b for a, b in zip(old, new, strict=True))
    edits = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in edits if tag != "equal")


def _answers(task: Task, data: Data, seed: int) -> Iterator[str]:
    if not 0 <= task.chance < task.optimum:
        yield f"answers: the chance level {task.chance} is not between 0 and the optimum {task.optimum}"
    words = task.answers.words
    for label in (0, 1):
        says = [task.answers.say(label, default_rng([seed, i])) for i in range(4)]
        if words and set(says) != {words[label]}:
            yield f"answers: label {label} is said {says[0]!r}, and its word is {words[label]!r}"
        for said in says:
            if task.answers.read(said) != label:
                yield f"answers: {said!r}, said for label {label}, is read as {task.answers.read(said)}"
                break
        yield from _rewards(task, "answers", [{"prompt": "", "label": label, "chosen": s} for s in says])
        wrong = [{"prompt": "", "label": 1 - label, "rejected": s} for s in says]
        yield from _rewards(task, "answers", wrong)
    yield from _rewards(task, "demonstrations", data["demonstrations"])
    yield from _rewards(task, "preferences", data["preferences"])


def _rewards(task: Task, name: str, rows: list[Row]) -> Iterator[str]:
    """The right completions of `rows` reach the optimum and the wrong ones do not, called as TRL calls a reward."""
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    prompts = columns.pop("prompt")
    for key in ("completion", "chosen", "rejected"):
        if key not in columns:
            continue
        scores = task.reward(prompts=prompts, completions=columns[key], **columns)
        for said, label, score in zip(columns[key], columns["label"], scores, strict=True):
            reached = abs(score - task.optimum) < 1e-9
            if reached == (key == "rejected") or not 0 <= score <= task.optimum + 1e-9:
                yield f"{name}: {said!r} ({key}) is rewarded {score} for label {label}; optimum {task.optimum}"
                break


def _round_trip(task: Task, n: int, seed: int) -> Iterator[str]:
    from datasets import Dataset
    from pyarrow import parquet

    written = task.preferences(Evidence("symmetric", 0.25), n, default_rng(seed))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        parquet.write_table(written.data.table, path)
        read = Dataset(parquet.read_table(path))
    if read.features != written.features:
        yield f"columns change on the way through parquet: {written.features} -> {read.features}"
    for one, other in zip(written.to_list(), read.to_list(), strict=True):
        if one != other:
            yield f"a row changes on the way through parquet: {one} -> {other}"
            break
