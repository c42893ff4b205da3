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

from analysis.association import Array, Statistic, mean, slope
from analysis.claim_row import SMALLEST_SLOPE, SMALLEST_USE, ClaimRow
from analysis.decisions import holm, status
from analysis.dyadic import PERMUTATIONS
from analysis.estimate import Estimate, estimate
from analysis.pairs import PAIR
from analysis.records import Study

BASELINE = "sft"
"""What the other methods are compared with, pair by pair."""
AT = {"U": "at equal episodes", "U_reached": "at equal reward"}
"""Use at the end, after equal episodes, and at the first log point with reward 0.95 on both and neither. The
primary test is at the first of these."""
SMALLEST: dict[Statistic, float] = {mean: SMALLEST_USE, slope: SMALLEST_SLOPE}
ARM = "main"


def compares_methods(study: Study) -> bool:
    """Whether a study's primary test is of a difference between methods."""
    return bool(study.manifest.get("primary", {}).get("claim") == "methods")


def method_columns(study: Study) -> DataFrame:
    """One row per method of the main arm: its columns of the table of methods, as 0 and 1 and in words."""
    runs = study.runs[(study.runs["arm"] == ARM) & (study.runs["status"] == "ok")]
    told = runs.drop_duplicates("method").set_index("method")
    return DataFrame(
        {
            "on-policy": (told["samples_from"] == "policy").astype(float),
            "negative gradient": told["negative_gradient"].astype(float),
            "reward's role": told["reward_role"],
            "samples": told["samples_from"],
        }
    ).sort_index()


@dataclass(frozen=True)
class _Cells:
    """Use of every method on every pair, at one level of evidence."""

    evidence: float
    first: bool
    """Whether it is the lowest level."""
    at: str
    """A key of `AT`."""
    about: DataFrame
    """[pairs] what belongs to a pair, whatever the method."""
    use: DataFrame
    """[pairs, methods], NaN where the method is not in the primary set of the pair."""

    @property
    def pairs(self) -> str:
        """What the column of sets of pairs says."""
        return "primary" if self.first else f"primary, evidence {self.evidence:g}"


def _cells(table: DataFrame) -> Iterator[_Cells]:
    table = table[(table["arm"] == ARM) & (table["excluded"] == "")]
    for evidence, part in table.groupby("evidence"):
        about = part.drop_duplicates(PAIR).set_index(PAIR, drop=False)
        about.index = about["task"]
        for at in AT:
            use = part.pivot(index="task", columns="method", values=at).reindex(about.index)
            yield _Cells(float(evidence), evidence == table["evidence"].min(), at, about, use)


def comparison_claims(
    study: Study, table: DataFrame, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> list[ClaimRow]:
    """Means over pairs, and slopes on relative extractability: of each method's use; of its difference from
    supervised tuning's, on the pairs that both have learnt; of what each column of the methods adds to it.

    `table` is `pairs_table` of the study.
    """
    run = partial(estimate, permutations=permutations, seed=seed)
    columns = method_columns(study)
    rows: list[ClaimRow] = []
    for cells in _cells(table):
        where = f"evidence {cells.evidence:g}, {AT[cells.at]}"
        for method, use in cells.use.items():
            told = f"use, {where}"
            rows += _both(run, cells, use, "use", str(method), told)
        if BASELINE in cells.use:
            for method in cells.use.columns.drop(BASELINE):
                difference = cells.use[method] - cells.use[BASELINE]
                told = f"use less that of {BASELINE} on the same pairs, {where}"
                rows += _both(run, cells, difference, "methods", str(method), told)
        for name, (weights, told) in contrasts(columns).items():
            found = per_pair(cells.use, weights)
            rows += _both(run, cells, found, "columns", name, f"{told}, {where}")
    return rows


def _both(run: Any, cells: _Cells, y: Series, claim: str, method: str, about: str) -> Iterator[ClaimRow]:
    """A mean over pairs, and a slope on relative extractability."""
    table = cells.about.assign(y=y.reindex(cells.about.index))
    for statistic in (mean, slope):
        found = run(table, statistic, y="y", x=None if statistic is mean else ("x_target", "x_spurious"))
        if statistic is mean and claim != "use":
            found = replace(found, p=p_of_mean(found))
        word = status(found.low, found.high, found.p, smallest=SMALLEST[statistic])
        x = "" if statistic is mean else "bits"
        word = "" if claim == "use" and statistic is mean else word
        yield ClaimRow(
            claim, ARM, method, cells.pairs, statistic.__name__, x, AT[cells.at], about, found, word
        )


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
            "filters less weights, of on-policy methods without",
        ),
    }
    return {name: each for name, each in found.items() if each[0].iloc[:, 0].nunique() == 2}


def per_pair(use: DataFrame, columns: DataFrame) -> Series:
    """For each pair the first column's coefficient in a least-squares fit of use over the methods; NaN where
    the methods that learnt the pair do not tell the columns apart."""
    names = [name for name in columns.index if name in use]
    design = np.column_stack([np.ones(len(names)), columns.loc[names].to_numpy(float)])

    def coefficient(row: Array) -> float:
        there = ~np.isnan(row)
        if np.linalg.matrix_rank(design[there]) < design.shape[1]:
            return math.nan
        return float(np.linalg.lstsq(design[there], row[there], rcond=None)[0][1])

    return Series([coefficient(row) for row in use[names].to_numpy(float)], index=use.index, dtype=float)


def explained(
    rows: list[ClaimRow], columns: DataFrame, *, permutations: int = 9_999, seed: int = 0
) -> DataFrame:
    """How much of what differs between methods goes with each column: R squared over the methods, p from
    permuting methods, Holm over the columns of one statistic."""
    told = []
    used = [row for row in rows if row.claim == "use"]
    for key in dict.fromkeys((row.statistic, row.pairs, row.given) for row in used):
        values = Series(
            {r.method: r.estimate.value for r in used if (r.statistic, r.pairs, r.given) == key}, dtype=float
        ).dropna()
        found = [
            {"what": key[0], "pairs": key[1], "compared": key[2], "column": name}
            | _r_squared(values, columns.loc[values.index, name], permutations, seed)
            for name in ("on-policy", "negative gradient", "reward's role")
        ]
        for row, p in zip(found, holm([row["p"] for row in found]), strict=True):
            told.append(row | {"p Holm": p})
    return DataFrame(told)


def _r_squared(values: Series, groups: Series, permutations: int, seed: int) -> dict[str, Any]:
    """Share of the variance between methods that lies between a column's values."""
    blank = {"R2": math.nan, "p": math.nan, "methods": len(values)}
    if groups.nunique() < 2 or len(values) <= groups.nunique() or np.ptp(values) == 0:
        return blank
    kinds = np.eye(groups.nunique())[groups.astype("category").cat.codes]
    averaged = kinds / kinds.sum(0) @ kinds.T
    y = values.to_numpy() - values.mean()
    rng = np.random.default_rng(seed)
    drawn = np.stack([y, *(rng.permutation(y) for _ in range(permutations))])
    shares = ((drawn @ averaged) ** 2).sum(1) / (y**2).sum()
    return blank | {"R2": float(shares[0]), "p": float((shares >= shares[0] - 1e-9).mean())}


def methods_table(study: Study) -> list[dict[str, Any]]:
    """One row per method and level of evidence: what it is, what was learnt and when, and how far it went."""
    runs = study.runs[(study.runs["arm"] == ARM) & (study.runs["status"] == "ok")]
    found = []
    for (method, evidence), part in runs.groupby(["method", "evidence_rate"]):
        learnt, reached = part[part["U"].notna()], part[part["reached_step"] > 0]
        first = part.iloc[0]
        found.append(
            {"method": method, "evidence": evidence, "samples": first["samples_from"]}
            | {"reward": first["reward_role"], "pushes down": bool(first["negative_gradient"])}
            | {"learning rate": f"{first['learning_rate']:g}", "runs": len(part), "learnt": len(learnt)}
            | {"U": learnt["U"].mean(), "reached": len(reached), "U reached": reached["reached_U"].mean()}
            | {
                "at batch": reached["reached_step"].median(),
                "reward both/neither": part["reward_both_neither"].mean(),
            }
            | {"KL(p||r)": learnt["kl_reverse"].mean(), "entropy": learnt["entropy"].mean()}
            | {"ms a step": 1000 * part["step_s"].median()}
        )
    return found
