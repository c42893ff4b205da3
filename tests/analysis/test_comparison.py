"""Methods compared on the same pairs: planted differences are found, and nothing where there is nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import claims
from analysis.pairs.comparison import (
    comparison_claims,
    contrasts,
    explained,
    methods_table,
    per_pair,
)
from analysis.pairs.development import chosen_rates
from analysis.pairs.pairs import pairs_table
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


def with_use(study, use, noise=0.0):
    """The study with U = use(method, relative extractability of the pair), the methods' columns, and noise
    that pairs have in common; each method's own has the standard deviation `noise`."""
    runs = study.runs.copy()
    table = pairs_table(study).drop_duplicates("task").set_index("task")
    rng = np.random.default_rng(0)
    common = pd.Series(0.05 * rng.normal(size=len(table)), index=table.index)
    x = runs["task"].map(table["relative"]).fillna(0)
    runs["U"] = [use(m, v) + common[t] for m, v, t in zip(runs["method"], x, runs["task"], strict=True)]
    runs["U"] += noise * rng.normal(size=len(runs))
    runs["reached_U"], runs["reached_step"], runs["learning_rate"] = runs["U"], 10, 1e-3
    for i, column in enumerate(("samples_from", "reward_role", "negative_gradient")):
        runs[column] = [TABLE[m][i] for m in runs["method"]]
    return replace(study, runs=runs)


def rows_of(study):
    return comparison_claims(study, permutations=199)


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
    study = with_use(plain, lambda method, x: 0.5 + (0.2 * x if method == "rloo" else 0 * x), noise=0.05)
    rows = rows_of(study)
    row = found(rows, "methods", "rloo", "slope")
    assert row.status == "same direction"
    assert row.estimate.low < 0.2 < row.estimate.high and row.estimate.value == pytest.approx(0.2, abs=0.04)
    other = found(rows, "methods", "superhf", "slope").estimate
    assert other.low < 0 < other.high


def test_planted_mean_is_found_with_its_sign(plain):
    study = with_use(plain, lambda method, x: 0.5 - (0.3 if method == "dpo" else 0) + 0 * x, noise=0.05)
    rows = rows_of(study)
    row = found(rows, "methods", "dpo", "mean")
    assert row.status == "opposite" and row.estimate.p < 1e-6
    assert row.estimate.low < -0.3 < row.estimate.high
    other = found(rows, "methods", "superhf", "mean").estimate
    assert other.low < 0 < other.high and other.p > 0.05


def test_the_p_of_a_mean_says_what_its_interval_says(plain):
    rows = rows_of(with_use(plain, lambda method, x: 0.5 + (method == "dpo") * 0.03 + 0 * x, noise=0.2))
    means = [r.estimate for r in rows if r.statistic == "mean" and r.claim != "use"]
    assert len(means) > 10 and len({e.p < 0.05 for e in means}) == 2
    for e in means:
        assert (e.p < 0.05) == (e.low > 0 or e.high < 0)


def test_methods_are_compared_at_one_rate_where_an_arm_has_it(plain):
    """A method whose own rate it is counts with the runs that it has."""
    study = with_use(plain, lambda method, x: 0.5 + 0 * x)
    again = study.runs[study.runs["method"] != "rwr"].assign(arm="one_rate")
    again["key"] += "-one"
    again.loc[again["method"] == "dpo", "U"] += 0.25
    own = study.runs.assign(learning_rate=np.where(study.runs["method"] == "rwr", 1e-3, 3e-4))
    rows = rows_of(replace(study, runs=pd.concat([own, again], ignore_index=True)))
    at = "at one learning rate"
    assert found(rows, "methods", "dpo", "mean", at).estimate.value == pytest.approx(0.25, abs=1e-9)
    assert found(rows, "methods", "dpo", "mean").estimate.value == pytest.approx(0, abs=1e-9)
    assert found(rows, "methods", "rwr", "mean", at).estimate.n_pairs > 20


def test_what_other_seeds_have_learnt_is_not_taken_for_a_difference():
    study = simulate(methods=("sft", "rloo"), levels=(0.0,), seeds=(0, 1), pairs=40, primary=PRIMARY)
    study = with_use(study, lambda method, x: 0.5 + 0 * x)
    runs = study.runs
    runs["U"] += 0.3 * (runs["seed_tune"] == 1)
    odd = runs["task"].isin(sorted(set(runs["task"]))[::2])
    runs.loc[odd & (runs["method"] == "sft") & (runs["seed_tune"] == 1), "U"] = np.nan
    row = found(rows_of(study), "methods", "rloo", "mean")
    assert row.estimate.value == pytest.approx(0, abs=1e-9) and row.estimate.n_pairs < 40


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
    use = pd.DataFrame([[0.4, 0.6, 0.1, 0.3], [0.9, 0.7, 0.2, 0.2]], columns=columns.index)
    assert per_pair(use, columns).to_numpy() == pytest.approx([0.3, 0.6])


def test_a_study_of_one_kind_of_method_has_no_contrast():
    columns = pd.DataFrame(
        {"on-policy": [1.0, 1.0], "negative gradient": [1.0, 1.0], "reward's role": ["pair", "pair"]},
        index=["online-dpo", "online-ipo"],
    )
    assert contrasts(columns) == {}


def test_a_column_explains_what_was_made_of_it_and_nothing_what_methods_only_missed(plain):
    study = with_use(plain, lambda method, x: 0.5 + (0.2 if TABLE[method][2] else 0) * x)
    shares = {(r["what"], r["compared"], r["column"]): r["R2"] for r in explained(study)}
    assert shares["slope", "at equal episodes", "negative gradient"] == pytest.approx(1)
    assert shares["slope", "at equal episodes", "on-policy"] < 0.3
    # On-policy methods have not learnt the pairs of the highest use; on all others all methods are alike.
    study = with_use(plain, lambda method, x: 0.5 + 0 * x)
    runs = study.runs
    online = np.array([TABLE[m][0] == "policy" for m in runs["method"]])
    runs.loc[online & (runs["U"] > 0.52), "U"] = np.nan
    rows = [r for r in explained(study) if r["compared"] == "at equal episodes"]
    assert all(np.isnan(r["R2"]) for r in rows) and 5 < rows[0]["shared pairs"] < 31


def test_the_table_of_methods_counts_every_run_of_the_pairs_that_stay(plain):
    rows = methods_table(plain)
    assert {row["method"] for row in rows} == set(TABLE)
    kept = pairs_table(plain).query("excluded == ''")
    assert sum(row["runs"] for row in rows) == kept["n_ok"].sum() > 200


def test_a_failed_run_counts_against_its_rate(plain):
    runs = plain.runs[plain.runs["method"] == "rloo"].assign(reward_both_neither=0.9, learning_rate=1e-3)
    worse = runs.assign(reward_both_neither=1.0, learning_rate=3e-3)
    worse.loc[worse.index[::2], "status"] = "failed"
    table = chosen_rates(replace(plain, runs=pd.concat([runs, worse]))).set_index("learning_rate")
    assert table["chosen"].to_dict() == {"0.001": True, "0.003": False}


def test_of_rates_as_good_as_the_best_the_lowest_is_chosen(plain):
    rewards = {1e-4: 0.8, 1e-3: 0.997, 3e-3: 1.0}
    runs = pd.concat(
        [plain.runs[plain.runs["method"] == "rloo"].assign(learning_rate=rate, reward_both_neither=reward)
         for rate, reward in rewards.items()]
    )  # fmt: skip
    table = chosen_rates(replace(plain, runs=runs)).set_index("learning_rate")
    assert list(table.index[table["chosen"]]) == ["0.001"]
