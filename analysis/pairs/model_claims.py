"""H1b over models as a study's primary test; the models may be checkpoints of one training.

Errors are dyadic-robust. A permutation of models would not do where they are in an order: what features cost
and what policies use both drift along a training, each pair by itself, and models are not exchangeable.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pandas import DataFrame

from analysis.pairs.claim_row import SMALLEST_SLOPE, ClaimRow
from analysis.pairs.pairs import PAIR, lowest, pairs_table
from analysis.pairs.within_pairs import usable, within_pairs
from analysis.records import Study
from analysis.statistics.decisions import status
from analysis.statistics.estimate import Estimate

TEST = "dyadic_robust"
"""Of a study's primary test."""


def compares_models(study: Study) -> bool:
    """Whether a study's primary test is of models within pairs."""
    return bool(study.manifest.get("primary", {}).get("test") == TEST)


def in_both_roles(rows: DataFrame, study: DataFrame) -> DataFrame:
    """Rows whose exchange, where the study has the pair's, has a U and an order on the same model too.

    Only so does a change of U that is common to all pairs of a model cancel.
    """
    told = rows[np.isfinite(rows[["relative", "U"]].to_numpy(float)).all(axis=1)]
    asked = set(zip(study["target"], study["spurious"], strict=True))
    here = list(zip(told["target"], told["spurious"], told["weights_hash"], strict=True))
    known = set(here)
    kept = [(s, t) not in asked or (s, t, model) in known for t, s, model in here]
    return told[np.array(kept, dtype=bool)]


def model_claims(study: Study) -> Iterator[ClaimRow]:
    """A line for each arm and method on the primary set, and one on all pairs.

    A model that is there under two names, as the weights of some hubs' revisions are, counts once. Of a pair
    that the study has in both roles only models enter on which both have learnt.
    """
    table = pairs_table(study, "model")
    for (arm, method), cells in table.groupby(["arm", "method"]):
        first = lowest(cells)
        for pairs in ("primary", "all"):
            kept = first[first["excluded"] == ""] if pairs == "primary" else first[first["target"] != ""]
            once = kept.drop_duplicates([*PAIR, "weights_hash"])
            rows = usable(in_both_roles(once, first))
            found = within_pairs(rows, permutations=1)[0]
            names = {name for role in ("target", "spurious") for name in rows.get(role, ())}
            families = {f for role in ("target", "spurious") for f in rows.get(f"{role}_family", ())}
            seeds = {seed for told in rows.get("seeds", ()) for seed in told}
            same = len(kept) - len(once)
            alone = len(usable(once)) - len(rows)
            notes = [
                found.note,
                f"{same} cells are of weights that another model has too" if same else "",
                f"{alone} cells are left out: their exchange has not learnt" if alone else "",
            ]
            told = Estimate(
                found.value, found.low, found.high, found.p,
                len(families), len(names), len(rows.drop_duplicates(PAIR)) if len(rows) else 0,
                rows["weights_hash"].nunique() if len(rows) else 0, len(seeds),
                note="; ".join(filter(None, notes)),
            )  # fmt: skip
            about = "U against relative extractability within a pair, over models, dyadic-robust errors"
            word = status(found.low, found.high, found.p, smallest=SMALLEST_SLOPE)
            yield ClaimRow("H1b", str(arm), str(method), pairs, "slope", "bits", "", about, told, word)
