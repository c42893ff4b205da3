"""The papers' claims: none is dropped, none is called what it is not, and each figure is what it says."""

from __future__ import annotations

import dataclasses
from typing import get_args

import numpy as np
import pytest
from pandas import DataFrame

from analysis.pairs.claims import claims
from analysis.pairs.pairs import PAIR, pairs_table
from analysis.papers.kirk2024 import kirk_claims
from analysis.papers.lengths import comparisons, length_claims
from analysis.papers.lovering_correlations import COLUMNS, NEVER_LAST
from analysis.papers.paper_claims import of_bandits, of_lengths, of_pairs, of_stages
from analysis.papers.paper_row import UNASKED, Measured, joined, paper_rows, paper_text
from analysis.papers.published import FACTS, OTHER_STUDY
from analysis.papers.superhf2023 import superhf_claims
from analysis.papers.tajwar2024 import takeaways
from analysis.use import wilson
from proclivity.study_head import Scale
from tests.analysis.simulated_lengths import simulated as of_length
from tests.analysis.simulated_stages import simulated as of_stage
from tests.analysis.simulated_study import simulate
from tests.analysis.simulated_superhf import simulated as of_superhf
from tests.analysis.test_tajwar2024 import made_up

NONE = DataFrame(columns=COLUMNS)


def named(study, paper, scale="quick"):
    return dataclasses.replace(study, manifest=study.manifest | {"paper": paper, "scale": scale})


@pytest.fixture(scope="module")
def pairs_study():
    study = simulate(pairs=24, levels=(0.0, 0.1, 0.5), arms=("main", "one_sided"), effect=2.0)
    kind = study.runs.evidence_kind.where(study.runs.arm != "one_sided", "one_sided")
    return dataclasses.replace(study, runs=study.runs.assign(evidence_kind=kind))


@pytest.mark.parametrize("paper", FACTS)
def test_every_claim_of_a_paper_has_a_row_measured_or_not(paper):
    rows = paper_rows(named(simulate(pairs=2), paper), [])
    assert [row.claim for row in rows] == [fact.claim for fact in FACTS[paper].values()]
    assert len({row.claim for row in rows}) == len(rows)
    for row in rows:
        assert row.status == "cannot be told" and row.called == "" and row.here.startswith(UNASKED)
        assert row.source and row.published
    text = paper_text([row.to_dict() for row in rows], paper)
    assert all(row.source in text for row in rows)


def test_a_study_of_no_paper_has_no_table():
    assert paper_rows(simulate(pairs=2), []) == [] and paper_text([], "") == ""


@pytest.mark.parametrize("scale", get_args(Scale))
def test_only_the_paper_s_own_scale_is_a_reproduction(scale):
    measured = Measured("H1", "here", 0.3, 0.1, 0.5, "9 pairs", 0.2, "same direction")
    rows = paper_rows(named(simulate(pairs=2), "cruz2023", scale), [measured])
    (row,) = [row for row in rows if row.called]
    text = paper_text([row.to_dict() for row in rows], "cruz2023")
    assert ("reproduction" in row.called) == ("reproduction" in text) == (scale == "paper")
    assert scale == "paper" or f"conceptual replication at {scale} scale" in text


def test_facts_that_claims_name_exist(pairs_study):
    """A misspelt name would print that the paper shows nothing."""
    bandits = {("arms/R1", m, b, r): 0.5 for m in ("online-bon-distillation", "ppo-clip") for b in (1, 5)
               for r in (1, 2, 9)}  # fmt: skip
    bandits |= {("arms/R1", m, 1, r): 0.5 for r in (1, 9) for m in ("dpo", "ipo", "bon-distillation")}
    bandits |= {("arms/R1", f"{m}-without-negative", 1, 9): 0.5 for m in ("dpo", "ipo")}
    bandits |= {("arms/R1", f"online-{m}", 1, 1): 0.5 for m in ("dpo", "ipo")}
    stage, superhf = named(of_stage(), "kirk2024"), named(of_superhf(), "superhf2023")
    asked = {
        "kirk2024": of_stages(stage, kirk_claims(stage)),
        "superhf2023": of_stages(superhf, superhf_claims(superhf)),
        "tajwar2024": [
            *of_bandits(takeaways(made_up(bandits, seeds=3))),
            *of_lengths(length_claims(of_length())),
        ],
        "lovering2021": of_pairs(
            named(pairs_study, "lovering2021"), claims(named(pairs_study, "lovering2021")), NONE
        ),
        "cruz2023": of_pairs(named(pairs_study, "cruz2023"), claims(pairs_study), NONE),
    }
    for paper, measured in asked.items():
        facts = {m.fact for m in measured}
        assert len(facts - {""}) > 1 and facts <= {"", *FACTS[paper]}, paper
    assert {c.fact for c in comparisons()} <= {"", *FACTS["tajwar2024"]}


def test_the_fall_of_use_is_the_mean_over_pairs(pairs_study):
    study = named(pairs_study, "cruz2023")
    found = [m for m in of_pairs(study, [], NONE) if m.fact == "H2" and "all pairs" in m.here]
    (fall,) = found
    table = pairs_table(study)
    wide = table[table["arm"] == "main"].pivot_table(index=PAIR, columns="evidence", values="U")
    couples = (wide[0.0] - wide[0.5]).groupby(level=["target_family", "spurious_family"]).mean()
    assert fall.value == pytest.approx(couples.mean())
    assert fall.low < fall.value < fall.high and fall.status == "same direction"
    small = simulate(pairs=12, levels=(0.0,))
    assert not [m for m in of_pairs(named(small, "cruz2023"), [], NONE) if m.fact == "H2"]


def test_their_own_outcomes_answer_the_claims_that_they_are_of():
    about = {"method": "sft", "arm": "one_sided", "rho": 0.5, "low": 0.3, "high": 0.7, "p": 0.01}
    about |= {"n": "9/9/30/1/1", "note": ""}
    sets = ("all", "language", "controlled")
    table = DataFrame(
        [about | {"outcome": o, "pairs": s} for o in ("mean F", NEVER_LAST, "mean accuracy") for s in sets]
    )
    found = list(of_pairs(named(simulate(pairs=2), "lovering2021"), [], table))
    told = {
        m.fact: (m.value, m.low, m.high, m.status)
        for m in found
        if m.fact in ("average", "controlled", "evidence")
    }
    assert set(told) == {"average", "controlled", "evidence"} and len(found) == 3
    assert told["average"] == told["controlled"] == (0.5, 0.3, 0.7, "same direction")
    assert told["evidence"] == (-0.5, -0.7, -0.3, "opposite"), "the claim is that less evidence is required"
    assert all("all pairs" not in m.here for m in found), "language alone, as theirs"


def test_error_that_is_left_is_counted_at_the_most_evidence(pairs_study):
    runs = pairs_study.runs.copy()
    mine = (runs.arm == "one_sided") & (runs.task == runs.task[0])
    runs.loc[mine, "task"] = "symbolic/first-last-vs-contains-2"
    top = runs[mine & (runs.evidence_rate == 0.5)]
    study = named(dataclasses.replace(pairs_study, runs=runs), "lovering2021")
    (left,) = [m for m in of_pairs(study, [], NONE) if m.fact == "first-last"]
    k, n = int(top.errors_spurious_only.sum()), int(top.n_spurious_only.sum())
    assert n > 0 and left.value == k / n and (left.low, left.high) == wilson(k, n)


def test_a_ratio_of_bits_has_an_interval_over_models_only():
    study = simulate(pairs=6, dials=("a", "b", "c"), levels=(0.0,))
    task = study.runs.task[0]
    runs, probes = (
        t.replace({"task": {task: "reviews/score-vs-review"}}) for t in (study.runs, study.probes)
    )
    study = named(dataclasses.replace(study, runs=runs, probes=probes), "cruz2023")
    (found,) = [m for m in of_pairs(study, [], NONE) if m.fact.startswith("bits of")]
    bits = probes[(probes.task == "reviews/score-vs-review") & (probes.input == "model")]
    bits = bits[bits.init == "pretrained"].assign(log2=lambda t: np.log2(t.bits_per_label))
    wide = bits.pivot(index="dial", columns="role", values="log2")
    assert found.n == "3 models" and found.low < found.high
    assert found.value == pytest.approx((wide.target - wide.spurious).mean())
    one = dataclasses.replace(study, runs=runs[runs.dial == "a"])
    (found,) = [m for m in of_pairs(one, [], NONE) if m.fact.startswith("bits of")]
    assert found.n == "1 model" and np.isnan(found.low) and found.status == "cannot be told"


def test_the_reward_model_s_loss_is_in_less_out_a_seed():
    study = named(of_stage(), "kirk2024")
    keys = [f"rm{seed}" for seed in range(3)]
    stages = study.stages[:3].assign(
        key=keys, policy="reward", task="generation/summarise", seed_data=range(3)
    )
    values = {"in": (0.9, 0.8, 0.85), "topic-1": (0.8, 0.7, 0.8), "format-1": (0.7, 0.7, 0.6)}
    rows = [
        study.measures.iloc[0].to_dict()
        | {"key": key, "shift": shift, "measure": "accuracy", "value": values[shift][i]}
        for i, key in enumerate(keys)
        for shift in values
    ]
    measures = type(study.measures)(rows)
    (found,) = of_stages(dataclasses.replace(study, stages=stages, measures=measures), [])
    assert found.fact == "reward model" and found.value == pytest.approx(np.mean([0.15, 0.1, 0.15]))
    assert found.low < found.value < found.high and found.n == "3 reward models"


def test_several_studies_are_one_table_and_measured_once_is_measured():
    first, second = (named(simulate(pairs=2), "tajwar2024") for _ in range(2))
    measured = Measured("batches", "here", 0.3, 0.1, 0.5, "9 seeds", 0.2, "same direction")
    other = Measured("skew", "there", 1.0, 0.5, 1.5, "5 seeds", 1.0, "cannot be told")
    tables = [[r.to_dict() for r in paper_rows(s, [m])] for s, m in ((first, measured), (second, other))]
    rows = joined(tables)
    facts = FACTS["tajwar2024"]
    assert [row["claim"] for row in rows] == [fact.claim for fact in facts.values()]
    assert [row["here"] for row in rows if row["called"]] == ["here", "there"]
    assert joined(tables[:1]) == tables[0]
    unasked = [row for row in rows if row["claim"] == facts["reuse"].claim]
    assert [row["here"] for row in unasked] == [UNASKED + OTHER_STUDY]
