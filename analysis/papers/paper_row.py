"""A paper's claims beside what one study found: one kind of row for all five papers.

Every fact of `analysis.papers.published` has a row, measured or not. Only a study at scale `paper` is a
reproduction; anything smaller is a conceptual replication at its scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from analysis.pairs.tables import cell, text_table
from analysis.papers.published import FACTS, OTHER_STUDY
from analysis.records import Study
from analysis.statistics.decisions import UNKNOWN

PAPERS = {
    "lovering2021": "Lovering et al. 2021",
    "cruz2023": "Cruz et al. 2023",
    "kirk2024": "Kirk et al. 2024",
    "superhf2023": "Mukobi et al. 2023, SuperHF",
    "tajwar2024": "Tajwar et al. 2024",
}
UNASKED = "not measured: "


@dataclass(frozen=True)
class Measured:
    """One figure of this run that answers a fact."""

    fact: str
    here: str
    """What it is a figure of, in this study's words."""
    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    n: str
    """What it stands on, in words."""
    smallest: float
    """Smallest effect of interest."""
    status: str


@dataclass(frozen=True)
class PaperRow:
    """A claim, what the paper shows for it, and what this run does."""

    figure: str
    claim: str
    published: str
    source: str
    """Where the published figure was read."""
    study: str
    here: str
    """This run's figure in words; or why there is none."""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: str = ""
    smallest: float = math.nan
    status: str = UNKNOWN
    """same direction / opposite / too small to matter / cannot be told."""
    called: str = ""
    """A reproduction, or a conceptual replication at a scale; empty where nothing was measured."""

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON: NaN is None."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def called(scale: str) -> str:
    """What a run at a scale may be called."""
    return "reproduction" if scale == "paper" else f"conceptual replication at {scale or 'no named'} scale"


def paper_rows(study: Study, measured: Iterable[Measured]) -> list[PaperRow]:
    """All facts of the study's paper in the paper's order, each with the figures that answer it."""
    found = list(measured)
    word = called(str(study.manifest.get("scale", "")))
    rows = list[PaperRow]()
    for key, fact in FACTS.get(str(study.manifest.get("paper", "")), {}).items():
        told = (fact.figure, fact.claim, fact.shown, fact.source, study.name)
        asked = [m for m in found if m.fact == key]
        for m in asked:
            about: dict[str, Any] = {"n": m.n, "smallest": m.smallest}
            if not math.isnan(m.value):
                about |= {"value": m.value, "low": m.low, "high": m.high, "status": m.status, "called": word}
            rows.append(PaperRow(*told, m.here, **about))
        if not asked:
            rows.append(PaperRow(*told, UNASKED + fact.missing))
    return rows


def joined(studies: Sequence[Sequence[Mapping[str, Any]]]) -> list[Mapping[str, Any]]:
    """The rows of several studies of one paper as one table: a claim is unmeasured if none measured it."""
    claims: dict[str, list[Mapping[str, Any]]] = {}
    for row in (row for rows in studies for row in rows):
        claims.setdefault(row["claim"], []).append(row)
    rows = []
    for of in claims.values():
        asked = [row for row in of if not row["here"].startswith(UNASKED)]
        # Of two reasons the one that is about more than this study.
        reasons = sorted(of, key=lambda row: row["here"] == UNASKED + OTHER_STUDY)
        rows += asked or reasons[:1]
    return rows


LEGEND = """value: this run's figure, above 0 if the claim holds (a ratio: above 1), in this run's units;
where the paper finds no difference, 'too small to matter' agrees with it
low, high: 95 % interval; smallest: smallest effect of interest of the measure; status: by both and p
published: the paper's figure in its units; [k]: where it was read"""


WIDTHS = {"claim": 44, "published": 34, "this run": 48}
"""Columns of prose, and the characters at which they are broken."""
NUMBERS = ("value", "low", "high", "smallest")


def paper_text(rows: Sequence[Mapping[str, Any]], paper: str) -> str:
    """The table as text; a claim is named once, sources stand below."""
    if not rows:
        return ""
    words = sorted({row["called"] for row in rows if row["called"]})
    several = len({row["study"] for row in rows}) > 1
    sources: dict[str, int] = {}
    widths = {name: max(len(cell(row[name])) for row in rows) for name in NUMBERS}
    lines, before = list[dict[str, str]](), ""
    for row in rows:
        source = sources.setdefault(row["source"], len(sources) + 1)
        first = row["claim"] != before
        before = row["claim"]
        shown = {name: cell(row[name]).rjust(widths[name]) for name in NUMBERS}
        told = {
            "figure": row["figure"] if first else "",
            "claim": row["claim"] if first else "",
            "published": f"{row['published']} [{source}]" if first else "",
            **({"study": row["study"]} if several else {}),
            "this run": row["here"],
            **{name: shown[name] for name in NUMBERS[:3]},
            "n": row["n"],
            "smallest": shown["smallest"],
            "status": row["status"],
        }
        lines += _broken(told)
    title = f"Claims of {PAPERS.get(paper, paper)}: {'; '.join(words) or 'nothing measured'}"
    notes = [f"[{number}] {source}" for source, number in sources.items()]
    return "\n".join([title, text_table(lines), *LEGEND.split("\n"), *notes])


def _broken(row: Mapping[str, str]) -> list[dict[str, str]]:
    """A row as lines, its prose broken at `WIDTHS`."""
    parts = {name: wrap(text, WIDTHS[name]) if name in WIDTHS else [text] for name, text in row.items()}
    filled = zip_longest(*(part or [""] for part in parts.values()), fillvalue="")
    return [dict(zip(parts, line, strict=True)) for line in filled]
