"""Names from files, records and studies are text wherever they are shown: on the page, in tables, on disk."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from analysis import Study, write_compact
from figures.report import Report, page, picture
from figures.report.sheets import as_script
from figures.style import Drawn, save
from proclivity.report import report_of
from proclivity.study_answers import figures_of
from tests.proclivity.report_study import study
from tests.proclivity.test_report import column, data_of, read

Call = Callable[..., tuple[int, str, str]]
PARTS = (
    "<script>alert(1)</script>", "</script>", "<!--", "-->", "]]>", "<img src=x onerror=alert(1)>", '"', "'",
    '" onload="alert(1)', "' autofocus onfocus='alert(1)", "&lt;", "&", "${style}", "$data", "\\", "\u2028",
    "`", "</title>", "</style>", "javascript:alert(1)", "\x00", "\ud7ff", "{}", "%s", "$\\frac{", "a_b^", "é",
    "../../x", "=1+1", "<svg/onload=alert(1)>",
)  # fmt: skip
NASTY = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), min_size=1, max_size=4).map("".join)
NAMED = ("task", "target", "spurious", "model", "method", "arm", "target_family", "error", "versions")


pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture(scope="module", autouse=True)
def few_permutations() -> Iterator[None]:
    module = import_module("analysis.pairs.claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "claims", partial(module.claims, permutations=19))
        yield


def renamed(found: Study, name: str) -> Study:
    """The study with a name in place of everything that somebody may have named."""
    runs = found.runs.copy()
    for i, what in enumerate(NAMED):
        first = runs[what].iloc[0]
        runs[what] = runs[what].mask(runs[what] == first, f"{name}{i}")
    definition = {**found.manifest["definition"], "question": name}
    manifest = {**found.manifest, "definition": definition, "command": name, "paper": name, "versions": name}
    return dataclasses.replace(found, name=name, manifest=manifest, runs=runs, problems=[name])


@pytest.fixture(scope="module")
def small() -> Study:
    return study(pairs=3)


@pytest.fixture(scope="module")
def plain(small: Study) -> Report:
    """The page of the study whose names mean no harm."""
    report: Report = report_of(renamed(small, "plain"), Path("nowhere"))
    return report


def shape(text: str) -> Counter[str]:
    """How often each element is there, and each attribute."""
    reader = read(text)
    attributes = re.findall(r"\son\w+\s*=", re.sub(r"(?s)<script.*?</script>|>[^<]*<|\"[^\"]*\"", "", text))
    return Counter({**Counter(reader.elements), "on...": len(attributes)})


@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@example(name='"><script>alert(1)</script><a b="$\\frac{$</script><!--')
@given(name=NASTY)
def test_no_name_is_an_element_of_the_page(small: Study, plain: Report, name: str) -> None:
    report = report_of(renamed(small, name), Path("nowhere"))
    bare = [dataclasses.replace(one, pictures=[]) for one in (report, plain)]
    assert shape(page(bare[0])) == shape(page(bare[1]))
    text = page(report)
    reader = read(text)
    assert reader.elements.count("script") == 2 and not {"img", "iframe", "object"} & set(reader.elements)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert f"<script>{script}" in page(plain)  # not one byte of it is of a name
    runs = next(sheet for sheet in data_of(text)["sheets"] if sheet["id"] == "runs")
    assert f"{name}0" in column(runs, "task")


@given(value=st.recursive(NASTY, lambda inner: st.lists(inner) | st.dictionaries(NASTY, inner), max_leaves=5))
def test_data_in_the_page_end_no_script_and_come_back(value: Any) -> None:
    text = as_script(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == value


@given(name=NASTY)
def test_a_drawing_s_name_is_the_name_of_a_file(name: str) -> None:
    found = Drawn(f"pairs_heatmap_{name}", None, pd.DataFrame({"a": [1]}))
    assert re.fullmatch(r"[A-Za-z0-9_.+-]+", found.name)
    assert Path("out", found.name).parent == Path("out")
    assert found.name != Drawn(f"pairs_heatmap_{name}/", None, found.table).name
    assert Drawn(found.name, None, found.table).name == found.name


def test_a_method_s_name_leads_no_figure_out_of_its_folder(small: Study, tmp_path: Path) -> None:
    first, *_ = [one for one in figures_of(small) if one.figure is not None]
    named = dataclasses.replace(first, name='x_../../y"><b>')
    paths = save([named], tmp_path / "a" / "figures")
    assert paths and all(path.is_relative_to(tmp_path / "a" / "figures") for path in paths)
    assert named.figure is not None
    svg = picture('x"><b>', named.figure, "p0-").svg
    assert "<b>" not in svg


FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "-2 +cmd|' /C calc'!A0",
    "-2 -A1",
    "-A1",
    "@SUM(1)",
    "\t=1",
    "  =1",
]


def test_a_spreadsheet_computes_no_name(tmp_path: Path) -> None:
    """Numbers, also below 0, are as they were."""
    names = [*FORMULAS, "symbolic/a-vs-b", "-1.5", "1e-3", "", "-inf", "-", "-0.3 nats", "-0.1 [-0.5, 0.2]"]
    table = pd.DataFrame({"=task": names, "value": [-float(i) for i in range(len(names))]})
    (path, *_) = save([Drawn("x", None, table)], tmp_path)
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=task", "value"]
    assert [row[0] for row in rows] == [f"'{name}" if name in FORMULAS else name for name in names]
    assert [float(row[1]) for row in rows] == list(table["value"])


def test_names_of_a_folder_from_anywhere_reach_page_and_figures_as_text(
    small: Study, real_call: Call, tmp_path: Path
) -> None:
    harm = 'x"><script>alert(1)</script>$\\frac{'
    write_compact(renamed(small, harm), tmp_path / "study")
    status, _, err = real_call("report", str(tmp_path / "study"))
    assert status == 0 and "Traceback" not in err
    text = (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert read(text).elements.count("script") == 2
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "study")}
    status, _, _ = real_call("figures", str(tmp_path / "study"))
    assert status == 0
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "study")} == before


QUADRANTS = {"both": ("a", "c", 1), "neither": ("b", "d", 0), "weak": ("b", "c", 0), "strong": ("a", "d", 1)}
ROWS = "sentence\tsection\tlabel\n" + "".join(
    f"{one} {other} {first} {second}\t{section}\t{label}\n"
    for section, (one, other, label) in QUADRANTS.items()
    for first, second in product("efghijkl", repeat=2)
)


def test_a_file_of_rows_with_a_nasty_name_goes_through_to_the_page(real_call: Call, tmp_path: Path) -> None:
    """The name of a task of given rows is its path: a real run, its record and its page."""
    file = tmp_path / '"><svg onload=alert(1)>&amp;.tsv'
    file.write_text(ROWS)
    out = tmp_path / "out"
    tiny = ("--steps", "2", "--batch-size", "8", "--eval-n", "4", "--log-points", "0", "--log-n", "4")
    asked = ("--task", f"tsv:{file}", "--method", "sft", "--model", "embedded/symbols:steps=5,width=16")
    status, _, err = real_call("finetune", *asked, *tiny, "--counterfactual-n", "0", "--out", str(out))
    assert status == 0, err
    status, _, err = real_call("report", str(out))
    assert status == 0, err
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "<svg onload" not in re.sub(r"(?s)<script.*?</script>", "", text)
    runs = next(sheet for sheet in data_of(text)["sheets"] if sheet["id"] == "runs")
    assert column(runs, "task") == [f"tsv:{file}"] and read(text).elements.count("script") == 2
