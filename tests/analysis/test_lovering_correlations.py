"""Lovering et al. 2021's own analysis, against scikit-learn and scipy."""

import dataclasses
import warnings

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, f1_score

from analysis.papers.lovering_correlations import ENOUGH, PUBLISHED, f_scores, lovering_table, outcomes
from tests.analysis.simulated_study import simulate


def one_sided(**options):
    """A study of the paper: evidence of its kind; the easier the target, the fewer errors."""
    study = simulate(**{"families": 14, "pairs": 40, "levels": (0.0, 0.1, 0.5), "seeds": (0,)} | options)
    runs = study.runs.assign(evidence_kind="one_sided", arm="one_sided")
    return dataclasses.replace(study, runs=runs, manifest={**study.manifest, "paper": "lovering2021"})


def test_scores_are_those_of_scikit_learn():
    runs = simulate(pairs=8).runs
    found = f_scores(runs)
    for i, run in enumerate(runs.to_dict("records")):
        truth, answer = [], []
        for section, label in (("both", 1), ("neither", 0), ("spurious_only", 0)):
            n, wrong = run[f"n_{section}"], run[f"errors_{section}"]
            truth += [label] * n
            answer += [1 - label] * wrong + [label] * (n - wrong)
        assert found["F"].iloc[i] == pytest.approx(f1_score(truth, answer, average="macro"))
        assert found["F of label 1"].iloc[i] == pytest.approx(f1_score(truth, answer))
        assert found["accuracy"].iloc[i] == pytest.approx(accuracy_score(truth, answer))
        assert found["accuracy"].iloc[i] == pytest.approx(f1_score(truth, answer, average="micro"))


def test_correlations_are_scipys_and_stand_beside_the_permutation():
    study = one_sided()
    table = lovering_table(study, permutations=199)
    pairs = outcomes(study)
    ratio = pairs.x_target - pairs.x_spurious
    row = table[(table.outcome == "mean F") & (table.pairs == "all")].iloc[0]
    reference = spearmanr(pairs["F"], ratio)
    assert (row.rho_rows, row.p_rows) == pytest.approx((reference.statistic, reference.pvalue))
    assert row.rho > 0.3 and row.p < 0.05 and row.star == "*" and row.published == PUBLISHED
    assert ratio.to_numpy() == pytest.approx(-pairs.relative.to_numpy()), "above 0: the target is easier"


def clean(study):
    """Errors on spurious_only fall to none at the level that stands in for what each pair requires."""
    runs = study.runs.copy()
    harder = runs.task.map(outcomes(study).set_index("task").relative).rank(pct=True)
    wrong = runs.evidence_rate < 0.4 * harder
    runs["errors_spurious_only"] = np.where(wrong, runs.n_spurious_only, 0)
    runs["errors_both"] = runs["errors_neither"] = 0
    return dataclasses.replace(study, runs=runs)


def test_the_evidence_required_is_correlated_itself():
    study = clean(one_sided(levels=(0.0, 0.05, 0.1, 0.2, 0.3)))
    pairs = outcomes(study).set_index("task")
    scores = study.runs.assign(F=f_scores(study.runs)["F"]).groupby(["task", "evidence_rate"]).F.mean()
    for task, required in pairs.required.items():
        enough = scores[task][scores[task] > ENOUGH]
        assert enough.index.min() == required if len(enough) else np.isnan(required)
    assert 0 < pairs.required.isna().sum() < len(pairs)
    table = lovering_table(study, permutations=199).set_index(["outcome", "pairs"])
    reach = pairs[pairs.required.notna()]
    reaching = table.loc[(f"smallest rate with F > {ENOUGH}, of pairs that reach it", "all")]
    never = table.loc[(f"smallest rate with F > {ENOUGH}, never last", "all")]
    theirs = table.loc[(f"as their code: mean F where it exceeds {ENOUGH}", "all")]
    assert reaching.rho_rows == pytest.approx(spearmanr(reach.required, -reach.relative).statistic)
    whole = spearmanr(pairs.required.fillna(9.0), -pairs.relative).statistic
    assert never.rho_rows == pytest.approx(whole) and never["rows"] == len(pairs) > reaching["rows"]
    assert theirs.rho_rows == pytest.approx(spearmanr(reach["F"], -reach.relative).statistic)


def test_the_controlled_set_asks_both_probes():
    study = one_sided()
    names = sorted(set(study.runs.task))
    good = study.probes.task.isin(names[:20]) | (study.probes.role == "target")
    study = dataclasses.replace(study, probes=study.probes.assign(accuracy=np.where(good, 0.95, 0.6)))
    table = lovering_table(study, permutations=99)
    assert (table["rows"][(table.pairs == "controlled") & (table.outcome == "mean F")] == 20).all()


def test_the_papers_mdl_takes_the_place_of_bits_where_all_pairs_have_it():
    study = one_sided(pairs=30)
    value = np.random.default_rng(0).uniform(1, 5, len(study.probes))
    probes = study.probes.assign(compat="lovering2021", compat_mdl=value)
    probes = probes[(probes.input == "model") & (probes.init == "pretrained")]
    whole = outcomes(dataclasses.replace(study, probes=probes))
    assert set(whole.x) == {"MDL of the paper"}
    mdl = probes.set_index(["task", "role"]).compat_mdl
    expected = [np.log2(mdl[task, "spurious"] / mdl[task, "target"]) for task in whole.task]
    assert list(whole.x_target - whole.x_spurious) == pytest.approx(expected)
    part = probes.assign(compat=probes.compat.where(probes.task != whole.task.iloc[0], ""))
    assert set(outcomes(dataclasses.replace(study, probes=part)).x) == {"bits of the probe"}


@pytest.mark.parametrize(
    "study",
    [
        dataclasses.replace(one_sided(), runs=one_sided().runs.iloc[:1]),
        dataclasses.replace(one_sided(), runs=one_sided().runs.assign(status="failed")),
        dataclasses.replace(one_sided(), runs=one_sided().runs.iloc[:0]),
        dataclasses.replace(one_sided(pairs=6), probes=one_sided().probes.iloc[:0]),
        one_sided(levels=(0.0,)),
        one_sided(pairs=2, seeds=(0,)),
    ],
    ids=["one run", "failed", "none", "no probes", "one level", "two pairs"],
)
def test_poor_studies_have_no_correlation_and_no_warning(study):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = lovering_table(study, permutations=99)
    assert table.p_rows.isna().all() and table.p.isna().all()
    assert (table.note != "").all()
