"""Calibration of label policies through the command line, on models whose probabilities are set by hand."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import log_loss
from transformers import GPT2Config, GPT2LMHeadModel

from analysis import read_study
from models import LanguageModel
from models.answers import answer_ids
from models.corpus import Corpus
from models.embedded import tokenizer_of
from proclivity.label_calibration import NONE
from tasks import QUADRANTS, get_task

TASK = "symbolic/first-last-vs-contains-2"
ROWS = 40
FEW = ("--eval-n", str(ROWS), "--counterfactual-n", "0")
LABELS = {"both": 1, "neither": 0, "target_only": 1, "spurious_only": 0}
Call = Callable[..., tuple[int, str, str]]
Make = Callable[..., str]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A saved model whose log-odds of label 0 against label 1 are `gap` after every prompt, or, without one,
    depend on the prompt."""

    def make(gap: float | None) -> str:
        tokenizer = tokenizer_of(Corpus())
        ends = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
        config = GPT2Config(vocab_size=len(tokenizer), n_positions=32, n_embd=16, n_layer=1, n_head=2, **ends)
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
        words = get_task(TASK).for_seed(0).answers.words
        assert words
        zero = answer_ids(LanguageModel(model, tokenizer, "made", None, "random", ""), words)[0]
        with torch.no_grad():
            if gap is None:
                model.transformer.wte.weight.mul_(30)
            else:
                model.transformer.ln_f.weight.zero_()
                model.transformer.ln_f.bias.copy_(torch.eye(16)[0])
                model.transformer.wte.weight.zero_()
                model.transformer.wte.weight[zero, 0] = gap
        folder = tmp_path / f"model-{gap}"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return make


def used(call: Call, model: str, *more: str, command: str = "use", task: str = TASK) -> dict[str, Any]:
    status, out, err = call(command, "--model", model, "--task", task, *FEW, *more, "--json")
    assert status == 0, err
    record: dict[str, Any] = json.loads(out)[0]
    return record


def named(record: dict[str, Any], quadrant: str) -> dict[str, dict[str, Any]]:
    return {row["measure"]: row for row in record["calibration"][quadrant]}


def written(out: Path) -> tuple[str, list[dict[str, str]]]:
    (path,) = out.glob("runs/*/probabilities.csv")
    return str(path), list(csv.DictReader(path.open(encoding="utf-8", newline="")))


BEST = ("--method", "best-of-n", "--samples-per-prompt", "4")


@pytest.mark.parametrize("more", [(), ("--answers", "free"), BEST])
def test_the_file_says_what_the_record_says(
    real_call: Call, make: Make, tmp_path: Path, more: tuple[str, ...]
) -> None:
    model, out = make(None), tmp_path / "out"
    command = "finetune" if more == BEST else "use"
    record = used(real_call, model, *more, "--out", str(out), command=command)
    path, rows = written(out)
    status, told, err = real_call("metrics", "calibration", path, "--group", "quadrant", "--json")
    assert (status, err) == (0, "")
    groups = json.loads(told)["groups"]
    assert {q: group["measures"] for q, group in groups.items()} == record["calibration"]
    for q in QUADRANTS:
        mine = [row for row in rows if row["quadrant"] == q]
        (p_right,) = {tuple(float(row[f"p_{row['right']}"]) for row in mine)}
        assert len(set(p_right)) > ROWS / 2 and len({row["right"] for row in mine}) == 1
        assert record[f"n_{q}"] == len(mine) == ROWS
        if more == ():  # a free answer need not be the likelier word; best of n has ties at 1
            assert record[f"errors_{q}"] == sum(p < 0.5 for p in p_right)
        assert record[f"p_error_{q}"] == pytest.approx(1 - math.fsum(p_right) / ROWS, abs=1e-6)
        assert record[f"brier_{q}"] == pytest.approx(2 * math.fsum((1 - p) ** 2 for p in p_right) / ROWS)
        p_one = [[1 - p, p] if LABELS[q] else [p, 1 - p] for p in p_right]
        by_sklearn = log_loss([LABELS[q]] * ROWS, p_one, labels=[0, 1])
        measures = named(record, q)
        if record[f"nll_{q}"] is None:
            assert measures["impossible"]["value"] > 0
        else:
            assert record[f"nll_{q}"] == measures["NLL"]["value"] == pytest.approx(by_sklearn, rel=1e-5)
        assert record[f"ece_{q}"] == measures["ECE (top label)"]["value"]
        assert record[f"ece_calibrated_{q}"] == measures["ECE (top label)"]["floor"]
    (kept,) = read_study(out).runs.to_dict("records")
    assert kept["brier_both"] == record["brier_both"] and "calibration" not in kept
    assert used(real_call, model, *more, "--out", str(out), command=command) == record


def test_a_policy_that_cannot_tell_is_calibrated(real_call: Call, make: Make) -> None:
    record = used(real_call, make(0.0))
    for q in QUADRANTS:
        ece, brier, nll = (named(record, q)[name] for name in ("ECE (top label)", "Brier", "NLL"))
        assert (ece["value"], ece["low"], brier["value"], brier["n"]) == (0, 0, 0.5, ROWS)
        assert [nll["low"], nll["value"], nll["high"]] == pytest.approx([math.log(2)] * 3, rel=1e-6)
        assert ece["floor"] == pytest.approx(math.sqrt(1 / (2 * math.pi * ROWS)), rel=0.2)


def test_confident_and_wrong(real_call: Call, make: Make) -> None:
    record, p = used(real_call, make(6.0)), 1 / (1 + math.exp(6))
    for q, label in LABELS.items():
        right = p if label else 1 - p
        assert record[f"ece_{q}"] == pytest.approx(1 - right if label else p, rel=1e-4)
        assert record[f"brier_{q}"] == pytest.approx(2 * (1 - right) ** 2, rel=1e-4)
        assert record[f"nll_{q}"] == pytest.approx(-math.log(right), rel=1e-4)
        assert record[f"errors_{q}"] == ROWS * label
        assert (named(record, q)["ECE (top label)"]["low"] > 0.9) == bool(label)


def test_an_impossible_right_answer_is_infinitely_unlikely(real_call: Call, make: Make) -> None:
    model = make(1000.0)
    record = used(real_call, model)
    assert (record["nll_both"], record["brier_both"], record["nll_neither"]) == (None, 2, 0)
    assert named(record, "both")["impossible"]["value"] == 1
    _, out, _ = real_call("use", "--model", model, "--task", TASK, *FEW)
    assert f"both: NLL is infinite: the right answer has probability 0 in {ROWS} of {ROWS} questions" in out
    assert "neither: NLL" not in out


def test_what_a_missing_file_leaves(real_call: Call, make: Make, tmp_path: Path) -> None:
    asked = ("use", "--model", make(0.0), "--task", TASK, *FEW, "--out", str(tmp_path / "out"))
    _, out, _ = real_call(*asked)
    path, _ = written(tmp_path / "out")
    assert f"proclivity metrics calibration {path} --group quadrant" in out
    Path(path).unlink()
    status, out, _ = real_call(*asked)
    assert status == 0 and "probabilities are not beside this record" in out and NONE not in out


def test_answers_of_no_closed_list_have_no_calibration(real_call: Call, make: Make, tmp_path: Path) -> None:
    task, out = f"{TASK}:answers=run", tmp_path / "out"
    asked = ("use", "--model", make(None), "--task", task, *FEW, "--answers", "free", "--out", str(out))
    for _ in range(2):  # measured, and read again
        status, told, _ = real_call(*asked)
        assert status == 0 and told.count(NONE) == 1 and "\n" not in NONE
    assert not [*out.glob("runs/*/probabilities.csv")]
    record = json.loads(real_call(*asked, "--json")[1])[0]
    assert record["calibration"] == {} and record["ece_both"] is record["brier_both"] is None
