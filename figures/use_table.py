"""What the main picture shows: one row a pair, with its use, its extractability and how it is drawn."""

from __future__ import annotations

import math
from typing import Any

from pandas import DataFrame

from analysis import QuadrantCounts, Study, estimate, pairs_table, primary_claim, spearman, use_of
from analysis.pairs.claims import SMALLEST, within_kinds
from analysis.pairs.pairs import PAIR, lowest
from analysis.statistics.decisions import status
from analysis.use import QUADRANTS
from figures.style import ARMS, in_words

SHOWN = ("main", "random_init")
PANEL, BELOW, SIDE, CORNER, NOWHERE = "panel", "below", "side", "corner", "not drawn"
"""Where a pair is drawn: by x and U; no learnt run, so no U; no x; neither; no finished run at all."""
COLUMNS = [
    "arm", "method", "evidence_kind", "evidence", *PAIR, "x_target", "x_spurious", "relative",
    "U", "U_low", "U_high", "U_run_low", "U_run_high", "D", "label", "n_runs", "n_ok", "n_learnt", "censored",
    "excluded", "place", "marker",
]  # fmt: skip


def _intervals(row: dict[str, Any], learnt: DataFrame) -> dict[str, float]:
    """Wilson interval of U from the answers of the row's learnt runs together, and its range over them."""
    learnt = learnt[
        (learnt["model"] + " " + learnt["dial"] + " " + learnt["weights_hash"]).isin(row["models"])
    ]
    if not len(learnt) or math.isnan(row["U"]):
        return {}
    n, errors = ({q: int(learnt[f"{what}_{q}"].sum()) for q in QUADRANTS} for what in ("n", "errors"))
    low, high = use_of(QuadrantCounts(n, errors)).U_interval
    return {
        "U_low": max(0.0, min(low, row["U"])),
        "U_high": min(1.0, max(high, row["U"])),
        "U_run_low": float(learnt["U"].min()),
        "U_run_high": float(learnt["U"].max()),
    }


def _place(row: dict[str, Any]) -> str:
    if not row["n_ok"]:
        return NOWHERE
    learnt, ordered = not math.isnan(row["U"]), not math.isnan(row["relative"])
    if learnt:
        return PANEL if ordered else SIDE
    return BELOW if ordered else CORNER


def _marker(row: dict[str, Any]) -> str:
    if math.isnan(row["U"]):
        return "unlearnt"
    if math.isnan(row["relative"]):
        return "both" if row["censored"] == "both" else "not probed"
    return str(row["censored"])


def _cells(pairs: DataFrame) -> DataFrame:
    """The pairs of the arms that are shown, at their lowest evidence."""
    return lowest(pairs[pairs["arm"].isin(SHOWN)])


def use_table(study: Study, pairs: DataFrame | None = None) -> DataFrame:
    """One row per pair, arm and method at the lowest evidence: what the picture shows, and where.

    U_low, U_high: 95 % Wilson interval from the greedy answers of all learnt runs together; U_run_low and
    U_run_high: the smallest and the largest U of a run. D and label tell a U of 0.5 that is a
    rule of both features (AND, OR) from one that is none. `place` and `marker` say how the pair is drawn.
    `pairs`: the study's `pairs_table`, if at hand.
    """
    runs = study.runs[(study.runs["status"] == "ok") & study.runs["U"].notna()]
    learnt = dict(list(runs.groupby(["task", "arm", "method", "evidence_kind", "evidence_rate"])))
    rows = []
    for cell in _cells(pairs_table(study) if pairs is None else pairs).to_dict("records"):
        row = {str(name): value for name, value in cell.items()}
        key = tuple(row[name] for name in ("task", "arm", "method", "evidence_kind", "evidence"))
        row |= {"place": _place(row), "marker": _marker(row)} | _intervals(row, learnt.get(key, runs[:0]))
        rows.append(row)
    order = ["arm", "method", "task", "evidence_kind"]
    return DataFrame(rows, columns=COLUMNS).sort_values(order, kind="stable").reset_index(drop=True)


def panel_titles(study: Study, pairs: DataFrame | None = None) -> dict[tuple[str, str], str]:
    """(arm, method) -> Spearman's rho of U and relative extractability over the primary set, in words.

    Within kinds of task where there are several.
    """
    table = _cells(pairs_table(study) if pairs is None else pairs)
    named = primary_claim(study)
    titles = {}
    for (arm, method), part in table.groupby(["arm", "method"]):
        chosen = part[part["excluded"] == ""]
        if part["kind"].nunique() > 1:
            chosen, statistic, covariates = within_kinds(chosen, [])
            found = estimate(chosen, statistic, y="U", covariates=covariates)
        else:
            found = estimate(chosen, spearman, y="U")
        asked = [named[key] for key in ("claim", "arm", "method", "statistic", "pairs")]
        is_primary = asked == ["H1a", arm, method, "spearman", "primary"]
        about = ", ".join(filter(None, [method, ARMS[arm], "the primary test" if is_primary else ""]))
        word = status(found.low, found.high, found.p, smallest=SMALLEST[spearman])
        titles[str(arm), str(method)] = "\n".join([f"{about}: {word}", *in_words(found)])
    return titles
