"""What a study of one feature's dials says: did they move its bits alone, and did its use follow?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pandas import DataFrame

from analysis.claim_row import SMALLEST_SLOPE, ClaimRow
from analysis.decisions import status
from analysis.dials import (
    DIALS,
    PERMUTATIONS,
    Trend,
    beside_pairs,
    bits_of_models,
    dial_models,
    dialled_feature,
    ranks,
    trend,
    use_of_models,
)
from analysis.estimate import Estimate
from analysis.records import Study

OTHERS = "other features"
SMALLEST_TREND = 0.1
"""Smallest effect of interest from a dial's lowest level to its highest: in use, and in bits a label."""


def dial_claims(study: Study, *, permutations: int = PERMUTATIONS, seed: int = 0) -> list[ClaimRow]:
    """The claims, the treatment's first. One family is dialled, so intervals and p are over models."""
    models = dial_models(study)
    run = {"permutations": permutations, "seed": seed}
    rows = list(_of_use(study, models, run))
    return [*rows, *_of_bits(study, models, run)]


def _of_use(study: Study, models: DataFrame, run: dict[str, int]) -> Iterator[ClaimRow]:
    feature = dialled_feature(study)
    table = use_of_models(study)
    for (arm, method), cells in table.groupby(["arm", "method"]):
        role = "U" if (cells["spurious"] == feature).all() else "1 - U"
        for dial, ours in _by_dial(models):
            part = cells[cells["dial"] == dial]
            use, easier = (beside_pairs(part, column) for column in ("use", "easier"))
            found = trend(ours, ranks(ours), use, **run)
            word = status(found.low, found.high, found.p, smallest=SMALLEST_TREND)
            about = f"use of {feature} ({role}) over its {dial} {_levels(ours)}, from lowest to highest"
            yield _row("H1b", arm, method, "trend", dial, about, found, word, part)
            if dial == DIALS["useful"]:
                found = trend(ours, easier, use, **run)
                word = status(found.low, found.high, found.p, smallest=SMALLEST_SLOPE)
                about = f"use of {feature} over the doublings by which it is the cheaper one, across models"
                yield _row("H1b", arm, method, "slope", "bits", about, found, word, part)


def _of_bits(study: Study, models: DataFrame, run: dict[str, int]) -> Iterator[ClaimRow]:
    feature = dialled_feature(study)
    bits = bits_of_models(study)
    own = bits["feature"] == feature
    for dial, ours in _by_dial(models):
        here = bits["dial"] == dial
        for what, part in ((feature, bits[own & here]), (OTHERS, bits[~own & here])):
            found = trend(ours, ranks(ours), part.groupby("model")["value"].mean(), **run)
            low, high = (-found.high, -found.low) if what == feature else (found.low, found.high)
            word = status(low, high, found.p, smallest=SMALLEST_TREND)
            about = (
                f"mean bits a label of {what} over the {dial} of {feature} {_levels(ours)}, lowest to highest"
            )
            if what == feature:
                about += "; downwards is the direction meant"
            yield replace(_row("bits", "", "", "trend", dial, about, found, word, part), pairs=what)


def _by_dial(models: DataFrame) -> Iterator[tuple[str, DataFrame]]:
    for dial in DIALS.values():
        if len(ours := models[models["dial"] == dial]):
            yield dial, ours


def _levels(models: DataFrame) -> str:
    return "(" + ", ".join(f"{level:g}" for level in sorted(models["level"].unique())) + ")"


def _row(
    claim: str,
    arm: str,
    method: str,
    statistic: str,
    x: str,
    about: str,
    found: Trend,
    word: str,
    part: DataFrame,
) -> ClaimRow:
    pairs = part["task"].nunique() if "task" in part else 0
    roles = ("target", "spurious") if pairs else ("feature",)
    features = {name for role in roles for name in part[role]}
    families = {name for role in roles for name in part["family" if role == "feature" else f"{role}_family"]}
    note = "" if found.n_seeds > 1 else "no interval and no p-value: two seeds of pre-training are needed"
    n = (len(families), len(features), pairs, found.n_models, found.n_seeds)
    told = Estimate(found.value, found.low, found.high, found.p, *n, note=note)
    return ClaimRow(claim, arm, method, "primary", statistic, x, "", about, told, word)
