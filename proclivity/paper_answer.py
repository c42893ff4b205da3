"""The table of its paper's claims with which the answer of a study ends, and that of several studies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proclivity.answer import Answer

if TYPE_CHECKING:
    from analysis import Study
    from analysis.papers.paper_row import Measured


def with_paper(study: Study, answer: Answer, measured: Iterable[Measured]) -> Answer:
    """The answer with its paper's claims at its end; as it is for a study of no paper."""
    from analysis.papers.paper_row import paper_rows, paper_text

    paper = str(study.manifest.get("paper", ""))
    rows = [row.to_dict() for row in paper_rows(study, measured)]
    text = "\n\n".join(filter(None, [answer.text, paper_text(rows, paper)]))
    return replace(answer, data=answer.data | {"paper": rows}, text=text)


def papers_table(rows: Sequence[Sequence[Mapping[str, Any]]], paper: str) -> str:
    """The claims of a paper beside all of the studies that ask them: the rows of each."""
    from analysis.papers.paper_row import joined, paper_text

    return paper_text(joined(rows), paper)
