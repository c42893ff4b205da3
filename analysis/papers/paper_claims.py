"""Which figures of a study answer which claim of its paper, for every kind of study."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pandas import DataFrame

from analysis.pairs import lovering2021
from analysis.pairs.claim_row import SMALLEST_USE, ClaimRow
from analysis.pairs.claims import KIND_OF_TASK, SMALLEST
from analysis.pairs.comparison import p_of_mean
from analysis.pairs.pairs import PAIR, pairs_table
from analysis.papers.kirk2024 import OTHERWISE
from analysis.papers.lengths import SMALLEST as ONE_WORD
from analysis.papers.lengths import STATISTICS
from analysis.papers.lovering_correlations import NEVER_LAST, SCORES
from analysis.papers.paper_row import Measured
from analysis.papers.tajwar2024 import Takeaway
from analysis.records import Study
from analysis.stage_schema import IN
from analysis.stages.stage_runs import SEEDS
from analysis.statistics.association import mean, spearman
from analysis.statistics.decisions import UNKNOWN, status
from analysis.statistics.estimate import Estimate, estimate
from analysis.statistics.seeds import paired
from analysis.use import wilson

BITS = {
    "bits of first-last": ("symbolic/first-last-vs-contains-2", 1),
    "bits of prefix-duplicate": ("symbolic/prefix-duplicate-vs-contains-2", 1),
    "bits of adjacent-duplicate": ("symbolic/adjacent-duplicate-vs-contains-2", 1),
    "bits of dollar-vs-hash": ("reviews/dollar-vs-hash", -1),
    "bits of score-vs-review": ("reviews/score-vs-review", 1),
}
"""Pairs for which a paper gives the ratio of its two features' codes; -1 where the target is the cheaper."""
ASKED = ("primary", "all")
"""Sets of pairs beside a paper, which leaves none out by our rules."""
FIRST_LAST = "symbolic/first-last-vs-contains-2"


def of_pairs(study: Study, rows: Sequence[ClaimRow], lovering: DataFrame) -> Iterator[Measured]:
    """Of a study of pairs of features, after Lovering et al. 2021 or Cruz et al. 2023.

    `lovering`: the table of `analysis.papers.lovering_correlations`.
    """
    if lovering2021.is_of_paper(study):
        yield from _correlations(rows, "average", "average", lovering2021.KIND)
        yield from _of_scores(lovering)
        yield from _correlations(rows, "evidence", "H2", lovering2021.KIND)
        yield from _error_left(study)
    elif study.manifest.get("paper") == "cruz2023":
        yield from _correlations(rows, "H1", "H1a", "main")
        yield from _fall_of_use(study)
    yield from _bits(study)


def _correlations(rows: Sequence[ClaimRow], fact: str, claim: str, arm: str) -> Iterator[Measured]:
    for row in rows:
        plain = row.statistic == "spearman" and row.x == "bits" and row.given in ("", KIND_OF_TASK)
        if plain and (row.claim, row.arm) == (claim, arm) and row.pairs in ASKED:
            e = row.estimate
            smallest = next(v for k, v in SMALLEST.items() if k.__name__ == row.statistic)
            here = f"{row.claim}: Spearman, {row.method}, {row.pairs} pairs"
            here += f" ({e.note})" if e.note else ""
            yield Measured(fact, here, e.value, e.low, e.high, _of_families(e), smallest, row.status)


def _of_scores(lovering: DataFrame) -> Iterator[Measured]:
    """Their own outcomes, by our test: on language where there is some, and on the controlled set."""
    usual = "language" if "language" in set(lovering["pairs"]) else "all"
    asked = {
        (SCORES["F"], usual): ("average", 1),
        (SCORES["F"], "controlled"): ("controlled", 1),
        (NEVER_LAST, usual): ("evidence", -1),
    }
    for row in lovering.to_dict("records"):
        if (row["outcome"], row["pairs"]) not in asked:
            continue
        fact, sign = asked[row["outcome"], row["pairs"]]
        low, high = sorted(sign * row[end] for end in ("low", "high"))
        word = status(low, high, row["p"], smallest=SMALLEST[spearman])
        here = (
            f"{row['outcome']}: {'' if sign > 0 else 'minus '}Spearman, {row['method']}, {row['pairs']} pairs"
        )
        here += f" ({row['note']})" if row["note"] else ""
        families, _, pairs, *_ = row["n"].split("/")
        n = f"{pairs} pairs of {families} families"
        yield Measured(fact, here, sign * row["rho"], low, high, n, SMALLEST[spearman], word)


def _of_families(found: Estimate) -> str:
    return f"{found.n_pairs} pairs of {found.n_families} families"


def _fall_of_use(study: Study) -> Iterator[Measured]:
    """Use at no evidence less use at the most, of the pairs that have both."""
    table = pairs_table(study)
    table = table[table["arm"] == "main"]
    for method, cells in table.groupby("method"):
        levels = sorted(set(cells["evidence"]))
        if len(levels) < 2:
            continue
        first, last = (cells[cells["evidence"] == level].set_index(PAIR) for level in (levels[0], levels[-1]))
        fall = first.assign(y=first["U"] - last["U"].reindex(first.index)).reset_index()
        for pairs in ASKED:
            kept = fall[fall["excluded"] == ""] if pairs == "primary" else fall
            found = estimate(kept, mean, y="y", x=None)
            word = status(found.low, found.high, p_of_mean(found), smallest=SMALLEST_USE)
            here = f"fall of U from evidence {levels[0]:g} to {levels[-1]:g}, {method}, {pairs} pairs"
            here += f" ({found.note})" if found.note else ""
            numbers = (found.value, found.low, found.high, _of_families(found), SMALLEST_USE)
            yield Measured("H2", here, *numbers, word)


def _bits(study: Study) -> Iterator[Measured]:
    """Relative extractability of single pairs, over models."""
    wanted = {task for task, _ in BITS.values()} & set(study.runs["task"])
    if not wanted:
        return
    table = pairs_table(study, "model")
    table = table[table["arm"].isin(["main", lovering2021.KIND])].drop_duplicates(["task", "model", "dial"])
    for fact, (task, sign) in BITS.items():
        known = table.loc[table["task"] == task, "relative"].dropna()
        if len(known):
            value, low, high, p, n = paired(sign * known)
            word = status(low, high, p, smallest=math.nan)
            alone = "" if n > 1 else " (no interval over models: there is one)"
            here = f"log2 of the bits' ratio, {task}{alone}"
            yield Measured(fact, here, value, low, high, f"{_counted(n, 'model')}", math.nan, word)


def _error_left(study: Study) -> Iterator[Measured]:
    """Error on `spurious_only` at the most evidence of the toy that the paper says never learns."""
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["task"] == FIRST_LAST)]
    runs = runs[(runs["evidence_kind"] == lovering2021.KIND) & (runs["control"] == "")]
    runs = runs[runs["evidence_rate"] == runs["evidence_rate"].max()]
    n, k = int(runs["n_spurious_only"].sum()), int(runs["errors_spurious_only"].sum())
    if n:
        low, high = wilson(k, n)
        word = status(low, high, 0.0 if k else 1.0, smallest=lovering2021.LEFT)
        here = f"error on spurious_only at evidence {runs['evidence_rate'].iloc[0]:g}"
        told = f"{n} rows of {_counted(len(runs), 'run')}"
        yield Measured("first-last", here, k / n, low, high, told, lovering2021.LEFT, word)


def of_stages(study: Study, rows: Sequence[Mapping[str, Any]]) -> Iterator[Measured]:
    """Of a study of stages, after Kirk et al. 2024 or Mukobi et al. 2023."""
    levels = len({row["evidence"] for row in rows if row["evidence"] == row["evidence"]})
    for row in rows:
        where = str(row["task"]).rpartition("/")[2]
        where += f", evidence {row['evidence']:g}" if levels > 1 and row["evidence"] >= 0 else ""
        measure = f", {row['measure']}" if "measure" in row else ""
        numbers = (row["value"], row["low"], row["high"])
        n = f"{_counted(row['n'], 'run')} on {_counted(row['sft_models'], 'SFT model')}"
        here = f"{row['claim']}{measure} ({where})"
        yield Measured(row["fact"], here, *numbers, n, row["smallest"], row["status"])
    if study.manifest.get("paper") == "kirk2024":
        yield from _reward_models(study)


def _reward_models(study: Study) -> Iterator[Measured]:
    """Accuracy of the policies' reward models on held-out pairs, in distribution less under the shifts."""
    stages = study.stages.loc[study.stages["policy"] == "reward", ["key", "task", *SEEDS]]
    table = study.measures[study.measures["measure"] == "accuracy"].merge(stages, on="key")
    for task, part in table.groupby("task"):
        wide = part.pivot_table(index=SEEDS, columns="shift", values="value")
        shifts = [name for name in wide if name != IN]
        if IN not in wide or not shifts:
            continue
        value, low, high, p, n = paired(wide[IN] - wide[shifts].mean(axis=1, skipna=False))
        word = status(low, high, p, smallest=OTHERWISE) if n > 1 else UNKNOWN
        here = f"accuracy of the reward model, in less shifts ({str(task).rpartition('/')[2]})"
        told = (value, low, high, _counted(n, "reward model"), OTHERWISE, word)
        yield Measured("reward model", here, *told)


def of_bandits(rows: Sequence[Takeaway]) -> Iterator[Measured]:
    """Of a study of bandits, after Tajwar et al. 2024."""
    for row in rows:
        numbers = (row.value, row.low, row.high, _counted(row.n, "seed"), row.smallest, row.status)
        yield Measured(row.fact, f"{row.claim} ({row.problem})", *numbers)


def of_lengths(rows: Sequence[Mapping[str, Any]]) -> Iterator[Measured]:
    """Of a study of lengths, after the same paper, in words."""
    for row in rows:
        numbers = (row["value"], row["low"], row["high"], _counted(row["n"], "seed"), ONE_WORD)
        here = f"{row['claim'].rpartition(': ')[2]} ({STATISTICS[row['statistic']]})"
        yield Measured(row["fact"], here, *numbers, row["status"])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
