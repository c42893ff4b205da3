"""Methods on the same pairs: how they differ in use, and which columns of their table that goes with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from scipy.stats import t as student

from analysis.pairs.claim_row import SMALLEST_SLOPE, SMALLEST_USE, ClaimRow
from analysis.pairs.pairs import PAIR, pairs_table
from analysis.records import Study
from analysis.statistics.association import Statistic, mean, slope
from analysis.statistics.decisions import status
from analysis.statistics.dyadic import dyads
from analysis.statistics.estimate import Estimate, estimate
from analysis.statistics.permutation import PERMUTATIONS

BASELINE = "sft"
"""What the other methods are compared with, pair by pair."""
ARM, ONE_RATE = "main", "one_rate"
"""Each method at its own learning rate; the same cells at one rate for all."""
EPISODES, REWARD, RATE = "at equal episodes", "at equal reward", "at one learning rate"
"""Use at the end; at the first two log points with a mean reward of 0.95 on both and neither; at the end, all
methods tuned at one rate. The primary test is at the first of these."""
SMALLEST: dict[Statistic, float] = {mean: SMALLEST_USE, slope: SMALLEST_SLOPE}
BITS = ("x_target", "x_spurious")


def compares_methods(study: Study) -> bool:
    """Whether a study's primary test is of a difference between methods."""
    return bool(study.manifest.get("primary", {}).get("claim") == "methods")


def method_columns(study: Study) -> DataFrame:
    """One row per method of the main arm: its columns of the table of methods, as numbers and in words."""
    runs = study.runs[(study.runs["arm"] == ARM) & (study.runs["status"] == "ok")]
    told = runs.drop_duplicates("method").set_index("method")
    return DataFrame(
        {
            "on-policy": (told["samples_from"] == "policy").astype(float),
            "negative gradient": told["negative_gradient"].astype(float),
            "reward's role": told["reward_role"],
            "learning rate": told["learning_rate"],
        }
    ).sort_index()


@dataclass(frozen=True)
class Cells:
    """Use of every method on every pair, at one level of evidence."""

    evidence: float
    first: bool
    """Whether it is the lowest level."""
    at: str
    """What the methods are equals in."""
    about: DataFrame
    """[pairs] what belongs to a pair, whatever the method."""
    use: DataFrame
    """[pairs, methods], NaN where a method has not learnt the pair on the baseline's models and seeds."""

    @property
    def pairs(self) -> str:
        """What the column of sets of pairs says."""
        return "primary" if self.first else f"primary, evidence {self.evidence:g}"

    @property
    def shared(self) -> DataFrame:
        """Use on the pairs that every method has learnt."""
        return self.use.dropna()


def cells_of(study: Study) -> list[Cells]:
    """The cells of a study, by level of evidence and by what the methods are equals in."""
    own = pairs_table(study)
    own = own[own["arm"] == ARM]
    found = [*_cells(own, "U", EPISODES), *_cells(own, "U_reached", REWARD)]
    rates = set(study.runs.loc[study.runs["arm"] == ONE_RATE, "learning_rate"].dropna())
    if len(rates) == 1:
        # A method whose own rate it is has these runs in the main arm.
        runs = study.runs[study.runs["arm"].isin((ARM, ONE_RATE)) & study.runs["learning_rate"].isin(rates)]
        found += _cells(pairs_table(replace(study, runs=runs.assign(arm=ARM))), "U", RATE)
    return found


def _cells(table: DataFrame, column: str, at: str) -> Iterator[Cells]:
    table = table[table["excluded"] == ""]
    for evidence, part in table.groupby("evidence"):
        about = part.drop_duplicates(PAIR)
        about = about.set_index(about["task"].rename(None))
        use = part.pivot(index="task", columns="method", values=column).reindex(about.index)
        if BASELINE in use:
            behind = [part.pivot(index="task", columns="method", values=of) for of in ("models", "seeds")]
            for of in behind:
                use = use.where(of.reindex(use.index).eq(of[BASELINE].reindex(use.index), axis=0))
        yield Cells(float(evidence), evidence == table["evidence"].min(), at, about, use)


def comparison_claims(study: Study, *, permutations: int = PERMUTATIONS, seed: int = 0) -> list[ClaimRow]:
    """Means over pairs, and slopes on relative extractability: of each method's use; of its difference from
    supervised tuning's, on the pairs that both have learnt; and of what each column of the table of methods
    adds to it, on the pairs that all have learnt."""
    run = partial(estimate, permutations=permutations, seed=seed)
    columns = method_columns(study)
    rows: list[ClaimRow] = []
    for cells in cells_of(study):
        where = f"evidence {cells.evidence:g}, {cells.at}"
        for method, use in cells.use.items():
            rows += _both(run, cells, use, "use", str(method), f"use, {where}")
        if BASELINE in cells.use:
            for method in cells.use.columns.drop(BASELINE):
                difference = cells.use[method] - cells.use[BASELINE]
                told = f"use less that of {BASELINE} on the same pairs, {where}"
                rows += _both(run, cells, difference, "methods", str(method), told)
        for name, (weights, told) in contrasts(columns).items():
            found = per_pair(cells.shared, weights)
            rows += _both(run, cells, found, "columns", name, f"{told}, {where}")
    return rows


def _both(run: Any, cells: Cells, y: Series, claim: str, method: str, about: str) -> Iterator[ClaimRow]:
    """A mean over pairs, and a slope on relative extractability."""
    table = cells.about.assign(y=y.reindex(cells.about.index))
    for statistic in (mean, slope):
        found = run(table, statistic, y="y", x=None if statistic is mean else BITS)
        if statistic is mean and claim != "use":
            found = replace(found, p=p_of_mean(found))
        word = status(found.low, found.high, found.p, smallest=SMALLEST[statistic])
        x = "" if statistic is mean else "bits"
        word = "" if claim == "use" and statistic is mean else word
        yield ClaimRow(claim, ARM, method, cells.pairs, statistic.__name__, x, cells.at, about, found, word)


def p_of_mean(found: Estimate) -> float:
    """Two-sided p of "the mean is 0" by the t that its 95 % interval over families is of."""
    half = (found.high - found.low) / 2
    if math.isnan(half) or half == 0:
        return math.nan
    freedom = found.n_families - 1
    return float(2 * student.sf(abs(found.value) / half * student.ppf(0.975, freedom), freedom))


Contrast = tuple[DataFrame, str]
"""Columns that a pair's uses are regressed on, the first of them asked about; and what it says in words."""


def contrasts(columns: DataFrame) -> dict[str, Contrast]:
    """What is asked of the columns. A negative gradient belongs to the reward's roles advantage and pair and
    to no other, so roles are compared where the other two columns are equal."""
    on, down, role = columns["on-policy"], columns["negative gradient"], columns["reward's role"]
    both = columns[["on-policy", "negative gradient"]]
    online, pushing = on == 1, (on == 1) & (down == 1)

    def against(rows: Series, first: str, second: str) -> DataFrame:
        return DataFrame({first: (role[rows & role.isin([first, second])] == first).astype(float)})

    found = {
        "on-policy": (both, "use added by the policy's own answers, negative gradient held"),
        "negative gradient": (both.iloc[:, ::-1], "use added by pushing answers down, on-policy held"),
        "pair": (
            against(pushing, "pair", "advantage"),
            "pairs less advantages, of on-policy methods that push down",
        ),
        "filter": (
            against(online & (down == 0), "filter", "weight"),
            "filters less weights, of on-policy methods that do not push down",
        ),
    }
    return {name: each for name, each in found.items() if each[0].iloc[:, 0].nunique() == 2}


def per_pair(use: DataFrame, columns: DataFrame) -> Series:
    """For each pair the first column's coefficient in a least-squares fit of its uses over the methods.

    `use` is of the pairs that all methods have learnt: with others the design would differ between pairs.
    """
    design = np.column_stack([np.ones(len(columns)), columns.to_numpy(float)])
    uses = use.reindex(columns=columns.index).to_numpy(float)
    if np.linalg.matrix_rank(design) < design.shape[1] or np.isnan(uses).any():
        return Series(math.nan, index=use.index, dtype=float)
    return Series((np.linalg.pinv(design) @ uses.T)[1], index=use.index)


def explained(study: Study) -> list[dict[str, Any]]:
    """How much of what differs between methods lies between the values of each column: R squared over the
    methods, on the pairs that all have learnt.

    A description, without p: a dozen methods, some near copies of others, are no sample of methods.
    """
    columns, rows = method_columns(study), []
    for cells in cells_of(study):
        shared = cells.shared
        for statistic in (mean, slope):
            values = Series({m: _value(cells, shared[m], statistic) for m in shared}, dtype=float)
            asked = [c for c in columns if c != "learning rate" or cells.at != RATE]
            rows += [
                {"what": statistic.__name__, "pairs": cells.pairs, "compared": cells.at, "column": name}
                | {"R2": _r_squared(values, columns.loc[values.index, name])}
                | {"methods": len(values), "shared pairs": len(shared)}
                for name in asked
            ]
    return rows


def _value(cells: Cells, use: Series, statistic: Statistic) -> float:
    """A statistic over the pairs of families, as the claims have it."""
    data = dyads(cells.about.loc[use.index].assign(y=use), "y", None if statistic is mean else BITS)
    return float(statistic(data.x, data.y, data.z, None)) if len(data) > 2 else math.nan


def _r_squared(values: Series, groups: Series) -> float:
    """Share of the variance between methods that lies between a column's values."""
    if groups.nunique() < 2 or values.isna().any() or np.ptp(values) < 1e-12:
        return math.nan
    between = values.groupby(groups).transform("mean") - values.mean()
    return float((between**2).sum() / ((values - values.mean()) ** 2).sum())


def methods_table(study: Study) -> list[dict[str, Any]]:
    """One row per method and level of evidence, over the main arm's runs on pairs that no rule leaves out:
    what it is, what was learnt and when, and how far it went."""
    table = pairs_table(study)
    kept = table[(table["arm"] == ARM) & (table["excluded"] == "")]
    pairs = kept.groupby("method")["task"].agg(set).to_dict()
    runs = study.runs[(study.runs["arm"] == ARM) & (study.runs["status"] == "ok")]
    found = []
    for (method, evidence), part in runs.groupby(["method", "evidence_rate"]):
        part = part[part["task"].isin(pairs.get(method, set()))]
        learnt, reached = part[part["U"].notna()], part[part["reached_step"] > 0]
        if not len(part):
            continue
        first = part.iloc[0]
        found.append(
            {"method": method, "evidence": evidence, "samples": first["samples_from"]}
            | {"role": first["reward_role"], "pushes down": bool(first["negative_gradient"])}
            | {"rate": f"{first['learning_rate']:g}", "reuse": int(first["reuse"])}
            | {"runs": len(part), "learnt": len(learnt), "U": learnt["U"].mean()}
            | {"reached .95": len(reached), "at batch": reached["reached_step"].median()}
            | {"reward there": reached["reached_reward"].mean(), "U there": reached["reached_U"].mean()}
            | {"reward": part["reward_both_neither"].mean()}
            | {"KL(p||r)": learnt["kl_reverse"].mean(), "entropy": learnt["entropy"].mean()}
            | {"ms a step": 1000 * part["step_s"].median()}
        )
    return found
