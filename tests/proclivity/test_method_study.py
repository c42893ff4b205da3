"""The study of all methods is what it says it is: its rates and its pairs were chosen outside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis import read_study
from analysis.pairs.development import chosen_rates
from proclivity.study import load_study
from rl_finetune import METHODS
from tasks import get_task, third_feature

ROOT = Path(__file__).parent.parent.parent
STUDY, DEVELOPMENT = (load_study(name)[0] for name in ("methods-x-extractability", "development-methods"))
LEFT_OUT = {"ipo-per-token", "pref-ft", "ppo-clip"}
"""Where an answer is one token the first is ipo and the second sft; the third is ppo without its critic."""


def test_every_method_has_the_rate_that_the_development_pairs_chose() -> None:
    table = chosen_rates(read_study(ROOT / "results" / "development-methods"))
    chosen = table[table["chosen"]].set_index("method")["learning_rate"].astype(float).to_dict()
    assert STUDY.settings["learning_rate"] == {m: chosen[m] for m in STUDY.arms["main"].methods}
    assert (table["runs"] == 6).all() and (table.groupby("method").size() == 3).all()


def test_all_methods_are_in_both_studies() -> None:
    assert set(STUDY.arms["main"].methods) == set(METHODS) - LEFT_OUT - {"best-of-n"}
    assert all({*STUDY.arms["main"].methods} < {*arm.methods} for arm in DEVELOPMENT.arms.values())
    assert STUDY.arms["one_rate"].methods == STUDY.arms["main"].methods


def test_no_pair_and_no_model_was_developed_on() -> None:
    assert not set(STUDY.pairs.list) & set(DEVELOPMENT.pairs.list)
    studied = {model for group in STUDY.models for model in group}
    assert not studied & set(DEVELOPMENT.models)


def test_every_pair_is_of_features_learnable_under_the_models_dial_with_no_third_feature() -> None:
    table = pd.read_csv(ROOT / "proclivity" / "studies" / "learnability.csv")
    table = table[(table["recipe"] == "embedded/symbols") & (table["dial"] == "a") & table["task"].isna()]
    learnable = table.groupby("feature")["learnable"].mean() >= 2 / 3
    for name in STUDY.pairs.list:
        task = get_task(name)
        assert all(learnable[role.name] for role in task.roles.values()), name
        third = third_feature(task)
        assert third is None or third[1] <= 0.65, name
