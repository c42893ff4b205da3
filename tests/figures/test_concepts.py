"""The picture of concepts is drawn from the records."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import Study, read_study
from figures.concepts import PAIR, concepts

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def study() -> Study:
    return read_study(ROOT / "results" / "cruz2023-laptop")


def test_the_committed_picture_is_what_the_records_say(study: Study) -> None:
    path = ROOT / "docs" / "concepts.svg"
    same = path.read_text(encoding="utf-8") == concepts(study)
    assert same, "docs/concepts.svg is not what the records say: run `make docs` and commit it"


def test_points_and_bits_are_those_of_the_records(study: Study) -> None:
    runs = study.runs
    mine = runs[(runs["task"] == PAIR) & (runs["arm"] == "main") & (runs["method"] == "rloo")]
    picture = concepts(study)
    ET.fromstring(picture)
    assert picture.count("<circle") == mine["U"].notna().sum() > 5
    ends = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', picture)]
    assert max(ends) - min(ends) > 100  # from one rule to the other
    dearer = study.probes.assign(bits_per_label=study.probes["bits_per_label"] / 2)
    assert concepts(replace(study, probes=dearer)) != picture


def test_the_picture_says_which_feature_is_easier(study: Study) -> None:
    probes = study.probes.copy()
    exchanged = probes["role"].map({"target": "spurious", "spurious": "target"})
    assert "is the easier one" in concepts(study)
    assert "is the harder one" in concepts(replace(study, probes=probes.assign(role=exchanged)))
