"""Methods compared on the same pairs: planted differences are found, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import claims
from analysis.comparison import (
    comparison_claims,
    contrasts,
    explained,
    method_columns,
    methods_table,
    per_pair,
)
from analysis.development import chosen_rates
from analysis.pairs import pairs_table
from tests.analysis.simulated_study import simulate

TABLE = {
    "sft": ("demonstrations", "none", False),
    "dpo": ("pairs", "pair", True),
    "superhf": ("policy", "filter", False),
    "rwr": ("policy", "weight", False),
    "rloo": ("policy", "advantage", True),
    "online-dpo": ("policy", "pair", True),
}
PRIMARY = {"claim": "methods", "arm": "main", "method": "rloo", "statistic": "slope", "pairs": "primary"}


@pytest.fixture(scope="module")
def plain():
    """A study in which all methods have one and the same use of each pair."""
    study = simulate(methods=tuple(TABLE), levels=(0.0,), seeds=(0,), pairs=60, primary=PRIMARY)
    return with_use(study, lambda method, x: 0.5 + 0 * x)


def with_use(study, use):
    """The study with U = use(method, relative extractability of the pair), a little noise and its columns."""
    runs = study.runs.copy()
    table = pairs_table(study).drop_duplicates("task").set_index("task")
    rng = np.random.default_rng(0)
    noise = pd.Series(0.05 * rng.normal(size=len(table)), index=table.index)
    x = runs["task"].map(table["relative"]).fillna(0)
    runs["U"] = [use(m, v) + noise[t] for m, v, t in zip(runs["method"], x, runs["task"], strict=True)]
    runs["reached_U"] = runs["U"]
    runs["reached_step"] = 10
    for i, column in enumerate(("samples_from", "reward_role", "negative_gradient")):
        runs[column] = [TABLE[m][i] for m in runs["method"]]
    return replace(study, runs=runs)


def rows_of(study):
    return comparison_claims(study, pairs_table(study), permutations=199)


def found(rows, claim, method, statistic, given="at equal episodes"):
    [row] = [
        r for r in rows if (r.claim, r.method, r.statistic, r.given) == (claim, method, statistic, given)
    ]
    return row


def test_equal_methods_have_no_difference_beyond_what_matters(plain):
    rows = [r for r in claims(plain, permutations=199) if r.claim in ("methods", "columns")]
    assert rows[0].primary and (rows[0].method, rows[0].given) == ("rloo", "at equal episodes")
    assert len(rows) == 2 * 2 * (len(TABLE) - 1 + 4)
    assert {round(r.estimate.value, 9) for r in rows} == {0.0}


def test_planted_slope_is_found_in_the_method_that_has_it_and_in_no_other(plain):
    study = with_use(plain, lambda method, x: 0.5 + (0.2 * x if method == "rloo" else 0 * x))
    rows = rows_of(study)
    row = found(rows, "methods", "rloo", "slope")
    assert row.status == "same direction"
    assert row.estimate.value == pytest.approx(0.2, abs=1e-9)
    assert found(rows, "methods", "superhf", "slope").estimate.value == pytest.approx(0, abs=1e-9)


def test_planted_mean_is_found_with_its_sign(plain):
    study = with_use(plain, lambda method, x: 0.5 - (0.3 if method == "dpo" else 0) + 0 * x)
    rows = rows_of(study)
    row = found(rows, "methods", "dpo", "mean")
    assert row.estimate.value == pytest.approx(-0.3, abs=1e-9)


def test_each_column_gets_what_was_planted_in_it(plain):
    def use(method, x):
        samples, _, down = TABLE[method]
        return 0.3 + 0.2 * (samples == "policy") - (0.1 * x if down else 0 * x)

    study = with_use(plain, use)
    rows = rows_of(study)
    assert found(rows, "columns", "on-policy", "mean").estimate.value == pytest.approx(0.2, abs=1e-9)
    assert found(rows, "columns", "on-policy", "slope").estimate.value == pytest.approx(0, abs=1e-9)
    assert found(rows, "columns", "negative gradient", "slope").estimate.value == pytest.approx(
        -0.1, abs=1e-9
    )
    assert found(rows, "columns", "pair", "mean").estimate.value == pytest.approx(0, abs=1e-9)


def test_equal_reward_reads_the_use_at_that_point(plain):
    study = with_use(plain, lambda method, x: 0.5 + 0 * x)
    study.runs.loc[study.runs["method"] == "dpo", "reached_U"] += 0.25
    rows = rows_of(study)
    assert found(rows, "methods", "dpo", "mean").estimate.value == pytest.approx(0, abs=1e-9)
    at = found(rows, "methods", "dpo", "mean", "at equal reward")
    assert at.estimate.value == pytest.approx(0.25, abs=1e-9)


def test_a_pair_that_a_method_has_not_learnt_is_missing_from_its_differences_alone(plain):
    study = with_use(plain, lambda method, x: 0.5 + 0 * x)
    task = pairs_table(study).query("excluded == ''")["task"].iloc[0]
    study.runs.loc[(study.runs["method"] == "dpo") & (study.runs["task"] == task), "U"] = np.nan
    rows = rows_of(study)
    missing, whole = (found(rows, "methods", name, "mean").estimate.n_pairs for name in ("dpo", "rwr"))
    assert missing == whole - 1


def test_a_coefficient_equals_a_difference_of_means_where_columns_are_alone():
    columns = pd.DataFrame({"a": [1.0, 1.0, 0.0, 0.0]}, index=["p", "q", "r", "s"])
    use = pd.DataFrame([[0.4, 0.6, 0.1, 0.3], [0.9, np.nan, 0.2, np.nan], [0.9, 0.8, np.nan, np.nan]],
                       columns=columns.index)  # fmt: skip
    assert per_pair(use, columns).to_numpy() == pytest.approx([0.3, 0.7, np.nan], nan_ok=True)


def test_a_study_of_one_kind_of_method_has_no_contrast():
    columns = pd.DataFrame(
        {"on-policy": [1.0, 1.0], "negative gradient": [1.0, 1.0], "reward's role": ["pair", "pair"]},
        index=["online-dpo", "online-ipo"],
    )
    assert contrasts(columns) == {}


def test_a_column_explains_what_was_made_of_it_and_chance_explains_little(plain):
    study = with_use(plain, lambda method, x: 0.5 + (0.2 if TABLE[method][2] else 0) * x)
    table = explained(rows_of(study), method_columns(study))
    slopes = table[(table["what"] == "slope") & (table["compared"] == "at equal episodes")]
    shares = slopes.set_index("column")
    assert shares.loc["negative gradient", "R2"] == pytest.approx(1)
    assert shares.loc["negative gradient", "p"] < 0.2
    assert shares.loc["on-policy", "R2"] < 0.3 and shares.loc["on-policy", "p"] > 0.1


def test_the_table_of_methods_counts_every_run(plain):
    rows = methods_table(plain)
    assert {row["method"] for row in rows} == set(TABLE)
    assert sum(row["runs"] for row in rows) == (plain.runs["status"] == "ok").sum()


def test_of_rates_as_good_as_the_best_the_lowest_is_chosen(plain):
    rewards = {1e-4: 0.8, 1e-3: 0.997, 3e-3: 1.0}
    runs = pd.concat(
        [plain.runs[plain.runs["method"] == "rloo"].assign(learning_rate=rate, reward_both_neither=reward)
         for rate, reward in rewards.items()]
    )  # fmt: skip
    table = chosen_rates(replace(plain, runs=runs)).set_index("learning_rate")
    assert list(table.index[table["chosen"]]) == ["0.001"]
