"""Runs of a study of stages, seed by seed: which entries are one policy, and differences between policies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pandas import DataFrame, Series

from analysis.records import Study
from analysis.stage_schema import IN, PER_INPUT
from analysis.stages.stages import SWEPT, along, measured
from analysis.statistics.seeds import best_rates

SFT = "sft"
"""The policy that every other one of its data seed starts from."""
SETTING = ["model", "task", "evidence_rate"]
"""What policies that are compared have in common."""
SETTINGS = [*SWEPT, "learning_rate"]
"""What an entry of a study can sweep."""
SEEDS = ["seed_data", "seed_tune"]


def of_policies(table: DataFrame) -> DataFrame:
    """Rows of SFT models, whose stage is then `sft`, and of policies: none of reward models or of the making
    of an SFT model."""
    kept = table[(table["policy"] == SFT) | (table["stage"] == "policy")]
    return kept.assign(stage=kept["stage"].mask(kept["policy"] == SFT, SFT))


def policies_along(study: Study) -> DataFrame:
    """Measurements of SFT models and policies at any step; one that stands twice stands once."""
    table = of_policies(along(study)).drop_duplicates(["key", "step", "shift", "measure", "scope"])
    return table.assign(learning_rate=table["key"].map(study.stages.set_index("key")["learning_rate"]))


def policies_at_end(study: Study) -> DataFrame:
    """Those at the end of each."""
    table = policies_along(study)
    return once(table[table["step"] == table["steps"]]).reset_index(drop=True)


def once(table: DataFrame) -> DataFrame:
    """Measurements without those of repeated runs of what is not tuned.

    Best-of-n says the same whatever the seed of the tuning: it counts once a data seed.
    """
    untuned = table[table["steps"] == 0]
    told = untuned.sort_values("seed_tune").drop_duplicates("key").set_index("key")
    told = told[[*SETTING, "policy", "seed_data", *SWEPT]]
    numbers = untuned.pivot_table(index="key", columns=["measure", "scope", "shift"], values="value")
    numbers = numbers.set_axis(range(numbers.shape[1]), axis="columns")
    same = told.join(numbers).duplicated()
    return table[~table["key"].isin(same.index[same])]


def swept_entries(table: DataFrame) -> dict[str, list[str]]:
    """The settings that each entry of a study sweeps; entries that are one policy are not in it."""
    policies = table[table["stage"] == "policy"]
    counts = policies.groupby([*SETTING, "policy"])[SETTINGS].nunique(dropna=False).groupby("policy").max()
    found = {str(policy): [name for name in SETTINGS if row[name] > 1] for policy, row in counts.iterrows()}
    return {policy: names for policy, names in found.items() if names}


def single(table: DataFrame) -> DataFrame:
    """Rows of the SFT models and of the policies that no setting is swept of."""
    kept = of_policies(table)
    return kept[~kept["policy"].isin(swept_entries(kept))]


def chosen_rates(study: Study, close: float = 0.01) -> dict[str, float]:
    """The learning rate of each entry of a study that sweeps it.

    It is that of the highest learned reward at the end, in distribution, averaged over tasks and seeds; of
    two that differ by less than `close` standard deviations of the SFT model's completions, the smaller.
    """
    learned = measured(policies_at_end(study), "learned")
    return best_rates(learned.groupby(["policy", "learning_rate"])["value"].mean(), close)


def policies_of(table: DataFrame) -> list[str]:
    """The policies of some rows: SFT first, then those on a policy gradient, then the others."""
    order = [SFT, "ppo", "rloo", "best-of-n", "dpo", "superhf"]
    names = sorted(set(table["policy"]))
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def shifts_of(table: DataFrame) -> list[str]:
    """In distribution first, then shifts by axis and level."""
    return sorted(set(table["shift"]), key=lambda name: (name != IN, axis_of(name), level_of(name)))


def axis_of(shift: str) -> str:
    """`longer` of `longer-2`; a shift without a level is its own axis."""
    name, _, level = shift.rpartition("-")
    return name if level.isdigit() and name else shift


def level_of(shift: str) -> int:
    level = shift.rpartition("-")[2]
    return 0 if shift == IN else int(level) if level.isdigit() else 1


def settings(table: DataFrame) -> Iterator[tuple[tuple[str, str, float], DataFrame]]:
    """Rows by model, task and level of evidence."""
    for (model, task, rate), part in table.groupby(SETTING):
        yield (str(model), str(task), float(rate)), part


def by_seed(
    table: DataFrame, policy: str, measure: str, *, shifts: Sequence[str] = (IN,), scope: str = PER_INPUT
) -> Series:
    """A measure of a policy by (seed_data, seed_tune): its mean over shifts, of seeds that have them all."""
    here = (table["policy"] == policy) & (table["measure"] == measure) & (table["scope"] == scope)
    rows = table[here & table["shift"].isin(shifts)].dropna(subset="value")
    found = rows.groupby([*SEEDS, "shift"])["value"].mean().unstack("shift")
    return found.reindex(columns=list(shifts)).dropna().mean(axis=1)


def less(one: Series, other: Series, *, to_sft: bool = False) -> Series:
    """One less the other where both are; an SFT model stands against every tuning seed of its data seed."""
    if to_sft:
        start = other.groupby("seed_data").mean()
        other = Series(start.reindex(one.index.get_level_values("seed_data")).to_numpy(), index=one.index)
    return (one - other).dropna()


def cell(row: Mapping[str, float] | Series) -> str:
    """A value with its interval, as a cell of a table."""
    if math.isnan(row["value"]):
        return "-"
    interval = "" if math.isnan(row["low"]) else f" [{row['low']:.2f}, {row['high']:.2f}]"
    return f"{row['value']:.2f}{interval}".replace("-0.00", "0.00")


def _fewest(rows: DataFrame, names: list[str]) -> list[str]:
    """Settings without those that tell no rows apart which the others do not."""
    kept = list(names)
    for name in reversed(names):
        others = [other for other in kept if other != name]
        if others and len(rows[others].drop_duplicates()) == len(rows[names].drop_duplicates()):
            kept = others
    return kept


def labels(table: DataFrame) -> Series:
    """The policy of each row, with the fewest of the settings that its entry sweeps by which they differ."""
    swept = {
        policy: _fewest(table[table["policy"] == policy], names)
        for policy, names in swept_entries(table).items()
    }

    def label(row: Series) -> str:
        told = [f"{name} {row[name]}" for name in swept.get(row["policy"], []) if row["stage"] == "policy"]
        return f"{row['policy']} ({', '.join(told)})" if told else str(row["policy"])

    runs = table.drop_duplicates("key")
    of_key = dict(zip(runs["key"], runs.apply(label, axis=1), strict=True)) if len(runs) else {}
    return table["key"].map(of_key)
