"""H1b by experiment: models that differ in one dial of one feature, turned in pre-training.

The unit is the pre-trained model. Pairs are crossed with models, and a model's value is its effect beside the
pairs' own. Models are compared within a seed of pre-training, at which all have the same first weights and,
where frequency is not turned, read the same documents.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas import DataFrame, Series
from scipy.stats import t as student

from analysis.pairs.pairs import CENSORED, PAIR, UNPROBED, lowest, pairs_table, primary_bits
from analysis.records import Study
from analysis.statistics.decisions import holm
from analysis.statistics.permutation import PERMUTATIONS

DIALS = {"useful": "usefulness", "placebo": "placebo", "frequency": "frequency"}
"""Dials of a model's name, as tables call them. The first is the treatment, the others are its controls."""
_TURNED = re.compile(r"(useful|placebo|frequency)\.([^=,]+)=([^,]+)")
_SEED = re.compile(r"[:,]seed=(\d+)")


@dataclass(frozen=True)
class Trend:
    """The slope of a straight line, fitted within each seed of pre-training and averaged over the seeds."""

    value: float
    low: float
    """Lower end of the 95 % interval over seeds, from Student's t."""
    high: float
    p: float
    """Two-sided; models are permuted within seeds."""
    n_models: int
    n_seeds: int


def dialled_feature(study: Study) -> str:
    """The one feature whose dials the study's models differ in; empty where it is no such study."""
    turned = [set(_TURNED.findall(model)) for model in set(study.runs["model"])]
    features = {feature for dials in turned for _, feature, _ in dials}
    differ = len({frozenset(dials) for dials in turned}) > 1
    return features.pop() if differ and len(features) == 1 and all(turned) else ""


def dial_models(study: Study) -> DataFrame:
    """One row per dial and model: its level and its seed of pre-training.

    A model in which only usefulness is turned belongs to that dial; at 0 it is the placebo's 0 too.
    """
    rows = []
    for model in sorted(set(study.runs["model"])):
        levels = {dial: float(level) for dial, _, level in _TURNED.findall(model)}
        seed = int(found.group(1)) if (found := _SEED.search(model)) else 0
        dial = next((d for d in ("placebo", "frequency") if d in levels), "useful")
        of_dials = {dial: levels[dial]}
        if dial == "useful" and levels[dial] == 0:
            of_dials["placebo"] = 0.0
        rows += [
            {"dial": DIALS[d], "level": level, "seed": seed, "model": model} for d, level in of_dials.items()
        ]
    table = DataFrame(rows, columns=["dial", "level", "seed", "model"])
    counts = table.groupby("dial")["level"].transform("nunique")
    return table[counts > 1].sort_values(["dial", "level", "seed"], ignore_index=True)


def bits_of_models(study: Study) -> DataFrame:
    """One row per feature, dial and model: bits per label, a mean over the tasks in which it was probed."""
    probes = primary_bits(study)
    kept = probes[(probes["input"] == "model") & (probes["init"] == "pretrained")]
    bits = kept.groupby(["feature", "family", "model"])["bits_per_label"].agg(["mean", "count"]).reset_index()
    named = bits.rename(columns={"mean": "value", "count": "tasks"})
    return dial_models(study).merge(named, on="model").sort_values(["feature", "dial", "level", "seed"])


def use_of_models(study: Study) -> DataFrame:
    """One row per arm, method, dial, model and pair, at the lowest evidence.

    The rules that ask what a feature costs leave no cell out: that is what the dial moves.
    `use` is that of the dialled feature: U where it is the spurious one, 1 - U where it is the target.
    `easier` is by how many doublings its bits are fewer than the other feature's.
    """
    feature = dialled_feature(study)
    table = lowest(pairs_table(study, "model"))
    table = table[table["excluded"].isin(("", CENSORED, UNPROBED))]
    table = table[(table["target"] == feature) | (table["spurious"] == feature)]
    spurious = table["spurious"] == feature
    table = table.assign(
        use=table["U"].where(spurious, 1 - table["U"]),
        easier=table["relative"].where(spurious, -table["relative"]),
    )
    columns = ["arm", "method", *PAIR, "model", "use", "easier"]
    return dial_models(study).merge(table[columns], on="model").reset_index(drop=True)


def beside_pairs(table: DataFrame, column: str) -> Series:
    """Each model's value of a column with the pairs' effects taken off, by least squares; index: model.

    With every pair on every model these are plain means over the pairs.
    """
    table = table[table[column].notna()]
    models, pairs = (table[name].astype("category") for name in ("model", "task"))
    of_model = pd.get_dummies(models, dtype=float).to_numpy()
    of_pair = pd.get_dummies(pairs, dtype=float).to_numpy()
    if not len(table):
        return Series(dtype=float)
    centred = of_pair - of_pair.mean(axis=0)
    design = np.hstack([of_model, centred])
    effects, _, rank, _ = np.linalg.lstsq(design, table[column].to_numpy(float), rcond=None)
    if rank < design.shape[1] - 1:  # models that share no pair, by any way round, cannot be compared
        return Series(math.nan, index=models.cat.categories)
    return Series(effects[: of_model.shape[1]], index=models.cat.categories)


def ranks(models: DataFrame) -> Series:
    """The level of each model of a dial as a rank, 0 for the lowest level and 1 for the highest; by model."""
    levels = np.sort(models["level"].unique())
    rank = np.searchsorted(levels, models["level"]) / max(1, len(levels) - 1)
    return Series(rank, index=models["model"])


def trend(
    models: DataFrame, x: Series, y: Series, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Trend:
    """The trend of y over x, both by model. Over `ranks` it is the change from the lowest level to the
    highest."""
    table = models.assign(x=models["model"].map(x), y=models["model"].map(y)).dropna(subset=["x", "y"])
    groups = [g[["x", "y"]].to_numpy(float) for _, g in table.groupby("seed") if g["x"].nunique() > 1]
    used = sum(map(len, groups))
    centred = [group - group.mean(axis=0) for group in groups]
    spread = [float((g[:, 0] ** 2).sum()) for g in centred]
    slopes = [float(g[:, 0] @ g[:, 1]) / s for g, s in zip(centred, spread, strict=True)]
    n, value = len(slopes), float(np.mean(slopes)) if slopes else math.nan
    if n < 2:
        return Trend(value, math.nan, math.nan, math.nan, used, n)
    half = float(student.ppf(0.975, n - 1) * np.std(slopes, ddof=1) / math.sqrt(n))
    rng = np.random.default_rng(seed)
    drawn = np.zeros(permutations)
    for group, s in zip(centred, spread, strict=True):
        orders = np.argsort(rng.random((permutations, len(group))), axis=1)
        drawn += group[orders, 0] @ group[:, 1] / (s * n)
    as_far = int((np.abs(drawn) >= abs(value) - 1e-12).sum())
    return Trend(value, value - half, value + half, (1 + as_far) / (1 + permutations), used, n)


def over_levels(
    models: DataFrame, dial: str, y: Series, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Trend:
    """The trend of y, by model, from a dial's lowest level to its highest."""
    ours = models[models["dial"] == dial]
    return trend(ours, ranks(ours), y, permutations=permutations, seed=seed)


def trends_of_bits(study: Study, *, permutations: int = PERMUTATIONS) -> DataFrame:
    """One row per dial and feature: how its bits change from the lowest level to the highest."""
    models, bits, rows = dial_models(study), bits_of_models(study), []
    for (dial, feature), part in bits.groupby(["dial", "feature"], sort=True):
        found = over_levels(models, dial, part.set_index("model")["value"], permutations=permutations)
        rows.append({"dial": dial, "feature": feature, **_told(part), **_columns(found)})
    table = DataFrame(rows)
    return table.assign(p_holm=holm(list(table["p"]))) if rows else table


def trends_of_use(study: Study, *, permutations: int = PERMUTATIONS) -> DataFrame:
    """One row per arm, method and dial: how the use of the dialled feature changes, likewise."""
    models, rows = dial_models(study), []
    for (arm, method, dial), part in use_of_models(study).groupby(["arm", "method", "dial"], sort=True):
        values = beside_pairs(part, "use")
        found = over_levels(models, dial, values, permutations=permutations)
        told = part.drop_duplicates("model").assign(value=lambda t: t["model"].map(values))  # noqa: B023
        counts = {"pairs": part["task"].nunique(), "cells": int(part["use"].notna().sum())}
        rows.append({"arm": arm, "method": method, "dial": dial} | counts | _told(told) | _columns(found))
    return DataFrame(rows)


def _told(part: DataFrame) -> dict[str, float]:
    """Means at the lowest and at the highest level."""
    by_level = part.groupby("level")["value"].mean()
    return {"at_lowest": float(by_level.iloc[0]), "at_highest": float(by_level.iloc[-1])}


def _columns(found: Trend) -> dict[str, float]:
    names = ("value", "low", "high", "p", "n_models", "n_seeds")
    return {"change" if name == "value" else name: getattr(found, name) for name in names}
