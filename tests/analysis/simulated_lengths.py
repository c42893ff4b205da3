"""Studies of lengths whose differences between methods are known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from pandas import DataFrame

from analysis.papers.lengths import MIN, MODE, SKEW
from analysis.primary import signed
from analysis.records import COLUMNS, Study, frame
from analysis.text_schema import TextRecord

METHODS = ("pref-ft", "dpo", "ipo", "online-bon-distillation", "rwr", "ppo", "online-dpo", "online-ipo")
GAINS = {
    (MIN, "online-dpo"): 4.0,
    (MIN, "dpo"): 4.0,
    (SKEW, "online-dpo"): 6.0,
    (SKEW, "dpo"): 2.0,
    (MODE, "online-dpo"): 0.1,
}
"""Words by which a method's end is better than the others'."""


def record(task: str, method: str, seed: int, step: int, reward: float, **more: object) -> dict[str, object]:
    values = {
        "key": f"{task} {method} {seed} {more.get('learning_rate', 1e-3)}",
        "status": "ok",
        "n": 50,
        "ended": 50,
        "agreed": 9,
        "agreed_n": 10,
    }
    told = TextRecord(task=task, method=method, seed_data=seed, step=step, steps=8, reward=reward)
    row = dataclasses.asdict(told) | values | {"learning_rate": 1e-3} | more
    return {name: math.nan if value is None else value for name, value in row.items()}


def study_of(rows: list[dict[str, object]], **primary: str) -> Study:
    told = {"problem": SKEW, "method": "online-dpo", "against": "dpo", "test": "t over seeds"} | primary
    empty = DataFrame()
    return Study("toy", signed(told), empty, empty, empty, [], texts=frame(rows, COLUMNS["text"]))


def simulated(seeds: int = 6, noise: float = 0.2) -> Study:
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        common = rng.normal(scale=5)  # what the methods of a seed share
        for task in (MIN, MODE, SKEW):
            for method in METHODS:
                end = -10 + common + GAINS.get((task, method), 0.0) + rng.normal(scale=noise)
                rows += [record(task, method, seed, step, end - (8 - step)) for step in (0, 4, 8)]
    return study_of(rows)
