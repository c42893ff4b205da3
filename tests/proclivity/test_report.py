"""The page of a study: whole, well-formed, of no network, small, the same twice; a poor study has one too."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pytest
from pyarrow.parquet import write_table

from analysis import Study, read_study, write_compact
from figures.report import Report, page, picture, run_sheets
from figures.report.curves import ERRORS, of_runs
from proclivity.report import logs_of, report_of
from proclivity.study_answers import figures_of
from tests.proclivity.report_study import HARM, study, write_logs

Call = Callable[..., tuple[int, str, str]]
RESULTS = Path(__file__).parents[2] / "results"
VOID = {"meta", "input", "br", "img", "link", "hr"}
LOADING = {"src", "href", "action", "data", "poster", "srcset", "formaction", "background"}


class Reader(HTMLParser):
    """What elements a page has, what they would load, and whether they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        told = dict(attrs)
        self.loads += [str(told[name]) for name in told if name in LOADING]
        self.ids += [str(told["id"])] if "id" in told else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes <{self.open[-1:]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


def read(text: str) -> Reader:
    reader = Reader(text)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    return reader


def data_of(text: str) -> dict[str, Any]:
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    told: dict[str, Any] = json.loads(found)
    return told


def column(sheet: dict[str, Any], name: str) -> list[Any]:
    """A column of a table of the page, as its script reads it."""
    (found,) = [c for c in sheet["columns"] if c["name"] == name]
    if "same" in found:
        return [found["same"]] * sheet["rows"]
    return [found["words"][i] for i in found["values"]] if "words" in found else list(found["values"])


@pytest.fixture(scope="module", autouse=True)
def few_permutations() -> Iterator[None]:
    """What is tested here is the page, not the p-values on it."""
    module = import_module("analysis.pairs.claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "claims", partial(module.claims, permutations=199))
        yield


@dataclasses.dataclass(frozen=True)
class Whole:
    """A study, its folder, what stands on its page, and the page."""

    study: Study
    folder: Path
    report: Report
    text: str


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder, found = tmp_path_factory.mktemp("study"), study()
    write_logs(found, folder)
    report = report_of(found, folder)
    return Whole(found, folder, report, page(report))


def test_names_are_text_whatever_they_say(whole: Whole) -> None:
    text = whole.text
    reader = read(text)
    assert "img" not in reader.elements and reader.elements.count("script") == 2
    assert "alert(2)" not in re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)
    runs = next(sheet for sheet in data_of(text)["sheets"] if sheet["id"] == "runs")
    assert HARM in column(runs, "task")
    assert "Is <b>this</b> text?" in reader.texts["h1"]
    assert "runs/abc/record.json: missing columns <i>x</i>" in reader.texts["li"]


def test_the_page_loads_nothing_and_says_so(whole: Whole) -> None:
    text = whole.text
    loads = read(text).loads
    assert loads and all(load.startswith(("#", "data:image/png;base64,")) for load in loads)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy.startswith("default-src 'none'")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy  # the browser runs this script and no other
    css = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in css and "@import" not in css
    assert not re.search(r"\b(fetch|XMLHttpRequest|eval|WebSocket|import)\s*\(", script)


def test_equal_studies_have_equal_pages(whole: Whole) -> None:
    drawn = [one for one in figures_of(whole.study) if one.figure]
    again = dataclasses.replace(
        whole.report,
        pictures=[(picture(one.name, one.figure, f"p{i}-"), one.table) for i, one in enumerate(drawn)],
        runs=run_sheets(whole.study, logs_of(whole.study, whole.folder), is_store=True),
    )
    assert page(again) == whole.text


def test_every_run_is_there_with_its_numbers_and_its_curve(whole: Whole) -> None:
    found, folder, text = whole.study, whole.folder, whole.text
    sheet = next(sheet for sheet in data_of(text)["sheets"] if sheet["id"] == "runs")
    assert column(sheet, "id") == list(found.runs["key"])
    for told, true in zip(column(sheet, "U"), found.runs["U"], strict=True):
        assert told is None if pd.isna(true) else told == pytest.approx(true, rel=1e-4)
    finished = set(found.runs.loc[found.runs["status"] == "ok", "key"])
    assert set(sheet["curves"]["lines"]) == finished and len(finished) < len(found.runs)
    key = sorted(finished)[0]
    log = pd.read_parquet(folder / "runs" / key / "log.parquet")
    steps, series = sheet["curves"]["lines"][key]
    assert steps == sorted(set(log["step"]))
    errors = log.loc[log["quadrant"] == "spurious_only", "errors"] / 50
    assert series[0] == pytest.approx(list(errors), rel=1e-4)


def test_failed_runs_and_pairs_left_out_stand_there_with_their_reason(whole: Whole) -> None:
    sheets = {sheet["id"]: sheet for sheet in data_of(whole.text)["sheets"]}
    failed = whole.study.runs[whole.study.runs["status"] == "failed"]
    assert column(sheets["failed"], "key") == list(failed["key"])
    assert column(sheets["failed"], "why") == list(failed["error"])
    assert "third feature above 0.65" in column(sheets["left-out"], "rule")
    assert column(sheets["table-claims"], "test").count("primary") == 1


def test_two_thousand_runs_are_less_than_five_megabytes(whole: Whole, tmp_path: Path) -> None:
    found = study(runs=2000)
    write_logs(dataclasses.replace(found, runs=found.runs[:20]), tmp_path, points=60)
    logs = [log for _, log in logs_of(found, tmp_path).groupby("key")]
    every = pd.concat(logs[i % len(logs)].assign(key=key) for i, key in enumerate(found.runs["key"]))
    sheets = run_sheets(found, every, is_store=True)
    text = page(dataclasses.replace(whole.report, runs=sheets))
    assert len(text.encode()) < 5e6
    sheet = next(sheet for sheet in data_of(text)["sheets"] if sheet["id"] == "runs")
    assert sheet["rows"] == len(sheet["curves"]["lines"]) == len(found.runs) >= 2000
    assert "of up to 60 points of a curve are drawn" in sheet["curves"]["note"]


def test_logs_that_differ_in_form_are_all_read_and_what_is_no_log_is_named(tmp_path: Path) -> None:
    found = study(pairs=3)
    keys = sorted(found.runs["key"])[:7]
    forms = {
        keys[0]: pd.DataFrame({"step": [1, 2], "quadrant": "both", "n": 4, "errors": [4, 2], "loss": [1, 2]}),
        keys[5]: pd.DataFrame(
            {"step": [1, 2], "quadrant": "both", "n": 4, "errors": [4, 2], "key": "another"}
        ),
        keys[1]: pd.DataFrame({"step": [1.0, 2.0], "loss": ["1.5", "none"]}),
        keys[2]: pd.DataFrame({"loss": [1.0]}),
        keys[3]: pd.DataFrame({"step": []}),
    }
    for key in keys:
        path = tmp_path / "runs" / key / "log.parquet"
        path.parent.mkdir(parents=True)
        forms[key].to_parquet(path) if key in forms else path.write_text("no log")
    letters = [pyarrow.py_buffer(part) for part in (bytes(4) + b"\2\0\0\0", b"\xff\xfe")]
    damaged = pyarrow.table({"quadrant": pyarrow.StringArray.from_buffers(1, *letters)})
    write_table(damaged, tmp_path / "runs" / keys[6] / "log.parquet")
    logs = logs_of(found, tmp_path)
    for key, told in zip((keys[4], keys[6]), found.problems[-2:], strict=True):
        assert told.startswith(f"runs/{key}/log.parquet: not readable (")
    lines = of_runs(found.runs[["key"]].assign(id=found.runs["key"]), logs, is_store=True).lines
    assert set(lines) == {*keys[:2], keys[5]}
    assert lines[keys[0]][1][ERRORS.index("both")] == [1.0, 0.5]
    assert lines[keys[1]][0] == [1, 2] and lines[keys[1]][1][-1][0] == 1.5


def test_a_poor_study_has_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    rich = study(pairs=3)
    done = rich.runs[rich.runs["status"] == "ok"]
    failed = done.assign(status="failed", U=float("nan"), error="NaN loss at step 12")
    poor = {
        "no run yet": rich.runs[:0],
        "One run finished": done[:1],
        "None of": failed,
    }
    for words, runs in poor.items():
        text = page(report_of(dataclasses.replace(rich, runs=runs), tmp_path))
        read(text)
        answer = text[text.index('id="answer"') : text.index("</section>")]
        assert words in answer, words
        assert not re.search(r"\bnan\b|\bNone\b(?! of)", answer), words
        if words == "None of":
            assert "NaN loss at step 12" in text


@pytest.mark.parametrize("name", ["tajwar2024-lengths-quick", "development-symbols", "learnability-reviews"])
def test_every_kind_of_shipped_records_has_a_page(name: str, real_call: Call, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    status, told, err = real_call("report", str(RESULTS / name), "--out", str(out), "--json")
    assert (status, err) == (0, "")
    found = json.loads(told)
    text = out.read_text(encoding="utf-8")
    reader = read(text)
    assert found == {"path": str(out), "bytes": len(text.encode()), "runs": found["runs"]}
    question = json.loads((RESULTS / name / "study.json").read_text())["definition"]["question"]
    assert question in reader.texts["h1"]
    assert any(sheet["id"] in ("runs", "texts") for sheet in data_of(text)["sheets"])


@pytest.mark.parametrize(
    ("name", "kind", "line", "measure"),
    [("tajwar2024-quick", "bandits", "reward", ""), ("kirk2024-quick", "stages", "gold", "gold")],
)
def test_what_is_measured_along_a_run_is_its_curve(name: str, kind: str, line: str, measure: str) -> None:
    found = read_study(RESULTS / name)
    (sheet,) = [sheet for sheet in run_sheets(found, pd.DataFrame(), is_store=False) if sheet.id == kind]
    assert sheet.curves is not None and sheet.table["id"].is_unique
    names = [one for part in sheet.curves.panels.values() for one in part]
    id_ = sorted(sheet.curves.lines)[0]
    row = sheet.table[sheet.table["id"] == id_].iloc[0]
    if measure:
        told = found.measures[(found.measures["measure"] == measure) & (found.measures["shift"] == "in")]
        told = told[told["key"] == row["key"]].sort_values("step")
    else:
        told = found.points[(found.points["key"] == row["key"]) & (found.points["seed"] == row["seed"])]
    steps, series = sheet.curves.lines[id_]
    value = "value" if measure else line
    assert dict(zip(steps, series[names.index(line)], strict=True)) == pytest.approx(
        dict(zip(told["step"], told[value], strict=True))
    )


def test_compact_records_say_where_the_curves_are(real_call: Call, tmp_path: Path) -> None:
    write_compact(study(pairs=4), tmp_path / "small")
    status, told, _ = real_call("report", str(tmp_path / "small"))
    path = tmp_path / "small" / "report.html"
    assert status == 0 and told.startswith(f"{path}: ")
    assert "in the study's own folder only" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("where", "out", "said"),
    [
        ("nowhere", "page.html", "is not a study: it has no study.json"),
        ("small", ".", "is a folder; name a file"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line(
    where: str, out: str, said: str, real_call: Call, tmp_path: Path
) -> None:
    write_compact(study(pairs=2), tmp_path / "small")
    status, _, err = real_call("report", str(tmp_path / where), "--out", str(tmp_path / out))
    assert status == 2 and said in err and err.count("\n") == 1
