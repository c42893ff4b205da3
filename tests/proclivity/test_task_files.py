"""tasks show, export, new and validate, and rows of a file through the real command line."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from proclivity.new_task import write_new_task
from tasks import ANSWER_WORDS, QUADRANTS, TARGET, get_task, include, registry, text_pair
from tasks.problems import list_text_out
from tasks.slots import Slots
from tasks.text import TextInputs
from tasks.tsv import read_table

ROOT = Path(__file__).parent.parent.parent
SYMBOLS = "symbolic/first-last-vs-contains-2"
SPLITS = ("train", "validation", "test")
Call = Callable[..., tuple[int, str, str]]
SMALL = {"steps": 4, "batch-size": 8, "eval-n": 12, "log-n": 8, "log-points": 1, "counterfactual-n": 8}
FEW = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]


def proclivity(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "proclivity", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small GPT-2 that reads any text, byte by byte at worst."""
    folder = tmp_path_factory.mktemp("model")
    core = ByteLevelBPETokenizer()
    core.train_from_iterator([" ".join(ANSWER_WORDS), "the baker did not see the dog ?"] * 9, vocab_size=320)
    core.save(str(folder / "core.json"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "core.json"))
    tokenizer.add_special_tokens({"eos_token": "<eos>", "pad_token": "<pad>"})
    sizes = {"vocab_size": len(tokenizer), "n_positions": 256, "n_embd": 16, "n_layer": 1, "n_head": 2}
    ends = {"bos_token_id": tokenizer.eos_token_id, "eos_token_id": tokenizer.eos_token_id}
    GPT2LMHeadModel(GPT2Config(**sizes, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_new_task("mine/own", str(tmp_path_factory.mktemp("own") / "own.py"))


@pytest.fixture
def own(mine: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(registry, "_OWN", {})
    include(mine)
    return "mine/own"


def test_a_new_task_is_twenty_lines_of_code_and_works(model: str, mine: Path, tmp_path: Path) -> None:
    code = [line for line in mine.read_text().splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= 20 + 1  # and the docstring
    found = json.loads(proclivity("tasks", "validate", "mine/own", "--include", str(mine), "--json").stdout)
    assert found["mine/own"]["problems"] == []
    assert all(n > 0 for n in found["mine/own"]["checked"].values())
    line = ("finetune", "--task", "mine/own", "--include", str(mine), "--model", model, "--method", "sft")
    (record,) = json.loads(proclivity(*line, *FEW, "--json").stdout)
    assert (record["target"], record["spurious"], record["n_both"]) == ("negated", "timed", 12)
    assert record["reliance_n"] > 0


def test_new_says_what_to_do_next_and_leaves_files_alone(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "it.py"
    status, out, _ = call("tasks", "new", "mine/a-vs-b", "--out", str(path))
    assert status == 0
    told = [line.strip() for line in out.splitlines()]
    assert told[1:] == [
        f"proclivity tasks validate mine/a-vs-b --include {path}",
        f"proclivity finetune --task mine/a-vs-b --include {path} --model MODEL --method sft",
    ]
    before = path.read_bytes()
    status, out, err = call("tasks", "new", "mine/other", "--out", str(path))
    assert (status, out, path.read_bytes()) == (2, "", before)
    assert "exists and is left as it is" in err


def test_new_writes_where_it_is_called(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert json.loads(call("tasks", "new", "mine/a-vs-b", "--json")[1])["file"] == "a_vs_b.py"
    assert '@task("mine/a-vs-b")' in (tmp_path / "a_vs_b.py").read_text()


@pytest.mark.parametrize("name", ["a b", "a:b", "tsv:x", "a,b", "/a", "a/", "", "a//b", "ö", 'x"', SYMBOLS])
def test_new_refuses_what_is_no_name_or_taken(call: Call, name: str, tmp_path: Path) -> None:
    status, out, err = call("tasks", "new", name, "--out", str(tmp_path / "x.py"))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "no name for a task" in err or "is taken" in err
    assert not (tmp_path / "x.py").exists()


@pytest.mark.parametrize("which", ["symbols", "sentences"])
def test_what_is_exported_is_read_back(which: str, own: str, call: Call, tmp_path: Path) -> None:
    name = {"symbols": SYMBOLS, "sentences": own}[which]
    out = tmp_path / "deep" / "out"
    paths = json.loads(call("tasks", "export", name, "--out", str(out), "--n", "40", "--json")[1])
    assert paths == {"task": str(out / "task.json"), **{s: str(out / f"{s}.tsv") for s in SPLITS}}
    assert {path.name for path in out.iterdir()} == {Path(path).name for path in paths.values()}
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    task, sources, sentences = get_task(name), Counter[str](), Counter[str]()
    for split in SPLITS:
        rows = read_table(paths[split]).rows
        assert Counter(row.quadrant for row in rows) == dict.fromkeys(QUADRANTS, 40)
        sentences.update(row.sentence for row in rows)
        sources.update({row.source for row in rows})
        # The same truths, recomputed from the text by the features themselves or by reading it as a person.
        for row in rows:
            words = row.sentence.split()
            truths = {
                "symbols": (words[0] == words[-1], "c" in words),
                "sentences": ("not" in words, words[0] != "surely"),
            }[which]
            assert truths == (
                row.quadrant in ("both", "target_only"),
                row.quadrant in ("both", "spurious_only"),
            )
        again = get_task(f"tsv:{paths[split]}")
        assert {row.sentence for row in rows} == {
            t.removesuffix(" ?") for t in again.inputs.text(again.inputs.rows)
        }
        assert again.target.holds(again.inputs.rows).tolist() == [bool(TARGET[row.quadrant]) for row in rows]
    assert set(sentences.values()) == set(sources.values()) == {1}  # no row and no source in two files
    about = json.loads((out / "task.json").read_text())
    assert (about["task"], about["target"]["family"]) == (name, task.target.family)
    assert about["legend"] == task.inputs.legend


def test_a_smaller_export_of_a_seed_is_part_of_a_larger_one(call: Call, tmp_path: Path) -> None:
    exports = []
    for n, seed in ((5, 0), (20, 0), (20, 1)):
        out = tmp_path / f"{n}-{seed}"
        call("tasks", "export", SYMBOLS, "--out", str(out), "--n", str(n), "--seed", str(seed))
        exports.append({row.sentence for row in read_table(out / "test.tsv").rows})
    assert exports[0] < exports[1]
    assert not exports[1] & exports[2]


def test_export_writes_nothing_where_something_is(call: Call, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("dear")
    (tmp_path / "empty").mkdir()
    line = ("tasks", "export", SYMBOLS, "--n", "2", "--out")
    for name in ("full", "full/mine"):
        status, out, err = call(*line, str(tmp_path / name))
        assert (status, out) == (2, "") and "give a new or an empty folder" in err
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine"]
    assert call(*line, str(tmp_path / "empty"))[0] == 0
    status, _, err = call("tasks", "export", f"tsv:{tmp_path}/empty/test.tsv", "--out", str(tmp_path / "x"))
    assert status == 2 and "rows of a file already" in err
    status, _, err = call(*line[:-3], "--n", "0", "--out", str(tmp_path / "x"))
    assert status == 2 and "--n must be 1 or more" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "full"]


def test_export_says_when_there_are_not_so_many_different_rows(own: str, call: Call, tmp_path: Path) -> None:
    inputs = get_task(own).inputs
    assert isinstance(inputs, TextInputs) and isinstance(inputs.sentences, Slots)
    words = {slot: some[:4] for slot, some in inputs.sentences.words.items()}
    few = text_pair("mine/few", inputs.target, inputs.spurious, words, inputs.sentences.compose)
    registry._OWN["mine/few"] = lambda: few
    out = tmp_path / "out"
    status, _, err = call("tasks", "export", "mine/few", "--n", "90", "--out", str(out))
    assert (status, err.count("\n"), list(tmp_path.iterdir())) == (2, 1, [])
    assert re.search(r"mine/few: \d\d different rows of \w+ in (validation|test), not 90", err)


def test_show_puts_the_readings_of_a_source_side_by_side(own: str, mine: Path, call: Call) -> None:
    shown = json.loads(call("tasks", "show", own, "--rows", "2", "--json", "--include", str(mine))[1])["rows"]
    assert [row["quadrant"] for row in shown] == [*QUADRANTS, *QUADRANTS]
    assert len({row["source"] for row in shown[:4]}) == len({row["source"] for row in shown[4:]}) == 1
    assert shown[0]["source"] != shown[4]["source"]
    kept = [[w for w in row["prompt"].split() if w not in ("not", "indeed")][1:] for row in shown[:4]]
    assert kept[0] == kept[1] == kept[2] == kept[3]
    _, out, _ = call("tasks", "show", own, "--rows", "2", "--include", str(mine))
    assert "\x1b" not in out
    lines = [line.split(maxsplit=1) for line in out.split("\n\n", 1)[1].splitlines() if line.startswith("  ")]
    assert [(quadrant, prompt) for quadrant, prompt in lines] == [(r["quadrant"], r["prompt"]) for r in shown]


@pytest.mark.parametrize("no_color", [False, True])
def test_words_that_differ_are_coloured_on_a_terminal_that_wants_it(mine: Path, no_color: bool) -> None:
    line = [sys.executable, "-m", "proclivity", "tasks", "show", "mine/own", "--include", str(mine)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
    environment = {k: v for k, v in environment.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    if no_color:
        environment["NO_COLOR"] = "1"
    reading, writing = pty.openpty()
    done = subprocess.Popen(line, stdout=writing, stdin=subprocess.DEVNULL, env=environment)
    assert done.wait(60) == 0
    os.close(writing)
    out = os.read(reading, 1 << 16).decode()
    os.close(reading)
    lines = {text.split()[0]: text for text in out.splitlines() if text.startswith("  ")}
    assert set(lines) == set(QUADRANTS)
    coloured = {quadrant: text.count("\x1b[0m") for quadrant, text in lines.items()}
    marked = {"both": 0, "neither": 2, "target_only": 1, "spurious_only": 1}
    assert coloured == (dict.fromkeys(QUADRANTS, 0) if no_color else marked)


def rows_file(folder: Path, n: int = 200) -> Path:
    path = folder / "rows, a=b:c.tsv"
    opening = {"both": "not now", "neither": "so then", "target_only": "not then", "spurious_only": "so now"}
    lines = [f"{opening[q]} {i}\t{q}\t{TARGET[q]}" for i in range(n) for q in QUADRANTS]
    path.write_text("\n".join(["sentence\tsection\tlabel", *lines]))
    return path


def test_rows_of_a_file_are_tuned_on_probed_and_measured(model: str, tmp_path: Path) -> None:
    task = ("--task", f"tsv:{rows_file(tmp_path)}", "--model", model)
    line = ("finetune", *task, "--method", "sft", "--evidence", "0.5", *FEW, "--steps", "80", "--out")
    (record,) = json.loads(proclivity(*line, str(tmp_path / "out"), "--json").stdout)
    assert record["episodes"] == 640
    assert record["exposures"] == 320 > record["distinct_counterexamples"] > 200
    assert record["reliance_n"] in (0, None)
    assert "reliance" in proclivity(*line, str(tmp_path / "out")).stdout
    probed = json.loads(proclivity("probe", *task, "--n", "80", "--shuffles", "1", "--json").stdout)
    assert [row["feature"] for row in probed] == ["rows, a=b:c-target", "rows, a=b:c-spurious"]
    done = proclivity("use", *task, "--eval-n", "500", status=2)
    assert "rows of both in test, not the 500 asked for; ask for at most" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_run_key_changes_when_the_file_does(model: str, tmp_path: Path) -> None:
    path = rows_file(tmp_path)
    line = ("finetune", "--task", f"tsv:{path}", "--model", model, "--method", "sft", *FEW, "--out")
    keys = []
    for change in ("", "", "\nnot now 9999\tboth\t1"):
        path.write_text(path.read_text() + change)
        (record,) = json.loads(proclivity(*line, str(tmp_path / "out"), "--json").stdout)
        keys.append(record["key"])
    assert keys[0] == keys[1] != keys[2]


def test_show_a_file_that_is_too_small_to_be_split(call: Call, tmp_path: Path) -> None:
    name = f"tsv:{rows_file(tmp_path, 3)}"
    shown = json.loads(call("tasks", "show", name, "--json")[1])["rows"]
    assert Counter(row["quadrant"] for row in shown) == dict.fromkeys(QUADRANTS, 3)
    status, out, err = call("tasks", "show", name, "--rows", "4")
    assert (status, out) == (2, "") and "3 rows of both in all, not the 4 asked for" in err
    status, out, _ = call("tasks", "validate", name)
    assert status == 1 and "0 of 1 tasks keep every promise" in out and "cannot be drawn" in out


def test_validate_tells_what_a_file_gets_wrong_in_one_line(call: Call, tmp_path: Path) -> None:
    path = rows_file(tmp_path)
    found = json.loads(call("tasks", "validate", f"tsv:{path}", "--json")[1])
    assert found[f"tsv:{path}"]["problems"] == []
    path.write_text(path.read_text() + "\nx\tweka\t1\n\tboth\t1")
    for command in ("validate", "show"):
        status, out, err = call("tasks", command, f"tsv:{path}")
        assert (status, out) == (2, "")
        assert err == (
            f"proclivity: error: {path}: 2 rows cannot be used: 1 unknown section (line 802 'weka', did you "
            "mean 'weak'?), 1 empty sentence (line 803)\n"
        )
    status, _, err = call("tasks", "validate", f"tsv:{rows_file(tmp_path)}", "--learnability")
    assert status == 2 and "learnability needs fresh rows" in err


def test_validate_prints_how_much_it_looked_at(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from proclivity import commands_tasks

    names = [SYMBOLS, "symbolic/first-last-vs-parity"]
    found = json.loads(call("tasks", "validate", *names, "--json")[1])
    status, out, _ = call("tasks", "validate", *names)
    assert status == 0 and out.count("checked: ") == 2
    for name in names:
        block = out.split(f"checked: {name}\n")[1].split("\n\n")[0]
        assert {
            line.rsplit(maxsplit=1)[0].strip(): int(line.split()[-1]) for line in block.splitlines()[1:]
        } == (found[name]["checked"])
    monkeypatch.setattr(commands_tasks, "list_tasks", lambda: names)
    _, out, _ = call("tasks", "validate", "--all")
    total = sum(found[name]["checked"]["predicates"] for name in names)
    assert f"predicates               {total}" in out and out.count("checked") == 1
    every = len(names) + len(list_text_out())
    assert "surface cues" not in out and f"{every} of {every} tasks keep every promise" in out
