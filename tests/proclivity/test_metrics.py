"""The metrics commands on files that another framework wrote, good and bad."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.analysis.test_meteor import both_ways
from tests.proclivity.conftest import ROOT

Call = Callable[..., tuple[int, str, str]]
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write rows as JSON lines, or a text as it is."""

    def write(content: str | bytes | list[dict[str, Any]], name: str = "given.jsonl") -> str:
        path = tmp_path / name
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def asked(call: Call, *arguments: str) -> Any:
    status, out, err = call("metrics", *arguments, "--json")
    assert status == 0, err
    return json.loads(out)


def measures(group: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["measure"], row["scope"]): row for row in group["measures"]}


OUTPUTS = [
    {"input": "q1", "output": "the cat sat"},
    {"input": "q1", "output": "a dog ran far"},
    {"input": 2, "output": "the cat sat"},
    {"input": 2, "output": ""},
    {"input": 2, "output": "word"},
    {"input": 3, "output": "one cat sat there"},
]


def test_diversity_of_rows_and_of_lists_is_the_same(real_call: Call, write: Write) -> None:
    lists: dict[Any, list[str]] = {}
    for row in OUTPUTS:
        lists.setdefault(row["input"], []).append(row["output"])
    of_rows = asked(real_call, "diversity", write(OUTPUTS))
    of_lists = asked(
        real_call, "diversity", write([{"input": i, "outputs": texts} for i, texts in lists.items()])
    )
    assert of_rows == of_lists
    (group,) = of_rows["groups"].values()
    unique = measures(group)["unique share", "per input"]
    # The third input has one output and is left out; an empty output is an output.
    assert (unique["value"], unique["n"], unique["left_out"]) == (1, 2, 1)
    distinct = measures(group)["distinct-n", "per input"]
    assert (distinct["outputs"], distinct["left_out"]) == (4, 2)
    assert group["notes"] == ["inputs have 1 to 3 outputs; each input counts alike"]


def test_one_table_a_method_with_one_vocabulary(real_call: Call, write: Write, tmp_path: Path) -> None:
    rows = [
        {"method": m, "input": i, "output": f"{m} {w} w{i}"} for m in "ab" for i in range(4) for w in "xy"
    ]
    asked_for = ("diversity", write(rows), "--out", str(tmp_path / "out"))
    status, out, err = real_call("metrics", *asked_for)
    assert status == 0 and err == "" and out.startswith("a\n\nmeasure ") and "\nb\n\nmeasure " in out
    found = asked(real_call, *asked_for, "--encoder", "hashed-ngrams")
    assert {*found["groups"]} == {"a", "b"} and "cosine" in str(found)
    assert {Path(f).name for f in found["files"]} == {
        f"diversity.{e}" for e in ("png", "pdf", "csv", "md", "tex")
    }
    with (tmp_path / "out/tables/diversity.csv").open() as f:
        written = list(csv.DictReader(f))
    values = {(r["method"], r["measure"], r["scope"]): float(r["value"]) for r in written if r["value"]}
    for name, group in found["groups"].items():
        for (measure, scope), row in measures(group).items():
            if row["value"] is not None:
                assert values[name, measure, scope] == pytest.approx(row["value"], rel=1e-5)
    # The two say the same in other words: their words are of one vocabulary, so their numbers are equal.
    a, b = (measures(found["groups"][name])["ead", "per input"] for name in "ab")
    assert a["value"] == b["value"]
    own = measures(asked(real_call, "diversity", write(rows[:8]))["groups"]["a"])["ead", "per input"]
    assert own["value"] != a["value"]
    by_input = asked(real_call, "diversity", write(rows), "--group", "input")
    assert {*by_input["groups"]} == {"0", "1", "2", "3"}


def test_hacking_of_the_last_step_and_the_whole_curve(real_call: Call, write: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        {"input": i, "step": step, "kl": step / 4, "seed": seed, "output": f"so {step} it is {i}"}
        | {"gold": gold + rng.normal(0, 0.01), "proxy": step + rng.normal(0, 0.01)}
        for seed in range(3)
        for step, gold in ((0, 0.0), (1, 1.0), (2, -1.0))
        for i in range(4)
    ]
    found = asked(real_call, "hacking", write(rows), "--out", str(tmp_path / "out"))
    (group,) = found["groups"].values()
    curve = group["over_optimisation"]
    assert curve["status"] == "over-optimised" and curve["points"][curve["peak"]]["step"] == 1
    assert (curve["units"], curve["n_units"]) == ("seed", 3)
    last = [f"so 2 it is {i}" for i in range(4)]
    meteor = measures(group)["METEOR (exact + stem)", "across inputs"]
    expected = np.mean([both_ways(last[i], last[j]) for i in range(4) for j in range(i)])
    assert meteor["value"] == pytest.approx(expected) and meteor["outputs"] == 12
    assert group["notes"] == ["outputs are those of step 2, the last one"]
    names = {Path(f).name for f in found["files"]}
    assert {"hacking.png", "hacking.csv", "over_optimisation.pdf", "over_optimisation.csv"} <= names

    published = asked(real_call, "hacking", write(rows), "--compat", "superhf2023")
    (group,) = published["groups"].values()
    assert measures(group)["METEOR (exact + stem)", "across inputs"] == meteor
    assert measures(group)["METEOR (exact + stem, superhf2023)", "across inputs"]["outputs"] == 4


CSV = "p_A,p_B,p_C,right\n0.7,0.2,0.1,A\n0.2,0.5,0.3,3\n0.4,0.6,,2\n"


def test_calibration_of_choices_by_hand(real_call: Call, write: Write, tmp_path: Path) -> None:
    found = asked(
        real_call, "calibration", write(CSV, "p.csv"), "--compat", "superhf2023", "--out", str(tmp_path / "o")
    )
    (group,) = found["groups"].values()
    values = {row["measure"]: row["value"] for row in group["measures"]}
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["NLL"] == pytest.approx(-np.log([0.7, 0.3, 0.6]).mean())
    assert values["Brier"] == pytest.approx(np.mean([0.09 + 0.04 + 0.01, 0.04 + 0.25 + 0.49, 0.16 + 0.16]))
    assert "MSE (superhf2023)" in values and len(group["reliability"]) == 20
    assert sum(b["n"] for b in group["reliability"] if b["of"] == "all classes") == 8
    assert {Path(f).name for f in found["files"]} >= {"reliability.png", "reliability.csv", "calibration.csv"}

    numbered = "p1,p2,p3,right\n.7,.2,.1,1\n.2,.5,.3,3\n.4,.6,,2\n"
    same = asked(real_call, "calibration", write(numbered, "q.csv"), "--compat", "superhf2023")
    assert same["groups"] == found["groups"]


def test_calibration_of_confidence_by_method(real_call: Call, write: Write) -> None:
    text = "\ufeffmethod,confidence,correct\r\nsft,0.8,1\r\nsft,0.6,0\r\n\r\nppo,1,0\r\nppo,1,1\r\n"
    path = write(text, "c.csv")
    found = asked(real_call, "calibration", path, "--bins", "1")["groups"]
    sft = {row["measure"]: row["value"] for row in found["sft"]["measures"]}
    assert sft["ECE (top label)"] == pytest.approx(0.2) and sft["accuracy"] == 0.5
    said = "NLL (correct or not) is infinite: the right answer has probability 0 in 1 of 2 questions"
    assert found["ppo"]["notes"] == [said]
    status, out, _ = real_call("metrics", "calibration", path)
    assert status == 0 and said in out and " inf " in out


def test_a_column_that_nothing_reads_is_told(real_call: Call, write: Write) -> None:
    _, _, err = real_call("metrics", "diversity", write([{**row, "lenght": 3} for row in OUTPUTS]))
    assert err.startswith("proclivity: note: ") and err.endswith(": not read: lenght\n")


GOOD = json.dumps(OUTPUTS[0])
WRONG: dict[str, tuple[str, str | bytes, str]] = {
    "empty file": ("diversity", " \n", "the file is empty"),
    "bad JSON": ("diversity", GOOD + "\n{'input': 1}\n", "line 2: not JSON: Expecting property name"),
    "no object": ("diversity", GOOD + "\n[1]\n", "line 2: a JSON object is needed, not [1]"),
    "not UTF-8": ("hacking", GOOD.encode() + b"\n\xff", "line 2: not UTF-8, byte 1"),
    "half a letter": ("hacking", '{"input": 1, "output": "a\\ud800"}', "line 1: half of a surrogate pair"),
    "no input": ("diversity", '{"inputs": 1, "output": "a"}', "line 1: no column 'input'; is it 'inputs'?"),
    "no output": (
        "hacking",
        '{"input": 1, "text": "a"}',
        "line 1: no column 'output'; there are input, text",
    ),
    "output no string": ("hacking", '{"input": 1, "output": 7}', "line 1: output is a string, not 7"),
    "outputs no list": ("hacking", '{"input": 1, "outputs": "a"}', "line 1: outputs is a list of strings"),
    "no outputs": ("hacking", '{"input": 1, "outputs": []}', "line 1: outputs is empty"),
    "both": ("hacking", '{"input": 1, "output": "a", "outputs": ["a"]}', "line 1: output and outputs"),
    "gold in words": ("hacking", '{"input": 1, "output": "a", "gold": "hi"}', 'line 1: gold is "hi", not a'),
    "gold NaN": ("hacking", '{"input": 1, "output": "a", "gold": NaN}', "line 1: gold is NaN, not a finite"),
    "gold yes": ("hacking", '{"input": 1, "output": "a", "gold": true}', "line 1: gold is true, not a"),
    "gold at times": (
        "hacking",
        '{"input": 1, "output": "a", "gold": 1}\n{"input": 1, "output": "b"}',
        "line 2: no column 'gold'; there are input, output",
    ),
    "gold for fewer": (
        "hacking",
        '{"input": 1, "outputs": ["a", "b"], "gold": [1]}',
        "line 1: gold has 1 numbers for 2 outputs",
    ),
    "empty CSV": ("calibration", "", "the file is empty"),
    "no rows": ("calibration", "confidence,correct\n", "a header and no row below it"),
    "no right": ("calibration", "p1,p2,wright\n.5,.5,1\n", "line 1: no column 'right'; is it 'wright'?"),
    "neither form": (
        "calibration",
        "confidense,correct\n1,1\n",
        "no column 'confidence'; is it 'confidense'?",
    ),
    "no number": ("calibration", "confidence,correct\n.5,1\nhigh,1\n", 'line 3: confidence is "high", not a'),
    "above 1": (
        "calibration",
        "confidence,correct\n1.5,1\n",
        "line 2: confidence is 1.5, not a number from 0",
    ),
    "half correct": (
        "calibration",
        "confidence,correct\n.5,.5\n",
        "line 2: correct is 0.5; 0 and 1 are right",
    ),
    "choice above 1": (
        "calibration",
        "p1,p2,right\n1.5,-.5,1\n",
        "line 2: probability 1 is 1.5, not a number",
    ),
    "sum": (
        "calibration",
        "p1,p2,right\n.5,.5,1\n.5,.4,1\n",
        "line 3: the probabilities sum to 0.9, not to 1",
    ),
    "no such choice": ("calibration", "p_yes,p_no,right\n.5,.5,yess\n", "did you mean 'yes'?"),
    "number too large": ("calibration", "p1,p2,right\n.5,.5,3\n", "line 2: right is '3', which is no choice"),
    "right one absent": (
        "calibration",
        "p1,p2,p3,right\n.5,.5,,3\n",
        "the right choice, 3, has no probability",
    ),
    "short line": ("calibration", "p1,p2,right\n.5,.5\n", "line 2: 2 fields, the header has 3"),
    "twice": ("calibration", "p1,p1,right\n.5,.5,1\n", "line 1: 2 columns are named 'p1'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_line_with_its_place(real_call: Call, write: Write, name: str) -> None:
    command, content, says = WRONG[name]
    path = write(content)
    status, out, err = real_call("metrics", command, path)
    assert (status, out) == (2, "") and says in err
    assert err.startswith(f"proclivity: error: {path}: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["diversity", "FILE", "--group", "inputt"], "--group: no column 'inputt'; is it 'input'?"),
        (["diversity", "nothing.jsonl"], "nothing.jsonl: no such file"),
        (["diversity", "FILE", "--vocabulary", "0"], "--vocabulary: must be a whole number from 1, not 0"),
        (["diversity", "FILE", "--compat", "kirk"], "unknown paper 'kirk'; did you mean 'kirk2024'?"),
        (["hacking", "FILE", "--wordnet", "nowhere"], "nowhere: no WordNet there"),
        (["calibration", "FILE", "--bins", "no"], "--bins: must be a whole number from 1, not no"),
    ],
)
def test_a_wrong_option_is_one_line(real_call: Call, write: Write, arguments: list[str], says: str) -> None:
    path = write(OUTPUTS)
    status, out, err = real_call("metrics", *[path if a == "FILE" else a for a in arguments])
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1


def test_the_published_mse_needs_every_choice(real_call: Call, write: Write) -> None:
    path = write("confidence,correct\n.5,1\n")
    status, _, err = real_call("metrics", "calibration", path, "--compat", "superhf2023")
    assert status == 2 and "--compat superhf2023 needs the probability of every choice" in err


def test_the_docs_name_every_measure(real_call: Call, write: Write) -> None:
    docs = (ROOT / "docs/metrics.md").read_text()
    rows = [{**row, "gold": 1, "proxy": 2} for row in OUTPUTS]
    for command, path in (("hacking", write(rows)), ("calibration", write(CSV, "p.csv"))):
        (group,) = asked(real_call, command, path, "--compat", "superhf2023")["groups"].values()
        for row in group["measures"]:
            measure = row["measure"].replace("exact + stem, superhf", "..., superhf")
            assert any(measure in line.split("|")[1] for line in docs.splitlines() if "|" in line), measure


@pytest.mark.parametrize(
    "rows",
    [
        [{"input": 1, "output": ""}],
        [{"input": 1, "output": "word"}],
        [{"input": i, "output": "one"} for i in range(5)],
        [{"input": i, "output": " "} for i in range(3) for _ in range(2)],
    ],
)
def test_poor_outputs_end_in_a_table_with_counts(
    real_call: Call, write: Write, rows: Any, tmp_path: Path
) -> None:
    for command in ("diversity", "hacking"):
        found = asked(real_call, command, write(rows), "--out", str(tmp_path / "out"))
        (group,) = found["groups"].values()
        for row in group["measures"]:
            assert row["value"] is None or math.isfinite(row["value"])
            assert row["value"] is not None or row["left_out"] or row["n"] < 2, row
