"""How varied the outputs of each policy are, with floors and ceilings, and against its KL to SFT."""

from __future__ import annotations

import math
from typing import Any

from pandas import DataFrame

from analysis.outputs.diversity import DIVERSITY
from analysis.records import Study
from analysis.stage_schema import ACROSS, IN
from analysis.stages.stage_runs import SEEDS, SETTING, SFT, cell, labels, policies_at_end, policies_of, single
from analysis.stages.stages import measured
from analysis.statistics.seeds import paired

PANELS = ("ead", "cosine", "nli")
"""The three of the paper's figures."""
EXACT = ("entropy", "marginal entropy", "information")
"""What only models whose probabilities are known can tell, nats."""
EDGES = """Diversity in distribution, with 95 % intervals over runs, of one run over its inputs
floor: identical outputs; ceiling: outputs that share nothing; entropies in nats"""
LENGTHS = "n-gram lengths"
"""Says what a measure is of, and is none itself."""


def _diversity(table: DataFrame) -> DataFrame:
    """Measures of diversity in distribution of SFT models and policies."""
    measures = [name for name in DIVERSITY if name != LENGTHS]
    return table[(table["shift"] == IN) & table["measure"].isin(measures)]


def diversity_table(study: Study) -> DataFrame:
    """Tables 11 and 12 of Kirk et al. 2024: a row a setting, measure, scope and policy, in distribution.

    Intervals are over runs; of one run over its inputs. Floor and ceiling: what identical outputs, and ones
    that share nothing, would have.
    """
    rows = []
    for names, runs in single(_diversity(policies_at_end(study))).groupby(
        [*SETTING, "measure", "scope", "policy"]
    ):
        value, low, high, _, n = paired(runs["value"])
        if n == 1:
            low, high = runs["low"].iloc[0], runs["high"].iloc[0]
        rows.append(
            dict(zip([*SETTING, "measure", "scope", "policy"], names, strict=True))
            | {"value": value, "low": low, "high": high, "floor": runs["floor"].mean()}
            | {"ceiling": runs["ceiling"].mean(), "runs": n, "sft_models": runs["seed_data"].nunique()}
            | {"inputs": int(runs["n"].median()), "outputs": int(runs["outputs"].sum())}
            | {"left_out": int(runs["left_out"].sum())}
        )
    columns = [
        *SETTING, "measure", "scope", "policy", "value", "low", "high", "floor", "ceiling", "runs",
        "sft_models", "inputs", "outputs", "left_out",
    ]  # fmt: skip
    return DataFrame(rows, columns=columns)


def diversity_by_kl(study: Study) -> DataFrame:
    """One row a run, measure and scope in distribution, with the run's KL to its SFT model, nats.

    That of best-of-n, whose probabilities are not known, is its largest possible one; `bound` marks it.
    """
    table = policies_at_end(study)
    known, most = (measured(table, name).set_index("key")["value"] for name in ("kl", "kl bound"))
    rows = _diversity(table)
    rows = rows.assign(entry=labels(rows), kl=rows["key"].map(known))
    rows.loc[rows["stage"] == SFT, "kl"] = 0.0
    bound = rows["kl"].isna()
    rows["kl"] = rows["kl"].fillna(rows["key"].map(most))
    columns = [
        "key",
        *SETTING,
        "policy",
        "entry",
        *SEEDS,
        "measure",
        "scope",
        "value",
        "floor",
        "ceiling",
        "kl",
    ]
    return rows[columns].assign(bound=bound).dropna(subset=["value", "kl"]).reset_index(drop=True)


def diversity_wide(table: DataFrame) -> list[dict[str, Any]]:
    """The table as people read it: a row a policy, a column a measure and scope; then floor and ceiling."""
    shown = table[table["measure"].isin((*PANELS, *EXACT))]
    rows = []
    columns = [name for name in (*PANELS, *EXACT) if name in set(shown["measure"])]
    for names, part in shown.assign(across=shown["scope"] == ACROSS).groupby([*SETTING, "across"]):
        told = dict(zip([*SETTING, "scope"], [*names[:-1], part["scope"].iloc[0]], strict=True))
        for policy in policies_of(part):
            mine = part[part["policy"] == policy].set_index("measure")
            cells = {name: cell(mine.loc[name]) if name in mine.index else "-" for name in columns}
            rows.append({**told, "policy": policy, **cells, "runs": int(mine["runs"].max())})
        for edge in ("floor", "ceiling"):
            means = part.groupby("measure")[edge].mean().reindex(columns)
            cells = {name: "-" if math.isnan(value) else f"{value:.2f}" for name, value in means.items()}
            rows.append({**told, "policy": edge, **cells, "runs": None})
    return rows
