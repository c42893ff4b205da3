"""What every task promises of its data: each promise a function that yields how it is broken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any, get_args

from numpy.random import default_rng

from tasks.evidence import SPURIOUS, TARGET, Evidence, EvidenceKind, cell_name, quadrant_of
from tasks.feature import Feature
from tasks.task import Task

Row = dict[str, Any]
Data = dict[str, list[Row]]
"""Data sets by what they are: `quadrant both test`, `mixture symmetric 0.25 train`, `probe_rows`, ..."""
Truth = Callable[[Feature, Sequence[str]], list[int]]
"""A feature's truth on the rows from which prompts were written, recomputed."""

RATES = (0.0, 0.25, 0.5)
NOISE = 0.25
"""Label noise of the data sets whose names begin with `noisy`."""
_CONFLICTS = ("target_only", "spurious_only")
_STATED = {"target": TARGET, "spurious": SPURIOUS}
"""What a quadrant says of a feature, by its role."""


def predicates(task: Task, data: Data, truth: Truth) -> Iterator[str]:
    """Every predicate has exactly the stated value on every row; without noise the label is the target's."""
    for name, rows in data.items():
        prompts = [row["prompt"] for row in rows]
        for role, feature in task.roles.items():
            for row, holds in zip(rows, truth(feature, prompts) if rows else [], strict=True):
                stated = _STATED[role][row["quadrant"]] if role in _STATED else row[role]
                if not row[role] == stated == holds:
                    yield (
                        f"{name}: {role} feature {feature.name} is {holds} on {row['prompt']!r}, "
                        f"which stands in {row['quadrant']} with {role} = {row[role]}"
                    )
                    break
        for row in rows:
            if row["label"] != row["target"] and not name.startswith("noisy"):
                yield f"{name}: label {row['label']} is not the target feature's on {row['prompt']!r}"
                break


def counts(task: Task, data: Data, n: int) -> Iterator[str]:
    """As many rows of each cell as were asked for; a label prior of 0.5 at every level of evidence.

    Under label noise, as many labels as were asked for are not the target's.
    """
    for name, rows in data.items():
        kind, *rest = name.split()
        cell_of = [_cell(task, row) if kind != "quadrant" else row["quadrant"] for row in rows]
        found = Counter(cell_of)
        asked = _asked(task, Evidence("symmetric", 0.5), n)
        stated = 0.5
        if kind == "counterfactuals":
            continue
        if kind in ("quadrant", "cell"):
            asked, stated = {" ".join(rest[:-1]): n}, TARGET[rest[0]]
        elif kind != "probe_rows":
            evidence = evidence_on(task, rest[0], float(rest[1]))  # type: ignore[arg-type]
            asked = _asked(task, evidence, n)
            if evidence.kind == "one_sided":
                stated = (1 - evidence.rate) / 2
        if kind == "noisy":
            noisy = replace(evidence, noise=NOISE)
            wrong = [row["label"] != row["target"] for row in rows]
            flipped = Counter(cell for cell, flip in zip(cell_of, wrong, strict=True) if flip)
            if flipped != Counter({q: noisy.flipped(k) for q, k in found.items()}):
                yield f"{name}: labels are flipped in {dict(flipped)}, not {NOISE} of {dict(found)}"
        if found != Counter(asked):
            yield f"{name}: holds {dict(found)} where {asked} was asked for, as {rows[:1]}"
        prior = sum(row["label"] for row in rows) / max(len(rows), 1)
        if prior != stated:
            yield f"{name}: the label prior is {prior}, not {stated}"


def evidence_on(task: Task, kind: EvidenceKind, rate: float) -> Evidence:
    """A data set's evidence. Further spurious features disagree alike at every rate, so that rates nest."""
    return Evidence(kind, rate, others=(RATES[1],) * len(task.others))


def _asked(task: Task, evidence: Evidence, n: int) -> dict[str, int]:
    cells = evidence.cells(n, len(task.others))
    return {cell_name(quadrant_of(cell), cell[2:]): k for cell, k in cells.items()}


def _cell(task: Task, row: Row) -> str:
    return cell_name(row["quadrant"], [row[role] for role in task.roles if role not in _STATED])


def splits(data: Data) -> Iterator[str]:
    """Splits share no row and no source, and a training mixture takes one quadrant of a source at most."""
    for column in ("prompt", "source"):
        home: dict[str, str] = {}
        for name, rows in data.items():
            for row in rows:
                split = {"probe_rows": "validation", "counterfactuals": "test"}.get(name, name.split()[-1])
                if home.setdefault(row[column], split) != split:
                    yield f"{name}: {column} {row[column]!r} is in {home[row[column]]} and in {split}"
                    break
    for name, rows in data.items():
        if name.startswith("mixture"):
            quadrant: dict[str, str] = {}
            for row in rows:
                if quadrant.setdefault(row["source"], row["quadrant"]) != row["quadrant"]:
                    yield f"{name}: one source in two quadrants, {row['quadrant']} of them: {row['prompt']!r}"
                    break


def equal_seeds(data: Data, again: Data) -> Iterator[str]:
    """Equal seeds give identical data."""
    for name, second in again.items():
        first = data[name]
        if len(first) != len(second):
            yield f"{name}: equal seeds give {len(first)} and {len(second)} rows"
        for one, other in zip(first, second, strict=False):
            if one != other:
                yield f"{name}: equal seeds give {one} and {other}"
                break


def nested(data: Data, kinds: Sequence[str] = get_args(EvidenceKind)) -> Iterator[str]:
    """The counter-examples at a lower rate are a subset of those at a higher one."""
    for kind in kinds:
        fewer, more = (
            Counter(r["prompt"] for r in data[f"mixture {kind} {rate} train"] if r["quadrant"] in _CONFLICTS)
            for rate in RATES[1:]
        )
        for prompt in fewer - more:
            yield f"mixture {kind}: counter-example at rate {RATES[1]} but not at {RATES[2]}: {prompt!r}"
            break


def nested_n(data: Data, kinds: Sequence[str] = get_args(EvidenceKind)) -> int:
    """Counter-examples at the lower rate, which are looked for among those at the higher one."""
    lower = [row for kind in kinds for row in data[f"mixture {kind} {RATES[1]} train"]]
    return sum(row["quadrant"] in _CONFLICTS for row in lower)


def counterfactuals(task: Task, rows: list[Row], truth: Truth) -> Iterator[str]:
    """An edit flips the one feature and holds the other; its placebo holds both and is of the same size."""
    told: set[str] = set()
    for row in rows:
        for problem in _edit_problems(task, row, truth):
            if problem not in told:
                told.add(problem)
                texts = f"{row['prompt']!r} -> {row['edited']!r}, placebo {row['placebo']!r}"
                yield f"counterfactuals: {problem}: {texts}"


def _edit_problems(task: Task, row: Row, truth: Truth) -> Iterator[str]:
    texts = [row["prompt"], row["edited"], row["placebo"]]
    for role, feature in task.roles.items():
        original, edited, placebo = truth(feature, texts)
        if (edited != original) != (role == row["flips"]):
            yield f"an edit of the {row['flips']} feature {'holds' if edited == original else 'flips'} {role}"
        if placebo != original:
            yield f"a placebo flips the {role} feature"
    sizes = [changed_words(texts[0], text) for text in texts[1:]]
    if sizes != [row["size"]] * 2:
        yield f"an edit of {sizes[0]} words and a placebo of {sizes[1]} are said to be of size {row['size']}"


def changed_words(before: str, after: str) -> int:
    """Words replaced, put in or taken out."""
    old, new = before.split(), after.split()
    if len(old) == len(new):
        return sum(a != b for a, b in zip(old, new, strict=True))
    edits = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in edits if tag != "equal")


def answers(task: Task, data: Data, seed: int) -> Iterator[str]:
    """What is said for a label reads as that label and, unlike what is said for the other, is optimal."""
    if not 0 <= task.chance < task.optimum:
        yield f"answers: the chance level {task.chance} is not between 0 and the optimum {task.optimum}"
    for label in (0, 1):
        says = [task.answers.say(label, default_rng([seed, i])) for i in range(4)]
        if task.answers.words and set(says) != {task.answers.words[label]}:
            yield f"answers: the word of label {label} is {task.answers.words[label]!r}, not {says[0]!r}"
        for said in says:
            if task.answers.read(said) != label:
                yield f"answers: {said!r}, said for label {label}, reads as {task.answers.read(said)}"
                break
        yield from _rewards(task, "answers", [{"prompt": "", "label": label, "chosen": s} for s in says])
        wrong = [{"prompt": "", "label": 1 - label, "rejected": s} for s in says]
        yield from _rewards(task, "answers", wrong)
    for name, rows in data.items():
        if name.startswith(("demonstrations", "preferences")):
            yield from _rewards(task, name, rows)


def _rewards(task: Task, name: str, rows: list[Row]) -> Iterator[str]:
    """Calls the reward as TRL does. What is rejected may be optimal in a tie, and there it must be."""
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    prompts = columns.pop("prompt")
    ties = columns.get("tie", [0] * len(rows))
    for key in {"completion", "chosen", "rejected"} & set(columns):
        scores = task.reward(prompts=prompts, completions=columns[key], **columns)
        for said, label, tie, score in zip(columns[key], columns["label"], ties, scores, strict=True):
            reached = abs(score - task.optimum) < 1e-9
            if reached == (key == "rejected" and not tie) or not 0 <= score <= task.optimum + 1e-9:
                yield f"{name}: {key} {said!r} for label {label} gets {score}; the optimum is {task.optimum}"
                break
