"""H1b over models: slopes within pairs, and models that are easier all round."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from analysis.pairs import within_pairs as module
from analysis.pairs.within_pairs import PERMUTED, ROBUST, usable, within_pairs


def table(seed=0, *, models=8, families=7, pairs=12, effect=0.0, of_model=0.0, sets=1, missing=0.0):
    """Pairs on models; `of_model`: how far models differ all round in U and, apart from that, in bits."""
    rng = np.random.default_rng(seed)
    cells = [(t, s) for t in range(families) for s in range(families) if t != s]
    bits = rng.normal(size=(models, families))
    level, easy = of_model * rng.normal(size=models), of_model * rng.normal(size=models)
    rows = []
    for number, (t, s) in enumerate(cells[i] for i in rng.permutation(len(cells))[:pairs]):
        here = [m for m in range(models) if m % sets == number % sets and rng.random() >= missing]
        for m in here:
            x = bits[m, t] - bits[m, s] + easy[m]
            rows.append(
                {"task": f"p{number}", "target": f"f{t}", "spurious": f"f{s}", "target_family": f"f{t}",
                 "spurious_family": f"f{s}", "kind": "symbolic", "model": f"m{m}", "weights_hash": f"w{m}",
                 "relative": x, "U": number + effect * x + level[m] + 0.2 * rng.normal()}
            )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_slope_is_that_of_a_regression_with_a_level_for_each_pair():
    rows = table(effect=0.5, missing=0.3)
    robust, permuted = within_pairs(usable(rows), permutations=99)
    kept = usable(rows)
    design = pd.get_dummies(kept["task"], dtype=float).assign(x=kept["relative"])
    assert robust.value == pytest.approx(sm.OLS(kept["U"], design).fit().params["x"])
    assert permuted.value == robust.value and (robust.fit, permuted.fit) == (ROBUST, PERMUTED)
    assert robust.low < 0.5 < robust.high and robust.p < 0.01 and permuted.p == 1 / 100


def test_what_belongs_to_a_pair_does_not_matter():
    rows = table(effect=0.3)
    moved = rows.assign(U=rows["U"] + rows["task"].str[1:].astype(float) * 5)
    first, second = (within_pairs(usable(each), permutations=99)[0] for each in (rows, moved))
    assert (second.value, second.p) == pytest.approx((first.value, first.p))


def test_a_model_that_is_easier_all_round_counts_once():
    """Models differ all round in U and in bits, which have nothing to do with one another."""
    studies = 40
    p = np.array([
        [row.p for row in within_pairs(usable(table(seed, of_model=1.0)), permutations=199)]
        for seed in range(studies)
    ])  # fmt: skip
    rejected = (p <= 0.05).mean(0)
    naive = []
    for seed in range(studies):
        rows = table(seed, of_model=1.0)
        design = pd.get_dummies(rows["task"], dtype=float).assign(x=rows["relative"])
        naive.append(sm.OLS(rows["U"], design).fit().pvalues["x"] <= 0.05)
    assert rejected[1] <= 0.13 and rejected[0] <= 0.2 and np.mean(naive) > 0.3


def test_models_permute_only_among_those_that_share_pairs():
    rows = usable(table(models=6, sets=2, effect=0.2))
    cells = module._cells(rows)
    assert sorted(np.bincount(module._sharing(cells))) == [3, 3]
    drawn = np.unique(np.round(module._slopes(cells, module._sharing(cells), 2000, 0), 9))
    wide = {k: rows.pivot(index="weights_hash", columns="task", values=k) for k in ("relative", "U")}
    names = list(wide["U"].index)
    brute = set()
    for even in itertools.permutations([0, 2, 4]):
        for odd in itertools.permutations([1, 3, 5]):
            order = [0] * 6
            order[::2], order[1::2] = even, odd
            x = wide["relative"].loc[[names[i] for i in order]].to_numpy()
            y = wide["U"].to_numpy()
            here = ~np.isnan(x + y)
            x, y = np.where(here, x, np.nan), np.where(here, y, np.nan)
            dx, dy = x - np.nanmean(x, 0), y - np.nanmean(y, 0)
            brute.add(round(float(np.nansum(dx * dy) / np.nansum(dx**2)), 9))
    assert drawn == pytest.approx(sorted(brute), abs=1e-8)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"models": 2}, "2 orders of the 2 models"),
        ({"models": 6, "sets": 3}, "8 orders of the 6 models"),
    ],
)
def test_too_few_models_have_no_p_by_permutation(options, why):
    robust, permuted = within_pairs(usable(table(effect=0.5, **options)))
    assert np.isnan(permuted.p) and why in permuted.note and np.isfinite(permuted.value)
    assert options["models"] > 2 or (np.isnan(robust.p) and "3 are needed" in robust.note)


def test_one_model_or_no_rows_say_so():
    one = within_pairs(usable(table(models=1)))
    assert all(not row.converged and "two models" in row.note for row in one)
    same = table().assign(relative=0.5)
    assert all("same in all models" in row.note for row in within_pairs(usable(same)))
