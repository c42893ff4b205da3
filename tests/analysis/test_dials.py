"""H1b by experiment: known truths are found, controls say nothing, and the model is the unit."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest
from pandas import DataFrame, Series, concat
from scipy.stats import page_trend_test

from analysis import claims
from analysis.pairs.dials import (
    beside_pairs,
    bits_of_models,
    dial_models,
    dialled_feature,
    ranks,
    trend,
    trends_of_bits,
    trends_of_use,
    use_of_models,
)
from analysis.pairs.tables import OF_DIALS, claims_text
from analysis.statistics.decisions import OPPOSITE, SAME, SMALL, UNKNOWN
from tests.analysis.simulated_dials import FEATURE, relevelled, simulate
from tests.analysis.simulated_study import simulate as without_dials


@pytest.fixture(scope="module")
def study():
    return simulate()


def models_of(levels, seeds):
    rows = [(level, seed) for seed in range(seeds) for level in levels]
    return DataFrame(
        [{"level": level, "seed": seed, "model": f"{level}-{seed}"} for level, seed in rows]
    )  # fmt: skip


def test_models_are_told_by_their_names(study):
    assert dialled_feature(study) == FEATURE
    models = dial_models(study)
    counts = models.groupby(["dial", "level"]).size().to_dict()
    assert counts == {
        **{("usefulness", level): 5 for level in (0.0, 0.1, 0.25, 0.5, 1.0)},
        **{("placebo", level): 5 for level in (0.0, 0.5, 1.0)},  # 0 is the very model that is useful to 0
        **{("frequency", level): 5 for level in (0.02, 0.1, 0.5)},
    }
    assert dialled_feature(without_dials()) == ""


def test_a_known_effect_is_found_and_controls_show_none(study):
    rows = claims(study, permutations=2000)
    first = rows[0]
    assert first.primary and (first.claim, first.statistic, first.x) == ("H1b", "trend", "usefulness")
    assert first.estimate.value == pytest.approx(0.6, abs=0.05)
    assert first.estimate.low < 0.6 < first.estimate.high
    assert first.status == SAME
    assert (first.estimate.n_models, first.estimate.n_seeds, first.estimate.n_pairs) == (25, 5, 6)
    told = {(row.claim, row.arm, row.statistic, row.x, row.pairs == "other features"): row for row in rows}
    assert told["H1b", "swapped", "trend", "usefulness", False].status == SAME  # 1 - U of the target
    for arm, dial in product(("main", "swapped"), ("placebo", "frequency")):
        assert told["H1b", arm, "trend", dial, False].status == SMALL
    fell = told["bits", "", "trend", "usefulness", False]
    assert fell.estimate.value == pytest.approx(-0.6, abs=0.05) and fell.status == SAME
    assert told["bits", "", "trend", "usefulness", True].status == SMALL
    per_doubling = told["H1b", "main", "slope", "bits", False].estimate
    assert per_doubling.low < 0.6 / np.log2(0.9 / 0.3) + 0.06 and per_doubling.p < 0.01
    text = claims_text(rows, everything=False)
    assert OF_DIALS in text and "placebo" in text


@pytest.mark.parametrize("effect", [0.0, 0.5])
def test_what_belongs_to_pairs_is_taken_off_where_cells_are_missing(effect):
    study = simulate(effect=effect, missing=0.3, seed=3)
    (row,) = [row for row in claims(study, permutations=500) if row.primary]
    assert row.estimate.low - 0.02 <= effect <= row.estimate.high + 0.02
    assert abs(row.estimate.value - effect) < 0.05


def test_with_every_pair_on_every_model_effects_are_plain_means(study):
    table = use_of_models(study)
    part = table[(table["arm"] == "main") & (table["dial"] == "usefulness")]
    means = part.groupby("model")["use"].mean()
    np.testing.assert_allclose(beside_pairs(part, "use")[means.index], means, atol=1e-12)


def test_a_constant_of_a_pair_or_of_a_seed_changes_no_trend(study):
    models = dial_models(study)
    ours = models[models["dial"] == "usefulness"]
    rng = np.random.default_rng(1)
    values = Series(rng.normal(size=len(ours)), index=ours["model"])
    of_seed = ours.set_index("model")["seed"] * 3.0
    one, other = trend(ours, ranks(ours), values), trend(ours, ranks(ours), values + of_seed)
    assert other.value == pytest.approx(one.value) and other.p == one.p
    assert (other.low, other.high) == pytest.approx((one.low, one.high))


def test_the_p_value_is_that_of_every_order_of_the_models():
    models = models_of((0, 1, 2), 3)
    values = Series(np.random.default_rng(4).normal(size=9), index=models["model"])
    x = np.array([-0.5, 0, 0.5])
    y = values.to_numpy().reshape(3, 3)
    slopes = [[np.dot(x[list(order)], row) / 0.5 for order in permutations(range(3))] for row in y]
    everything = [np.mean(drawn) for drawn in product(*slopes)]
    found = trend(models, ranks(models), values, permutations=40_000)
    assert found.value == pytest.approx(everything[0])
    exact = np.mean(np.abs(everything) >= abs(everything[0]) - 1e-12)
    assert found.p == pytest.approx(exact, abs=0.01)


def test_it_agrees_with_page_s_test_on_what_that_is_for():
    """Page's test is one-sided and by ranks; on values that are ranks both have the same statistic."""
    models = models_of((0, 1, 2, 3, 4), 5)
    rng = np.random.default_rng(8)
    order = np.argsort(np.argsort(np.arange(5) + 4.0 * rng.normal(size=(5, 5)), axis=1), axis=1)
    values = Series(order.ravel().astype(float), index=models["model"])
    page = page_trend_test(order + 1.0, ranked=True, method="asymptotic").pvalue
    ours = trend(models, ranks(models), values, permutations=50_000).p
    assert 0.02 < ours < 0.5
    assert ours == pytest.approx(2 * page, rel=0.15)


def test_p_is_small_no_more_often_than_it_says():
    models, rng = models_of((0, 1, 2, 3, 4), 5), np.random.default_rng(7)
    p = [
        trend(models, ranks(models), Series(rng.normal(size=25), index=models["model"]), permutations=199).p
        for _ in range(400)
    ]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.09


def test_one_seed_has_a_value_and_no_interval():
    (row,) = [row for row in claims(simulate(seeds=1), permutations=99) if row.primary]
    assert row.estimate.value == pytest.approx(0.6, abs=0.1)
    assert np.isnan(row.estimate.low) and np.isnan(row.estimate.p) and row.status == UNKNOWN
    assert "two seeds" in row.estimate.note


def test_trends_stand_in_tables(study):
    bits = trends_of_bits(study, permutations=99).set_index(["dial", "feature"])
    assert len(bits) == 3 * 7
    own = bits.loc["usefulness", FEATURE]
    assert own["at_lowest"] == pytest.approx(0.9, abs=0.02) and own["at_highest"] == pytest.approx(
        0.3, abs=0.02
    )
    assert own["change"] == pytest.approx(own["at_highest"] - own["at_lowest"], abs=0.05)
    use = trends_of_use(study, permutations=99)
    assert set(map(tuple, use[["arm", "dial"]].to_numpy())) == set(
        product(("main", "swapped"), ("usefulness", "placebo", "frequency"))
    )
    assert (use["pairs"] == 6).all() and set(use["cells"]) == {6 * 25, 6 * 15}


def test_exchanging_two_levels_names_exchanges_what_is_said(study):
    def swap(text: str) -> str:
        return text.replace("=0.1,", "=X,").replace("=1,", "=0.1,").replace("=X,", "=1,")

    names = set(study.runs["model"])
    renamed = relevelled(study, {n: swap(n) for n in names if "useful.f0=" in n and "frequency" not in n})
    before = bits_of_models(study).query("feature == 'f0' and dial == 'usefulness'")
    after = bits_of_models(renamed).query("feature == 'f0' and dial == 'usefulness'")
    one, other = (t.groupby("level")["value"].mean() for t in (before, after))
    assert other[0.1] == pytest.approx(one[1.0]) and other[1.0] == pytest.approx(one[0.1])


def test_other_features_that_move_apart_do_not_hide_behind_their_mean(study):
    top = study.probes.model.str.contains("useful.f0=1,")
    sign = np.where(study.probes.feature.str[-1].astype(int) % 2, 1, -1)
    moved = study.probes.bits_per_label + np.where(top & (study.probes.feature != FEATURE), 0.3 * sign, 0)
    rows = claims(replace(study, probes=study.probes.assign(bits_per_label=moved)), permutations=999)
    (row,) = [r for r in rows if (r.claim, r.pairs, r.x) == ("bits", "other features", "usefulness")]
    assert row.status == OPPOSITE and abs(row.estimate.value) > 0.1


def test_use_is_read_at_the_lowest_evidence_and_bits_from_the_study_s_own_probe(study):
    (before,) = [row for row in claims(study, permutations=99) if row.primary]
    more = study.runs.assign(evidence_rate=0.5, U=0.0)
    later = study.probes.assign(step=100, bits_per_label=0.01)
    smaller = study.probes.assign(n=200, bits_per_label=0.02)
    both = replace(
        study,
        runs=concat([study.runs, more], ignore_index=True),
        probes=concat([study.probes, later, smaller], ignore_index=True),
    )
    (after,) = [row for row in claims(both, permutations=99) if row.primary]
    assert after.estimate == before.estimate
    assert bits_of_models(both)["value"].tolist() == bits_of_models(study)["value"].tolist()


def test_no_control_takes_the_treatment_s_place(study):
    treated = study.runs.model.str.contains("useful.f0=(?!0,)")
    assert 0 < treated.sum() < len(study.runs)
    rest = replace(study, runs=study.runs[~treated].reset_index(drop=True))
    (row,) = [row for row in claims(rest, permutations=99) if row.primary]
    assert row.x == "usefulness" and "no runs" in row.estimate.note


def test_what_the_dial_does_to_censoring_leaves_no_cell_out(study):
    probes = study.probes.assign(censored=study.probes.model.str.contains("useful.f0=0,seed"))
    one, other = (
        next(row for row in claims(s, permutations=99) if row.primary).estimate
        for s in (study, replace(study, probes=probes))
    )
    assert other.n_models == one.n_models == 25
    assert other.value == pytest.approx(one.value)


def test_models_that_share_no_pair_are_not_compared():
    table = DataFrame({"model": ["a", "b"], "task": ["p", "q"], "use": [0.9, 0.1]})
    assert beside_pairs(table, "use").isna().all()
    joined = DataFrame({"model": ["a", "b", "b"], "task": ["p", "q", "p"], "use": [0.9, 0.1, 0.3]})
    found = beside_pairs(joined, "use")
    assert found["a"] - found["b"] == pytest.approx(0.6)
