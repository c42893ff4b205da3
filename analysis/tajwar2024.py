"""What Tajwar et al. 2024 conclude (Takeaways 1 to 4), each as a paired comparison over seeds of bandit runs.

References: Tajwar et al. 2024, Preference fine-tuning of LLMs should leverage suboptimal, on-policy data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from pandas import DataFrame, Series
from scipy.stats import t as student

from analysis.decisions import UNKNOWN, holm, status
from analysis.records import Study
from analysis.tables import text_table

SMALLEST = {"reward": 0.05, "mass": 0.05, "nats": 0.5}
"""Smallest effects of interest, set before any run: of mean reward and of probability, whose ranges are 1,
and of log-probabilities."""
FAR, NEAR = "R1", "R2"
"""The reward that peaks where the reference hardly goes, and the one near its mode."""
BON, PPO = "online-bon-distillation", "ppo"

BATCH = (
    "RWR .71/.67/.56, REINFORCE .73/.66/.62 at B 64/128/256: AlpacaFarm gold reward, project site, by eye; "
    "no number of the bandit's figure was read"
)
REUSE = "in words: T = 2 beats T = 1 in the bandit, large T hurts; notes on the paper"
CLIPPING = "in words: PPO tolerates reuse better than best-of-N; notes on the paper"
BARS = (
    "gain over SFT, DPO +.13, Pref-FT -.01: AlpacaFarm, project site, by eye; "
    "no number of the bandit's figure was read"
)
MARGIN = "in words: the margin grows with a negative gradient; project site, Lemma 6.2"
CHOSEN = "DPO's chosen +.6 (UltraFeedback), -.05 (AlpacaFarm), implicit rewards: project site, by eye"
DISPLACED = "in words: else the mass goes to other responses; project site"
BOTH = "Min Length at step 590: online DPO 0, offline DPO 0 (later), online RWR 72: project site, by eye"


@dataclass(frozen=True)
class Takeaway:
    """One comparison: the claim is that the difference is above 0."""

    takeaway: int
    claim: str
    problem: str
    about: str
    """What less what, and what is equal between them."""
    published: str
    """The published figure, and how it was read."""
    value: float
    low: float
    """Lower end of the 95 % t interval over seeds."""
    high: float
    p: float
    n: int
    """Seeds."""
    smallest: float
    status: str
    p_holm: float = math.nan
    """Over all comparisons but the primary one."""
    primary: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON: NaN is None."""
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()}


def has_bandits(study: Study) -> bool:
    return len(study.bandits) > 0 or "bandits" in study.manifest.get("definition", {})


def paired(differences: Series) -> tuple[float, float, float, float, int]:
    """Mean, 95 % interval, two-sided p and n of one difference a seed, by Student's t."""
    values = differences.dropna().to_numpy(float)
    n = len(values)
    if n < 2:
        return (float(values.mean()) if n else math.nan), math.nan, math.nan, math.nan, n
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return mean, mean, mean, 0.0 if mean else 1.0, n
    half = float(student.ppf(0.975, n - 1)) * error
    return mean, mean - half, mean + half, float(2 * student.sf(abs(mean / error), n - 1)), n


@dataclass(frozen=True)
class _Cells:
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


Found = tuple[int, str, str, str, str, Series]
"""Takeaway, claim, about, published, kind of effect, difference a seed."""


def _first(cells: _Cells, problem: str) -> Iterator[Found]:
    batches = cells.values_of(problem, "batches", BON)
    if len(batches) > 1:
        few, many = batches[0], batches[-1]
        difference = cells.value(problem, BON, batches=few) - cells.value(problem, BON, batches=many)
        about = f"reward of {BON}, {few} less {many} batches a round; equal steps and queries"
        yield 1, "fewer batches a round", about, BATCH, "reward", difference
    difference = cells.value(problem, BON) - cells.value(problem, "bon-distillation")
    about = f"reward of {BON} less bon-distillation on fresh samples; equal steps and queries"
    yield 1, "on-policy likelihood", about, BATCH, "reward", difference


def _second(cells: _Cells, problem: str) -> Iterator[Found]:
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
            yield 2, f"reuse twice, {method}", about + "equal steps", REUSE, "reward", difference
            if len(twice):
                asked = int(twice["queries"].iloc[0])
                difference = twice["reward"] - cells.at("reward", once, "queries", asked)
                told = (about + "equal queries, so half the steps for 1", REUSE, "reward")
                yield 2, f"reuse twice, {method}, equal queries", *told, difference
            if most > 2:
                about = f"reward of {method}, 2 passes less {most}; equal steps"
                difference = twice["reward"] - cells.value(problem, method, reuse=most)
                yield 2, f"much reuse hurts, {method}", about, REUSE, "reward", difference
    if len(changes) == 2:
        about = "change of reward from 1 pass to the most, ppo less best-of-N; equal steps"
        yield 2, "clipping tolerates reuse", about, CLIPPING, "reward", changes[PPO] - changes[BON]


def _third(cells: _Cells, problem: str) -> Iterator[Found]:
    pool = cells.pool(problem)
    if not pool:
        return
    bon = cells.find(problem, "bon-distillation", **pool)
    equal = "fixed pool, equal steps and queries"
    for name in ("dpo", "ipo"):
        rows, without = (cells.find(problem, m, **pool) for m in (name, f"{name}-without-negative"))
        told = (f"reward of {name} less best-of-N; {equal}", BARS, "reward")
        yield 3, f"negative gradient, {name}", *told, rows["reward"] - bon["reward"]
        told = (f"reward of {name} less the same without its negative gradient; {equal}", BARS, "reward")
        yield 3, f"negative gradient alone, {name}", *told, rows["reward"] - without["reward"]
        fresh = cells.value(problem, name) - cells.value(problem, "bon-distillation")
        told = (f"reward of {name} less best-of-N; fresh samples, equal steps and queries", BARS, "reward")
        yield 3, f"negative gradient, fresh samples, {name}", *told, fresh
        margin = (rows["chosen_fixed"] - rows["rejected_fixed"]) - (
            without["chosen_fixed"] - without["rejected_fixed"]
        )
        told = (f"log-margin of the fixed set, {name} less the same without; {equal}", MARGIN, "nats")
        yield 3, f"the margin grows, {name}", *told, margin
        start = cells.at("chosen_fixed", rows, "step", 0)
        told = (f"log-probability of the chosen, end less start of {name}; fixed pool", CHOSEN, "nats")
        yield 3, f"the chosen rise, {name}", *told, rows["chosen_fixed"] - start
        if problem.startswith("arms"):
            moved = rows["mass_never"] - bon["mass_never"]
            told = (f"mass on arms never sampled, {name} less best-of-N; {equal}", DISPLACED, "mass")
            yield 3, f"mass goes elsewhere, {name}", *told, moved


def _fourth(cells: _Cells, problem: str) -> Iterator[Found]:
    equal = "equal steps and queries"
    for name in ("dpo", "ipo"):
        online = cells.value(problem, f"online-{name}")
        told = (f"reward of online-{name} less {name} on fresh samples; {equal}", BOTH, "reward")
        yield 4, f"on-policy adds, {name}", *told, online - cells.value(problem, name)
        told = (f"reward of online-{name} less {BON}; {equal}", BOTH, "reward")
        yield 4, f"negative gradient adds on-policy, {name}", *told, online - cells.value(problem, BON)


BETWEEN = ("fewer batches a round", "negative gradient, dpo", "negative gradient, ipo")
"""Claims that say where an effect is larger: on the reward that peaks far from the reference."""


def takeaways(study: Study) -> list[Takeaway]:
    """All comparisons that the study has the cells for, the primary one first."""
    cells = _Cells(study.bandits[study.bandits["status"] == "ok"], study.points)
    differences: dict[tuple[str, str], Found] = {}
    problems = sorted(set(cells.runs["problem"]))
    for problem in problems:
        for part in (_first, _second, _third, _fourth):
            for found in part(cells, problem):
                if len(found[-1].dropna()):
                    differences[found[1], problem] = found
    rows = [_row(problem, *found) for (_, problem), found in differences.items()]
    for claim in BETWEEN:
        for kind in ("arms", "sequence"):
            far, near = (differences.get((claim, f"{kind}/{reward}")) for reward in (FAR, NEAR))
            if far and near:
                number, _, about, published, of, _ = far
                told = f"{about.partition(';')[0]}: that on {FAR} less that on {NEAR}"
                row = (number, f"{claim}, far peak", told, published, of, far[-1] - near[-1])
                rows.append(_row(kind, *row))
    named = study.manifest.get("primary", {})
    first = [r for r in rows if (r.claim, r.problem) == (named.get("claim"), named.get("problem"))]
    rest = sorted((r for r in rows if r not in first), key=lambda r: r.takeaway)
    if not first:
        nothing = Series(dtype=float)
        claim, problem = str(named.get("claim", "")), str(named.get("problem", ""))
        first = [_row(problem, 0, claim, "the primary comparison has no runs", "", "reward", nothing)]
    corrected = holm([row.p for row in rest])
    return [
        replace(first[0], primary=True),
        *(replace(row, p_holm=p) for row, p in zip(rest, corrected, strict=True)),
    ]


def _row(
    problem: str, number: int, claim: str, about: str, published: str, of: str, difference: Series
) -> Takeaway:
    value, low, high, p, n = paired(difference)
    word = status(low, high, p, smallest=SMALLEST[of]) if n > 1 else UNKNOWN
    return Takeaway(number, claim, problem, about, published, value, low, high, p, n, SMALLEST[of], word)


LEGEND = """claim: the difference is above 0; paired over seeds, 95 % t intervals; p_holm: all but the first
smallest: smallest effect of interest, set before the runs; every cell chose its rate on development seeds
published figures are of language models where a model is named: the bandits' own were not read as numbers"""


def takeaways_text(rows: list[Takeaway]) -> str:
    """The comparisons as text, a table a takeaway, with what each is about and the published figure."""
    blocks = []
    titles = {row.takeaway: f"Takeaway {row.takeaway}" for row in rows[1:]}
    for title, part in [("Primary test", rows[:1])] + [
        (title, [row for row in rows[1:] if row.takeaway == number])
        for number, title in sorted(titles.items())
    ]:
        columns = ("claim", "problem", "value", "low", "high", "p", "p_holm", "n", "smallest", "status")
        lines = [{name: getattr(row, name) for name in columns} for row in part]
        claims = {row.claim.partition(", far peak")[0]: row for row in reversed(part)}
        notes = [f"{claim}: {row.about} [published: {row.published}]" for claim, row in claims.items()]
        blocks.append("\n".join([title, text_table(lines), *reversed(notes)]))
    return "\n\n".join([*blocks, LEGEND])


def chosen_rates(study: Study) -> DataFrame:
    """The learning rate that each cell took, with its trials; `edge`: the lowest or highest tried."""
    runs = study.bandits[study.bandits["status"] == "ok"]
    columns = ["problem", "method", "batches", "reuse", "learning_rate", "rates", "development"]
    table = runs.drop_duplicates("key")[columns].sort_values(columns[:4]).reset_index(drop=True)
    ends = [{float(rates.split()[0]), float(rates.split()[-1])} for rates in table["rates"]]
    close = [
        any(math.isclose(rate, end) for end in found)
        for rate, found in zip(table["learning_rate"], ends, strict=True)
    ]
    return table.assign(edge=np.array(close, bool))
