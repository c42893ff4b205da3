"""Tables keep their numbers in all three formats, and text cannot break the formats it stands in."""

from __future__ import annotations

import io
import math
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figures.style import Drawn, save
from figures.tables import DASH, latex, latex_text, markdown, note_of
from proclivity.study_tables import about, answer_tables
from tests.analysis.simulated_study import simulate

ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))
NUMBERS = st.one_of(st.floats(), st.integers(-(10**12), 10**12), st.none())
COMMANDS = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^",
    r"\textless{}": "<", r"\textgreater{}": ">", r"\textbar{}": "|", "{[}": "[", "{]}": "]", "{''}": '"',
    r"\{": "{", r"\}": "}", r"\$": "$", r"\&": "&", r"\%": "%", r"\#": "#", r"\_": "_",
}  # fmt: skip


def from_latex(text: str) -> str:
    return re.sub("|".join(map(re.escape, COMMANDS)), lambda m: COMMANDS[m[0]], text)


def latex_rows(text: str) -> list[list[str]]:
    body = text.partition("\\midrule\n")[2].partition("\n\\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.split("\n")]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line for line in text.split("\n") if line.startswith("|")][2:]
    return [line[2:-2].split(" | ") for line in lines]


def number(text: str) -> float:
    if text in ("--", DASH, ""):
        return math.nan
    text = text.strip("$").replace(r"\infty", "inf").replace("∞", "inf")
    return float(re.sub(r" \\times 10\^\{(-?\d+)\}", r"e\1", text))


def same(found: float, value: float | None) -> bool:
    wanted = math.nan if value is None else float(value)
    return (math.isnan(found) and math.isnan(wanted)) or found == pytest.approx(wanted, rel=6e-4)


@given(st.lists(st.tuples(ASCII, NUMBERS), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_numbers_and_text_come_back_from_all_three(rows):
    table = pd.DataFrame({"what & why": [t for t, _ in rows], "value_%": [v for _, v in rows]}, dtype=object)
    as_csv = pd.read_csv(io.StringIO(table.to_csv(index=False, float_format="%.6g")), keep_default_na=False)
    in_latex, in_markdown = latex_rows(latex(table)), markdown_rows(markdown(table))
    assert len(in_latex) == len(in_markdown) == len(rows) == len(as_csv)
    for i, (text, value) in enumerate(rows):
        plain = " ".join(text.split())
        assert from_latex(in_latex[i][0]) == plain
        assert re.sub(r"\\(.)", r"\1", in_markdown[i][0]) == plain
        for found in (in_latex[i][1], in_markdown[i][1], str(as_csv["value_%"][i])):
            assert same(number(found), value), (found, value)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_latex_of_any_text_is_plain_balanced_and_escaped(text):
    found = latex_text(text)
    assert found.isascii() and found.isprintable()
    bare = re.sub(r"\\[{}$&%#_]", "", found)  # what was escaped
    depth = 0
    for sign in bare:
        depth += (sign == "{") - (sign == "}")
        assert depth >= 0
    assert depth == 0 and not re.search(r"[&%#_~^<>|]", re.sub(r"\\[a-z]+(\{\})?", "", bare))
    assert bare.count("$") % 2 == 0 and not re.search(r"(?<!\{)\[", bare)


def test_numbers_stand_to_the_right_and_notes_below():
    table = pd.DataFrame({"name": ["a"], "low": [-np.inf], "n": [3], "ok": [True], "none": [None]})
    text = latex(table, "50 % of n", note_of(table, "legend"), "x")
    assert r"\begin{tabular}{lrrlr}" in text and r"\caption{50 \% of n}" in text
    assert latex_rows(text) == [["a", r"$-\infty$", "$3$", "yes", "--"]]
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert (
        text.index("bottomrule")
        < text.index("legend. low, high: ends of the 95")
        < text.index(r"\end{table}")
    )
    assert "| --- | ---: | ---: | --- | ---: |" in markdown(table)
    assert "low, high" not in note_of(table[["name"]])


def test_every_table_of_a_study_is_written_in_three_formats_with_its_n(tmp_path):
    study = simulate(pairs=4, levels=(0.0, 0.5), seeds=(0,))
    drawn = [*answer_tables(study), Drawn("own", None, pd.DataFrame({"x": [0.5]}))]
    paths = save(drawn, tmp_path, about(study))
    names = {f"analyze_{n}" for n in ("claims", "left_out", "learnt", "regressions", "intervals")} | {"own"}
    assert {p.relative_to(tmp_path).as_posix() for p in paths} == {
        f"tables/{name}.{ending}" for name in names for ending in ("csv", "md", "tex")
    }
    for path in paths:
        if path.suffix != ".csv":
            assert "simulated: 8 runs, 24 probes" in path.read_text()
    assert "log2(bits target / bits spurious)" in (tmp_path / "tables/analyze_claims.tex").read_text()
    left = pd.read_csv(tmp_path / "tables/analyze_left_out.csv")
    assert left.pairs.sum() == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_pdflatex_takes_it(tmp_path):
    table = pd.DataFrame({"[a]_%&#^~\\<>": ["[x]", "−∞ ≤ ρ ☃ é"], "v": [1e-9, math.nan]})
    document = r"\documentclass{article}\usepackage{booktabs}\begin{document}" + latex(table, "c", "n", "l")
    (tmp_path / "t.tex").write_text(document + r"\end{document}")
    command = ["pdflatex", "-halt-on-error", "t.tex"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
