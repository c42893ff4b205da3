"""Simulated studies in the shapes that the figures must bear: whole, large, and poor in every way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis import pairs_table
from tests.analysis.simulated_study import simulate

NAMES = [
    "adjacent-duplicate", "alternating-prefix", "balanced", "class-count", "class-run", "contains",
    "contains-all", "contains-either", "contains-first-again", "few-distinct", "first-below-last",
    "first-below-second", "first-class", "first-last", "gap-duplicate", "in-order", "largest-first-half",
    "last-class", "late-class", "majority-class", "middle-below-next", "middle-class", "more-of",
    "near-agree", "parity", "prefix-duplicate", "second-class", "smallest-last", "sorted-prefix",
    "suffix-duplicate", "sum-above",
]  # fmt: skip
"""Families as long as they get."""


def realistic(study):
    """Long names, some censored features (1 bit), and the one-sided arm's own kind of evidence."""
    names = {f"f{i}": name for i, name in enumerate(NAMES)}

    def renamed(table):
        table = table.copy()
        for column in ("target", "spurious", "feature"):
            if column in table:
                parts = table[column].str.split("-", n=1)
                table[column] = parts.str[0].map(names) + "-" + parts.str[1]
        for column in ("target_family", "spurious_family", "family"):
            if column in table:
                table[column] = table[column].map(names).fillna("")
        if "target" in table:
            table["task"] = "symbolic/" + table["target"] + "-vs-" + table["spurious"]
        return table

    runs, probes = renamed(study.runs), renamed(study.probes)
    runs.loc[runs.arm == "one_sided", "evidence_kind"] = "one_sided"
    dear = (probes.input == "model") & (probes.init == "pretrained") & (probes.bits_per_label > 0.55)
    probes["censored"] = dear
    probes.loc[dear, "bits_per_label"] = 1.0
    return dataclasses.replace(study, runs=runs, probes=probes, learnability=renamed(study.learnability))


def quick(**options):
    return realistic(
        simulate(**{"families": 26, "pairs": 24, "levels": (0.0, 0.05, 0.5), "seeds": (0,)} | options)
    )


def laptop(levels=(0.0, 0.05, 0.5), seeds=(0,)):
    """60 pairs of 31 families, two methods, two dials, all arms; thinned out in levels and seeds."""
    return realistic(
        simulate(
            families=31, pairs=60, levels=levels, seeds=seeds, methods=("rloo", "sft"), dials=("a", "b"),
            arms=("main", "random_init", "one_sided", "random_reward"), unlearnt=0.15, failed=9,
        )
    )  # fmt: skip


def poor():
    whole = quick(pairs=16, families=8, unlearnt=0.1)
    runs, probes = whole.runs, whole.probes
    zero = runs[runs.evidence_rate == 0]
    bare = runs[:1].assign(status="failed", task="", evidence_rate=np.nan, U=np.nan, key="bare")
    failed = runs.assign(status="failed", U=np.nan, B=np.nan, label="", error="NaN loss at step 12")
    model = (probes.input == "model") & (probes.init == "pretrained")

    def but(**parts):
        return dataclasses.replace(whole, **parts)

    return {
        "no record": but(runs=runs[:0], probes=probes[:0]),
        "one run": but(runs=runs[:1]),
        "one failed run": but(runs=failed[:1]),
        "only failed runs": but(runs=failed),
        "a failed run that knows nothing": but(runs=pd.concat([runs, bare])),
        "only a failed run that knows nothing": but(runs=bare),
        "one level": but(runs=zero),
        "no probes": but(probes=probes[:0]),
        "all censored": but(probes=probes.assign(censored=model)),
        "no learnability list": but(learnability=whole.learnability[:0]),
        "nothing learnt": but(runs=runs.assign(U=np.nan, label="unlearnt")),
        "four families": quick(families=4, pairs=12),
        "only controls": quick(pairs=3, arms=("random_reward",)),
        "no main arm": quick(pairs=5, arms=("random_init",)),
        "no definition": but(manifest={"name": "bare"}),
        "three methods": quick(families=4, pairs=5, levels=(0.0,), methods=("dpo", "rloo", "sft")),
        "no evidence 0": but(runs=runs[runs.evidence_rate > 0]),
    }


@pytest.fixture(scope="session")
def quick_study():
    return quick(arms=("main", "random_init"))


@pytest.fixture(scope="session")
def laptop_study():
    return laptop()


@pytest.fixture(scope="session")
def laptop_pairs(laptop_study):
    return pairs_table(laptop_study)


@pytest.fixture(scope="session")
def poor_studies():
    return poor()
