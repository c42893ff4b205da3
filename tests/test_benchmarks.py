"""`python -m benchmarks`, with benchmarks of its own that cost nothing."""

from __future__ import annotations

import csv
import json

import pytest

from benchmarks import __main__ as command
from benchmarks import told
from benchmarks.ratio import NotMeasured, alone, side_by_side
from benchmarks.scaling import store_ratios


def good(*, quick):
    return [
        side_by_side("a step", [1.0, 2.0, 3.0], "unavoidable", [1.0, 1.0, 1.0], 1.3, "ms"),
        side_by_side("a step, theirs", [2.0], "TRL", [8.0], 3.0, "ms", times_better=True),
        alone("rows", [5.0 if quick else 9.0], 10.0, "s"),
    ]


def slow(*, quick):
    return [side_by_side("a step, theirs", [2.0], "TRL", [4.0], 3.0, "ms", times_better=True)]


def absent(*, quick):
    raise NotMeasured("no GPU")


def broken(*, quick):
    raise SystemExit("the two sides disagree")


def stopped(*, quick):
    raise KeyboardInterrupt


@pytest.fixture
def bench(monkeypatch, tmp_path):
    """The command on benchmarks by name; its status and what it wrote."""
    history, readme = tmp_path / "history.csv", tmp_path / "README.md"
    readme.write_text(f"# Benchmarks\n\n{told.START}\nold\n{told.END}\n\nWhy so.\n")
    monkeypatch.setattr(told.record, "__defaults__", (history,))
    monkeypatch.setattr(told.write_readme, "__defaults__", (readme,))

    def run(*functions, also=()):
        named = {function.__name__: f"{__name__}:{function.__name__}" for function in functions}
        monkeypatch.setattr(command, "BENCHMARKS", named)
        monkeypatch.setattr(command, "import_module", lambda name: __import__("sys").modules[__name__])
        out = tmp_path / "bench.json"
        status = command.main(["--out", str(out), *also])
        return status, json.loads(out.read_text())

    run.history, run.readme = history, readme
    return run


def test_a_benchmark_that_fails_is_told_and_the_others_go_on(bench, capsys):
    status, found = bench(broken, absent, good)
    assert status == 1
    assert found["failed"] == {"broken": "SystemExit: the two sides disagree"}
    assert found["not_measured"] == {"absent": "no GPU"}
    assert [row["within"] for row in found["ratios"]] == [False, True, True]
    said = capsys.readouterr()
    assert "absent: not measured: no GPU" in said.out
    assert "broken: failed" in said.err and "good: a step: over its limit" in said.err


def test_what_should_be_more_is_told_to_be_under_its_limit(bench, capsys):
    assert bench(slow)[0] == 0
    assert "slow: a step, theirs: under its limit" in capsys.readouterr().err


def test_a_ratio_is_of_each_turn_and_has_its_smallest_and_largest(bench):
    status, found = bench(good)
    assert status == 0
    step, theirs, _ = found["ratios"]
    assert (step["ratio"], step["low"], step["high"], step["n"]) == (2.0, 1.0, 3.0, 3)
    assert theirs["ratio"] == 4.0
    assert {"cpu", "cores", "ram_gb", "gpu", "os", "python", "torch", "load", "id"} == set(found["machine"])


def test_what_was_measured_before_ctrl_c_is_kept(bench, capsys):
    status, found = bench(good, stopped, absent)
    assert status == 130
    assert len(found["ratios"]) == 3
    assert "stopped before stopped, absent" in capsys.readouterr().err


def test_the_history_has_a_line_a_ratio_and_never_a_quick_one(bench):
    bench(good)
    assert not bench.history.exists()
    for _ in range(2):
        bench(good, also=["--record"])
    rows = list(csv.DictReader(bench.history.open()))
    assert [row["name"] for row in rows] == ["a step", "a step, theirs", "rows"] * 2
    assert [row["limit"] for row in rows[:3]] == ["1.3", "3", "10"]
    assert set(rows[0]) == set(told.COLUMNS)
    with pytest.raises(SystemExit):
        bench(good, also=["--quick", "--record"])
    assert len(list(csv.DictReader(bench.history.open()))) == 6


def test_the_readme_takes_the_numbers_of_an_earlier_run_and_keeps_its_words(bench):
    bench(good, absent)
    bench(broken, also=["--write-readme"])  # measures nothing
    text = bench.readme.read_text()
    assert "| `good` | a step | 2.00 ms | unavoidable 1.00 ms | 2.00 (1.00 to 3.00) | <= 1.3 | NO |" in text
    assert "`absent`: not measured: no GPU." in text
    assert text.startswith("# Benchmarks\n") and text.endswith("\nWhy so.\n") and "old" not in text


def test_quick_is_marked(bench):
    _, found = bench(good, also=["--quick"])
    assert found["quick"] and found["ratios"][2]["ours"] == 5.0


def test_every_benchmark_can_be_had_by_its_address():
    """The light ones are run; of the others the file is there and says `ratios`."""
    for address in command.BENCHMARKS.values():
        module, _, function = address.partition(":")
        path = told.HERE / f"{module.partition('.')[2]}.py"
        assert f"def {function}(*, quick: bool) -> list[Ratio]:" in path.read_text()
    assert [ratio.unit for ratio in store_ratios(quick=True)] == ["/s", "/s"]
