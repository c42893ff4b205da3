"""Studies too poor for an estimate: the real answers and figures say what is missing, and nothing breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.text import Text

from analysis.primary import signed
from analysis.records import COLUMNS, Study, frame
from proclivity.study_answers import figures_of, tables_of
from tests.analysis.simulated_lengths import simulated as of_length
from tests.analysis.simulated_stages import simulated as of_stages
from tests.analysis.simulated_study import simulate
from tests.analysis.test_tajwar2024 import made_up

pytestmark = pytest.mark.filterwarnings("error")
FAILED = "NaN loss at step 12"


def words(study: Study) -> tuple[str, str]:
    """What the answer says, and what stands in the figures."""
    answer = tables_of(study, everything=True)
    figures = [drawn.figure for drawn in figures_of(study) if drawn.figure is not None]
    texts = [text.get_text() for figure in figures for text in figure.findobj(Text)]
    return answer.text, "\n".join(texts)  # type: ignore[attr-defined]


def of_pairs(paper: str = "cruz2023", **options: Any) -> Study:
    study = simulate(**{"pairs": 5, "families": 6, "levels": (0.0, 0.5), "seeds": (0,)} | options)
    return dataclasses.replace(study, manifest=study.manifest | {"paper": paper, "scale": "smoke"})


def only_failed(study: Study) -> Study:
    runs = study.runs.assign(status="failed", U=float("nan"), B=float("nan"), label="", error=FAILED)
    return dataclasses.replace(study, runs=runs)


POOR: dict[str, tuple[Callable[[], Study], str, str]] = {
    "one run": (
        lambda: dataclasses.replace(of_pairs(), runs=of_pairs().runs[:1]),
        "no estimate: 1 pairs of families, 3 are needed", "1 pair",
    ),
    "only failed runs": (
        lambda: only_failed(of_pairs()), f"10  10  {FAILED}", f"none finished. The first one: {FAILED}"
    ),
    "one level": (
        lambda: of_pairs(levels=(0.0,)), "cannot be told: one level of evidence (0), two are needed", ""
    ),
    "one seed, three families": (
        lambda: of_pairs(families=3),
        "no interval and no p-value: 3 families", "too few families for an interval",
    ),
    "no probes": (
        lambda: dataclasses.replace(of_pairs(), probes=of_pairs().probes[:0]), "no probe that converged", "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "paper"), [*((name, "cruz2023") for name in POOR), ("only failed runs", "lovering2021")]
)
def test_a_poor_study_of_pairs_says_what_is_missing(name: str, paper: str) -> None:
    make, told, drawn = POOR[name]
    study = make()
    study = dataclasses.replace(study, manifest=study.manifest | {"paper": paper})
    text, figures = words(study)
    assert told in " ".join(text.split("\n")).replace("   ", "  ") or told in " ".join(text.split())
    assert drawn in " ".join(figures.split())
    assert "not measured: " in text


def test_what_failed_is_counted_by_reason() -> None:
    study = only_failed(of_pairs(pairs=3))
    study.runs.loc[0, "error"] = "killed"
    failed = tables_of(study, everything=True).data["failed"]
    assert failed == [
        {"what": "run", "count": 5, "of": 6, "error": FAILED},
        {"what": "run", "count": 1, "of": 6, "error": "killed"},
    ]


KINDS = {"stages": "kirk2024", "texts": "tajwar2024", "bandits": "tajwar2024"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_study_of_any_kind_without_records_says_so(kind: str) -> None:
    primary = {"test": "t over seeds", "problem": "lengths/skew-length", "method": "online-dpo", "task": "t"}
    primary |= {"against": "dpo", "policy": "ppo", "measure": "ead"}
    manifest = {"paper": KINDS[kind], "scale": "smoke", "definition": {kind: {}}} | signed(primary)
    nothing = (frame([], COLUMNS["run"]), frame([], COLUMNS["probe"]), frame([], {}), [])
    text, _ = words(Study("empty", manifest, *nothing))
    assert "Cannot be estimated: 1 of 1 rows, 1 of them without any run" in text
    assert "not measured: " in text and "replication" not in text


def test_one_seed_has_no_interval_and_says_why() -> None:
    lengths = of_length(seeds=1)
    bandits = made_up({("arms/R1", "online-bon-distillation", b, 1): 0.5 for b in (1, 5)}, seeds=1)
    stages = of_stages(seeds=1, tunes=1)
    for study, paper in ((lengths, "tajwar2024"), (bandits, "tajwar2024"), (stages, "kirk2024")):
        named = dataclasses.replace(study, manifest=study.manifest | {"paper": paper, "scale": "smoke"})
        answer = tables_of(named, everything=True)
        assert "an interval over runs takes two" in answer.text
        measured = [row for row in answer.data["paper"] if row["called"]]
        assert measured and all(row["status"] == "cannot be told" for row in measured)


def test_only_failed_runs_of_other_kinds_are_named() -> None:
    bandits = made_up({("arms/R1", "ppo-clip", 1, 1): 0.5}, seeds=2)
    bandits = dataclasses.replace(bandits, bandits=bandits.bandits.assign(status="failed", error=FAILED))
    stages = of_stages(seeds=1)
    empty = {name: getattr(stages, name)[:0] for name in ("measures", "outputs", "choices")}
    stages = dataclasses.replace(stages, stages=stages.stages.assign(status="failed", error=FAILED), **empty)
    lengths = of_length(seeds=2)
    lengths = dataclasses.replace(lengths, texts=lengths.texts.assign(status="failed", error=FAILED))
    for study in (bandits, stages, lengths):
        assert FAILED in words(study)[0]
