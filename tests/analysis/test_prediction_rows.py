"""Rows of a prediction from records: one a cell, joined to what other studies probed of the same weights."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from analysis.prediction.rows import prediction_rows
from analysis.probes_table import is_of_probes, probes_table
from analysis.records import COLUMNS, LEARNABILITY, ProbeRecord, Study, frame
from tasks.errors import UserError
from tests.analysis.simulated_study import simulate


def of_probes(told: list[dict[str, object]]) -> Study:
    """A study that has these probes and no runs."""
    records = [asdict(ProbeRecord(key=f"b{i}", curve="", **row)) for i, row in enumerate(told)]  # type: ignore[arg-type]
    rows = [
        {k: np.nan if v is None and COLUMNS["probe"][k] == "float" else v for k, v in r.items()}
        for r in records
    ]
    manifest = {"name": "probes", "primary": {"claim": "probes"}, "definition": {"probe": {"n": 8}}}
    empty = frame([], COLUMNS["run"]), frame(rows, COLUMNS["probe"]), frame([], LEARNABILITY)
    return Study("probes", manifest, *empty, [])


@pytest.fixture(scope="module")
def study() -> Study:
    found = simulate(pairs=12, levels=(0.0, 0.1), arms=("main", "one_sided", "random_init", "random_reward"))
    runs = found.runs
    kind = runs["evidence_kind"].mask(runs["arm"] == "one_sided", "one_sided")
    control = runs["control"].mask(runs["arm"] == "random_reward", "random_reward")
    return replace(found, runs=runs.assign(evidence_kind=kind, control=control))


def test_a_row_is_the_mean_over_learnt_runs_of_its_cell(study: Study) -> None:
    rows = prediction_rows([study])
    runs = study.runs[study.runs["arm"].isin(["main", "one_sided"]) & study.runs["U"].notna()]
    first = rows.iloc[0]
    mine = runs[(runs["task"] == first["task"]) & (runs["evidence_rate"] == first["evidence"])]
    if first["evidence"] > 0:
        mine = mine[mine["evidence_kind"] == first["evidence_kind"]]
    assert first["U"] == pytest.approx(mine["U"].mean()) and first["n_runs"] == len(mine)
    # At no evidence all kinds of it are one; above it each is its own row. No control, no random start.
    assert rows.groupby(["task", "evidence"]).size().max() == 2
    assert set(rows.loc[rows["evidence"] == 0, "evidence_kind"]) == {"none"}
    assert rows["n_runs"].sum() == len(runs[runs["task"].isin(rows["task"])])
    assert rows["target_family"].str.startswith("symbolic/").all()


def test_the_same_runs_in_two_studies_are_one_row_each(study: Study) -> None:
    once, twice = prediction_rows([study]), prediction_rows([study, study])
    pd.testing.assert_frame_equal(once.drop(columns="n_runs"), twice.drop(columns="n_runs"))
    assert (twice["n_runs"] == 2 * once["n_runs"]).all()


def test_probes_of_the_same_weights_and_task_are_joined_and_others_are_not(study: Study) -> None:
    task = prediction_rows([study])["task"].iloc[0]
    own = {"model": "embedded/symbols", "dial": "", "weights_hash": "w", "task": task, "init": "pretrained"}
    reach = {"probe": "finetune", "n": 800}
    told = [
        {**own, "role": "target", "frozen_U": 0.8},
        {**own, "role": "spurious", "frozen_U": 0.8},
        {**own, **reach, "role": "target", "labels_needed_low": 64.0, "labels_needed_high": 256.0},
        {**own, **reach, "role": "spurious", "labels_needed_low": 2.0, "labels_needed_high": 8.0},
        {**own, "weights_hash": "other", "role": "target", "frozen_U": 0.1},
    ]
    rows = prediction_rows([study, of_probes(told)])
    mine = rows[rows["task"] == task]
    assert (mine["frozen_U"] == 0.8).all() and np.allclose(mine["frozen"], 2)
    assert np.allclose(mine["relative_reach"], np.log2(128 / 4))
    assert rows.loc[rows["task"] != task, ["frozen_U", "relative_reach"]].isna().all(axis=None)
    # What was not come to within the probe's labels is all of them.
    told[2] |= {"labels_needed_low": 400.0, "labels_needed_high": None}
    rows = prediction_rows([study, of_probes(told)])
    assert np.allclose(rows.loc[rows["task"] == task, "relative_reach"], np.log2(800 / 4))


def test_studies_that_cannot_be_predicted_from_are_refused(study: Study) -> None:
    with pytest.raises(UserError, match="no run there is of a pair of features"):
        prediction_rows([of_probes([])])
    probes = study.probes.assign(n=400)
    other = replace(study, probes=probes, manifest={**study.manifest, "definition": {"probe": {"n": 400}}})
    with pytest.raises(UserError, match=r"different n \(400, 2000\)"):
        prediction_rows([study, other])


def test_what_was_probed_is_a_row_a_model_and_task() -> None:
    own = {"model": "m", "task": "t"}
    found = of_probes(
        [
            {**own, "role": "target", "bits_per_label": 0.4, "frozen_U": 0.3},
            {**own, "role": "spurious", "bits_per_label": 1.1, "censored": True, "frozen_U": 0.3},
            {**own, "model": "other", "role": "target", "bits_per_label": 0.2, "status": "failed"},
        ]
    )
    assert is_of_probes(found)
    (row,) = probes_table(found).to_dict("records")
    assert (row["bits target"], row["frozen_U"]) == (0.4, 0.3) and np.isnan(row["bits spurious"])
