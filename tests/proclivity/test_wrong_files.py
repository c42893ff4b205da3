"""Files of 4,000 rows with one thing wrong: every command says which rows and why, and takes in none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., tuple[int, str, str]]
SECTIONS = {
    "both": ("not now", 1),
    "neither": ("so then", 0),
    "strong": ("not then", 1),
    "weak": ("so now", 0),
}
LINES = [
    "sentence\tsection\tlabel",
    *(f"{text} came the {i}\t{q}\t{y}" for i in range(1000) for q, (text, y) in SECTIONS.items()),
]


def changed(*changes: tuple[int, Callable[[str], str]]) -> bytes:
    """The file with the lines of these numbers changed; the header is line 1."""
    lines = list(LINES)
    for number, change in changes:
        lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines).encode()


def field(i: int, value: str) -> Callable[[str], str]:
    def change(line: str) -> str:
        fields = line.split("\t")
        return "\t".join([*fields[:i], value, *fields[i + 1 :]])

    return change


WRONG = {
    "a missing column": (
        "\n".join(line.rpartition("\t")[0] for line in LINES).encode(),
        "no column label in line 1, the header; it has sentence, section",
    ),
    "a field short": (
        changed((77, lambda line: line.rpartition("\t")[0])),
        "1 row cannot be used: 1 wrong number of fields (line 77 has 2, not 3)",
    ),
    "unknown sections": (
        changed((8, field(1, "stong")), (4000, field(1, "7"))),
        "2 rows cannot be used: 2 unknown section (lines 8 'stong', did you mean 'strong'?, 4000 '7')",
    ),
    "empty sentences": (
        changed((10, field(0, "")), (3999, field(0, "  "))),
        "2 rows cannot be used: 2 empty sentence (lines 10, 3999)",
    ),
    "labels in words": (
        changed((2, field(2, "yes"))),
        "1 row cannot be used: 1 label that is not 0 or 1 (line 2 'yes')",
    ),
    "labels that disagree with the section": (
        changed((2, field(2, "0"))),
        "1 row cannot be used: 1 label that disagrees with its section (line 2 both with label 0)",
    ),
    "a sentence with two labels": (
        changed((3, field(0, "not now came the 0"))),
        "1 row cannot be used: 1 sentence with two labels (line 3 says 0, line 2 says 1)",
    ),
    "bytes that are not UTF-8": (
        changed((51, field(0, "caf?"))).replace(b"caf?", b"caf\xe9"),
        "1 row cannot be used: 1 not UTF-8 (line 51 byte 4)",
    ),
    "old line ends": (
        "\r".join(LINES).encode(),
        "lines end in a carriage return alone; save it with Unix or Windows line ends",
    ),
    "everything at once": (
        changed((2, field(2, "0")), (3, field(0, "")), (4, field(1, "x"))) + b"\n\xff\tboth\t1",
        "4 rows cannot be used: 1 label that disagrees with its section (line 2 both with label 0), 1 empty "
        "sentence (line 3), 1 unknown section (line 4 'x'), 1 not UTF-8 (line 4002 byte 1)",
    ),
}
COMMANDS = {
    "validate": ("tasks", "validate", "{task}"),
    "show": ("tasks", "show", "{task}"),
    "use": ("use", "--model", "embedded/symbols", "--task", "{task}"),
    "probe": ("probe", "--model", "embedded/symbols", "--task", "{task}", "--out", "{out}"),
    "finetune": (
        "finetune",
        *("--model", "embedded/symbols", "--method", "sft"),
        "--task",
        "{task}",
        "--out",
        "{out}",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_is_told_in_one_line_and_nothing_is_taken_in(
    wrong: str, command: str, call: Call, tmp_path: Path
) -> None:
    content, told = WRONG[wrong]
    path = tmp_path / "rows.tsv"
    path.write_bytes(content)
    places = {"task": f"tsv:{path}", "out": str(tmp_path / "out")}
    status, out, err = call(*(word.format(**places) for word in COMMANDS[command]))
    assert (status, out) == (2, "")
    assert err == f"proclivity: error: {path}: {told}\n"
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == content


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_same_rows_with_unix_and_windows_line_ends_are_good(end: str, call: Call, tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes(end.join(LINES).encode())
    status, out, _ = call("tasks", "validate", f"tsv:{path}", "--json")
    (found,) = json.loads(out).values()
    assert (status, found["problems"]) == (0, [])
    rows = json.loads(call("tasks", "show", f"tsv:{path}", "--rows", "1000", "--json")[1])["rows"]
    assert {row["prompt"] for row in rows} == {f"{line.partition(chr(9))[0]} ?" for line in LINES[1:]}
