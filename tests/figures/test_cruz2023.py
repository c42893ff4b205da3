"""The figures show what the records say, all of it, and words where there is nothing to show."""

import dataclasses
import math
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis import estimate, mean, pairs_table, spearman
from analysis.pairs.pairs import lowest
from figures import (
    draw_cruz2023,
    error_by_evidence,
    error_table,
    heatmap_table,
    pairs_heatmap,
    save,
    use_by_extractability,
    use_table,
)
from figures.report import picture
from figures.style import TARGET

FIGURES = ("error_by_evidence", "use_by_extractability", "pairs_heatmap")
POOR = [
    "no record", "one run", "one failed run", "only failed runs", "a failed run that knows nothing",
    "only a failed run that knows nothing", "one level", "no probes", "all censored",
    "no learnability list", "nothing learnt", "four families", "only controls", "no main arm",
    "no definition", "three methods", "no evidence 0",
]  # fmt: skip


def points(figure):
    """Everything drawn with the gid "pairs", over all axes."""
    return [c for ax in figure.axes for c in ax.collections if c.get_gid() == "pairs"]


def offsets(figure):
    return np.concatenate([np.asarray(c.get_offsets(), float) for c in points(figure)])


def words(figure):
    """Every text of a figure, its titles, axes and legends included."""
    texts = figure.findobj(matplotlib.text.Text)
    return " ".join(re.sub(r"\s+", " ", t.get_text()) for t in texts)


@pytest.fixture(scope="module")
def drawn(quick_study, tmp_path_factory):
    out = tmp_path_factory.mktemp("figures")
    return out, save(draw_cruz2023(quick_study), out)


def test_every_figure_is_a_png_a_pdf_and_a_table(drawn):
    out, paths = drawn
    expected = {out / f"{name}.{ext}" for name in FIGURES for ext in ("png", "pdf")}
    expected |= {out / "tables" / f"{name}.{ext}" for name in FIGURES for ext in ("csv", "md", "tex")}
    assert set(paths) == expected
    assert {path for path in out.rglob("*") if path.is_file()} == expected, "nothing half-written is left"
    for path in paths:
        start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".csv": b"arm,method", ".md": b"**", ".tex": b"% needs"}
        assert path.read_bytes().startswith(start[path.suffix])


def test_drawing_twice_gives_the_same_bytes(drawn, quick_study, tmp_path):
    first, paths = drawn
    save(draw_cruz2023(quick_study), tmp_path)
    for path in paths:
        assert path.read_bytes() == (tmp_path / path.relative_to(first)).read_bytes(), path.name


def test_the_caller_s_matplotlib_is_left_alone_and_has_no_say(quick_study):
    backend, before = matplotlib.get_backend(), dict(matplotlib.rcParams)
    plain = use_by_extractability(quick_study)
    assert matplotlib.get_backend() == backend and dict(matplotlib.rcParams) == before
    with matplotlib.rc_context({"font.size": 20, "axes.linewidth": 5}):
        loud = use_by_extractability(quick_study)
    assert loud.axes[0].xaxis.label.get_fontsize() == plain.axes[0].xaxis.label.get_fontsize()
    assert loud.axes[0].spines["left"].get_linewidth() == plain.axes[0].spines["left"].get_linewidth()


def test_every_pair_of_the_table_is_one_point_at_its_x_and_U(laptop_study, laptop_pairs):
    figure, table = use_by_extractability(laptop_study, laptop_pairs), use_table(laptop_study, laptop_pairs)
    shown = table[table.place != "not drawn"]
    assert len(offsets(figure)) == len(shown)
    plane = table[table.place == "panel"][["relative", "U"]].to_numpy()
    at = {tuple(row) for row in np.round(offsets(figure), 9)}
    assert {tuple(row) for row in np.round(plane, 9)} <= at
    for ax in figure.axes:
        low, high = sorted(ax.get_xlim())
        for collection in (c for c in ax.collections if c.get_gid() == "pairs"):
            x = np.asarray(collection.get_offsets(), float)[:, 0]
            assert ((low <= x) & (x <= high)).all()
    filled = sum(
        len(c.get_offsets()) for c in points(figure) if to_hex(c.get_facecolor()[0]) == TARGET.lower()
    )
    assert filled == (table.excluded == "").sum()
    assert {"below", "panel"} <= set(table.place) and {"target", "spurious"} <= set(table.marker)


def test_U_of_the_table_is_that_of_the_analysis_and_its_intervals_hold_it(laptop_study, laptop_pairs):
    table = use_table(laptop_study, laptop_pairs)
    cells = lowest(laptop_pairs)
    keys = ["arm", "method", "task"]
    expected = cells[cells.arm.isin(["main", "random_init"])].set_index(keys).U.sort_index()
    pd.testing.assert_series_equal(table.set_index(keys).U.sort_index(), expected)
    learnt = table[table.U.notna()]
    for low, high in (("U_low", "U_high"), ("U_run_low", "U_run_high")):
        assert (learnt[low] <= learnt.U + 1e-12).all() and (learnt[high] + 1e-12 >= learnt.U).all()
        assert learnt[[low, high]].stack().between(0, 1).all()
    unlearnt = table[table.U.isna()]
    assert len(unlearnt) and set(unlearnt.place) <= {"below", "corner", "not drawn"}
    assert unlearnt[["U_low", "U_high"]].isna().all(axis=None)


def test_titles_say_the_estimate_of_the_analysis(laptop_study, laptop_pairs):
    text = words(use_by_extractability(laptop_study, laptop_pairs))
    cells = lowest(laptop_pairs)
    for arm in ("main", "random_init"):
        for method in ("rloo", "sft"):
            part = cells[(cells.arm == arm) & (cells.method == method) & (cells.excluded == "")]
            e = estimate(part, spearman, y="U")
            p = "p < 0.001" if e.p < 0.001 else f"p = {e.p:.2f}" if e.p >= 0.0095 else f"p = {e.p:.3f}"
            n = f"{e.n_families} families / {e.n_features} features / {e.n_pairs} pairs"
            assert f"rho = {e.value:.2f} [{e.low:.2f}, {e.high:.2f}], {p} {n}" in text


def test_lines_of_the_evidence_figure_are_the_rows_of_its_table(laptop_study, laptop_pairs):
    figure, table = error_by_evidence(laptop_study, laptop_pairs), error_table(laptop_study, laptop_pairs)
    pairs = table[table.line == "pair"]
    lines = [line for line in figure.findobj(matplotlib.lines.Line2D) if line.get_gid() == "pair"]
    drawn = np.concatenate([line.get_ydata() for line in lines])
    np.testing.assert_allclose(np.sort(drawn), np.sort(pairs.error))
    assert table.error.between(0, 1).all()
    assert set(table.quadrant) == {"spurious_only", "target_only", "both", "neither"}
    assert pairs.groupby(["arm", "method", "quadrant"]).evidence.nunique().eq(3).all()


def test_errors_of_the_conflict_quadrants_average_to_U(quick_study):
    pairs = error_table(quick_study).query("line == 'pair' and n_learnt > 0")
    keys = ["arm", "method", "task", "evidence"]
    wide = pairs.pivot(index=keys, columns="quadrant", values="error")
    cells = pairs_table(quick_study).set_index(keys).U.reindex(wide.index)
    np.testing.assert_allclose((wide.spurious_only + wide.target_only) / 2, cells)


def test_means_and_their_intervals_are_over_primary_pairs_and_families(laptop_study, laptop_pairs):
    table = error_table(laptop_study, laptop_pairs)
    keys = ["arm", "method", "quadrant", "evidence"]
    means = table[table.line == "mean"].set_index(keys)
    for key in means.index[::7]:
        pairs = table[(table.line == "pair") & table.primary]
        pairs = pairs[(pairs[keys] == list(key)).all(axis=1)]
        expected = estimate(pairs, mean, y="error", x=None)
        found = means.loc[key]
        assert found.error == pytest.approx(expected.value)
        assert found.low == pytest.approx(max(0, expected.low))
        assert found.n_pairs == len(pairs) == expected.n_pairs


def test_too_few_families_have_no_band(poor_studies):
    study = poor_studies["four families"]
    table = error_table(study)
    assert table[table.line == "mean"][["low", "high"]].isna().all(axis=None)
    assert "too few families for an interval" in words(error_by_evidence(study))


def test_cells_of_the_heat_map_are_the_pairs_of_families(laptop_study, laptop_pairs):
    figure, table = (
        pairs_heatmap(laptop_study, "rloo", laptop_pairs),
        heatmap_table(laptop_study, "rloo", laptop_pairs),
    )
    cells = [p for p in figure.axes[0].patches if p.get_gid() == "cell"]
    assert len(cells) == len(table) and table.U.dropna().between(0, 1).all()
    runs = laptop_study.runs.query("arm == 'main' and method == 'rloo' and evidence_rate == 0")
    assert table.n_pairs.sum() == runs.task.nunique() and table.n_runs.sum() == len(runs)
    rows = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    columns = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert rows == columns and set(rows) == {*table.target_family, *table.spurious_family}
    place = {family: i for i, family in enumerate(rows)}
    expected = {(place[s], place[t]) for t, s in zip(table.target_family, table.spurious_family, strict=True)}
    assert {(round(c.get_x() + 0.5), round(c.get_y() + 0.5)) for c in cells} == expected
    bits = table.set_index("target_family").target_bits.to_dict()
    known = [bits[f] for f in rows if f in bits and not math.isnan(bits[f])]
    assert known == sorted(known), "cheapest families first"


def test_a_cell_tells_its_reader_of_which_pairs_it_is_the_mean(laptop_study, laptop_pairs):
    half = laptop_pairs.assign(U=laptop_pairs["U"].mask(laptop_pairs["U"].notna(), 0.5))  # a key's own colour
    table = heatmap_table(laptop_study, "rloo", half)
    marks = picture("pairs_heatmap", pairs_heatmap(laptop_study, "rloo", half), "a-").marks
    told = {tuple(m.text.split("\n")[1:]): m.text.split("\n")[0] for m in marks if m.width}
    assert len(told) == len(table) and set(table["shown"]) == {"primary", "left out", "no U"}
    for cell in table.to_dict("records"):
        at = (
            f"family of the target feature: {cell['target_family']}",
            f"family of the spurious feature: {cell['spurious_family']}",
        )
        many = cell["n_primary"] if cell["shown"] == "primary" else cell["n_pairs"]
        many = f"{many} pair" if many == 1 else f"{many} pairs"
        ends = {"primary": ", primary", "left out": ", left out by a rule", "no U": ": nothing learnt"}
        said = "no U" if cell["shown"] == "no U" else "U = 0.5"
        assert told[at] == f"{said} of {many}{ends[cell['shown']]}"


def test_where_an_arm_lacks_a_method_each_column_and_row_still_has_its_label(quick_study):
    runs = quick_study.runs
    tuned = runs[runs["arm"] == "main"]
    first = tuned.assign(method="dpo", key=tuned["key"] + "-dpo")
    last = tuned.assign(method="sft", key=tuned["key"] + "-sft")
    study = dataclasses.replace(quick_study, runs=pd.concat([first, runs, last]))
    figure = use_by_extractability(study)
    marks = picture("use_by_extractability", figure, "a-").marks  # lays the figure out
    planes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(planes) == 4  # rloo alone has the random-init arm
    tops = {round(ax.bbox.ymax) for ax in planes[:3]}, {round(ax.bbox.ymin) for ax in planes[:3]}
    assert tuple(map(len, tops)) == (1, 1), "planes of a row are in line"
    assert planes[3].get_ylabel() == planes[0].get_ylabel() != ""
    for ax in planes:
        column = [other for other in figure.axes if abs(other.bbox.xmin - ax.bbox.xmin) < 1]
        assert "relative extractability" in min(column, key=lambda a: a.bbox.ymin).get_xlabel()
    on_planes = [m.text.split("\n") for m in marks if "use U" in m.text and "relative" in m.text]
    assert {re.split("[:,]", lines[1])[0] for lines in on_planes} == {"dpo", "rloo", "sft"}
    told = [m.text for m in marks]
    assert not [text for text in told if "\nvalue: " in text]
    assert all("relative extractability" in text or "\nno x\n" in text for text in told)


def test_each_method_has_its_own_heat_map(poor_studies):
    names = {drawn.name for drawn in draw_cruz2023(poor_studies["three methods"])}
    assert {"pairs_heatmap", "pairs_heatmap_dpo", "pairs_heatmap_sft"} <= names
    assert "pairs_heatmap_rloo" not in names, "the primary test's method is the plain one"


@pytest.mark.parametrize("name", POOR)
def test_a_poor_study_gets_words_not_a_crash(name, poor_studies):
    study = poor_studies[name]
    use, error, heat = use_by_extractability(study), error_by_evidence(study), pairs_heatmap(study)
    for figure in (use, error, heat):
        figure.draw_without_rendering()
    expected = {
        "no record": "no run yet",
        "one run": "nothing to estimate",
        "one failed run": "NaN loss at step 12",
        "only failed runs": "48 runs of the main arm, none finished",
        "only a failed run that knows nothing": "none finished",
        "no probes": "No probe",
        "all censored": "no pair has both a U and an x",
        "nothing learnt": "no learnt run",
        "four families": "5 of each are needed",
        "only controls": "only in random_reward (controls)",
        "no main arm": "only in random_init",
        "no evidence 0": "use U at evidence 0.05",
    }
    assert expected.get(name, "rho = ") in words(use)
    table = use_table(study)
    if not words(use).startswith("Use by extractability"):
        assert len(offsets(use)) == (table.place != "not drawn").sum()
    assert len(POOR) == len(poor_studies)


def test_missing_arms_are_said_to_be_missing(quick_study, poor_studies):
    note = "no finished random-init arm"
    assert note not in words(use_by_extractability(quick_study))
    assert note in words(use_by_extractability(poor_studies["one level"]))
