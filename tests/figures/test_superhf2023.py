"""Figures of SuperHF: what is drawn is what the records hold, and a poor study says what it lacks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.papers.superhf2023 import superhf_claims
from analysis.records import Study
from figures import save
from figures.superhf2023 import draw_superhf2023, superhf_figures
from figures.superhf_parts import Shown
from tests.analysis.simulated_superhf import BETAS, POLICIES, simulated

NAMES = {
    "methods", "kl_sweep", "progress", "superbatch_and_accumulation", "seeds", "matched_kl",
    "over_optimisation", "calibration", "reliability_summarise_evidence_0.1",
}  # fmt: skip


@pytest.fixture(scope="module")
def study() -> Study:
    return simulated(tunes=5, inputs=20)


@pytest.fixture(scope="module")
def drawn(study: Study) -> dict[str, Shown]:
    figures = superhf_figures(study)
    assert set(figures) == NAMES
    return figures


def values(study: Study, measure: str, policy: str, **more: float) -> pd.Series:
    """A measure at the end of an entry's runs, straight from the frames."""
    runs = study.stages[study.stages["policy"] == policy].set_index("key")
    for name, value in more.items():
        runs = runs[runs[name] == value]
    rows = study.measures[(study.measures["measure"] == measure) & study.measures["key"].isin(runs.index)]
    rows = rows[rows["scope"] == ("across inputs" if "meteor" in measure else "per input")]
    return rows[rows["step"] == rows["key"].map(runs["steps"])]["value"]


def test_points_are_means_of_runs(study: Study, drawn: dict[str, Shown]) -> None:
    methods = drawn["methods"][1].set_index(["panel", "line"])
    for measure in ("held-out", "meteor similarity"):
        for policy in ("sft", "ppo", "rloo", "best-of-n", "superhf"):
            own = values(study, measure, policy)
            row = methods.loc[measure, policy]
            assert row["x"] == pytest.approx(own.mean(), rel=1e-4) and row["n"] == len(own)
    sweep = drawn["kl_sweep"][1]
    shown = sweep[sweep["panel"] == "held-out"].set_index("x")["y"]
    assert sorted(shown.index) == sorted(BETAS)
    for beta in BETAS:
        entry = "superhf" if beta == 0.35 else "superhf kl"
        assert shown[beta] == pytest.approx(values(study, "held-out", entry, beta=beta).mean(), rel=1e-4)
    assert sweep[sweep["panel"] == "knee"]["x"].tolist() == [0.2]
    sizes = drawn["superbatch_and_accumulation"][1]
    gain = values(study, "held-out", "superhf superbatch", samples_per_prompt=4).mean()
    gain -= values(study, "held-out", "sft").item()
    row = sizes[(sizes["panel"] == "samples_per_prompt") & (sizes["line"] == "held-out") & (sizes["x"] == 4)]
    assert row["y"].item() == pytest.approx(gain, rel=1e-3)


def test_figures_and_claims_say_the_same(study: Study, drawn: dict[str, Shown]) -> None:
    claims = {(row["claim"], row["measure"]): row for row in superhf_claims(study)}
    shown = drawn["matched_kl"][1]
    for rival in ("ppo", "rloo"):
        for how, said in (("along", "along the run"), ("over beta", "over beta")):
            row = shown[(shown["panel"] == f"difference, {how}") & (shown["line"] == rival)].iloc[0]
            claim = claims[f"at the same KL, {said}: superhf over {rival}", "held-out"]
            for x, y in (("x", "value"), ("low", "low"), ("high", "high"), ("n", "n")):
                assert row[x] == pytest.approx(claim[y], rel=1e-4)
    shown = drawn["seeds"][1]
    ratio = shown[(shown["panel"] == "ratio of sd") & (shown["line"] == "ppo")].iloc[0]
    claim = claims["varies less over seeds: sd of ppo over sd of superhf", "held-out"]
    assert ratio["x"] == pytest.approx(claim["value"], rel=1e-4)
    for line in set(shown["line"]) - {"nan"}:
        shares = shown[(shown["line"] == line) & shown["panel"].isin(["improved", "neither", "diverged"])]
        assert not len(shares) or shares["x"].sum() == pytest.approx(1)


def test_along_the_run_judges_begin_at_the_sft_model_and_end_where_the_runs_do(
    study: Study, drawn: dict[str, Shown]
) -> None:
    shown = drawn["over_optimisation"][1]
    for judge in ("gold", "held-out", "learned"):
        line = shown[(shown["panel"] == "ppo") & (shown["line"] == judge)]
        gain = values(study, judge, "ppo").mean() - values(study, judge, "sft").item()
        assert line["y"].iloc[0] == pytest.approx(0) and line["y"].iloc[-1] == pytest.approx(gain)
        assert line["x"].tolist() == sorted(line["x"]) and line["x"].iloc[-1] == pytest.approx(6.0)
    # Steps on the way differ as they were measured, whatever their prompts.
    keys = study.stages[study.stages["policy"] == "ppo"]["key"]
    own = study.measures[study.measures["key"].isin(keys) & (study.measures["measure"] == "learned")]
    way = own[own["step"] < 50].groupby("step")["value"].mean()
    np.testing.assert_allclose(np.diff(line["y"])[:-1], np.diff(way))


def test_reliability_counts_each_question_of_a_data_seed_once(study: Study, drawn: dict[str, Shown]) -> None:
    shown = drawn["reliability_summarise_evidence_0.1"][1]
    top = shown[shown["of"] == "top label"].groupby("method")["n"].sum()
    assert set(top) == {20} and set(top.index) == {"sft", "ppo", "rloo", "superhf"}


def words(drawn: Shown) -> str:
    return " ".join(text.get_text() for text in drawn[0].texts)


def test_a_study_that_lacks_something_says_so(study: Study) -> None:
    bare = dataclasses.replace(
        study,
        stages=study.stages[study.stages["policy"].isin(["sft", "ppo"])],
        choices=study.choices[:0],
    )
    figures = superhf_figures(bare)
    for name in NAMES - {"over_optimisation", "reliability_summarise_evidence_0.1"}:
        assert "Nothing to draw" in words(figures[name]) and not len(figures[name][1])
    assert set(figures["over_optimisation"][1]["panel"]) == {"ppo"}


def test_files_are_written_also_where_all_runs_failed(study: Study, tmp_path: Path) -> None:
    failed = dataclasses.replace(study, stages=study.stages.assign(status="failed"))
    paths = save(draw_superhf2023(failed), tmp_path)
    assert {path.suffix for path in paths} == {".png", ".pdf", ".csv", ".md", ".tex"} and all(
        p.exists() for p in paths
    )
    assert {path.stem for path in paths} == {f"superhf2023_{name}" for name in NAMES if "reliab" not in name}


def test_several_models_have_a_figure_of_their_own() -> None:
    few = {name: POLICIES[name] for name in ("superhf", "ppo")}
    models = ("embedded/small", "embedded/english")
    table = superhf_figures(simulated(few, models=models, tunes=2))["models"][1]
    assert set(table["model"]) == set(models) and set(table["n"]) == {2}
