"""Every table that `analyze` prints, to be written beside the figures; what a study stands on, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proclivity.study_answers import tables_of

if TYPE_CHECKING:
    from analysis import Study
    from figures import Drawn


def answer_tables(study: Study) -> Iterator[Drawn]:
    """A table for every list of rows in the study's answer, named `analyze_` and its name there."""
    from pandas import DataFrame

    from figures import Drawn

    legends = _legends(study)
    for name, title, rows in tables_in(tables_of(study, everything=True).data):
        legend = " ".join(legends.get(name, "").split("\n"))
        yield Drawn(f"analyze_{name}", None, DataFrame(rows), title, legend)


def tables_in(data: Mapping[str, Any]) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Every list of rows in a study's answer, and every mapping of plain values: name, title and rows."""
    for name, rows in data.items():
        if isinstance(rows, Mapping):  # a rate a method
            rows = [{"name": key, "value": value} for key, value in rows.items()]
        if isinstance(rows, list) and rows and all(isinstance(row, Mapping) for row in rows):
            yield name, "the paper's claims" if name == "paper" else name.replace("_", " "), rows


def _legends(study: Study) -> dict[str, str]:
    """What stands below a table in print, for those whose legend belongs to the study's kind."""
    from analysis.pairs.comparison import compares_methods
    from analysis.pairs.dials import dialled_feature
    from analysis.pairs.inheritance import of_rewards
    from analysis.pairs.tables import LEGEND, OF_DIALS, OF_METHODS, OF_REWARDS
    from analysis.papers.kirk2024 import LEGEND as KIRK
    from analysis.papers.paper_row import LEGEND as PAPER
    from analysis.papers.superhf2023 import LEGEND as SUPERHF
    from analysis.papers.tajwar2024 import LEGEND as TAJWAR
    from analysis.stages.stages import has_stages

    if has_stages(study):
        of_claims = SUPERHF if study.manifest.get("paper") == "superhf2023" else KIRK
    elif dialled_feature(study):
        of_claims = OF_DIALS
    else:
        of_claims = OF_METHODS if compares_methods(study) else OF_REWARDS if of_rewards(study) else LEGEND
    return {"claims": of_claims, "paper": PAPER, "takeaways": TAJWAR}


def about(study: Study) -> str:
    """The study, its scale and its records, counted."""
    from figures.style import counted

    scale = study.manifest.get("scale")
    texts = study.texts["key"].nunique()
    counts = {
        "run": len(study.runs) + len(study.bandits) + texts + len(study.stages),
        "probe": len(study.probes),
    }
    told = ", ".join(counted(count, noun) for noun, count in counts.items() if count or noun == "run")
    return f"{study.name}" + (f", {scale} scale" if scale else "") + f": {told}"
