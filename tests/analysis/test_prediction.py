"""The prediction: its solver against an independent one, its symmetry, and recovery of a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from analysis.prediction.place import nearest, outside
from analysis.prediction.prediction import Form, fit, predict
from analysis.statistics.quasi_likelihood import PRIOR, Problem
from tests.analysis.simulated_predictions import METHODS, SPREAD, TRUE, row, rows


@pytest.fixture(scope="module")
def known():
    return rows(seed=3)


def test_the_solver_finds_the_mode_that_a_general_optimiser_finds() -> None:
    """At the fitted variances, effects and cells minimise the penalised loss; the covariance is a block of
    the inverse Hessian of all of them."""
    rng = np.random.default_rng(0)
    n, cells = 60, 12
    Z = rng.normal(size=(n, 4))
    cell = np.sort(rng.integers(cells, size=n))
    cell = np.unique(cell, return_inverse=True)[1]
    group = np.array([-1, 0, 0, 0])
    y = rng.random(n)
    problem = Problem(Z, y, cell, group)
    found = problem.solve(1)
    precision = np.array([1 / PRIOR**2, *[1 / found.variances[0]] * 3])
    whole = np.concatenate([Z, np.eye(cell.max() + 1)[cell]], axis=1)
    penalty = np.concatenate([precision, np.full(cell.max() + 1, 1 / found.variances[1])])

    def loss(effects):
        eta = whole @ effects
        nats = np.sum(np.logaddexp(0, eta) - y * eta)
        return nats / found.dispersion + np.sum(penalty * effects**2) / 2

    best = minimize(loss, np.zeros(whole.shape[1]), method="BFGS", options={"gtol": 1e-9})
    assert found.converged
    np.testing.assert_allclose([*found.effects, *found.of_cells], best.x, atol=2e-3)
    p = expit(whole @ best.x)
    weight = p * (1 - p) / found.dispersion
    inverse = np.linalg.inv(whole.T @ (whole * weight[:, None]) + np.diag(penalty))
    np.testing.assert_allclose(found.covariance, inverse[:4, :4], atol=2e-3)
    # Pearson's dispersion, on the degrees of freedom that the trace of the hat matrix leaves.
    free = 1 - np.sum(whole @ inverse * whole * weight[:, None]) / n
    pearson = np.sum((y - p) ** 2) / np.sum(p * (1 - p)) / free
    assert found.dispersion == pytest.approx(pearson, rel=1e-2)
    # EM's fixed point: a variance is the mean square of its levels, with one more imagined at 1/2.
    sizes = best.x[1:4] ** 2 + np.diag(inverse)[1:4]
    assert found.variances[0] == pytest.approx((sizes.sum() + 0.25) / 4, rel=1e-2)


def test_it_recovers_the_truth() -> None:
    """Fixed effects within three errors of a mean of four, spreads within a quarter (PQL shrinks them)."""
    fits = [fit(rows(seed=seed)) for seed in range(4)]
    assert all(found.converged for found in fits)
    for name, truth in TRUE.items():
        place = fits[0].names.index(("", name))
        values = np.array([found.effects[place] for found in fits])
        error = np.mean([np.sqrt(max(f.covariance[place, place], f.robust[place, place])) for f in fits])
        assert abs(values.mean() - truth) < 3 * error / 2, name
    for name in ("family", "pair"):
        assert np.mean([found.spreads[name] for found in fits]) == pytest.approx(SPREAD[name], rel=0.25)
    assert np.mean([found.dispersion for found in fits]) == pytest.approx(0.3, abs=0.08)


def test_exchanging_the_roles_exchanges_the_answer(known) -> None:
    """At no evidence the two tasks have the same rows: with a new model U turns into 1 - U."""
    fitted = fit(known)
    one = pd.DataFrame([row(1, 2, 0.8, model="new"), row(1, 99, -0.4, model="new")])
    two = pd.DataFrame([row(2, 1, -0.8, model="new"), row(99, 1, 0.4, model="new")])
    first, second = predict(fitted, one), predict(fitted, two)
    np.testing.assert_allclose(first.U, 1 - second.U, atol=1e-6)
    np.testing.assert_allclose(first.U_low, 1 - second.U_high, atol=1e-6)


def test_an_easier_spurious_feature_is_expected_to_be_used_more_and_evidence_lowers_it(known) -> None:
    fitted = fit(known)
    x = predict(fitted, pd.DataFrame([row(98, 99, x, model="new") for x in (-2, -1, 0, 1, 2)])).U
    assert (np.diff(x) > 0).all() and x[2] == pytest.approx(0.5)
    by = [row(98, 99, 1.0, model="new", evidence=e) for e in (0, 0.01, 0.05, 0.2)]
    assert (np.diff(predict(fitted, pd.DataFrame(by)).U) < 0).all()


def test_what_is_not_known_widens_the_interval(known) -> None:
    """A family, a model, a method that the fit has not seen each add their spread."""
    fitted = fit(known)
    asked = [
        row(1, 2, 0.3, model="m0"),
        row(1, 99, 0.3, model="m0"),
        row(98, 99, 0.3, model="m0"),
        row(98, 99, 0.3, model="new"),
        row(98, 99, 0.3, model="new", method="other"),
    ]
    _, unknown, _ = fitted.latent(pd.DataFrame(asked))
    assert (np.diff(unknown) > 0).all()
    said = predict(fitted, pd.DataFrame(asked))
    assert (said.U_low < said.U).all() and (said.U_high > said.U).all()
    assert (said.low <= said.U_low).all() and (said.U_high <= said.high).all()


@pytest.mark.parametrize(("families", "pairs", "models"), [(8, 24, 3), (24, 60, 4)])
def test_the_interval_of_expected_use_holds_the_truth_of_new_pairs(families, pairs, models) -> None:
    """New families and a new model, whose parts are drawn as those of the fit were."""
    rng, inside = np.random.default_rng(0), []
    z = norm.ppf((np.arange(400) + 0.5) / 400)
    for seed in range(30):
        fitted = fit(rows(families=families, pairs=pairs, models=models, levels=(0.0, 0.05), seed=seed))
        drawn = enumerate(rng.normal(size=20))
        asked = pd.DataFrame([row(2 * i, 2 * i + 1, x, model="new", kind="new") for i, x in drawn])
        first, second, third = rng.normal(size=(3, 20))
        own = SPREAD["family"] * (first - second) + SPREAD["model"] * third
        logit = (TRUE["x"] + METHODS["rloo"][0]) * asked["relative"].to_numpy() + own
        truth = expit(logit[:, None] + SPREAD["pair"] * z).mean(axis=1)
        said = predict(fitted, asked)
        inside.append(np.mean((said.U_low <= truth) & (truth <= said.U_high)))
    error = np.std(inside) / np.sqrt(len(inside))
    assert 0.95 - 3 * error <= np.mean(inside) and np.mean(inside) < 0.995


def test_without_a_signal_the_bits_do_not_matter(known) -> None:
    fitted = fit(known, Form(""))
    asked = pd.DataFrame([row(98, 99, x, model="new") for x in (-3, 3)])
    first, second = predict(fitted, asked).U
    assert first == second


def test_the_nearest_rows_are_near(known) -> None:
    asked = {"relative": 0.5, "evidence": 0.05, "method": "sft", "evidence_kind": "symmetric"}
    found = nearest(known, asked)
    assert set(found["method"]) == {"sft"} and set(found["evidence"]) == {0.05}
    same = known[(known["method"] == "sft") & (known["evidence"] == 0.05)]
    reach = (found["relative"] - 0.5).abs().max()
    assert len(found) == 5 and ((same["relative"] - 0.5).abs() < reach - 1e-12).sum() < 5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"relative": 60.0}, "relative extractability 60.00 is outside"),
        ({"evidence": 0.4, "evidence_kind": "symmetric"}, "evidence 0.4 is outside 0 to 0.2"),
        ({"kind": "english"}, "kind of task never seen: english (seen: symbolic)"),
        ({"kind": ""}, "kind of task never seen: none was told"),
        ({"method": "dpo"}, "method never seen: dpo (seen: rloo, sft)"),
        ({"base": "gpt2"}, "model family never seen: gpt2"),
        ({"evidence": 0.05, "evidence_kind": "one_sided"}, "kind of evidence never seen: one_sided"),
    ],
)
def test_a_question_outside_is_flagged_and_one_inside_is_not(known, changes, said) -> None:
    asked = pd.DataFrame([{**row(1, 2, 0.3), **changes}])
    found = outside(fit(known), known, asked)
    assert (found == []) if not said else (len(found) == 1 and found[0].startswith(said))


def test_a_corner_that_no_row_is_in_is_flagged_by_leverage() -> None:
    """x and evidence each in range, but never together."""
    table = rows(seed=5, levels=(0.0, 0.01, 0.2))
    table = table[(table["evidence"] < 0.1) | (table["relative"].abs() < 1)]
    edge = float(table["relative"].max())
    asked = pd.DataFrame([row(1, 2, edge, evidence=0.2)])
    assert outside(fit(table), table, asked) == [
        "its relative extractability and evidence never went together: farther out than any row"
    ]
