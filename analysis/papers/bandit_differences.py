"""What each takeaway of Tajwar et al. 2024 compares in bandit runs: cells, and differences a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pandas import DataFrame, Series

from analysis.records import Study

FAR, NEAR = "R1", "R2"
"""The reward that peaks where the reference hardly goes, and the one near its mode."""
BON, PPO = "online-bon-distillation", "ppo-clip"


@dataclass(frozen=True)
class Cells:
    """The finished cells of a study."""

    runs: DataFrame
    points: DataFrame

    def find(self, problem: str, method: str, *, batches: int = 1, reuse: int = 1) -> DataFrame:
        """A cell's records by seed; none where no cell or more than one fits."""
        r = self.runs
        wanted = (r["problem"] == problem) & (r["method"] == method)
        rows = r[wanted & (r["batches"] == batches) & (r["reuse"] == reuse)]
        if rows["key"].nunique() != 1:
            rows = rows[:0]
        return rows.set_index("seed")

    def measured(self, problem: str, method: str, *, batches: int = 1, reuse: int = 1) -> DataFrame:
        """A cell's measurements, of all seeds and steps."""
        rows = self.find(problem, method, batches=batches, reuse=reuse)
        return self.points[self.points["key"].isin(rows["key"])]

    def value(self, problem: str, method: str, column: str = "reward", **cell: int) -> Series:
        return self.find(problem, method, **cell)[column]

    def at(self, column: str, rows: DataFrame, what: str, number: int) -> Series:
        """A cell's column where its steps or queries were `number`, by seed; none if not measured."""
        points = self.points[self.points["key"].isin(rows["key"])]
        return points[points[what] == number].set_index("seed")[column]

    def values_of(self, problem: str, setting: str, method: str) -> list[int]:
        """Values that a setting of an on-policy sweep goes through."""
        other = "reuse" if setting == "batches" else "batches"
        r = self.runs
        rows = r[(r["problem"] == problem) & (r["method"] == method) & (r[other] == 1)]
        return sorted(set(rows[setting]))

    def pool(self, problem: str) -> dict[str, int]:
        """The cell of a fixed pool: every step goes through the same one batch."""
        rows = self.runs[(self.runs["problem"] == problem) & (self.runs["method"] == "bon-distillation")]
        return {"reuse": int(rows["reuse"].max())} if len(rows) else {}


def cells_of(study: Study) -> Cells:
    return Cells(study.bandits[study.bandits["status"] == "ok"], study.points)


Found = tuple[int, str, str, str, str, Series]
"""Takeaway, claim, about, fact of `analysis.papers.published.TAJWAR`, kind of effect, difference a seed."""


def first(cells: Cells, problem: str) -> Iterator[Found]:
    batches = cells.values_of(problem, "batches", BON)
    if len(batches) > 1:
        few, many = batches[0], batches[-1]
        difference = cells.value(problem, BON, batches=few) - cells.value(problem, BON, batches=many)
        about = f"reward of {BON}, {few} less {many} batches a round; equal steps and queries"
        yield 1, "fewer batches a round", about, "batches", "reward", difference
    difference = cells.value(problem, BON) - cells.value(problem, "bon-distillation")
    about = f"reward of {BON} less bon-distillation on fresh samples; equal steps and queries"
    yield 1, "on-policy likelihood", about, "on-policy", "reward", difference


def second(cells: Cells, problem: str) -> Iterator[Found]:
    changes = {}
    for method in (BON, PPO):
        times = cells.values_of(problem, "reuse", method)
        if len(times) < 2:
            continue
        most, once = times[-1], cells.find(problem, method)
        changes[method] = cells.value(problem, method, reuse=most) - once["reward"]
        if 2 in times:
            twice = cells.find(problem, method, reuse=2)
            about = f"reward of {method}, 2 passes less 1; "
            difference = twice["reward"] - once["reward"]
            yield 2, f"reuse twice, {method}", about + "equal steps", "reuse", "reward", difference
            if len(twice):
                asked = int(twice["queries"].iloc[0])
                difference = twice["reward"] - cells.at("reward", once, "queries", asked)
                told = (about + "equal queries, so half the steps for 1", "reuse", "reward")
                yield 2, f"reuse twice, {method}, equal queries", *told, difference
            if most > 2:
                about = f"reward of {method}, 2 passes less {most}; equal steps"
                difference = twice["reward"] - cells.value(problem, method, reuse=most)
                yield 2, f"much reuse hurts, {method}", about, "reuse", "reward", difference
    if len(changes) == 2:
        about = "change of reward from 1 pass to the most, ppo-clip less best-of-N; equal steps"
        yield 2, "clipping tolerates reuse", about, "clipping", "reward", changes[PPO] - changes[BON]


def third(cells: Cells, problem: str) -> Iterator[Found]:
    pool = cells.pool(problem)
    if not pool:
        return
    bon = cells.find(problem, "bon-distillation", **pool)
    equal = "fixed pool, equal steps and queries"
    for name in ("dpo", "ipo"):
        rows, without = (cells.find(problem, m, **pool) for m in (name, f"{name}-without-negative"))
        told = (f"reward of {name} less best-of-N; {equal}", f"negative, {name}", "reward")
        yield 3, f"negative gradient, {name}", *told, rows["reward"] - bon["reward"]
        told = (f"reward of {name} less the same without its negative gradient; {equal}", "", "reward")
        yield 3, f"negative gradient alone, {name}", *told, rows["reward"] - without["reward"]
        fresh = cells.value(problem, name) - cells.value(problem, "bon-distillation")
        told = (
            f"reward of {name} less best-of-N; fresh samples, equal steps and queries",
            "",
            "reward",
        )
        yield 3, f"negative gradient, fresh samples, {name}", *told, fresh
        margin = (rows["chosen_fixed"] - rows["rejected_fixed"]) - (
            without["chosen_fixed"] - without["rejected_fixed"]
        )
        told = (f"log-margin of the fixed set, {name} less the same without; {equal}", "margin", "nats")
        yield 3, f"the margin grows, {name}", *told, margin
        start = cells.at("chosen_fixed", rows, "step", 0)
        told = (
            f"log-probability of the chosen, end less start of {name}; fixed pool",
            "chosen, dpo" if name == "dpo" else "",
            "nats",
        )
        yield 3, f"the chosen rise, {name}", *told, rows["chosen_fixed"] - start
        if problem.startswith("arms"):
            moved = rows["mass_never"] - bon["mass_never"]
            told = (f"mass on arms never sampled, {name} less best-of-N; {equal}", "displaced", "mass")
            yield 3, f"mass goes elsewhere, {name}", *told, moved


def fourth(cells: Cells, problem: str) -> Iterator[Found]:
    equal = "equal steps and queries"
    for name in ("dpo", "ipo"):
        online = cells.value(problem, f"online-{name}")
        told = (f"reward of online-{name} less {name} on fresh samples; {equal}", f"both, {name}", "reward")
        yield 4, f"on-policy adds, {name}", *told, online - cells.value(problem, name)
        told = (f"reward of online-{name} less {BON}; {equal}", f"both, {name}", "reward")
        yield 4, f"negative gradient adds on-policy, {name}", *told, online - cells.value(problem, BON)


COMPARED = (first, second, third, fourth)
