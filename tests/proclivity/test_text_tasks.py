"""Text-out tasks through the real command line: shown, checked, written to files, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.problems import list_text_out, text_out

Call = Callable[..., tuple[int, str, str]]
NAMES = pytest.mark.parametrize("name", list_text_out())


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@NAMES
def test_show_has_agreeing_and_conflicting_rows_of_every_distribution(call: Call, name: str) -> None:
    shown = json.loads(call("tasks", "show", name, "--rows", "2", "--json")[1])
    _, text, _ = call("tasks", "show", name, "--rows", "2")
    kinds = [(row["shift"], row["conflict"]) for row in shown["rows"]]
    shifts = ["in", *(shift.name for shift in text_out(name).shifts)]
    assert kinds == [(shift, conflict) for shift in shifts for conflict in (0, 0, 1, 1)]
    for row in shown["rows"]:
        assert (row["completion"] == row["spurious"]) != row["conflict"]
        assert f"    prompt     {row['prompt']}\n    reference  {row['completion']}\n" in f"{text}\n"
    assert text.count("    spurious   ") == 2 * len(shifts)


def test_show_has_the_demonstrations_of_other_problems(call: Call) -> None:
    shown = json.loads(call("tasks", "show", "lengths/min-length", "--rows", "3", "--json")[1])
    assert len(shown["rows"]) == 3 and {*shown["rows"][0]} == {"shift", "prompt", "completion"}


@NAMES
def test_an_export_can_be_read_as_it_is_meant(call: Call, tmp_path: Path, name: str) -> None:
    out, problem = tmp_path / "rows", text_out(name)
    paths = json.loads(
        call("tasks", "export", name, "--out", str(out), "--n", "40", "--evidence", "0.1", "--json")[1]
    )
    assert {Path(path) for path in paths.values()} == {*out.iterdir()}
    assert len(paths) == 2 * 3 + len(problem.shifts) + 1
    prompts = {}
    for split, conflicts in (("train", 4), ("validation", 4), ("test", 20)):
        rows, pairs = (lines(out / f"{kind}-{split}.jsonl") for kind in ("demonstrations", "preferences"))
        assert len(rows) == len(pairs) == 40 and sum(row["conflict"] for row in rows) == conflicts  # type: ignore[misc]
        asked = [str(pair["prompt"]) for pair in pairs]
        better, worse = (
            problem.reward(asked, [pair[side] for pair in pairs]) for side in ("chosen", "rejected")
        )
        assert all(a > b for a, b in zip(better, worse, strict=True))
        prompts[split] = {*asked, *(str(row["prompt"]) for row in rows)}
    assert not prompts["train"] & (prompts["validation"] | prompts["test"])
    for shift in problem.shifts:
        assert sum(row["conflict"] for row in lines(out / f"shift-{shift.name}.jsonl")) == 20  # type: ignore[misc]
    assert json.loads((out / "task.json").read_text())["shifts"].keys() == {s.name for s in problem.shifts}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("export lengths/min-length --out OUT", "lengths/min-length has no reference answers and no shifts"),
        ("validate lengths/min-length", "lengths/min-length has no reference answers and no shifts"),
        ("export generation/instruct --out OUT --evidence 2", "evidence must be within 0 and 1, not 2.0"),
        ("export symbolic/first-last-vs-contains-2 --out OUT --evidence 0.1", "it is for text-out tasks"),
        ("show generation/summarize", "generation/summarise"),
        ("validate generation/summarise --learnability", "generation/summarise has no features"),
    ],
)
def test_what_cannot_be_is_one_line(call: Call, tmp_path: Path, line: str, says: str) -> None:
    status, out, err = call("tasks", *line.replace("OUT", str(tmp_path / "out")).split())
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
