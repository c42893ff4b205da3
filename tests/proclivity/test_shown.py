"""What `probe` prints and keeps, through the command line, on a model of a few steps."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from analysis.records import EARLIER
from probes import LossCurve
from proclivity import cli

MODEL, TASK = "embedded/symbols:steps=30,width=16", "symbolic/first-last-vs-contains-2"
LATER = ("v_information", "labels_needed_low", "labels_needed_high", "compat", "compat_mdl", "compat_n")


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`proclivity probe` in this process: what it prints."""
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments: str, status: int = 0) -> str:
        capsys.readouterr()
        asked = ("probe", "--model", MODEL, "--task", TASK, "--n", "400", "--shuffles", "2")
        assert cli.main([*asked, *arguments]) == status
        out, err = capsys.readouterr()
        return err if status else out

    return run


def rows(text: str) -> dict[str, dict[str, str]]:
    """The first table of a text, by feature."""
    lines = text.split("\n\n")[1].splitlines()
    starts = [m.start() for m in re.finditer(r"(?:^|(?<=  ))\S", lines[0])]
    cells = [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]
    return {row[0]: dict(zip(cells[0], row, strict=True)) for row in cells[1:]}


def test_the_record_s_functions_of_the_curve_are_those_of_the_curve(probe: Callable[..., str]) -> None:
    found: list[dict[str, Any]] = json.loads(probe("--json"))
    for record in found:
        curve = LossCurve.from_json(record["curve"])
        assert curve.bits_per_label == pytest.approx(record["bits_per_label"])
        assert curve.v_information() == pytest.approx(record["v_information"])
        low, high = curve.labels_needed(0.5)
        assert low == record["labels_needed_low"]
        assert high == (record["labels_needed_high"] or float("inf"))
    assert found[1]["labels_needed_high"] and not found[0]["labels_needed_high"]
    shown = rows(probe())
    assert shown["first-last"]["labels to 0.5"] == "over 200"
    needed = (found[1]["labels_needed_low"], found[1]["labels_needed_high"])
    assert shown["contains-2"]["labels to 0.5"] == "{:.0f}-{:.0f}".format(*needed)


@pytest.mark.parametrize(("kind", "n"), [("linear", 200), ("finetune", 40)])
def test_a_published_definition_stands_beside_the_bits(
    kind: str, n: int, probe: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("probes.whole_model"), "FEWEST_STEPS", 2)
    asked = ("--probe", kind, "--n", str(n), "--orders", "1", "--shuffles", "1")
    shown = probe(*asked, "--compat", "cruz2023")
    table = rows(shown)
    theirs = {name: float(row["cruz2023 MDL"]) for name, row in table.items()}
    ratio = theirs["contains-2"] / theirs["first-last"]
    assert f"cruz2023 MDL of {n // 2} labels" in shown
    (told,) = re.findall(r"MDL\(spurious\) / MDL\(target\) ([\d.]+)", shown)
    assert float(told) == pytest.approx(ratio, rel=1e-3)
    assert ("reach" in table["first-last"]) == (kind == "finetune")
    if kind == "linear":  # the bits beside it are those without it
        plain = rows(probe(*asked))
        assert plain == {n: {k: v for k, v in r.items() if "MDL" not in k} for n, r in table.items()}


def test_the_variational_code_has_no_blocks_to_redefine(probe: Callable[..., str]) -> None:
    told = probe("--probe", "variational", "--compat", "cruz2023", status=2)
    assert "block by block" in told and told.count("\n") == 1
    table = rows(probe("--probe", "variational"))
    assert {(row["V-information"], row["labels to 0.5"]) for row in table.values()} == {("-", "-")}


def test_a_record_from_before_these_columns_is_shown(probe: Callable[..., str], tmp_path: Path) -> None:
    asked = ("--out", str(tmp_path / "out"))
    first = rows(probe(*asked))
    (path,) = tmp_path.glob("out/runs/*/record.json")
    records = json.loads(path.read_text())
    assert set(LATER) <= EARLIER["probe"].keys()
    earlier = [{name: value for name, value in r.items() if name not in LATER} for r in records]
    path.write_text(json.dumps(earlier))
    path.with_name("SHA256SUMS").unlink()
    for name, row in rows(probe(*asked)).items():
        assert row == {**first[name], "V-information": "-", "labels to 0.5": "-"}
