"""One HTML file of a study: everything in it, nothing beside it."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template
from typing import Any

from pandas import DataFrame

from figures.report.in_words import InWords
from figures.report.sheets import Sheet, as_script, encode
from figures.report.svg import Picture

FEW = 8
"""Lines that need not be folded away."""
LONGEST = 5_000
"""Rows of a figure's table beyond which it is not in the page."""


@dataclass(frozen=True)
class Report:
    """What stands on the page, in its order."""

    name: str
    question: str
    scale: str
    """What a study of its scale may be called."""
    answer: InWords
    cannot: Sequence[str]
    """What cannot be told, and why, a sentence a thing."""
    claims: Sequence[Sheet]
    pictures: Sequence[tuple[Picture, DataFrame]]
    """Figures, each with the table behind it."""
    tables: Sequence[Sheet]
    runs: Sequence[Sheet]
    left_out: Sequence[Sheet]
    failed: Sheet | None
    problems: Sequence[str]
    """What could not be read, a line a record."""
    facts: Mapping[str, str]
    """Where it comes from: command, versions, dates."""
    definition: Mapping[str, Any]
    text: str
    """What `analyze --all` prints."""
    command: str
    """The command that wrote the page."""


def page(report: Report) -> str:
    """The page as text; equal reports give equal pages."""
    parts = resources.files("figures.report")
    script, css, frame = (
        parts.joinpath(f"report.{end}").read_text(encoding="utf-8") for end in ("js", "css", "html")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    behind = [
        Sheet(f"figure-{picture.name}", picture.name, table)
        for picture, table in report.pictures
        if 0 < len(table) <= LONGEST
    ]
    failed = [report.failed] if report.failed is not None else []
    sheets = [*report.claims, *behind, *report.tables, *report.runs, *report.left_out, *failed]
    data = {
        "sheets": [encode(sheet) for sheet in sheets],
        "figures": {f"figure-of-{picture.name}": _marks(picture) for picture, _ in report.pictures},
    }
    sections = dict(_sections(report))
    titles = {"answer": "Answer"} | {name: title for name, (title, _) in sections.items()}
    return Template(frame).substitute(
        title=escape(f"{report.name}: report"),
        kicker=escape(f"{report.name}: {report.scale}"),
        question=escape(report.question),
        nav="".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in titles.items()),
        answer=_answer(report),
        sections="\n".join(_section(name, title, body) for name, (title, body) in sections.items()),
        command=escape(report.command),
        style=css,
        script=script,
        script_hash=f"sha256-{digest}",
        data=as_script(data),
    )


def _answer(report: Report) -> str:
    said = report.answer
    badge = f'<p><span class="badge">primary test: {escape(said.status)}</span></p>' if said.status else ""
    text = f'<p class="said">{escape(said.first)} {escape(said.second)}</p>'
    cannot = "".join(f"<li>{escape(line)}</li>" for line in report.cannot)
    more = f'<p class="note">What this study cannot say:</p><ul class="note">{cannot}</ul>' if cannot else ""
    rest = (
        '<p class="note">One test was named before the first run and is marked as primary; all others are '
        "secondary.</p>"
    )
    return badge + text + more + (rest if said.status else "")


def _sections(report: Report) -> Iterator[tuple[str, tuple[str, str]]]:
    if report.claims:
        yield "claims", ("Claims", "".join(map(_host, report.claims)))
    if report.pictures:
        yield "figures", ("Figures", "".join(_figure(picture, table) for picture, table in report.pictures))
    if report.tables:
        yield "tables", ("Tables", "".join(map(_host, report.tables)))
    if report.runs:
        hint = '<p class="note">A row opens on all settings, results and the learning curve.</p>'
        yield "runs", ("Runs and probes", hint + "".join(map(_host, report.runs)))
    yield "left-out", ("Left out, failed, not read", _left_out(report))
    yield "about", ("Where it comes from", _about(report))


def _section(name: str, title: str, body: str) -> str:
    head = f'<h2 id="{name}-title">{title}</h2>'
    return f'<section id="{name}" tabindex="-1" aria-labelledby="{name}-title">\n{head}\n{body}\n</section>'


def _host(sheet: Sheet) -> str:
    """Where the script puts a table."""
    count = f'<span class="many">{len(sheet.table)} {"row" if len(sheet.table) == 1 else "rows"}</span>'
    note = f'<p class="note">{escape(sheet.note)}</p>' if sheet.note else ""
    inside = f'<div class="in" id="sheet-{escape(sheet.id)}" data-title="{escape(sheet.title)}">{note}</div>'
    how = ' class="prints" open' if sheet.is_open else ""
    return f"<details{how}><summary>{escape(sheet.title)} {count}</summary>{inside}</details>\n"


def _figure(picture: Picture, table: DataFrame) -> str:
    title = escape(picture.name.replace("_", " "))
    svg = picture.svg.replace(
        "<svg ", f'<svg class="drawn" style="max-width:{2.2 * picture.width:.0f}px;'
        f'--least:{1.25 * picture.width:.0f}px" ', 1,
    )  # fmt: skip
    hint = '<span class="hint">values on hover, or by arrow keys</span>' if picture.marks else ""
    behind = ""
    if 0 < len(table) <= LONGEST:
        behind = _host(Sheet(f"figure-{picture.name}", "The table behind it", table))
    elif len(table):
        behind = f'<p class="note">The table behind it has {len(table)} rows: see `figures`.</p>'
    return (
        f'<figure id="figure-of-{escape(picture.name)}"><figcaption>{title} {hint}</figcaption>'
        f'<div class="scroll">{svg}</div>{behind}</figure>\n'
    )


def _marks(picture: Picture) -> dict[str, Any]:
    """Marks with their lines of text as numbers into a list of them."""
    lines: dict[str, int] = {}
    marks: list[list[Any]] = []
    for mark in picture.marks:
        text = [lines.setdefault(line, len(lines)) for line in mark.text.split("\n")]
        marks.append([*(round(v, 1) for v in (mark.x, mark.y, mark.width, mark.height)), text])
    return {"lines": list(lines), "marks": marks}


def _left_out(report: Report) -> str:
    parts = list(map(_host, report.left_out)) or ['<p class="note">Nothing was left out by a rule.</p>']
    if report.failed is not None:
        parts.append(_host(report.failed))
    else:
        parts.append('<p class="note">No run failed.</p>')
    if report.problems:
        lines = "".join(f"<li>{escape(problem)}</li>" for problem in report.problems)
        many = len(report.problems)
        head = f"Not read, and in no table: {many} {'part' if many == 1 else 'parts'}"
        is_open = " open" if many <= FEW else ""
        parts.append(
            f'<details class="warning"{is_open}><summary>{head}</summary>'
            f'<div class="in"><ul>{lines}</ul></div></details>'
        )
    else:
        parts.append('<p class="note">Every record was read.</p>')
    return "".join(parts)


def _about(report: Report) -> str:
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in report.facts.items())
    definition = escape(json.dumps(report.definition, indent=1))
    return (
        f'<dl class="facts">{facts}</dl>'
        f'<details><summary>The study as it was defined</summary><div class="in"><pre>{definition}</pre>'
        "</div></details>"
        f'<details><summary>All tables as text</summary><div class="in"><pre>{escape(report.text)}</pre>'
        "</div></details>"
    )
