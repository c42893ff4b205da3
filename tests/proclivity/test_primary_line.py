"""`analyze` says what the primary test could find, and first of all whether it is the one written down."""

import dataclasses

import pytest

from proclivity import commands_analysis
from proclivity.study_answers import tables_of
from tests.analysis.simulated_study import simulate

WRITTEN = {"claim": "H1a", "arm": "main", "method": "rloo", "statistic": "spearman", "pairs": "learnable"}


def test_a_changed_primary_test_is_told_before_anything_else():
    study = simulate(pairs=12, levels=(0.0,), seeds=(0,), primary=WRITTEN)
    answer = tables_of(study)
    assert answer.text.startswith("Primary test\n") and "primary_changed" not in answer.data
    assert f"Primary test, power: {answer.data['power']['power']:.2f}" in answer.text
    tampered = study.manifest | {"primary": WRITTEN | {"statistic": "slope"}}
    answer = tables_of(dataclasses.replace(study, manifest=tampered))
    first = answer.text.splitlines()[0]
    assert first == answer.data["primary_changed"] and first.endswith("every test below is secondary.")
    assert answer.data["power"] is None and not any(row["primary"] for row in answer.data["claims"])


def test_runs_of_several_devices_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path, capsys) -> None:
    study = simulate(pairs=12, levels=(0.0,), seeds=(0,), primary=WRITTEN)
    mixed = ["cpu", "", *["cuda"] * (len(study.runs) - 2)]
    for devices, told in (
        (["cpu"] * len(study.runs), 0),
        (["", *["cpu"] * (len(study.runs) - 1)], 0),
        (mixed, 1),
    ):
        runs = study.runs.assign(device=devices)
        monkeypatch.setattr("analysis.read_study", lambda _, runs=runs: dataclasses.replace(study, runs=runs))
        commands_analysis._read(tmp_path)
        assert capsys.readouterr().err.count("its runs are of cpu and cuda") == told
