"""What Tajwar et al. 2024 claim of problems of length, and how a study of them compares.

A comparison is a sum, with signs, of gold rewards of methods on problems, seed by seed: methods share a
seed's data, reward model and prompts. Rewards are minus words, so differences are in words, above 0 if the
claim holds.

References: Tajwar et al. 2024 (https://arxiv.org/abs/2404.14367).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pandas import DataFrame, Series

from analysis.papers.published import NOTHING, TAJWAR
from analysis.primary import correct
from analysis.records import Study
from analysis.statistics.decisions import status
from analysis.statistics.seeds import best_rates, paired

SMALLEST = 1.0
"""Smallest effect of interest: one word."""
MIN, MODE, SKEW = "lengths/min-length", "lengths/mode-length", "lengths/skew-length"
ONLINE = {"online-dpo": "dpo", "online-ipo": "ipo", "online-bon-distillation": "pref-ft"}
"""On-policy methods and their off-policy counterparts, which have the same objective."""
STATISTICS = {"end": "after the last step", "along": "mean over the measured steps"}
BY_EYE = "length in tokens at step 590 of the complementarity figure, read by eye"
Terms = Mapping[tuple[str, str], int]
"""Signs of the rewards of (problem, method)."""


@dataclass(frozen=True)
class Comparison:
    """One claim."""

    name: str
    terms: Terms
    fact: str = ""
    """What the paper shows: one of `analysis.papers.published.TAJWAR`; empty if nothing was."""


def _less(problem: str, method: str, against: str) -> dict[tuple[str, str], int]:
    return {(problem, method): 1, (problem, against): -1}


def _more_on(problem: str, other: str, method: str, against: str) -> dict[tuple[str, str], int]:
    """How much more a method gains over another on one problem than on another problem."""
    return _less(problem, method, against) | {(other, method): -1, (other, against): 1}


def _on(problem: str) -> str:
    return problem.rpartition("/")[2]


def comparisons() -> list[Comparison]:
    """The claims, in the order of the paper's takeaways."""
    found = []
    far = "on-policy helps more where the peak is far"
    for online, offline in ONLINE.items():
        for problem in (MIN, SKEW):
            name = f"{far}: {online} over {offline}, {_on(problem)} less {_on(MODE)}"
            found.append(Comparison(name, _more_on(problem, MODE, online, offline), "on-policy, lengths"))
    for problem in (MIN, SKEW):
        name = f"a negative gradient helps off-policy: dpo over pref-ft, {_on(problem)}"
        found.append(Comparison(name, _less(problem, "dpo", "pref-ft"), "negative, lengths"))
    for problem, short in ((MIN, "min"), (SKEW, "skew"), (MODE, "mode")):
        for other in ("dpo", "ppo", "rwr"):
            name = f"on-policy DPO is best: online-dpo over {other}, {_on(problem)}"
            fact = f"best, {short}" + ("" if problem == MODE else f" over {other}")
            found.append(Comparison(name, _less(problem, "online-dpo", other), fact))
    worse = f"off-policy DPO is worse on skewed data: online-dpo over dpo, {_on(SKEW)} less {_on(MIN)}"
    found.append(Comparison(worse, _more_on(SKEW, MIN, "online-dpo", "dpo"), "skew"))
    for problem in (MIN, SKEW, MODE):
        name = f"on-policy IPO is best: online-ipo over ipo, {_on(problem)}"
        fact = "" if problem == MODE else "best, ipo"
        found.append(Comparison(name, _less(problem, "online-ipo", "ipo"), fact))
    return found


def is_of_lengths(study: Study) -> bool:
    return len(study.texts) > 0 or "texts" in study.manifest.get("definition", {})


def run_table(study: Study) -> DataFrame:
    """One row a finished run: what it was at its end; `along` is its mean gold reward over measured steps."""
    points = study.texts[study.texts["status"] == "ok"]
    ends = points[points["step"] == points["steps"]]
    start = points[points["step"] == 0].set_index("key")[["log_prob_chosen", "log_prob_rejected"]]
    along = points[points["step"] > 0].groupby("key")["reward"].mean()
    ends = ends.join(start.add_suffix("_start"), on="key").join(along.rename("along"), on="key")
    order = ["task", "method", "learning_rate", "seed_data"]
    return ends.rename(columns={"reward": "end"}).sort_values(order).reset_index(drop=True)


def differences(runs: DataFrame, terms: Terms, column: str) -> Series:
    """The signed sum of a column, one value for each seed that has all of the runs."""
    parts = []
    for (problem, method), sign in terms.items():
        mine = runs[(runs["task"] == problem) & (runs["method"] == method)]
        parts.append(sign * mine.groupby("seed_data")[column].mean())
    total = parts[0]
    for part in parts[1:]:
        total = total.add(part)  # a seed that lacks one becomes NaN
    return total.dropna()


def length_claims(study: Study) -> list[dict[str, Any]]:
    """The primary comparison and the paper's claims, each at the end and along the run."""
    runs, rows = run_table(study), list[dict[str, Any]]()
    asked = [(c, statistic, False) for c in comparisons() for statistic in STATISTICS]
    primary = study.manifest["primary"]
    if primary.get("test") == "t over seeds":
        problem, method, against = (primary[name] for name in ("problem", "method", "against"))
        terms, name = _less(problem, method, against), f"{method} over {against}, {_on(problem)}"
        same = [c for c in comparisons() if c.terms == terms]
        fact = same[0].fact if same else ""
        others = [each for each in asked if (each[0].terms, each[1]) != (terms, "end")]
        asked = [(Comparison(name, terms, fact), "end", True), *others]
    for comparison, statistic, is_primary in asked:
        values = differences(runs, comparison.terms, statistic)
        if not len(values) and not is_primary:
            continue
        value, low, high, p, _ = paired(values)
        published = TAJWAR.get(comparison.fact, NOTHING)
        rows.append(
            {"claim": comparison.name, "statistic": statistic, "value": value, "low": low, "high": high}
            | {"p": p, "p_holm": math.nan, "n": len(values), "status": ""}
            | {"paper": published.shown, "source": published.source, "fact": comparison.fact}
            | {"primary": is_primary}
        )
    for row in rows:
        row["status"] = status(row["low"], row["high"], row["p"], smallest=SMALLEST)
    return correct(study.manifest, rows)


def results_table(study: Study) -> DataFrame:
    """One row a problem, method and learning rate: means over seeds of what runs were at their end."""
    rows = []
    for (task, method, rate), runs in run_table(study).groupby(["task", "method", "learning_rate"]):
        gold, low, high, *_ = paired(runs["end"])
        rows.append(
            {"problem": _on(str(task)), "method": method, "rate": f"{rate:g}", "seeds": len(runs)}
            | {"gold": gold, "low": low, "high": high, "along": runs["along"].mean()}
            | {"learned": runs["reward_learned"].mean(), "length": runs["length"].mean()}
            | {"ended": runs["ended"].sum() / runs["n"].sum(), "KL": runs["kl_reverse"].mean()}
            | {"entropy": runs["entropy"].mean()}
            | {
                f"change of log p({side})": (runs[f"log_prob_{side}"] - runs[f"log_prob_{side}_start"]).mean()
                for side in ("chosen", "rejected")
            }
        )
    return DataFrame(rows)


def data_table(study: Study) -> DataFrame:
    """One row a problem: its preference pairs, and how well the reward models know the gold reward."""
    rows = []
    for task, runs in run_table(study).groupby("task"):
        first = runs.groupby("seed_data").first()
        start = study.texts[(study.texts["task"] == task) & (study.texts["step"] == 0)]
        rows.append(
            {"problem": _on(str(task)), "seeds": len(first), "pairs": int(first["pairs"].min())}
            | {"words in pairs": first["pairs_length"].mean(), "5 %": first["pairs_shortest"].mean()}
            | {"words of reference": start["length"].mean(), "mode": first["reference_mode"].median()}
            | {"reward models": first["reward_model"].nunique()}
            | {"agrees": first["agreed"].sum() / first["agreed_n"].sum()}
        )
    return DataFrame(rows)


def chosen_rates(study: Study, close: float = 0.01) -> dict[str, float]:
    """The learning rate of each method by the rule of the development study.

    It is that of the highest learned reward at the end, averaged over problems and seeds; of two that differ
    by less than `close`, the smaller.
    """
    return best_rates(run_table(study).groupby(["method", "learning_rate"])["reward_learned"].mean(), close)
