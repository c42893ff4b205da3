"""How predictions are judged: what was not seen is not seen, scores are exact, and a known truth is found."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from analysis.prediction.judged import CHEAPER, FROZEN, judge, verdict
from analysis.prediction.prediction import Form, fit, predict
from analysis.prediction.rows import prediction_rows
from analysis.prediction.scores import SCORES, Scored, area, brier, ece, score, share, slope
from analysis.prediction.splits import FEWEST, SYMBOLS, UNSEEN, held_out, splits
from tasks.errors import UserError
from tests.analysis.simulated_predictions import row, rows
from tests.analysis.simulated_study import simulate


@given(seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_nothing_that_is_scored_was_seen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = ["symbolic", "english", "reviews"]
    drawn = rng.integers(8, size=(120, 2))
    table = pd.DataFrame(
        [
            row(int(t), int(s), 0.1, 0.5, model=f"m{rng.integers(3)}", kind=kinds[rng.integers(3)])
            for t, s in drawn
            if t != s
        ]
    )
    found = splits(table)
    roles = ["target_family", "spurious_family"]
    for name, folds in found.items():
        for fold in folds:
            assert not (fold.fitted & fold.scored).any() and fold.scored.any()
            fitted, scored = table[fold.fitted], table[fold.scored]
            seen, asked = {*fitted[roles].to_numpy().ravel()}, [{*pair} for pair in scored[roles].to_numpy()]
            if name == UNSEEN[0]:
                (out,) = set.intersection(*asked) - seen if len(asked) else {""}
                assert all(out in pair for pair in asked)
            elif name == UNSEEN[1]:
                assert not any(pair & seen for pair in asked)
            elif name == UNSEEN[2]:
                assert not {*fitted["weights_hash"]} & {*scored["weights_hash"]}
            else:
                assert {*fitted["kind"]} == {SYMBOLS} and SYMBOLS not in {*scored["kind"]}
            assert fold.fitted.sum() >= FEWEST
    # Every row is asked once for each of its families, and once where both or its model are unseen.
    for name, times in zip(UNSEEN[:3], (2, 1, 1), strict=True):
        assert (np.sum([fold.scored for fold in found[name]], axis=0) == times).all()


@given(seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_simple_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, U = rng.integers(0, 9, 40) / 8, rng.choice([0.0, 0.2, 0.5, 0.9, 1.0], 40)
    one = np.ones((1, 40))
    said = U != 0.5
    assert area(p, U, one)[0] == pytest.approx(roc_auc_score(U[said] > 0.5, p[said]))
    assert brier(p, U, one)[0] == pytest.approx(np.mean((p - U) ** 2))
    bins = np.minimum((p * 10).astype(int), 9)
    by_bin = [abs((U[bins == k] - p[bins == k]).mean()) * (bins == k).mean() for k in set(bins)]
    assert ece(p, U, one)[0] == pytest.approx(sum(by_bin))
    # A weight means that a row is there so often.
    times = rng.integers(0, 3, 40)
    again = np.repeat(np.arange(40), times)
    for of in SCORES.values():
        left, right = (
            of(p, U, times[None].astype(float))[0],
            of(p[again], U[again], np.ones((1, len(again))))[0],
        )
        assert left == pytest.approx(right, nan_ok=True, abs=1e-6)


def test_the_slope_of_right_chances_is_one_and_that_of_too_sure_ones_below() -> None:
    rng = np.random.default_rng(0)
    logits = 1.5 * rng.normal(size=20_000)
    p = 1 / (1 + np.exp(-logits))
    U = (rng.random(20_000) < p).astype(float)
    assert slope(p, U, np.ones((1, 20_000)))[0] == pytest.approx(1, abs=0.05)
    sure = 1 / (1 + np.exp(-2 * logits))
    assert slope(sure, U, np.ones((1, 20_000)))[0] == pytest.approx(0.5, abs=0.05)
    assert np.isnan(slope(np.array([0.0, 1.0, 0.5]), np.array([0.0, 1.0, 0.0]), np.ones((1, 3)))[0])


def test_an_interval_of_a_share_is_over_families() -> None:
    """Copies of rows add no families, and so nothing to an interval; without spread there is none."""
    table = rows(families=12, pairs=60, seed=1)
    once = score(table, share, table["U"].to_numpy())
    twice = pd.concat([table, table])
    again = score(twice, share, twice["U"].to_numpy())
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high))
    assert once.low < once.value < once.high
    flat = score(table, share, np.ones(len(table)))
    assert flat.value == 1 and np.isnan(flat.low)


def test_baselines_are_exact() -> None:
    """On three rows of a model that nothing else is of: the rules by hand, and what is compared where."""
    x, U, frozen = (2.0, -1.0, 0.0), (1.0, 1.0, 0.5), (0.9, 0.1, 0.5)
    toy = pd.DataFrame(
        [
            row(i, i + 4, x[i], U[i], frozen_U=frozen[i], relative_raw=1.0, model="new", task=f"t{i}")
            for i in range(3)
        ]
    )
    table = pd.concat([rows(families=8, pairs=20, models=2), toy], ignore_index=True)
    judged = judge(table)
    held = judged.held_out[judged.held_out["split"] == UNSEEN[2]]
    assert sorted(held["row"]) == list(range(len(table)))
    scores = judged.scores.set_index(["split", "level", "predictor"])
    found = scores.loc[(UNSEEN[2], "no evidence", FROZEN)]
    assert found["Brier"] == pytest.approx((0.1**2 + 0.9**2 + 0) / 3) and found["rows"] == 3
    at = table["evidence"] == 0
    cheaper = np.select([table["relative"] > 0, table["relative"] < 0], [1.0, 0.0], 0.5)
    told = scores.loc[(UNSEEN[2], "no evidence", CHEAPER)]
    assert (
        told["Brier"] == pytest.approx(((cheaper - table["U"])[at] ** 2).mean()) and told["rows"] == at.sum()
    )
    # Three rows are too few to fit on, so the baseline that was measured on them alone has no score.
    assert not any(name == "raw bits in place of the bits" for _, _, name in scores.index)
    unmeasured = {f"{name} in place of the bits" for name in ("untrained bits", "reach", "frozen probe")}
    assert set(judged.unmeasured) == unmeasured
    with pytest.raises(UserError, match="3 rows are too few"):
        judge(toy)


def test_a_baseline_that_goes_by_the_same_column_is_not_told_apart() -> None:
    """Raw bits that are the bits: equal chances on every held-out row, so that no difference is found."""
    table = rows(families=8, pairs=24, models=2, levels=(0.0,))
    judged = judge(table.assign(relative_raw=table["relative"]))
    same = judged.differences[judged.differences["against"] == "raw bits in place of the bits"]
    assert len(same) and (same["difference"] == 0).all() and set(same["said"]) == {"cannot be told"}


def test_predictions_of_unseen_families_are_calibrated_and_beat_evidence_alone() -> None:
    """When the truth is the regression: chances are right, intervals cover, and bits are worth their cost."""
    table = rows(seed=7, families=20, pairs=90)
    for name in (UNSEEN[0], UNSEEN[2]):
        folds = splits(table)[name]
        told = held_out(table, folds, Form())
        p, U, one = told["U_expected"].to_numpy(), told["U"].to_numpy(), np.ones((1, len(told)))
        assert told["converged"].all()
        assert ece(p, U, one)[0] < 0.06 and 0.7 < slope(p, U, one)[0] < 1.4 and area(p, U, one)[0] > 0.8
        inside = np.mean((told["low"] <= U) & (told["high"] >= U))
        assert 0.91 <= inside <= 0.995
        other = held_out(table, folds, Form(""))["U_expected"].to_numpy()
        assert verdict("Brier", score(told, brier, p, other)) == "better"
        assert verdict("AUC", score(told, area, p, other)) == "better"


def test_narrower_intervals_cover_as_much_less_as_they_say() -> None:
    table, inside = rows(seed=8, families=16, pairs=70), []
    for fold in splits(table)[UNSEEN[0]]:
        part = table[fold.scored]
        said = predict(fit(table[fold.fitted]), part, confidence=0.5)
        inside += ((part["U"] >= said.low) & (part["U"] <= said.high)).tolist()
    assert 0.4 < np.mean(inside) < 0.7


def planted(rng: np.random.Generator) -> pd.DataFrame:
    """U is 1 where a special family is spurious and pulls, or is the target and does not: x is noise, and a
    plain family never matters."""
    pulls = np.arange(16) % 2
    found = []
    for special in range(16):
        for plain in rng.permutation(np.arange(16, 20))[:3]:
            for swapped in (False, True):
                U = float(pulls[special] != swapped)
                pair = (special, int(plain)) if swapped else (int(plain), special)
                found.append(row(*pair, float(rng.normal()), U))
    return pd.DataFrame(found)


def test_what_a_family_does_does_not_leak_into_its_score() -> None:
    """U depends on which family it is, and on nothing else. Seen, its pairs are told right; unseen, they are
    not: at best by chance, and below it where what is left leans to the other side."""
    table = planted(np.random.default_rng(0))
    U, one = table["U"].to_numpy(), np.ones((1, len(table)))
    assert area(predict(fit(table), table).U, U, one)[0] > 0.95
    found = splits(table)
    special = [fold for fold in found[UNSEEN[0]] if fold.scored.sum() == 6]  # a plain one has more pairs
    assert len(special) == 16
    for folds in (special, found[UNSEEN[1]]):
        out = held_out(table, folds, Form())
        one = np.ones((1, len(out)))
        assert area(out["U_expected"].to_numpy(), out["U"].to_numpy(), one)[0] < 0.6


def test_verdicts_follow_the_interval_and_the_direction_of_the_score() -> None:
    assert verdict("AUC", Scored(0.1, 0.01, 0.2)) == verdict("Brier", Scored(-0.1, -0.2, -0.01)) == "better"
    assert verdict("AUC", Scored(-0.1, -0.2, -0.01)) == verdict("Brier", Scored(0.1, 0.01, 0.2)) == "worse"
    nothing = Scored(0.1, float("nan"), float("nan"))
    assert verdict("AUC", nothing) == verdict("Brier", Scored(0.0, -0.1, 0.1)) == "cannot be told"


def test_a_baseline_says_something_only_where_it_was_measured() -> None:
    study = simulate(families=8, pairs=12, levels=(0.0,), seeds=(0,), dials=("a",))
    raw = study.probes["input"] == "raw"
    first, second = sorted(set(study.runs["task"]))[:2]
    probes = study.probes[~(raw & (study.probes["task"] == first))]
    probes.loc[raw & (probes["task"] == second), "censored"] = True
    found = prediction_rows([dataclasses.replace(study, probes=probes)]).set_index("task")
    assert np.isnan(found.loc[first, "relative_raw"]), "not probed"
    assert found.loc[second, "relative_raw"] == 0, "probed, no feature cheaper than shuffled labels"
    assert found["relative_raw"].drop(first).notna().all()
