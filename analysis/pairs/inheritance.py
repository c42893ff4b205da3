"""Does a policy inherit the use of the reward model that it was tuned on?

The unit is the pair. Within a block (a pair, a model and a seed) policies have the same rows and first
weights and differ in their reward models alone, so blocks are centred: what a pair makes easy for both takes
no part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from pandas import DataFrame

from analysis.pairs.claim_row import ClaimRow
from analysis.pairs.pairs import CENSORED, PAIR, UNPROBED, pairs_table
from analysis.records import Study
from analysis.statistics.association import Array
from analysis.statistics.decisions import status
from analysis.statistics.dyadic import dyads
from analysis.statistics.estimate import Estimate, family_jackknife
from analysis.statistics.permutation import PERMUTATIONS

SMALLEST = 0.1
"""Smallest effect of interest: U of the policy per U of its reward model."""
BLOCK = [*PAIR, "model", "weights_hash", "seed_tune"]
LEVEL = ["arm", "method", "evidence_kind", "evidence_rate"]
COLUMNS = [*LEVEL, *BLOCK, "reward_model", "reward_model_U", "U"]


def inheritance_table(study: Study) -> DataFrame:
    """One row per learnt policy of a learnt reward model: whose it is, the reward model's U and its own.

    Of the rules of `analysis.pairs.pairs` those that ask what a feature costs leave nothing out: it is no
    part of this claim.
    """
    runs = study.runs[(study.runs["status"] == "ok") & (study.runs["reward_model"] != "")]
    runs = runs[runs["U"].notna() & runs["reward_model_U"].notna()]
    cells = pairs_table(study)
    kept = cells[cells["excluded"].isin(("", CENSORED, UNPROBED))][["task", "arm", "method"]]
    runs = runs.merge(kept.drop_duplicates(), on=["task", "arm", "method"])
    return runs.sort_values([*LEVEL, *BLOCK, "reward_model_U"], ignore_index=True)[COLUMNS]


def within_slope(x: Array, y: Array, z: Array, w: Array | None) -> Array:
    """Slope within blocks, of rows that hold sums over them: y products with the regressor, z its squares."""
    weight = np.ones(len(y)) if w is None else w
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((weight * y).sum(-1) / (weight * z[:, 0]).sum(-1))


def centred(rows: DataFrame) -> DataFrame:
    """U of the policy and of its reward model less their means over the block; blocks of one are left out."""
    blocks = rows.groupby(BLOCK)
    rows = rows.assign(
        dx=rows["reward_model_U"] - blocks["reward_model_U"].transform("mean"),
        dy=rows["U"] - blocks["U"].transform("mean"),
        block=blocks.ngroup(),
    )
    return rows[blocks["U"].transform("size") > 1]


def inheritance(rows: DataFrame, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Estimate:
    """The slope of the policy's U over its reward model's, within blocks.

    The interval leaves out one family at a time, with all its pairs. For p, two-sided, reward models are
    permuted among the policies of a block: exact if a policy's use owes nothing to which of them it had.
    """
    rows = centred(rows)
    sums = rows.assign(y=rows["dx"] * rows["dy"], square=rows["dx"] ** 2).groupby(PAIR)[["y", "square"]].sum()
    data = dyads(sums.reset_index(), "y", None, ["square"])
    features = {*rows["target"], *rows["spurious"]}
    n = (len(data.families), len(features), len(sums), rows["model"].nunique(), rows["seed_tune"].nunique())
    if not sums["square"].sum() > 0:
        note = "no estimate: no two reward models of a pair, with a learnt policy each, differ in use"
        return Estimate(math.nan, math.nan, math.nan, math.nan, *n, note)
    value = float(within_slope(data.x, data.y, data.z, None))
    low, high = family_jackknife(data, within_slope)
    note = "" if not math.isnan(low) else f"no interval: {n[0]} families and {n[2]} pairs are too few"
    return Estimate(value, low, high, _p(rows, permutations, seed), *n, note)


def _p(rows: DataFrame, permutations: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    drawn, observed = np.zeros(permutations), float((rows["dx"] * rows["dy"]).sum())
    for _, block in rows.groupby("block"):
        dx, dy = (block[name].to_numpy(float) for name in ("dx", "dy"))
        drawn += dx[np.argsort(rng.random((permutations, len(dx))), axis=1)] @ dy
    as_far = int((np.abs(drawn) >= abs(observed) - 1e-12).sum())
    return (1 + as_far) / (1 + permutations)


def inheritance_claims(study: Study, *, permutations: int, seed: int) -> Iterator[ClaimRow]:
    """A row per arm, method and level of evidence among the policy's prompts."""
    for (arm, method, _, rate), rows in inheritance_table(study).groupby(LEVEL):
        found = inheritance(rows, permutations=permutations, seed=seed)
        word = status(found.low, found.high, found.p, smallest=SMALLEST)
        about = (
            "U of the policy over U of its reward model, among reward models of a pair; evidence "
            f"{rate:g} among the policy's prompts; {len(rows)} learnt policies of learnt reward models"
        )
        x = f"reward model's U, evidence {rate:g}"
        yield ClaimRow("inherits", arm, method, "primary", "slope", x, "", about, found, word)


def of_rewards(study: Study) -> set[tuple[str, str]]:
    """Arm and method of the policies that were tuned on reward models, and of those reward models."""
    runs = study.runs
    judged = runs["reward_model"] != ""
    rows = runs[judged | runs["key"].isin(set(runs.loc[judged, "reward_model"]))]
    return set(rows[["arm", "method"]].itertuples(index=False, name=None))
