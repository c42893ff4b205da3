"""What Tajwar et al. 2024 conclude (Takeaways 1 to 4), each as a paired comparison over seeds of bandit runs.

References: Tajwar et al. 2024, Preference fine-tuning of LLMs should leverage suboptimal, on-policy data.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from pandas import DataFrame, Series

from analysis.pairs.tables import text_table
from analysis.papers.bandit_differences import COMPARED, FAR, NEAR, Found, cells_of
from analysis.papers.published import NOTHING, TAJWAR, Fact
from analysis.primary import changed
from analysis.records import Study
from analysis.statistics.decisions import UNKNOWN, holm, status
from analysis.statistics.seeds import paired

SMALLEST = {"reward": 0.05, "mass": 0.05, "nats": 0.5}
"""Smallest effects of interest, set before any run: of mean reward and of probability, whose ranges are 1,
and of log-probabilities."""


@dataclass(frozen=True)
class Takeaway:
    """One comparison: the claim is that the difference is above 0."""

    takeaway: int
    claim: str
    problem: str
    about: str
    """What less what, and what is equal between them."""
    fact: str
    """What the paper shows: one of `analysis.papers.published.TAJWAR`; empty where no figure of this was
    read."""
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
        told = asdict(self) | {"paper": self.published.shown, "source": self.published.source}
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in told.items()}

    @property
    def published(self) -> Fact:
        return TAJWAR.get(self.fact, NOTHING)


def has_bandits(study: Study) -> bool:
    return len(study.bandits) > 0 or "bandits" in study.manifest.get("definition", {})


BETWEEN = ("fewer batches a round", "negative gradient, dpo", "negative gradient, ipo")
"""Claims that say where an effect is larger: on the reward that peaks far from the reference."""


def takeaways(study: Study) -> list[Takeaway]:
    """All comparisons that the study has the cells for, the primary one first."""
    cells = cells_of(study)
    differences: dict[tuple[str, str], Found] = {}
    problems = sorted(set(cells.runs["problem"]))
    for problem in problems:
        for part in COMPARED:
            for found in part(cells, problem):
                if len(found[-1].dropna()):
                    differences[found[1], problem] = found
    rows = [_row(problem, *found) for (_, problem), found in differences.items()]
    for claim in BETWEEN:
        for kind in ("arms", "sequence"):
            far, near = (differences.get((claim, f"{kind}/{reward}")) for reward in (FAR, NEAR))
            if far and near:
                number, _, about, fact, of, _ = far
                told = f"{about.partition(';')[0]}: that on {FAR} less that on {NEAR}"
                row = (number, f"{claim}, far peak", told, fact, of, far[-1] - near[-1])
                rows.append(_row(kind, *row))
    named = study.manifest.get("primary", {})
    first = [r for r in rows if (r.claim, r.problem) == (named.get("claim"), named.get("problem"))]
    rest = sorted((r for r in rows if r not in first), key=lambda r: r.takeaway)
    if not first:
        nothing = Series(dtype=float)
        claim, problem = str(named.get("claim", "")), str(named.get("problem", ""))
        first = [_row(problem, 0, claim, "the primary comparison has no runs", "", "reward", nothing)]
    if changed(study.manifest):
        return [replace(r, p_holm=p) for r, p in zip(rows, holm([row.p for row in rows]), strict=True)]
    corrected = holm([row.p for row in rest])
    return [
        replace(first[0], primary=True),
        *(replace(row, p_holm=p) for row, p in zip(rest, corrected, strict=True)),
    ]


def _row(
    problem: str, number: int, claim: str, about: str, fact: str, of: str, difference: Series
) -> Takeaway:
    value, low, high, p, n = paired(difference)
    word = status(low, high, p, smallest=SMALLEST[of]) if n > 1 else UNKNOWN
    return Takeaway(number, claim, problem, about, fact, value, low, high, p, n, SMALLEST[of], word)


LEGEND = """claim: the difference is above 0; paired over seeds, 95 % t intervals; p_holm: all but the first
smallest: smallest effect of interest, set before the runs; every cell chose its rate on development seeds
published figures are of language models where a model is named: the bandits' own were not read as numbers"""


def takeaways_text(rows: list[Takeaway]) -> str:
    """The comparisons as text, a table a takeaway, with what each is about and the published figure."""
    blocks = []
    first, rest = [row for row in rows if row.primary], [row for row in rows if not row.primary]
    parts = {"Primary test": first} if first else {}
    for number in sorted({row.takeaway for row in rest}):
        parts[f"Takeaway {number} (secondary)"] = [row for row in rest if row.takeaway == number]
    for title, part in parts.items():
        columns = ("claim", "problem", "value", "low", "high", "p", "p_holm", "n", "smallest", "status")
        lines = [{name: getattr(row, name) for name in columns} for row in part]
        claims = {row.claim.partition(", far peak")[0]: row for row in reversed(part)}
        notes = [f"{claim}: {row.about} [published: {_shown(row)}]" for claim, row in claims.items()]
        blocks.append("\n".join([title, text_table(lines), *reversed(notes)]))
    return "\n\n".join([*blocks, LEGEND])


def _shown(row: Takeaway) -> str:
    return f"{row.published.shown}; {row.published.source}" if row.fact else "no figure of this was read"


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
