"""Claims of simulated studies with a known truth, and of studies too poor to say anything."""

import dataclasses
import json
import math
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from analysis.pairs.claims import KIND_OF_TASK, claims
from analysis.pairs.pairs import RULES, exclusions, learnt_share, lowest, pairs_table
from analysis.pairs.tables import claims_text, text_table
from analysis.records import read_study, write_compact
from figures.use_table import panel_titles
from tests.analysis.simulated_study import simulate

FEW = {"permutations": 499}


def pick(rows, claim, pairs="primary", statistic="spearman", x="bits", arm="main", method="rloo", given=""):
    (row,) = [
        r for r in rows
        if (r.claim, r.pairs, r.statistic, r.x, r.arm, r.method, r.given)
        == (claim, pairs, statistic, x, arm, method, given)
    ]  # fmt: skip
    return row


def test_a_planted_effect_is_found_everywhere_it_is_and_nowhere_else():
    rows = claims(
        simulate(families=20, pairs=120, arms=("main", "random_init", "random_reward"), dials=("a", "b")),
        **FEW,
    )
    for claim in ("H1a", "H1b", "H2"):
        row = pick(rows, claim)
        assert row.estimate.value > 0.5 and row.estimate.p < 0.05 and row.status == "same direction", claim
    assert pick(rows, "H1a", statistic="slope").status == "same direction"
    assert pick(rows, "H1a", statistic="auc").estimate.value > 0.7
    given = pick(rows, "H1a", statistic="partial spearman", given="untrained and raw bits")
    assert given.status == "same direction"
    assert abs(pick(rows, "H1a", arm="random_init").estimate.value) < 0.5
    controls = [r for r in rows if r.claim == "control"]
    assert controls and all(r.status == "too small to matter" for r in controls)
    assert [r.primary for r in rows] == [True] + [False] * (len(rows) - 1)


def test_within_pairs_a_dial_is_told_from_what_belongs_to_the_pair():
    """U that follows the pair but not the dial gives H1a, and no H1b."""
    study = simulate(families=20, pairs=80, dials=("a", "b"))
    other = study.runs.dial == "b"
    columns = [c for c in study.runs if c.startswith("errors_")] + ["U", "B"]
    runs = study.runs.copy()
    runs.loc[other, columns] = runs.loc[~other, columns].to_numpy()
    rng = np.random.default_rng(0)
    runs["U"] = (runs["U"] + 0.01 * rng.normal(size=len(runs))).clip(0, 1)
    rows = claims(dataclasses.replace(study, runs=runs), **FEW)
    assert pick(rows, "H1a").estimate.p < 0.05
    within = pick(rows, "H1b")
    assert within.estimate.p > 0.01 and within.status == "cannot be told"
    assert pick(rows, "H1b", statistic="slope").status == "too small to matter"


def test_one_primary_test_and_holm_over_the_rest():
    wanted = {"claim": "H2", "arm": "main", "method": "sft", "statistic": "spearman", "pairs": "learnable"}
    rows = claims(simulate(methods=("rloo", "sft"), primary=wanted), **FEW)
    assert [r.primary for r in rows].count(True) == 1
    assert (rows[0].claim, rows[0].method, rows[0].pairs) == ("H2", "sft", "primary")
    assert math.isnan(rows[0].p_holm)
    for row in rows[1:]:
        assert math.isnan(row.estimate.p) == math.isnan(row.p_holm)
        assert math.isnan(row.p_holm) or row.p_holm >= row.estimate.p
    missing = claims(simulate(pairs=12, primary=wanted | {"method": "ppo"}), **FEW)
    assert missing[0].primary and "no runs" in missing[0].estimate.note and "ppo" in missing[0].estimate.note


def two_kinds(study):
    """Every other task is renamed to another kind, in which the spurious feature is cheap and U high."""
    tasks = sorted(set(study.runs["task"]))
    moved = {name: name.replace("symbolic/", "reviews/") for name in tasks[::2]}
    runs, probes = (part.assign(task=part["task"].replace(moved)) for part in (study.runs, study.probes))
    here, there = (part["task"].str.startswith("reviews/") for part in (runs, probes))
    runs["U"] = runs["U"].where(~here, 0.9 + runs["U"] / 10)
    probes["bits_per_label"] *= np.where(there & (probes["role"] == "spurious"), 0.05, 1)
    return dataclasses.replace(study, runs=runs, probes=probes)


@pytest.mark.parametrize("effect", [0.0, -0.5])
def test_what_lies_between_kinds_of_task_is_no_association(effect):
    """Two kinds that lie apart in both x and y: pooled, they would go together whatever holds within them."""
    study = two_kinds(simulate(effect=effect, families=12, pairs=60, levels=(0.0,), seed=2))
    table = pairs_table(study)
    assert spearmanr(table["relative"], table["U"]).statistic > 0.2
    rows = [row for row in claims(study, permutations=999) if row.claim == "H1a"]
    assert {row.statistic for row in rows} == {"spearman", "partial spearman"}, "others cannot be so cleaned"
    assert all(KIND_OF_TASK in row.given for row in rows)
    (found,) = [row for row in rows if (row.pairs, row.x, row.given) == ("all", "bits", KIND_OF_TASK)]
    assert found.status in (["opposite", "cannot be told"] if effect else ["cannot be told"])
    assert found.estimate.value < -0.3 if effect else abs(found.estimate.value) < 0.35
    assert rows[0].primary and rows[0].given == KIND_OF_TASK and rows[0].statistic == "spearman"
    titles = panel_titles(study)
    assert f"{rows[0].estimate.value:.2f}" in titles["main", "rloo"]


def test_with_one_kind_of_task_nothing_is_taken_off():
    rows = claims(simulate(families=8, pairs=20, levels=(0.0,)), permutations=99)
    assert not any(KIND_OF_TASK in row.given for row in rows)


def test_every_pair_and_every_run_is_accounted_for():
    study = simulate(unlearnt=0.2, failed=13)
    left_out = exclusions(study)
    zero = study.runs[study.runs.evidence_rate == 0]
    assert left_out.pairs.sum() == zero.task.nunique()
    assert left_out.runs.sum() == len(zero)
    table = lowest(pairs_table(study))
    assert set(table.excluded) <= {*RULES, ""}
    assert (table.excluded == "").sum() == left_out.set_index("rule").pairs["in the primary set"]
    share = learnt_share(study).iloc[0]
    learnable = ~(table.target_family.eq("f1") | table.spurious_family.eq("f1"))
    assert share.runs == table[learnable].n_ok.sum()
    assert share.low <= share.share <= share.high < 1


def test_rules_apply_in_their_order():
    study = simulate(pairs=60, unlearnt=0.3)
    probes = study.probes.copy()
    probes["censored"] = (probes.input == "model") & (probes.init == "pretrained")
    runs = study.runs.assign(third_accuracy=0.9)
    f1 = study.runs.target_family.eq("f1") | study.runs.spurious_family.eq("f1")
    tables = {
        "as it is": study,
        "third": dataclasses.replace(study, runs=runs),
        "censored": dataclasses.replace(study, probes=probes, runs=study.runs.assign(third_accuracy=0.5)),
    }
    excluded = {name: lowest(pairs_table(s)).set_index("task").excluded for name, s in tables.items()}
    unlearnt = study.runs[study.runs.evidence_rate == 0].groupby("task").U.count() == 0
    unlearnable = f1.groupby(study.runs.task).first()
    for name, last in (("third", "third feature above 0.65"), ("censored", "both features censored")):
        assert (excluded[name][unlearnt] == "cell unlearnt").all()
        assert (excluded[name][unlearnable & ~unlearnt] == "feature not learnable").all()
        assert (excluded[name][~unlearnable & ~unlearnt] == last).all()
    assert lowest(pairs_table(tables["censored"])).relative.isna().all()


def test_use_is_averaged_over_learnt_runs_alone():
    study = simulate(pairs=10, seeds=(0, 1, 2, 3))
    runs = study.runs.copy()
    spoilt = runs.index[runs.seed_tune == 3]
    runs.loc[spoilt, ["U", "U_probability"]] = np.nan
    table = lowest(pairs_table(dataclasses.replace(study, runs=runs)))
    zero = runs[(runs.evidence_rate == 0) & (runs.seed_tune != 3)]
    expected = zero.groupby("task").U.mean()
    pd.testing.assert_series_equal(table.set_index("task").U, expected, check_names=False)
    assert (table.n_learnt == 3).all() and (table.n_runs == 4).all()


def test_by_dial_and_by_model_rows_hold_each_models_own_bits():
    study = simulate(pairs=10, dials=("a", "b"))
    table = lowest(pairs_table(study, "model"))
    assert len(table) == 2 * len(lowest(pairs_table(study)))
    probes = study.probes.query("input == 'model' and init == 'pretrained' and role == 'target'")
    bits = probes.set_index(["task", "weights_hash"]).bits_per_label
    expected = [np.log2(bits[row.task, row.weights_hash]) for row in table.itertuples()]
    np.testing.assert_allclose(table.x_target, expected)
    averaged = lowest(pairs_table(study)).set_index("task").x_target
    np.testing.assert_allclose(averaged, table.groupby("task").x_target.mean())


@cache
def poor_studies():
    whole = simulate(pairs=30)
    runs, probes = whole.runs, whole.probes
    zero = runs[runs.evidence_rate == 0]
    bare = runs[:1].assign(status="failed", task="", evidence_rate=np.nan, U=np.nan)
    return {
        "no record": dataclasses.replace(whole, runs=runs[:0], probes=probes[:0]),
        "one run": dataclasses.replace(whole, runs=runs[:1]),
        "only failed runs": dataclasses.replace(
            whole, runs=runs.assign(status="failed", U=np.nan, B=np.nan, label="")
        ),
        "a failed run that knows nothing": dataclasses.replace(whole, runs=pd.concat([runs, bare])),
        "one level": dataclasses.replace(whole, runs=zero),
        "one seed and level": dataclasses.replace(whole, runs=zero[zero.seed_tune == 0]),
        "no probes": dataclasses.replace(whole, probes=probes[:0]),
        "no learnability list": dataclasses.replace(whole, learnability=whole.learnability[:0]),
        "nothing learnt": dataclasses.replace(whole, runs=runs.assign(U=np.nan, label="unlearnt")),
        "four families": simulate(families=4, pairs=12),
        "only controls": simulate(pairs=3, arms=("random_reward",)),
        "no definition": dataclasses.replace(whole, manifest={"name": "bare"}),
    }


@pytest.mark.parametrize("name", poor_studies())
def test_a_poor_study_gets_words_not_a_crash(name):
    study = poor_studies()[name]
    rows = claims(study, permutations=99)
    text = claims_text(rows)
    json.dumps([row.to_dict() for row in rows], allow_nan=False)
    text_table(exclusions(study).to_dict("records"))
    text_table(learnt_share(study).to_dict("records"))
    assert sum(row.primary for row in rows) == (name != "no definition")
    for row in rows:
        e = row.estimate
        if math.isnan(e.p) and row.claim != "control":
            assert e.note and e.note in text
        if e.n_families < 5:
            assert math.isnan(e.p) and row.status == "cannot be told"
    if name in ("one run", "only failed runs", "nothing learnt", "no probes", "no record", "four families"):
        assert all(math.isnan(row.estimate.p) for row in rows)
    if name.startswith("one"):
        assert "one level of evidence" in text or "no level" in text


def test_claims_survive_the_compact_round_trip(tmp_path):
    study = simulate(pairs=20)
    write_compact(study, tmp_path)
    again = read_study(tmp_path)
    assert again.problems == []
    assert str(claims(again, permutations=99)) == str(claims(study, permutations=99))


def test_text_tables_line_up():
    text = text_table([{"a": 1.23456, "b": "x"}, {"a": math.nan, "b": "long"}, {"a": 0.0001, "b": None}])
    assert text.splitlines() == ["    a  b", "-----  ----", "1.235  x", "    -  long", "<.001  -"]
    assert text_table([]) == "(no rows)"


def test_a_feature_learnable_in_the_study_s_models_is_learnable():
    """What another dial's models cannot learn is nothing to this study; what nobody tried is said so."""
    study = simulate(dials=("a",))
    other = study.learnability.assign(dial="b", learnable=False)
    both = dataclasses.replace(study, learnability=pd.concat([study.learnability, other]))
    assert pairs_table(both).excluded.tolist() == pairs_table(study).excluded.tolist()
    listed = study.learnability[study.learnability.family != "f2"]
    excluded = pairs_table(dataclasses.replace(study, learnability=listed)).set_index("task").excluded
    tasks = study.runs.drop_duplicates("task").set_index("task")
    untried = tasks.index[(tasks.target_family == "f2") | (tasks.spurious_family == "f2")]
    assert len(untried) and set(excluded[untried]) == {"learnability of a feature not tried"}


def test_what_a_task_s_own_list_says_goes_before_what_other_tasks_say():
    study = simulate(dials=("a",))
    task, feature = study.runs[["task", "target"]].iloc[0]
    rest = study.learnability[study.learnability.feature != feature]
    row = study.learnability[study.learnability.feature == feature]

    def excluded(*tried):
        lists = [row.assign(task=where, learnable=learnable) for where, learnable in tried]
        table = pairs_table(dataclasses.replace(study, learnability=pd.concat([rest, *lists])))
        return table.groupby("task").target_learnable.first()

    others = study.runs.task[(study.runs.target == feature) & (study.runs.task != task)]
    own = excluded((task, True), ("symbolic/elsewhere", False))
    assert own[task] and not own[others].any()
    assert not excluded((task, False), ("symbolic/elsewhere", True))[task]
    worst = excluded(("symbolic/here", True), ("symbolic/there", False))
    assert not worst[task]
    assert excluded(("symbolic/here", True), ("symbolic/there", True))[task]


def test_a_probe_that_did_not_converge_gives_no_x():
    study = simulate(pairs=20)
    lost = study.probes.task == study.probes.task.iloc[0]
    probes = study.probes.assign(converged=study.probes.converged & ~lost)
    table = pairs_table(dataclasses.replace(study, probes=probes)).set_index("task")
    assert table.relative[study.probes.task.iloc[0]].isna().all()
    assert (
        table.relative.notna().sum() == (len(table.index.unique()) - 1) * study.runs.evidence_rate.nunique()
    )


def test_bits_of_other_weights_are_not_a_pretrained_policy_s():
    study = simulate(pairs=10)
    warmed = study.runs.assign(weights_hash="warmed")
    assert pairs_table(dataclasses.replace(study, runs=warmed)).relative.isna().all()
    assert pairs_table(dataclasses.replace(study, runs=warmed)).relative_untrained.notna().all()


def test_two_censored_features_have_no_order_on_any_input():
    study = simulate(pairs=10)
    for suffix, chosen in {
        "_raw": study.probes.input == "raw",
        "_untrained": (study.probes.input == "model") & (study.probes.init == "random"),
    }.items():
        table = pairs_table(dataclasses.replace(study, probes=study.probes.assign(censored=chosen)))
        assert table[f"relative{suffix}"].isna().all() and table.relative.notna().all()


def test_another_model_s_bits_and_the_corpus_are_baselines_where_they_are_known():
    study = simulate(families=12, pairs=60)
    names = {row.x for row in claims(study, **FEW)} | {row.given for row in claims(study, **FEW)}
    assert not names & {"another model's bits", "corpus frequency"}
    own = study.probes[(study.probes.input == "model") & (study.probes.init == "pretrained")]
    # Another model to which what is dear here is cheap, and a corpus in which what is cheap here is frequent.
    other = own.assign(model="embedded/symbols:seed=9", bits_per_label=0.1 / own.bits_per_label)
    told = study.probes.assign(corpus_share=0.05 / study.probes.bits_per_label)
    both = dataclasses.replace(study, probes=pd.concat([told, other], ignore_index=True))
    assert pairs_table(both).relative_other.isna().all()  # no study that says so
    both.manifest["definition"]["probe"]["beside"] = ["embedded/symbols:seed=9"]
    assert pairs_table(both).relative_other.isna().all()  # they have the reference's own weights
    probes = both.probes.assign(
        weights_hash=both.probes.weights_hash.where(both.probes.model == "embedded/symbols", "another")
    )
    both = dataclasses.replace(both, probes=probes)
    rows = claims(both, **FEW)
    plain = pick(rows, "H1a").estimate
    assert plain.value == pytest.approx(pick(claims(study, **FEW), "H1a").estimate.value)
    assert pick(rows, "H1a", x="another model's bits").estimate.value == pytest.approx(-plain.value, abs=0.02)
    assert pick(rows, "H1a", x="corpus frequency").estimate.value == pytest.approx(plain.value, abs=0.02)
    given = pick(rows, "H1a", statistic="partial spearman", given="corpus frequency")
    assert math.isnan(given.estimate.value) and "covariates explain" in given.estimate.note


def test_a_control_of_constant_answers_says_so():
    study = simulate(arms=("random_reward",), pairs=12)
    constant = study.runs.assign(label="constant")
    rows = claims(dataclasses.replace(study, runs=constant), permutations=9)
    first = [r for r in rows if r.claim == "control" and "evidence 0 " in r.about]
    assert [r.statistic for r in first] == ["mean", "mean, probabilities"]
    assert all("24 of 24 give one answer" in r.about for r in first)


def test_an_arm_that_begins_where_main_does_has_no_H1a_of_its_own():
    study = simulate(pairs=12, arms=("main", "one_sided"))
    kinds = study.runs.evidence_kind.mask(study.runs.arm == "one_sided", "one_sided")
    rows = claims(dataclasses.replace(study, runs=study.runs.assign(evidence_kind=kinds)), permutations=9)
    assert {r.claim for r in rows if r.arm == "one_sided"} == {"H2"}
