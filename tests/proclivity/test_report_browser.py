"""The page in a real browser: sorting, filters, values on hover, keyboard, dark colours, a phone.

Without Chromium, or without Playwright, these tests skip.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from figures.report import Sheet, page, run_sheets
from proclivity.report import report_of
from tests.proclivity.report_study import HARM, study, write_logs

pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 700}
VALUES = [10.0, 2.0, -3.0, 100.0, 0.67352, 1e-7, -20.0, 0.5, math.inf, math.nan, -0.25, 30.0]
NUMBERS = DataFrame({"row": [f"r{i:02}" for i in range(45)], "size": [*VALUES, *np.arange(1000.0, 1033.0)]})
"""Three pages, and values whose order as words, signs apart or not, is another one."""


@dataclasses.dataclass(frozen=True)
class Written:
    """Pages on disk and what they are of."""

    study: Any
    report: Any
    path: Path
    large: Path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder, found = tmp_path_factory.mktemp("page"), study()
    write_logs(found, folder)
    module = import_module("analysis.pairs.claims")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "claims", partial(module.claims, permutations=199))
        report = report_of(found, folder)
    report = dataclasses.replace(report, tables=[*report.tables, Sheet("numbers", "Numbers", NUMBERS)])
    small, large = folder / "report.html", folder / "large.html"
    small.write_text(page(report), encoding="utf-8")
    many = run_sheets(study(runs=2000), DataFrame(), is_store=False)
    large.write_text(page(dataclasses.replace(report, runs=many)), encoding="utf-8")
    return Written(found, report, small, large)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Browser, written: Written) -> Iterator[Page]:
    """The page, of which at the end no line of the console and no request but its own file is left."""
    tab, said, asked = browser.new_page(viewport=DESK), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.set_default_timeout(8000)
    tab.goto(written.path.as_uri())
    yield tab
    own = {url for url in asked if not url.startswith("data:image/png")}
    tab.close()
    assert said == [] and own == {written.path.as_uri()}


def unfold(tab: Page, sheet: str) -> Any:
    """A table's place, opened."""
    tab.evaluate(f"document.getElementById('sheet-{sheet}').closest('details').open = true")
    host = tab.locator(f"#sheet-{sheet}")
    host.locator("tbody tr").first.wait_for()
    return host


def column(host: Any, name: str) -> list[str]:
    """What a column shows, over all pages of the table."""
    found: list[str] = []
    heads = [text.split(" ")[0] for text in host.locator("thead th").all_inner_texts()]
    cells = f"td:nth-child({heads.index(name) + 1})"
    while host.locator(".pages button", has_text="Previous").is_enabled():
        host.locator(".pages button", has_text="Previous").click()
    while True:
        found += host.locator(f"tbody {cells}").all_inner_texts()
        following = host.locator(".pages button", has_text="Next")
        if not following.is_visible() or not following.is_enabled():
            return found
        following.click()


def test_columns_sort_as_what_they_are_and_what_is_not_known_stays_last(opened: Page) -> None:
    host = unfold(opened, "runs")
    before = column(host, "U")
    head = host.locator("thead th", has=opened.get_by_role("button", name="U", exact=True))
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == direction
        found = column(host, "U")
        known = [float(text) for text in found if text != "–"]
        assert known == sorted(known, reverse=direction == "descending") and len(set(known)) > 10
        assert found[len(known) :] == ["–"] * (len(found) - len(known)) and "–" in found
        assert sorted(found) == sorted(before)
    ids = host.locator("thead th", has_text="seed_tune")
    assert ids.get_attribute("aria-sort") == "none"


def test_numbers_sort_as_numbers(opened: Page) -> None:
    host = unfold(opened, "numbers")
    host.get_by_role("button", name="size", exact=True).click()
    found = dict(zip(column(host, "row"), column(host, "size"), strict=True))
    assert list(found) == list(NUMBERS.sort_values("size", na_position="last", kind="stable")["row"])
    assert list(found.values())[:6] == ["-20", "-3", "-0.25", "1.0e-7", "0.5", "0.6735"]
    assert list(found.values())[-2:] == ["infinite", "–"]


@pytest.mark.parametrize(
    ("asked", "low", "high"),
    [
        ("size=0.6735", 0.6735, 0.6736),  # as it is shown
        ("size=0.67352", 0.6735, 0.6736),  # as it is
        ("size=0.6736", 0.6736, 0.6736),
        ("size=0.0000001", 1e-8, 1e-6),
        ("size<=2", -math.inf, 2.1),
        ("size<2", -math.inf, 2),
        ("size<=0.6735", -math.inf, 0.6736),
        ("size>=30", 30, math.nan),
        ("size>30", 30.1, math.nan),
        ("size>-3 size<=-0.25", -2.9, -0.2),
    ],
)
def test_numbers_are_compared_as_they_are_shown(opened: Page, asked: str, low: float, high: float) -> None:
    """The rows from `low` to just below `high` (NaN: no end)."""
    host = unfold(opened, "numbers")
    host.locator("input[type=search]").fill(asked)
    holds = (NUMBERS["size"] >= low) & ~(NUMBERS["size"] >= high)
    assert column(host, "row") == list(NUMBERS["row"][holds])


def test_a_row_of_every_page_opens_on_itself(opened: Page) -> None:
    host, dialog = unfold(opened, "numbers"), opened.locator("dialog")
    for at in range(3):
        button = host.locator("tbody tr").nth(2).locator("button")
        row = f"r{20 * at + 2:02}"
        assert button.inner_text() == row
        button.click()
        assert dialog.locator("dd").first.inner_text() == row
        dialog.get_by_role("button", name="Next").click()
        assert dialog.locator("dd").first.inner_text() == f"r{20 * at + 3:02}"
        opened.keyboard.press("Escape")
        if at < 2:
            host.locator(".pages button", has_text="Next").click()


def test_the_primary_test_is_marked_and_no_other(opened: Page) -> None:
    rows = opened.locator("#sheet-table-claims tbody tr")
    is_primary = [text.startswith("primary") for text in rows.all_inner_texts()]
    looks = rows.evaluate_all(
        "rows => rows.map(getComputedStyle).map(style => style.backgroundColor + style.fontWeight)"
    )
    marked = [look == looks[is_primary.index(True)] for look in looks]
    assert marked == is_primary and is_primary.count(True) == 1 and len(is_primary) > 1


def test_a_link_to_a_part_opens_it(opened: Page) -> None:
    part = opened.locator("#runs details").first
    assert part.get_attribute("open") is None
    opened.locator("nav a", has_text="Runs").click()
    opened.locator("#sheet-runs tbody tr").first.wait_for()
    assert part.get_attribute("open") is not None


def test_filters_leave_the_rows_that_hold_and_say_how_many(opened: Page, written: Written) -> None:
    host, runs = unfold(opened, "runs"), written.study.runs
    search = host.locator("input[type=search]")
    task = runs["task"].iloc[-1]
    search.fill(task)
    assert set(column(host, "task")) == {task}
    count = int((runs["task"] == task).sum())
    assert host.locator(".count").inner_text() == f"{count} of {len(runs)} rows"
    search.fill("u>0.5 evidence_rate=0")
    holds = runs[(runs["U"] > 0.5) & (runs["evidence_rate"] == 0)]
    assert len(column(host, "task")) == len(holds) > 0
    search.fill("no such word")
    assert host.locator("tbody tr").count() == 0
    search.fill("")
    host.locator("select").last.select_option("failed")
    assert len(column(host, "task")) == int((runs["status"] == "failed").sum()) > 0


def place_of(tab: Page, name: str, width: float, x: float, y: float) -> tuple[float, float]:
    """Where a point of a drawing of that width is in the window."""
    svg = tab.locator(f"#figure-of-{name} svg.drawn")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    assert box is not None
    scale = box["width"] / width
    return box["x"] + x * scale, box["y"] + y * scale


def test_the_value_on_hover_is_that_of_the_table(opened: Page, written: Written) -> None:
    drawn, table = next((p, t) for p, t in written.report.pictures if p.name == "use_by_extractability")
    row = table[(table["place"] == "panel") & table["U"].notna() & (table["excluded"] == "")].iloc[0]
    mark = next(
        m for m in drawn.marks
        if m.text.startswith(f"{row['task']}\n") and f": {row['relative']:.4g}\n" in m.text
    )  # fmt: skip
    tip, ring = opened.locator("#tip"), opened.locator(f"#figure-of-{drawn.name} .ring *")
    apart = [(x, y) for x in range(20, int(drawn.width), 5) for y in range(20, 200, 5)]
    far = max(apart, key=lambda at: min(math.dist(at, (m.x, m.y)) for m in drawn.marks))
    for away in (far, None):  # within the drawing, and out of it
        opened.mouse.move(*place_of(opened, drawn.name, drawn.width, mark.x, mark.y))
        tip.wait_for(state="visible")
        first, *_, last = tip.inner_text().split("\n")
        assert first == row["task"] and last.startswith("use U at") and last.endswith(f": {row['U']:.4g}")
        assert ring.count() == 1
        opened.mouse.move(*(place_of(opened, drawn.name, drawn.width, *away) if away else (2, 2)))
        tip.wait_for(state="hidden")
        assert ring.count() == 0


def test_a_finger_gets_the_value_too(browser: Browser, written: Written) -> None:
    drawn = next(p for p, _ in written.report.pictures if p.name == "use_by_extractability")
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(written.path.as_uri())
    x, y = place_of(tab, drawn.name, drawn.width, drawn.marks[0].x, drawn.marks[0].y)
    tab.touchscreen.tap(x, y)
    tab.locator("#tip").wait_for(state="visible", timeout=3000)
    assert tab.locator("#tip").inner_text() in {mark.text for mark in drawn.marks}
    context.close()


def test_values_are_told_to_the_keyboard(opened: Page, written: Written) -> None:
    drawn, _ = next((p, t) for p, t in written.report.pictures if p.name == "error_by_evidence")
    opened.locator("#figure-of-error_by_evidence svg.drawn").focus()
    tip = opened.locator("#tip")
    for key, which in (("ArrowRight", 0), ("ArrowRight", 1), ("ArrowLeft", 0), ("End", -1)):
        opened.keyboard.press(key)
        assert tip.inner_text() == drawn.marks[which].text
    opened.keyboard.press("Escape")
    tip.wait_for(state="hidden")


def test_a_row_opens_on_its_settings_and_its_curve(opened: Page, written: Written) -> None:
    host = unfold(opened, "runs")
    host.locator("input[type=search]").fill("status=ok")
    opener = host.locator("tbody tr").nth(1).locator("button")
    opener.click()
    dialog = opened.locator("dialog")
    dialog.wait_for(state="visible")
    key = written.study.runs.loc[written.study.runs["status"] == "ok", "key"].iloc[1]
    text = dialog.inner_text()
    assert key in text and "how it was tuned" in text and "Learning curve" in text
    assert dialog.locator(".chart").count() == 4
    assert dialog.locator(".chart").first.locator("polyline").count() == 4
    point = dialog.locator(".chart").first.locator("circle").first
    point.hover()
    assert opened.locator("#tip").inner_text().startswith("spurious_only\nbatches: 10\nerror: ")
    dialog.get_by_role("button", name="Next").click()
    assert dialog.inner_text() != text
    opened.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert opener.evaluate("node => node === document.activeElement")


def test_the_page_can_be_used_by_keyboard_alone(opened: Page) -> None:
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.className") == "skip"
    assert opened.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    opened.keyboard.press("Enter")
    assert opened.evaluate("document.activeElement.id") == "answer"
    heads = opened.locator("#sheet-table-claims thead th")
    for _ in range(40):  # through filter and choices to the first head
        opened.keyboard.press("Tab")
        if opened.evaluate("document.activeElement.closest('thead') !== null"):
            break
    assert opened.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    opened.keyboard.press("Enter")
    assert heads.first.get_attribute("aria-sort") == "ascending"
    assert opened.locator("#sheet-table-claims tbody tr").first.inner_text().startswith("primary")
    opened.keyboard.press("Enter")
    assert heads.first.get_attribute("aria-sort") == "descending"
    opened.locator("#runs summary").first.focus()
    opened.keyboard.press("Enter")
    opened.locator("#sheet-runs tbody tr button").first.focus()
    opened.keyboard.press("Enter")
    assert opened.locator("dialog").is_visible()
    assert opened.evaluate("document.querySelector('dialog').contains(document.activeElement)")
    opened.keyboard.press("Escape")
    assert not opened.locator("dialog").is_visible()


def test_a_name_that_means_harm_is_shown_as_text(opened: Page) -> None:
    host = unfold(opened, "runs")
    host.locator("input[type=search]").fill("<img")
    assert set(column(host, "task")) == {f"{HARM[:55]}…"}
    assert opened.evaluate("document.querySelectorAll('img, main script').length") == 0


def luminance(colour: str) -> float:
    parts = [float(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return float(sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)))


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_text_can_be_read_and_no_page_scrolls_sideways(
    browser: Browser, written: Written, size: Any, colours: Any
) -> None:
    context = browser.new_context(viewport=size, color_scheme=colours)
    tab = context.new_page()
    tab.goto(written.path.as_uri())
    for sheet in ("runs", "probes", "left-out", "table-claims"):
        unfold(tab, sheet)
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    unfold(tab, "runs").locator("tbody button").first.click()
    dialog = tab.locator("dialog")
    assert dialog.evaluate("node => node.scrollWidth <= node.clientWidth")
    paper = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (paper < 0.1) == (colours == "dark")
    seen = (
        "body",
        ".note",
        ".kicker",
        "nav a",
        ".count",
        ".known small",
        "summary .many",
        "tbody td button",
        ".badge",
    )
    for where in seen:
        ink = luminance(tab.evaluate("where => getComputedStyle(document.querySelector(where)).color", where))
        contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
        assert contrast >= 4.5, (where, contrast)
    texts = tab.evaluate(
        "[...document.querySelectorAll('svg.drawn text')].map(node => getComputedStyle(node).fill)"
    )
    inks = {luminance(fill) for fill in texts if fill.startswith("rgb(")}
    most = max((max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) for ink in inks)
    assert most > 10  # the words of a figure follow the page's ink
    context.close()


def test_two_thousand_runs_can_be_used_at_once(browser: Browser, written: Written) -> None:
    tab = browser.new_page(viewport=DESK)
    tab.goto(written.large.as_uri())
    ready = float(tab.evaluate("document.documentElement.dataset.ready"))
    host = unfold(tab, "runs")
    took = tab.evaluate(
        "() => { const begun = performance.now(); document.querySelector('#sheet-runs thead button').click();"
        "return performance.now() - begun; }"
    )
    print(f"2,000 runs: ready after {ready:.0f} ms, sorted in {took:.0f} ms")
    assert not math.isnan(ready)
    assert host.locator("tbody tr").count() == 20  # a page of rows, however many there are
    assert host.locator(".count").inner_text().startswith("20")
    tab.close()
