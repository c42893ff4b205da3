"""What a study of one feature's dials says: did they move its bits alone, and did its use follow?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from pandas import DataFrame

from analysis.pairs.claim_row import SMALLEST_SLOPE, ClaimRow
from analysis.pairs.dials import (
    DIALS,
    Trend,
    beside_pairs,
    bits_of_models,
    dial_models,
    dialled_feature,
    over_levels,
    trend,
    use_of_models,
)
from analysis.records import Study
from analysis.statistics.decisions import ALPHA, OPPOSITE, SMALL, UNKNOWN, holm, status
from analysis.statistics.estimate import Estimate
from analysis.statistics.permutation import PERMUTATIONS

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
        roles = [(cells["spurious"] == feature).any(), (cells["target"] == feature).any()]
        role = {(True, False): "U", (False, True): "1 - U"}.get((roles[0], roles[1]), "U, or 1 - U as target")
        for dial, ours in _by_dial(models):
            part = cells[cells["dial"] == dial]
            use, easier = (beside_pairs(part, column) for column in ("use", "easier"))
            found = over_levels(models, dial, use, **run)
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
        about = f"over the {dial} of {feature} {_levels(ours)}, from lowest to highest"
        found = over_levels(models, dial, bits[own & here].set_index("model")["value"], **run)
        word = status(-found.high, -found.low, found.p, smallest=SMALLEST_TREND)
        told = f"bits a label of {feature} {about}; downwards is the direction meant"
        yield replace(_row("bits", "", "", "trend", dial, told, found, word, bits[own & here]), pairs=feature)
        name, found, word = _others(models, dial, bits[~own & here], run)
        told = (
            f"bits a label of {name} {about}: of all other features the one that changes most, p after Holm"
        )
        yield replace(_row("bits", "", "", "trend", dial, told, found, word, bits[~own & here]), pairs=OTHERS)


def _others(models: DataFrame, dial: str, bits: DataFrame, run: dict[str, int]) -> tuple[str, Trend, str]:
    """Of the features that were not dialled the one whose bits change most, and what is said of them all:
    too small only if every one's interval is, opposite if one of them moves."""
    trends = {
        str(feature): over_levels(models, dial, part.set_index("model")["value"], **run)
        for feature, part in bits.groupby("feature")
    }
    if not trends:
        return "none", Trend(math.nan, math.nan, math.nan, math.nan, 0, 0), UNKNOWN
    p = dict(zip(trends, holm([found.p for found in trends.values()]), strict=True))
    most = max(trends, key=lambda feature: abs(trends[feature].value))
    least = min(p.values())
    word = OPPOSITE if least < ALPHA else UNKNOWN
    if all(max(-found.low, found.high) <= SMALLEST_TREND for found in trends.values()):
        word = SMALL
    return most, replace(trends[most], p=least), word


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
