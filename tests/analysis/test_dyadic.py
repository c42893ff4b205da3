"""The test keeps its size and has power where rows are dyadic; the interval covers; row tests do neither."""

import math
from itertools import permutations, product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, spearmanr

from analysis.statistics.association import auc, mean, partial_spearman, slope, spearman
from analysis.statistics.dyadic import dyads
from analysis.statistics.estimate import dyadic_jackknife, estimate, family_jackknife
from analysis.statistics.permutation import _permutations, dyadic_permutation
from benchmarks.known_truth import Design, dyadic_table, measure


def rejections(runs, families, pairs, *, seed=0, **what):
    rng = np.random.default_rng(seed)
    test, rows = 0, 0
    for i in range(runs):
        table = dyadic_table(rng, families, pairs, **what)
        test += dyadic_permutation(dyads(table), spearman, permutations=199, seed=i).p <= 0.05
        rows += spearmanr(table.x_target - table.x_spurious, table.y).pvalue <= 0.05
    return test, rows


@pytest.mark.parametrize(
    ("families", "pairs", "what"),
    [
        (8, 24, {}),
        (14, 60, {}),
        (14, 120, {"copies": 3, "noise": 0.1}),
        (24, 40, {"select": True}),
    ],
)
def test_size_under_a_dyadic_null(families, pairs, what):
    """Rejections stay below what a test of exactly 5 % exceeds one time in 10,000."""
    runs = 250
    test, _ = rejections(runs, families, pairs, **what)
    assert test <= binom.ppf(0.9999, runs, 0.05)


def test_row_tests_reject_a_true_null_far_too_often():
    runs = 150
    test, rows = rejections(runs, 14, 180, copies=1)
    assert rows > 0.25 * runs
    assert test <= binom.ppf(0.9999, runs, 0.05)


def test_power_under_a_planted_effect():
    runs = 60
    test, _ = rejections(runs, 20, 60, effect=0.7)
    assert test >= 0.8 * runs


def counted(data, orders):
    """The p-value of a brute-force count over relabellings of x."""
    values = []
    for order in orders:
        mine = np.full((2, len(data.families)), np.nan)
        mine[0, data.target], mine[1, data.spurious] = data.x_roles.T
        g = np.where(np.isnan(mine), mine[::-1], mine)[:, list(order)]
        values.append(spearmanr(g[0, data.target] - g[1, data.spurious], data.y).statistic)
    values, observed = np.array(values), spearmanr(data.x, data.y).statistic
    return min(1, 2 * min((values >= observed - 1e-9).mean(), (values <= observed + 1e-9).mean()))


def test_the_permutation_is_exact_when_all_orders_can_be_counted():
    """With 5 families there are 120 of them."""
    data = dyads(dyadic_table(np.random.default_rng(3), 5, 16, wobble=0.0))
    assert dyadic_permutation(data, spearman).p == pytest.approx(counted(data, permutations(range(5))))


def bipartite(rng, targets=3, spurious=5):
    """Every target with every spurious feature; no family has both roles, and targets cost more by design."""
    f = {"target": rng.normal(3, 1, targets), "spurious": rng.normal(0, 1, spurious)}
    t, s = (column.ravel() for column in np.meshgrid(range(targets), range(spurious), indexing="ij"))
    y = rng.normal(size=targets)[t] + rng.normal(size=spurious)[s] + 0.3 * rng.normal(size=len(t))
    columns = {"target_family": t, "spurious_family": 100 + s, "y": y}
    names = {"target": t, "spurious": s}
    return pd.DataFrame(columns | names | {f"x_{role}": f[role][i] for role, i in names.items()})


def test_where_no_family_has_both_roles_the_orders_are_those_within_a_role():
    data = dyads(bipartite(np.random.default_rng(0)))
    orders = product(permutations(range(3)), permutations(range(3, 8)))
    expected = counted(data, ((*targets, *spurious) for targets, spurious in orders))
    assert dyadic_permutation(data, spearman).p == pytest.approx(expected)
    one_role = dyads(bipartite(np.random.default_rng(0)).replace({"spurious_family": {104: 0}}))
    assert len(set(one_role.stratum.tolist())) == 1, "a family in both roles makes one stratum of all"


@pytest.mark.parametrize("most", [199, 10_000])
def test_orders_stay_within_their_strata_sampled_or_counted(most):
    stratum = np.array([1, 0, 1, 2, 0, 1, 0])
    orders, every = _permutations(stratum, most, np.random.default_rng(0))
    assert (stratum[orders] == stratum).all() and (np.sort(orders, axis=1) == np.arange(7)).all()
    distinct = len({tuple(order) for order in orders.tolist()})
    assert every == (most > 36) and distinct == 36 and len(orders) == (36 if every else most)


def test_kinds_of_task_that_differ_in_everything_do_not_make_an_association():
    """English costs more and is used more, and within either kind nothing goes with anything."""
    rng, runs, stratified, pooled = np.random.default_rng(5), 150, 0, 0
    for i in range(runs):
        kinds = [dyadic_table(rng, 8, 24), dyadic_table(rng, 8, 24)]
        kinds[1]["x_target"] += 4
        kinds[1]["y"] += 4
        table = pd.concat([part.assign(kind=name) for part, name in zip(kinds, "ab", strict=True)])
        data = dyads(table.assign(b=(table.kind == "b").astype(float)), covariates=["b"])
        assert len(data.families) == 16, "families of one name and two kinds are two"
        stratified += dyadic_permutation(data, partial_spearman, permutations=99, seed=i).p <= 0.05
        pooled += spearmanr(table.x_target - table.x_spurious, table.y).pvalue <= 0.05
    assert pooled > 0.9 * runs
    assert stratified <= binom.ppf(0.9999, runs, 0.05)


def test_the_orders_of_two_kinds_are_those_within_either():
    rng = np.random.default_rng(1)
    data = dyads(pd.concat([dyadic_table(rng, 4, 10, wobble=0.0).assign(kind=name) for name in "ab"]))
    assert data.stratum.tolist() == [0] * 4 + [1] * 4
    orders = product(permutations(range(4)), permutations(range(4, 8)))
    expected = counted(data, ((*first, *second) for first, second in orders))
    assert dyadic_permutation(data, spearman).p == pytest.approx(expected)


@pytest.mark.parametrize("design", ["kinds", "roles"])
def test_a_covariate_that_explains_everything_does_so_within_strata(design):
    """Strata lie apart in the bits and their covariate alike; what is left of either means nothing."""
    rng, runs, rejected = np.random.default_rng(6), 150, 0
    for i in range(runs):
        if design == "kinds":
            parts = [dyadic_table(rng, 8, 24, effect=0.8, wobble=0.0).assign(kind=name) for name in "ab"]
            table = pd.concat(parts, ignore_index=True)
            shift = 4.0 * (table["kind"] == "b")
        else:
            table, shift = bipartite(rng, 4, 8), 3.0
            table["y"] += 0.7 * (table["x_target"] - table["x_spurious"])
        for role in ("target", "spurious"):
            table[f"z_{role}"] = table[f"x_{role}"]
            named = table.get("kind", "") + table[f"{role}_family"].astype(str)
            noise = {name: rng.normal() for name in sorted(set(named))}
            table[f"x_{role}"] = table[f"z_{role}"] + 0.5 * named.map(noise)
        table["x_target"] += shift
        table["is b"] = (table["kind"] == "b").astype(float) if "kind" in table else 0.0
        data = dyads(table, covariates=[("z_target", "z_spurious"), *(["is b"] if design == "kinds" else [])])
        rejected += dyadic_permutation(data, partial_spearman, permutations=99, seed=i).p <= 0.05
    assert rejected <= binom.ppf(0.9999, runs, 0.05)


def test_too_few_orders_give_no_p_value():
    found = estimate(bipartite(np.random.default_rng(0), 2, 4), spearman)  # 48 of them
    assert math.isnan(found.p) and found.note.endswith("too few families to permute")
    assert math.isnan(found.low) and not math.isnan(found.value)


def test_near_copies_add_no_evidence():
    """The same pairs written down five times are the same data."""
    table = dyadic_table(np.random.default_rng(0), 12, 40)
    once, five = dyads(table), dyads(pd.concat([table] * 5))
    assert len(once) == len(five)
    assert dyadic_permutation(once, spearman).p == pytest.approx(dyadic_permutation(five, spearman).p)
    assert dyadic_jackknife(once, spearman) == pytest.approx(dyadic_jackknife(five, spearman))


@pytest.mark.parametrize("statistic", [spearman, slope, auc])
def test_names_do_not_matter(statistic):
    """Families may be called anything, and reading U from the other end mirrors every estimate."""
    table = dyadic_table(np.random.default_rng(1), 6, 20, wobble=0.0)  # all 720 orders are counted
    renamed = table.assign(
        **{r: "z" + (97 - table[r]).astype(str) for r in ("target_family", "spurious_family")}
    )
    a, b = estimate(table, statistic), estimate(renamed, statistic)
    assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high))
    mirrored = estimate(table.assign(y=1 - table.y), statistic)
    centre = 1 if statistic is auc else 0
    assert mirrored.value == pytest.approx(centre - a.value)
    assert (mirrored.low, mirrored.high) == pytest.approx((centre - a.high, centre - a.low))
    assert mirrored.p == pytest.approx(a.p)


def test_a_covariate_that_explains_everything_leaves_nothing_to_reject():
    """U follows raw bits, and the model's bits only echo them: the partial test keeps its size."""
    rng = np.random.default_rng(0)
    partial, plain, runs = 0, 0, 100
    for i in range(runs):
        table = dyadic_table(rng, 14, 60, wobble=0.0, effect=0.8)
        columns = {role: table[f"x_{role}"] for role in ("target", "spurious")}
        noise = rng.normal(size=14)
        for role, column in columns.items():
            table[f"z_{role}"] = column
            table[f"x_{role}"] = column + 0.5 * noise[table[f"{role}_family"]]
        data = dyads(table, covariates=[("z_target", "z_spurious")])
        partial += dyadic_permutation(data, partial_spearman, permutations=99, seed=i).p <= 0.05
        plain += dyadic_permutation(dyads(table), spearman, permutations=99, seed=i).p <= 0.05
    assert plain > 0.7 * runs
    assert partial <= binom.ppf(0.9999, runs, 0.05)


@pytest.mark.parametrize("effect", [0.0, 0.7])
def test_coverage_of_the_rivals(effect):
    """Intervals that leave families out, or draw them, are near 95 % where pairs are many."""
    cells = measure(Design(14, 60), effect, 100, 200, ("dyadic jackknife", "node bootstrap"))
    assert all(cell.covered >= 86 for cell in cells)


def test_the_interval_of_a_mean_covers():
    """0.5 by symmetry; a right one breaks these bounds once in 10,000.

    Equivalence is two tests at 5 %, so the 90 % interval may miss on either side no more often.
    """
    rng, runs, covered, below, above = np.random.default_rng(7), 300, {0.95: 0, 0.9: 0}, 0, 0
    for _ in range(runs):
        data = dyads(dyadic_table(rng, 8, 24, noise=0.1), x=None)
        for confidence in covered:
            low, high = family_jackknife(data, mean, confidence)
            covered[confidence] += low <= 0.5 <= high
        below, above = below + (high < 0.5), above + (low > 0.5)
    assert max(below, above) <= binom.ppf(0.9999, runs, 0.055)
    assert covered[0.95] >= binom.ppf(1e-4, runs, 0.93) and covered[0.9] >= binom.ppf(1e-4, runs, 0.88)
    assert covered[0.9] < covered[0.95] < runs


def test_the_mean_interval_is_wider_than_that_of_independent_rows():
    table = dyadic_table(np.random.default_rng(4), 14, 120, noise=0.1)
    low, high = family_jackknife(dyads(table, x=None), mean)
    rows = 2 * 1.96 * table.y.std() / math.sqrt(len(table))
    assert low < table.y.mean() < high and high - low > 1.5 * rows


def test_what_cannot_be_estimated_is_said_in_words():
    rng = np.random.default_rng(0)
    table = dyadic_table(rng, 12, 40)
    few = estimate(dyadic_table(rng, 4, 12), spearman)
    assert not math.isnan(few.value)
    assert math.isnan(few.p) and math.isnan(few.low) and "families" in few.note
    empty = estimate(table[:0], spearman)
    assert math.isnan(empty.value) and empty.n_pairs == 0 and "no pair" in empty.note
    flat = estimate(table.assign(y=0.7), auc)
    assert math.isnan(flat.value) and "same side" in flat.note
    assert "same in every pair" in estimate(table.assign(y=0.7), spearman).note
    explained = estimate(
        table.assign(z=table.x_target - table.x_spurious), partial_spearman, covariates=["z"]
    )
    assert math.isnan(explained.value) and "covariates" in explained.note
    perfect = estimate(table.assign(y=table.x_target - table.x_spurious), spearman)
    assert perfect.value == pytest.approx(1) and math.isnan(perfect.low) and perfect.p < 0.01
    assert "no interval" in perfect.note


def test_rows_with_a_missing_value_do_not_count():
    table = dyadic_table(np.random.default_rng(0), 12, 40)
    holes = table.assign(y=table.y.where(np.arange(40) % 4 > 0))
    found, expected = estimate(holes, spearman), estimate(table[np.arange(40) % 4 > 0], spearman)
    assert found == expected
