"""One claim about SuperHF, what it is compared with in the paper, and what would be too small to matter.

References: Mukobi et al. 2023, SuperHF (https://arxiv.org/abs/2310.16763).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from pandas import Series

from analysis.stages.calibrated import SCORES
from analysis.stages.stage_inputs import RUNS, Legs, judged

METHOD, SFT, BON, RIVALS = "superhf", "sft", "best-of-n", ("ppo", "rloo")
HELD, METEOR = "held-out", "meteor similarity"
SMALLEST = {
    HELD: 0.1,
    "learned": 0.1,
    "gold": 0.05,
    METEOR: 0.02,
    "share of runs": 0.1,
    "sd": math.log(1.5),
    "win rate": 0.05,
    **dict.fromkeys(SCORES, 0.01),
    "NLL": 0.02,
}
"""Smallest effects of interest, set before any run. Rewards by a reward model are in standard deviations of
the SFT model's completions, a tenth of which is little; bars of the paper have standard errors of .03 to .09.
Gold rewards and win rates range from 0 to 1. METEOR: without synonyms it is up to .013 lower. An sd: half as
large again. NLL: two per cent of the right answer's probability. A probability that is off by .1 costs .01 of
a Brier score, a bin that is off by .1 costs .01 of the published MSE."""
OTHERWISE = 0.05
FIFTH = 0.2
"""Of the run: from then on the paper's curve at the default beta is flat."""
SUPERBATCH = 16
"""The paper's default, from where on it finds nothing gained."""
COMPARED = {
    (METHOD, SFT, HELD): "reward over sft",
    (METHOD, BON, HELD): "reward over best-of-n",
    (METHOD, "ppo", HELD): "reward over ppo",
    (METHOD, SFT, METEOR): "alike over sft",
    (METHOD, "ppo", METEOR): "alike over ppo",
    (METHOD, SFT, "MSE (superhf2023)"): "mse over sft",
    (METHOD, "ppo", "MSE (superhf2023)"): "mse over ppo",
    (METHOD, SFT, "ECE (all classes)"): "ece over sft",
    (METHOD, SFT, "Brier"): "brier over sft",
    (METHOD, SFT, "NLL"): "nll over sft",
}
"""Which fact of `analysis.papers.published.SUPERHF` stands beside the first less the second."""
Numbers = tuple[float, float, float, float, int]
"""Value, low, high, p, n."""


@dataclass(frozen=True)
class Claim:
    """One claim in one setting."""

    figure: str
    claim: str
    measure: str
    numbers: Numbers
    of: Series
    """What it is over, by data and tuning seed."""
    fact: str = ""
    """What the paper's data show: one of `analysis.papers.published.SUPERHF`; empty where they do not say."""
    note: str = ""
    unit: str = ""
    """Which smallest effect of interest holds, where it is not the measure's."""
    ratio: bool = False
    """The numbers are logs of a ratio."""
    compares: tuple[str, str, str] | None = None
    """Policy, policy, measure: a plain difference at the end."""
    over: str = RUNS
    """What the interval is over."""


def claim_of(
    figure: str, claim: str, measure: str, values: Series, by_input: Legs | None = None, **more: Any
) -> Claim:
    numbers, over = judged(values, by_input or [])
    return Claim(figure, claim, measure, numbers, values, over=over, **more)
