"""H1b over models as a primary test: its size along a training, its power, and its line."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.pairs import model_claims as module
from analysis.pairs.claims import claims
from analysis.pairs.model_claims import TEST
from analysis.pairs.power_over_models import power_over_models, rejects, simulated
from analysis.pairs.within_pairs import _sharing, _slopes, within_slope
from tests.analysis.simulated_study import simulate
from tests.analysis.test_within_pairs import table

PAIRS = [("a", s) for s in "defg"] + [("b", s) for s in "ghid"] + [("c", s) for s in "dgij"]
BOTH = pd.DataFrame(
    [("english", *pair) for t, s in PAIRS for pair in ((t, s), (s, t))],
    columns=["kind", "target_family", "spurious_family"],
)
CODES = [np.unique([*BOTH["target_family"], *BOTH["spurious_family"]], return_inverse=True)[1]]
TARGET, SPURIOUS = np.split(CODES[0], 2)


def test_what_drifts_along_a_training_is_not_found_and_a_permutation_of_models_finds_it() -> None:
    rng, studies = np.random.default_rng(1), 120
    robust = permuted = 0
    for _ in range(studies):
        cells = simulated(TARGET, SPURIOUS, 9, 0.0, rng)
        robust += rejects(cells)
        value = within_slope(cells.x, cells.y, cells.pair, np.ones((1, len(cells.y))))[0]
        drawn = _slopes(cells, _sharing(cells), 199, 0)
        permuted += bool((1 + (np.abs(drawn) >= abs(value)).sum()) / 200 <= 0.05)
    assert robust <= 0.08 * studies < permuted


def test_power_rises_with_models_and_there_is_none_without_errors() -> None:
    few, many = (power_over_models(BOTH, models, simulations=30) for models in (4, 9))
    assert few and many and few.power <= many.power and many.power > 0.7
    assert 0.3 < many.detectable < 0.99 and (many.families, many.pairs) == (10, 24)
    assert power_over_models(BOTH, 2) is None and power_over_models(BOTH[:4], 9) is None


@pytest.fixture
def rows() -> pd.DataFrame:
    """Learnt cells of 12 pairs on 8 models."""
    found = table(3, models=8, effect=0.5)
    told = {"arm": "main", "method": "rloo", "evidence": 0.0, "excluded": ""}
    return found.assign(**told, models=[("m",)] * len(found), seeds=[(0,)] * len(found))


def test_a_line_says_what_the_fit_says(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.pairs.within_pairs import usable, within_pairs

    monkeypatch.setattr(module, "pairs_table", lambda study, by: rows)
    first, second = module.model_claims(simulate(pairs=2))
    robust = within_pairs(usable(rows), permutations=9)[0]
    found = first.estimate
    assert (found.value, found.low, found.high, found.p) == (robust.value, robust.low, robust.high, robust.p)
    assert (found.n_pairs, found.n_models, found.n_seeds, found.n_families) == (12, 8, 1, 7)
    assert (first.claim, first.statistic, first.status, first.pairs) == (
        "H1b",
        "slope",
        "same direction",
        "primary",
    )
    assert second.pairs == "all"


def test_a_model_under_two_names_counts_once(rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = pd.concat([rows, rows[rows["model"] == "m0"].assign(model="m0@again")])
    monkeypatch.setattr(module, "pairs_table", lambda study, by: rows)
    once = next(module.model_claims(simulate(pairs=2))).estimate
    monkeypatch.setattr(module, "pairs_table", lambda study, by: twice)
    again = next(module.model_claims(simulate(pairs=2))).estimate
    assert (again.value, again.p, again.n_models) == (once.value, once.p, 8)
    assert "12 cells are of weights that another model has too" in again.note and "12 cells" not in once.note


def test_a_rise_that_all_pairs_share_cancels_though_exchanges_have_not_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each pair in both roles; half of the exchanges never learn and others not on all models."""
    rng = np.random.default_rng(0)
    rows = table(5, models=9, pairs=42, effect=0.0)
    first, second = (rows[rows["target"].lt(rows["spurious"]) == which] for which in (True, False))
    gone = (second["target"] == "f6") | (rng.random(len(second)) < 0.2)
    told = {"arm": "main", "method": "rloo", "evidence": 0.0, "excluded": "", "models": "", "seeds": ""}
    told = pd.concat([first, second.assign(U=second["U"].mask(gone))]).assign(**told)
    risen = told.assign(U=told["U"] + 3.0 * told["model"].str[1:].astype(float))
    found = []
    for each in (told, risen):
        monkeypatch.setattr(module, "pairs_table", lambda study, by, each=each: each)
        found.append(next(module.model_claims(simulate(pairs=2))).estimate)
    assert found[1].value == pytest.approx(found[0].value) and found[0].n_pairs == 30
    assert f"{gone.sum()} cells are left out" in found[0].note
    only = told[told["target"] < told["spurious"]]
    assert len(module.in_both_roles(only, only)) == len(only)


def test_only_a_study_that_names_the_test_has_its_lines() -> None:
    primary = {"claim": "H1b", "arm": "main", "method": "rloo", "statistic": "slope", "test": TEST}
    study = simulate(pairs=12, levels=(0.0,), dials=("a", "b"), primary={**primary, "pairs": "learnable"})
    named = claims(study, permutations=99)
    assert [row.primary for row in named] == [True] + [False] * (len(named) - 1)
    assert (named[0].claim, named[0].x, named[0].statistic) == ("H1b", "bits", "slope")
    assert math.isnan(named[0].estimate.p) and "2 models" in named[0].estimate.note
    usual = claims(simulate(pairs=12, levels=(0.0,), dials=("a", "b")), permutations=99)
    assert not any("within a pair, over models" in row.about for row in usual)
