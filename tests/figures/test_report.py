"""The parts of the report: marks of a figure, drawings, tables for the script, the answer in words."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from html import escape

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from analysis.statistics.decisions import OPPOSITE, SAME, SMALL, UNKNOWN
from figures.report import Sheet, cannot_be_told, in_words, picture, run_sheets
from figures.report.curves import MOST, thinned
from figures.report.hover import marks_of
from figures.report.sheets import INFINITE, Curves, as_script, encode, sheet_of_rows
from figures.report.svg import _inline


def plane(figure=None, **limits):
    """Axes over the middle of a page of 5 by 4 inches."""
    figure = figure or Figure(figsize=(5, 4), dpi=72)
    ax = figure.add_axes((0.2, 0.25, 0.5, 0.5))
    ax.set(**limits)
    return figure, ax


def values(mark):
    return dict(line.split(": ", 1) for line in mark.text.split("\n") if ": " in line)


@pytest.mark.parametrize("how", ["plot", "scatter"])
def test_points_are_where_they_are_drawn_and_say_what_they_are(how):
    figure, ax = plane(xlim=(0, 10), ylim=(-1, 1), xlabel="step", ylabel="reward", title="panel")
    x, y = [1.0, 4.0, 10.0, 7.0], [-1.0, 0.5, 0.25, math.nan]
    style = {"marker": "o"} if how == "plot" else {}
    getattr(ax, how)(x, y, label="ppo", **style)
    marks = marks_of(figure)
    assert len(marks) == 3  # a point that is not known is nowhere
    for mark, a, b in zip(marks, x, y, strict=False):
        assert mark.x == pytest.approx(360 * (0.2 + 0.5 * a / 10))
        assert mark.y == pytest.approx(288 * (1 - (0.25 + 0.5 * (b + 1) / 2)))
        assert mark.text.split("\n")[:2] == ["ppo", "panel"]
        assert {k: float(v) for k, v in values(mark).items()} == {"step": a, "reward": b}


def test_resolution_moves_no_mark():
    places = []
    for dpi in (50, 200):
        figure, ax = plane(Figure(figsize=(5, 4), dpi=dpi), xlim=(0, 10), ylim=(-1, 1))
        ax.plot([1, 2, 3], [0, 0.5, 1], "o")
        places.append([(round(m.x, 6), round(m.y, 6)) for m in marks_of(figure)])
    assert places[0] == places[1] and len(places[0]) == 3


def test_a_point_says_the_interval_that_is_drawn_through_it():
    figure, ax = plane(xlim=(0, 4), ylim=(0, 1))
    ax.errorbar([1, 2], [0.5, 0.6], yerr=[[0.1, 0.2], [0.3, 0.2]], fmt="o", color="#0072B2", label="a")
    ax.plot([1, 2, 3], [0.2, 0.2, 0.2], "o", color="#D55E00", label="b")
    ax.fill_between([1, 2, 3], [0.1, 0.1, 0.1], [0.9, 0.9, 0.9], color="#D55E00", alpha=0.2)
    told = {(m.text.split("\n")[0], values(m)["value"]) for m in marks_of(figure)}
    assert ("a", "0.5 [0.4, 0.8]") in told and ("a", "0.6 [0.4, 0.8]") in told
    assert ("b", "0.2 [0.1, 0.9]") in told


def test_bars_cells_ticks_with_words_and_keys_of_legends():
    figure, ax = plane(ylabel="win rate")
    ax.bar(["sft", "ppo"], [0.25, 0.75], label="in distribution")
    marks = marks_of(figure)
    assert [m.text.split("\n") for m in marks] == [
        ["in distribution", "sft", "win rate: 0.25"],
        ["in distribution", "ppo", "win rate: 0.75"],
    ]
    assert all(m.width > 0 and m.height > 0 for m in marks)
    figure, ax = plane(xlabel="x")
    (line,) = ax.plot([1, 2, 3], [1, 2, 3], color="#123456")
    figure.legend(handles=[line], labels=["named by its key"])
    assert {m.text.split("\n")[0] for m in marks_of(figure)} == {"named by its key"}


def test_names_for_the_report_alone_stand_in_no_legend():
    figure, ax = plane()
    ax.scatter([1, 2], [3, 4], label="_first\nsecond")
    ax.plot([1, 2, 3], [1, 1, 1], label="_alone")
    assert [m.text.split("\n")[0] for m in marks_of(figure)] == ["alone"] * 3 + ["first", "second"]
    assert ax.get_legend_handles_labels() == ([], [])


def test_guides_for_the_eye_are_no_marks():
    figure, ax = plane()
    ax.axhline(0.5)
    ax.axvline(0.5)
    ax.plot([0, 1], [0, 1], "--")
    ax.plot([0, 1, 2], [0, 1, 2], color="white")  # the halo of a line
    assert marks_of(figure) == []


@pytest.mark.parametrize("share", [True, False])
def test_an_axis_is_named_by_its_own_row_and_column_before_all_that_share_it(share):
    figure = Figure(figsize=(5, 4), layout="constrained")
    grid = figure.subplots(2, 2, sharex=share, sharey=share)
    for i, j in np.ndindex(2, 2):
        grid[i, j].set(xlim=(0, 1), ylim=(0, 1), title=f"{i}{j}")
        grid[i, j].plot([0.5], [0.5], "o")
        if j == 0:
            grid[i, j].set_ylabel(f"reward of row {i}")
        if i == 1:
            grid[i, j].set_xlabel(f"dose of column {j}")
    figure.draw_without_rendering()
    told = {mark.text.split("\n")[0]: set(values(mark)) for mark in marks_of(figure)}
    expected = {f"{i}{j}": {f"reward of row {i}", f"dose of column {j}"} for i, j in np.ndindex(2, 2)}
    assert told == expected


def test_parts_of_a_page_lend_each_other_no_names():
    figure = Figure(figsize=(5, 6), layout="constrained")
    for name, part in zip("ab", figure.subfigures(2, 1), strict=True):
        left, right = part.subplots(1, 2)
        left.set_ylabel(f"error of {name}")
        right.plot([0.5], [0.5], "o", label=f"_{name}")
    figure.draw_without_rendering()
    assert {m.text for m in marks_of(figure)} == {"a\nerror of a: 0.5", "b\nerror of b: 0.5"}


def test_a_cell_is_what_its_label_says_whatever_key_has_its_colour():
    figure, ax = plane(xlim=(0, 1), ylim=(0, 1))
    for gid, x in (("cell", 0.0), (None, 0.5)):
        ax.add_patch(Rectangle((x, 0), 0.2, 1, facecolor="#aabbcc", gid=gid, label=f"_{gid}"))
    figure.legend(handles=[Patch(fc="#aabbcc", label="a key")])
    assert [m.text.split("\n")[0] for m in marks_of(figure)] == ["cell", "None, a key"]


def drawn(text="<b>&"):
    figure, ax = plane()
    ax.plot([1, 2, 3], [1, 4, 9], "o-", label=text)
    ax.set_title(text, color="#222222")
    ax.legend()
    return figure


def test_a_drawing_is_small_xml_with_ids_of_its_own_and_the_colours_of_the_page():
    one, other = picture("use", drawn(), "a-"), picture("use", drawn(), "b-")
    ids = [set(re.findall(r'\bid="([^"]+)"', p.svg)) for p in (one, other)]
    assert ids[0] and not ids[0] & ids[1]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', one.svg))
    assert used and used <= ids[0]
    root = ElementTree.fromstring(one.svg)
    assert "<b>&" in [node.text for node in root.iter("text")]
    assert "#222222" not in one.svg and "var(--ink)" in one.svg
    assert "http" not in one.svg
    assert picture("use", drawn(), "a-") == one


def test_numbers_are_rounded_where_they_are_places_and_not_where_they_are_told():
    told = "p < 0.001, -12.34567, fill: #222222, url(#a)"
    svg = picture("use", drawn(told), "a-").svg
    assert told in [node.text for node in ElementTree.fromstring(svg).iter("text")]
    assert not re.search(r"\d\.\d{3}", svg.replace(escape(told, quote=False), ""))


def test_ids_that_matplotlib_makes_anew_leave_no_trace() -> None:
    def text(mark: str, clip: str) -> str:
        named = f'<g id="figure_1"><path id="{mark}" d="M 0 0"/><clipPath id="{clip}"/>'
        return f'<svg viewBox="0 0 1 1">{named}<use xlink:href="#{mark}" clip-path="url(#{clip})"/></g></svg>'

    one = _inline(text("m1", "p1"), "use", "a-")
    assert one == _inline(text("m92", "pabc"), "use", "a-") != _inline(text("m1", "m1"), "use", "a-")
    assert 'id="a-0"' in one and 'href="#a-0"' in one and "url(#a-1)" in one


@given(
    st.lists(
        st.tuples(
            st.floats(allow_nan=True, allow_infinity=False, width=32),
            st.sampled_from(["", "a", "</script>", "é\u2028"]),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_sheet_reads_back_as_it_was(rows):
    table = pd.DataFrame(rows, columns=["number", "word", "flag"])
    text = as_script(encode(Sheet("t", "T", table)))
    assert not set("<>&\u2028") & set(text)
    told = json.loads(text)
    assert told["rows"] == len(rows)
    found = {}
    for column in told["columns"]:
        words, plain = column.get("words"), column.get("values")
        plain = (
            [column["same"]] * len(rows) if plain is None else [words[i] for i in plain] if words else plain
        )
        found[column["name"]] = plain
    assert found["word"] == [word for _, word, _ in rows]
    assert found["flag"] == [flag for *_, flag in rows]
    for value, (number, *_) in zip(found["number"], rows, strict=True):
        assert value is None if math.isnan(number) else value == pytest.approx(number, rel=1e-4)


def test_one_test_is_primary_and_all_others_are_secondary():
    sheet = sheet_of_rows("c", "", [{"p": 0.1, "primary": False}, {"p": 0.2, "primary": True}])
    assert list(sheet.table["test"]) == ["secondary", "primary"] and "primary" not in sheet.table


def test_what_was_found_stands_together_and_sentences_stand_last():
    row = {"claim": "H1a", "about": "x" * 80, "status": "opposite", "p_holm": 0.2, "value": 1.0, "p": 0.1}
    sheet = sheet_of_rows("c", "", [row | {"empty": None}])
    assert list(sheet.shown) == ["claim", "value", "p", "p_holm", "status", "about"]


def test_thinned_curves_keep_their_ends_and_drop_lines_that_nobody_has():
    x = list(range(1000))
    nothing = [math.nan] * 1000
    curves = thinned(Curves("step", {"a": ["u", "v"], "b": ["w"]}, {"k": (x, [x, nothing, nothing])}))
    assert curves.panels == {"a": ["u"]}
    at, (y,) = curves.lines["k"]
    assert (at[0], at[-1], len(at)) == (0, 999, MOST) and at == y
    assert f"{MOST} of up to 1000 points" in curves.note


def test_a_training_log_becomes_the_error_of_each_quadrant(quick_study):
    key = quick_study.runs["key"].iloc[0]
    rows = [
        {"step": step, "quadrant": q, "n": 50, "errors": k, "reward": 1 - k / 50, "loss": 0.5}
        for step, errors in ((10, (1, 2, 30, 40)), (20, (0, 1, 20, 50)))
        for q, k in zip(("both", "neither", "target_only", "spurious_only"), errors, strict=True)
    ]
    sheet = run_sheets(quick_study, pd.DataFrame(rows).assign(key=key), is_store=True)[0]
    (x, series) = sheet.curves.lines[key]
    names = [name for part in sheet.curves.panels.values() for name in part]
    found = dict(zip(names, series, strict=True))
    assert x == [10, 20]
    assert found["spurious_only"] == [0.8, 1.0] and found["both"] == [0.02, 0.0]
    assert found["on both and neither"] == pytest.approx([0.97, 0.99]) and found["loss"] == [0.5, 0.5]
    assert "holds no log" in sheet.curves.note  # of the other runs
    compact = run_sheets(quick_study, pd.DataFrame(), is_store=False)[0].curves
    assert compact.lines == {} and "in the study's own folder only" in compact.note


def test_a_log_of_few_columns_is_drawn_as_far_as_it_goes(quick_study):
    key = quick_study.runs["key"].iloc[0]
    log = pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0]})
    curves = run_sheets(quick_study, log.assign(key=key), is_store=True)[0].curves
    assert curves.panels == {"loss": ["loss"]} and curves.lines[key] == ([1, 2], [[3, 2]])
    bare = run_sheets(quick_study, pd.DataFrame({"x": [1], "key": key}), is_store=True)[0].curves
    assert bare.lines == {} and "holds no log" in bare.note


def test_a_probe_has_its_loss_data_curve(quick_study):
    probes = quick_study.probes.assign(curve=json.dumps([[0, 10, 10, 10, 5], [10, 20, 8, 6, 19]]))
    study = dataclasses.replace(quick_study, probes=probes)
    sheet = run_sheets(study, pd.DataFrame(), is_store=False)[-1]
    assert sheet.id == "probes" and len(sheet.curves.lines) == len(probes) == len(set(sheet.table["id"]))
    assert sheet.curves.lines[sheet.table["id"].iloc[3]] == ([0, 10], [[1.0, 0.3], [1.0, 0.4]])


def named(study, **manifest):
    """The study with a primary test."""
    return dataclasses.replace(study, manifest=study.manifest | {"primary": {"claim": "H1a"}} | manifest)


CLAIM = {
    "claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman", "about": "U against bits",
    "given": "", "value": 0.6741, "low": -0.154, "high": 0.9457, "p": 0.037, "note": "", "primary": True,
    "n_families": 14, "n_features": 16, "n_pairs": 1, "n_models": 6, "n_seeds": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("status", "begins"),
    [
        (UNKNOWN, "It cannot be told"),
        (SAME, "The primary test goes in the claimed direction"),
        (OPPOSITE, "The primary test goes against the claim"),
        (SMALL, "The effect is too small to matter"),
    ],
)
def test_the_answer_is_the_status_with_the_numbers_of_the_primary_row(quick_study, status, begins):
    said = in_words(named(quick_study), {"claims": [CLAIM | {"status": status}]})
    assert said.first.startswith(begins) and said.status == status
    assert (
        "the Spearman correlation of U against bits, under rloo, is 0.674 [-0.154, 0.946], p = 0.04"
        in said.first
    )
    assert "14 families, 16 features, 1 pair, 6 models and 2 seeds, in a study of" in said.second


def test_without_an_estimate_the_answer_says_why(quick_study):
    missing = dict.fromkeys(("value", "low", "high", "p"))
    row = CLAIM | missing | {"status": UNKNOWN, "note": "no estimate: 2 pairs, 3 are needed"}
    said = in_words(named(quick_study), {"claims": [row]})
    assert "has no estimate (no estimate: 2 pairs, 3 are needed)" in said.first
    assert not re.search(r"nan|None", said.first)


@pytest.mark.parametrize(
    ("paper", "scale", "words"),
    [
        ("cruz2023", "paper", "it is a reproduction of cruz2023."),
        ("cruz2023", "laptop", "a conceptual replication of cruz2023 at laptop scale, not a reproduction."),
        ("", "quick", "a study of its own at quick scale."),
    ],
)
def test_only_the_paper_s_own_scale_is_called_a_reproduction(quick_study, paper, scale, words):
    study = named(quick_study, paper=paper, scale=scale)
    assert in_words(study, {"claims": [CLAIM | {"status": SAME}]}).second.endswith(words)


def test_without_its_primary_test_a_study_tells_no_direction(quick_study):
    said = in_words(named(quick_study), {"claims": [CLAIM | {"status": SAME, "primary": False}]})
    assert said.first.startswith("It cannot be told: none of the tests is the primary one")


def test_a_study_of_probes_alone_says_so(quick_study):
    said = in_words(named(dataclasses.replace(quick_study, runs=quick_study.runs[:0])), {})
    assert f"only {len(quick_study.probes)} probes" in said.first


def test_poor_studies_say_what_they_cannot_say(poor_studies):
    def told(name):
        return " ".join(cannot_be_told(named(poor_studies[name]), {}))

    assert "None of" in told("only failed runs")
    assert "One run finished" in told("one run") and "no spread" in told("one run")
    assert "One level of evidence (0)" in told("one level")
    assert "One seed of tuning" in told("one level")


def test_p_alone_tells_no_direction(quick_study):
    row = CLAIM | {"status": UNKNOWN}
    assert "p is below 0.05" in " ".join(cannot_be_told(quick_study, {"claims": [row]}))
    assert "p is below" not in " ".join(cannot_be_told(quick_study, {"claims": [row | {"p": 0.2}]}))


def test_numbers_of_every_size_keep_their_digits():
    table = pd.DataFrame({"x": [1e-12, 123456789.0, 0.123456789, -np.inf, 7.0]})
    (column,) = encode(Sheet("t", "T", table))["columns"]
    assert column["values"] == [1e-12, 123460000, 0.12346, -INFINITE, 7]
