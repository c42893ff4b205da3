"""A primary test that was changed after the first run is no primary test."""

import dataclasses
import math

import pytest
from statsmodels.stats.multitest import multipletests

from analysis.pairs.claims import claims
from analysis.pairs.tables import claims_text
from analysis.papers.kirk2024 import kirk_claims
from analysis.papers.lengths import length_claims
from analysis.primary import changed, correct, late, signed
from tests.analysis import simulated_lengths, simulated_stages
from tests.analysis.simulated_study import simulate

WRITTEN = {"claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman", "pairs": "learnable"}
OTHER = WRITTEN | {"statistic": "slope"}


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (signed(WRITTEN) | {"definition": {"primary": WRITTEN}}, ""),
        (signed(dict(reversed(WRITTEN.items()))), ""),
        ({"primary": {}}, ""),
        (signed(WRITTEN) | {"primary": OTHER}, "has hash"),
        (signed(WRITTEN) | {"primary": {}}, "has hash"),
        ({"primary": WRITTEN}, "has no hash"),
        (signed(OTHER) | {"definition": {"primary": WRITTEN}}, "is not that of the study's definition"),
    ],
)
def test_what_counts_as_a_change(manifest, why):
    assert (why in changed(manifest)) if why else changed(manifest) == ""


def test_after_a_change_every_claim_is_secondary_and_corrected():
    study = simulate(pairs=20, primary=WRITTEN)
    before = claims(study, permutations=99)
    assert [row.primary for row in before].count(True) == 1
    after = claims(dataclasses.replace(study, manifest=study.manifest | {"primary": OTHER}), permutations=99)
    assert not any(row.primary for row in after) and len(after) == len(before)
    p = [row for row in after if not math.isnan(row.estimate.p)]
    adjusted = multipletests([row.estimate.p for row in p], method="holm")[1]
    assert [row.p_holm for row in p] == pytest.approx(list(adjusted))
    assert "Primary test" in claims_text(before) and "Primary test" not in claims_text(after)
    titles = [line for line in claims_text(after).splitlines() if line.startswith("Secondary: arm ")]
    assert titles == ["Secondary: arm main, method rloo"]


@pytest.mark.parametrize(
    ("study", "told"),
    [(simulated_lengths.simulated(), length_claims), (simulated_stages.simulated(inputs=6), kirk_claims)],
)
def test_the_other_kinds_of_study_ask_the_same(study, told):
    rows = told(study)
    assert sum(row["primary"] for row in rows) == 1
    void = study.manifest | {"primary_hash": "0" * 16}
    rows = told(dataclasses.replace(study, manifest=void))
    assert not any(row["primary"] for row in rows)
    assert all(math.isnan(row["p_holm"]) == math.isnan(row["p"]) for row in rows)


def test_the_primary_row_takes_no_part_in_the_correction():
    rows = [{"primary": True, "p": 0.04}, {"primary": False, "p": 0.01}, {"primary": False, "p": 0.03}]
    found = correct(signed(WRITTEN), rows)
    assert [row.get("p_holm") for row in found] == [None, 0.02, 0.03]
    assert [row["p_holm"] for row in correct({"primary": WRITTEN}, rows)] == pytest.approx([0.06, 0.03, 0.06])


def test_records_older_than_the_manifest_are_counted():
    study = simulate(families=8, pairs=10, levels=(0.0,), seeds=(0,))
    hours = [f"2026-01-01T{9 + i:02d}:00:00+00:00" for i in range(10)]
    runs = study.runs.assign(started=hours)
    for written, count in (("2026-01-01T08:59:59+00:00", 0), ("2026-01-01T12:30:00+01:00", 3)):
        manifest = study.manifest | {"created": written} | signed({"claim": "H1a"})
        line = late(dataclasses.replace(study, runs=runs, manifest=manifest))
        assert (
            line.startswith(f"study.json was written when {count} of 10 runs had begun")
            if count
            else not line
        )
    assert not late(dataclasses.replace(study, runs=runs, manifest=study.manifest | {"primary": {}}))


def test_where_no_test_was_named_none_is_primary():
    study = simulate(families=8, pairs=20, levels=(0.0,), seeds=(0,))
    rows = claims(dataclasses.replace(study, manifest={"primary": {}}), permutations=99)
    assert rows and not any(row.primary for row in rows)
    told = [row for row in rows if not math.isnan(row.estimate.p)]
    assert told and all(row.p_holm >= row.estimate.p for row in told)
