"""predict through the command line, from the shipped records of a small study."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import Study, read_study, write_compact
from analysis.prediction.rows import prediction_rows
from proclivity import commands_predict, composition
from proclivity.commands_single import Done
from proclivity.expand import expand
from proclivity.study import Study as Definition
from proclivity.study import study_from

Call = Callable[..., tuple[int, str, str]]
QUICK = str(Path(composition.__file__).parents[1] / "results" / "cruz2023-quick")


@pytest.fixture(scope="module")
def quick() -> Study:
    return read_study(QUICK)


def test_more_bits_of_the_target_mean_more_use_of_the_other(call: Call) -> None:
    told = []
    for bits in ("0.9,0.1", "0.1,0.9"):
        status, out, err = call("predict", "--bits", bits, "--from", QUICK, "--method", "rloo", "--json")
        assert (status, err) == (0, "")
        told.append(json.loads(out))
    high, low = told
    assert high["U"] > 0.8 > 0.2 > low["U"]
    for found in told:
        assert 0 <= found["low"] <= found["U_low"] < found["U"] < found["U_high"] <= found["high"] <= 1
        assert found["outside"] == [
            "kind of task never seen: none was told (seen: symbolic)",
            "model family never seen: none was told (seen: embedded/symbols)",
        ]
        assert len(found["nearest"]) == 5 and {row["method"] for row in found["nearest"]} == {"rloo"}
        assert found["fitted_on"]["rows"] == len(prediction_rows([read_study(QUICK)]))


def test_the_answer_says_what_it_is_of(call: Call) -> None:
    task = "symbolic/parity-vs-contains-1"
    _, out, _ = call("predict", "--bits", "0.9,0.1", "--task", task, "--from", QUICK, "--evidence", "0.05")
    assert "expected U: 0." in out and "a conflict row is answered by the spurious feature" in out
    assert "chance that U is above 0.5" in out and "nearest training rows" in out
    assert "OUTSIDE what it was fitted on: model family never seen" in out and "kind of task" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--bits", "0.9,0.1", "--method", "rlo"), "unknown method 'rlo'; did you mean 'rloo'"),
        (("--bits", "0.9"), "--bits takes bits per label of target and spurious feature"),
        (("--bits", "0.9,0"), "--bits takes bits per label of target and spurious feature"),
        (("--model", "embedded/symbols"), "give --model and --task, to be probed, or --bits"),
        (("--bits", "0.9,0.1", "--evidence", "0.7"), "outside 0 to 0.5"),
        (("--bits", "0.9,0.1", "--evidence-kind", "symetric"), "symmetric"),
        (("--bits", "0.9,0.1", "--task", "symbolic/parity-vs-contans-1"), "did you mean"),
        (("--bits", "0.9,0.1", "--judge"), "--judge is of all pairs at once"),
        (("--bits", "0.9,0.1", "--out", "x"), "--out is where --judge draws its figure"),
    ],
)
def test_a_mistake_is_one_line(call: Call, arguments: tuple[str, ...], says: str) -> None:
    status, out, err = call("predict", *arguments, "--from", QUICK)
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1


def test_a_folder_that_is_no_study_is_named(call: Call, tmp_path: Path) -> None:
    status, _, err = call("predict", "--bits", "0.9,0.1", "--from", str(tmp_path))
    assert status == 2 and "is not a study" in err and err.count("\n") == 1


def test_judging_prints_scores_differences_and_what_was_not_shown(
    call: Call, quick: Study, tmp_path: Path
) -> None:
    """On a third of a small study, so that it is quick; a figure and its table are drawn."""
    tasks = sorted(set(quick.runs["task"]))[::2]
    small = quick.runs["task"].isin(tasks) & (quick.runs["arm"] == "main") & (quick.runs["method"] == "rloo")
    write_compact(replace(quick, runs=quick.runs[small]), tmp_path / "small")
    arguments = ("predict", "--judge", "--from", str(tmp_path / "small"), "--out", str(tmp_path / "figures"))
    status, out, err = call(*arguments, "--json")
    assert (status, err) == (0, "")
    told = json.loads(out)
    splits = {row["split"] for row in told["scores"]}
    assert {"a family unseen in both roles", "both families unseen"} <= splits
    assert {row["said"] for row in told["differences"]} <= {"better", "worse", "cannot be told"}
    assert len(told["unmeasured"]) == 3  # reach, a frozen probe's rule, and that fitted
    assert all(Path(path).stat().st_size for path in told["figures"])


def probed(target: float, spurious: float, censored: bool = False) -> Done:
    costs = {"target": target, "spurious": spurious}
    return Done(
        [
            {"role": role, "bits_per_label": bits, "censored": censored, "weights_hash": "new"}
            for role, bits in costs.items()
        ]
    )


def test_it_probes_as_the_study_does(call: Call, quick: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is the very one that the study had for that model and task, and its bits are what is asked."""
    read = study_from(quick.manifest["definition"], "study.json")
    assert isinstance(read, Definition)
    own = next(
        c for c in expand(read) if (c["job"], c["init"], c["input"]) == ("probe", "pretrained", "model")
    )
    asked: list[dict[str, object]] = []

    def do(arguments: Namespace, config: dict[str, object]) -> Done:
        asked.append(config)
        return probed(0.8, 0.2)

    monkeypatch.setattr(commands_predict, "do", do)
    cell = ("--model", str(own["model"]), "--task", str(own["task"]))
    status, out, _ = call("predict", *cell, "--from", QUICK, "--json")
    assert status == 0 and json.loads(out)["asked"]["relative"] == 2
    assert json.loads(out)["outside"] == []
    assert {**asked[0], "study": own["study"]} == own


def test_a_pair_without_an_order_is_not_predicted(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_predict, "do", lambda arguments, config: probed(1.0, 1.0, censored=True))
    cell = ("--model", "embedded/symbols", "--task", "symbolic/parity-vs-contains-1")
    status, _, err = call("predict", *cell, "--from", QUICK)
    assert status == 2 and "has no order that could predict anything" in err and err.count("\n") == 1


def test_shipped_baselines_are_of_the_models_and_tasks_that_were_tuned(call: Call, quick: Study) -> None:
    """Every row of a small study has its frozen probe, measured of the very weights and task."""
    shipped = Path(QUICK).parent / "prediction-baselines"
    rows = prediction_rows([quick, read_study(shipped)])
    assert rows["frozen_U"].between(0, 1).all()
    status, out, _ = call("analyze", str(shipped), "--json")
    (told,) = json.loads(out).values()
    assert status == 0 and told["problems"] == []
    cells = {(row["model"], row["task"]) for row in told["probed"]}
    assert cells >= set(rows[["model", "task"]].itertuples(index=False, name=None))
    assert len(cells) == len(told["probed"])
