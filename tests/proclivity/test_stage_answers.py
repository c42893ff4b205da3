"""What `analyze` and `figures` say of a study of stages, from its compact records."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.records import Study, read_study, write_compact
from tests.analysis.simulated_stages import POLICIES, simulated

Call = Callable[..., tuple[int, str, str]]


def _study(paper: str) -> Study:
    policies = {name: POLICIES[name] for name in ("ppo", "dpo", "superhf", "best-of-n")}
    study = simulated(policies, seeds=3, inputs=4, paper=paper)
    failed = study.stages["key"] == study.stages.loc[study.stages["policy"] == "dpo", "key"].iloc[0]
    stages = study.stages.assign(
        status=study.stages["status"].mask(failed, "failed"),
        error=study.stages["error"].mask(failed, "NaN loss at step 3"),
    )
    return dataclasses.replace(study, stages=stages)


def test_claims_costs_failures_and_problems_are_told(real_call: Call, tmp_path: Path) -> None:
    folder = str(tmp_path / "study")
    write_compact(_study("kirk2024"), folder)
    status, text, err = real_call("analyze", folder)
    assert (status, err) == (0, "")
    for told in (
        "ppo below sft: ead per input",
        "more use, less ead",
        "floor",
        "failed: generation/summarise, dpo: NaN loss at step 3",
    ):
        assert told in text
    found = json.loads(real_call("analyze", folder, "--json")[1])[folder]
    assert found["claims"][0]["primary"] and found["claims"][0]["n"] == 3
    dpo = [row for row in found["joined"] if (row["entry"], row["column"]) == ("dpo", "gold")]
    assert len(dpo) == 1 and dpo[0]["runs"] == 2
    assert found["failed"][0]["error"] == "NaN loss at step 3" and found["problems"] == []
    (tmp_path / "study" / "outputs.parquet").write_bytes(b"no table")
    assert "not read: outputs.parquet" in real_call("analyze", folder)[1]


@pytest.mark.parametrize("paper", ["kirk2024", "superhf2023"])
def test_claims_and_figures_are_those_of_the_paper(
    real_call: Call, tmp_path: Path, paper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import figures

    folder, drawn = str(tmp_path / "study"), []
    for name in ("kirk2024", "superhf2023"):
        monkeypatch.setattr(figures, f"draw_{name}", lambda study, name=name: drawn.append(name) or [])
    write_compact(_study(paper), folder)
    text = real_call("analyze", folder)[1]
    assert ("Claims of Kirk" in text) == (paper == "kirk2024")
    assert ("Claims of Mukobi" in text) == (paper == "superhf2023")
    assert "What each policy costs" in text
    assert real_call("figures", folder)[0] == 0 and drawn == [paper]


def test_compact_records_say_what_whole_ones_say(tmp_path: Path) -> None:
    from proclivity.study_answers import tables_of

    study = _study("kirk2024")
    write_compact(study, tmp_path / "study")
    assert tables_of(read_study(tmp_path / "study")).text == tables_of(study).text
