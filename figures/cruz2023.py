"""The figures of a study after Cruz 2023: error by evidence, use by extractability, pairs of families."""

from __future__ import annotations

from collections.abc import Iterator

from analysis import Study, pairs_table, primary_claim
from figures.error_by_evidence import error_by_evidence, error_table
from figures.pairs_heatmap import heatmap_table, pairs_heatmap
from figures.style import Drawn
from figures.use_by_extractability import use_by_extractability
from figures.use_table import use_table


def draw_cruz2023(study: Study) -> Iterator[Drawn]:
    """Every figure of a study of pairs.

    `pairs_heatmap` shows the method of the primary test; other methods get a `pairs_heatmap_<method>`.
    """
    pairs = pairs_table(study)
    yield Drawn("error_by_evidence", error_by_evidence(study, pairs), error_table(study, pairs))
    yield Drawn("use_by_extractability", use_by_extractability(study, pairs), use_table(study, pairs))
    first = primary_claim(study)["method"]
    main = study.runs[(study.runs["arm"] == "main") & (study.runs["status"] == "ok")]
    for method in [first, *sorted({*main["method"]} - {first})]:
        name = "pairs_heatmap" if method == first else f"pairs_heatmap_{method}"
        yield Drawn(name, pairs_heatmap(study, method, pairs), heatmap_table(study, method, pairs))
