"""Public data: small local files of the same layout and schema become prompts, answers and pairs."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pandas import DataFrame

from tasks import UserError
from tasks.generation.public import PUBLIC, Public
from tasks.problems import get_problem, is_problem, problem_sources

Rows = list[dict[str, Any]]


def write(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    if path.suffix == ".parquet":
        DataFrame(rows).to_parquet(path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    elif path.suffix == ".csv":
        DataFrame(rows).to_csv(path, index=False)
    else:
        path.write_text(lines if path.suffix == ".jsonl" else json.dumps(rows))


def posts(split: str, n: int) -> Rows:
    common = {"subreddit": "tifu", "title": f"title {split}"}
    return [common | {"id": i, "post": f"post {i} {split}", "summary": f" short {i}"} for i in range(n)]


def compared(i: int, choice: int, **info: str | None) -> dict[str, Any]:
    summaries = [{"text": f" first {i}", "policy": "a"}, {"text": f" second {i}", "policy": "b"}]
    return {"info": info, "summaries": summaries, "choice": choice}


def told(kind: str, n: int, **more: Any) -> Rows:
    return [{"instruction": f"{kind} {i}", "input": "", "output": f"out {i}"} | more for i in range(n)]


def talk(kind: str, i: int) -> dict[str, str]:
    start = f"\n\nHuman: {kind} {i}\n\nAssistant: reply {i}\n\nHuman: more\n\nAssistant:"
    return {"chosen": f"{start} good", "rejected": f"{start} bad"}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every data set, laid out as on the Hub where that is known."""

    def put(name: str, rows: Rows) -> None:
        write(tmp_path / name, rows)

    for split, n in {"train": 40, "valid": 12, "test": 12}.items():
        put(f"UCL-DARK/openai-tldr-filtered/{split}.jsonl", posts(split, n))
    pairs = [
        compared(i, i % 2, subreddit="tifu", title="t", post=f"post {i}", article=None) for i in range(20)
    ]
    for name in ("train", "validation", "test"):
        put(f"UCL-DARK/openai-tldr-summarisation-preferences/data/{name}-00000-of-00001.json", pairs)
    news = [{"article": f"news {i}", "highlights": f"one {i} .\ntwo .", "id": str(i)} for i in range(30)]
    for half in (0, 1):
        put(f"abisee/cnn_dailymail/3.0.0/test-0000{half}-of-00002.parquet", news[15 * half :][:15])
    mixed = [
        compared(i, 1, post=None, article=f"news {i}") | {"batch": "cnndm2" if i < 5 else "batch3"}
        for i in range(9)
    ]
    put("openai/summarize_from_feedback/comparisons/validation.jsonl", mixed)
    farm = "tatsu-lab/alpaca_farm"
    put(f"{farm}/alpaca_instructions/sft.json", told("do", 20) + told("take", 5, input="this"))
    put(f"{farm}/alpaca_instructions/val.json", told("check", 6))
    chosen = [
        {
            "instruction": f"ask {i}",
            "input": "",
            "output_1": "one",
            "output_2": "two",
            "preference": 1 + i % 2,
        }
        for i in range(8)
    ]
    put(f"{farm}/alpaca_human_preference.json", chosen)
    put("UCL-DARK/alpaca-farm-id-test/data/train-00000-of-00001.parquet", told("test", 9))
    put("UCL-DARK/sequential-instructions/data/train-00000-of-00001.parquet", told("first, then", 9))
    evaluated = [
        {"instruction": f"eval {i}", "output": "x", "generator": "g", "dataset": "d"} for i in range(9)
    ]
    put("tatsu-lab/alpaca_eval/alpaca_eval.json", evaluated)
    for part in ("helpful-base", "harmless-base"):
        put(f"Anthropic/hh-rlhf/{part}/train.jsonl.gz", [talk(part, i) for i in range(60)])
        put(f"Anthropic/hh-rlhf/{part}/test.jsonl.gz", [talk(f"{part} test", i) for i in range(30)])
    attempts = [{"transcript": f"\n\nHuman: bad {i}\n\nAssistant: no {i}"} for i in range(90)]
    put("Anthropic/hh-rlhf/red-team-attempts/train.jsonl.gz", attempts)
    asked = [
        {"question": {"full_text": f"why {i // 2}?"}, "answer_0": f"since {i}", "answer_1": f"because {i}"}
        | {"score_0": (i % 3 - 1) / 2, "score_1": -(i % 3 - 1) / 2}
        for i in range(180)
    ]
    put("openai/webgpt_comparisons/train.jsonl", asked)
    prompts = [{"prompt": f"Task {i}\nOutput:", "completion": f" done {i}<|endoftext|>"} for i in range(90)]
    put("yizhongw/self_instruct/self_instruct/train.csv", prompts)
    monkeypatch.setenv("PROCLIVITY_DATA", str(tmp_path))
    return tmp_path


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


TLDR, ALPACA = PUBLIC["public/tldr"], PUBLIC["public/alpaca"]
HEAD = "Below is an instruction that describes a task"
TAIL = "Write a response that appropriately completes the request."


def test_posts_and_news(folder: Path) -> None:
    row = TLDR.rows(1, rng(), "validation")[0]
    number = row.completion.removeprefix("short ")
    assert row.prompt == f"SUBREDDIT: r/tifu\nTITLE: title valid\nPOST: post {number} valid\nTL;DR:"
    assert not row.conflict and row.choices == ()
    row = TLDR.rows(1, rng(), "test", shift="cnn-dailymail")[0]
    number = row.completion.split()[1]
    assert (row.prompt, row.completion) == (f"ARTICLE: news {number}\nTL;DR:", f"one {number} .\ntwo .")
    both_files = TLDR.rows(30, rng(), "test", shift="cnn-dailymail")
    assert len({row.prompt for row in both_files}) == 30


def test_pairs_are_the_datas(folder: Path) -> None:
    pairs = TLDR.preferences(20, rng(), "train").to_dict()
    for prompt, chosen, rejected in zip(pairs["prompt"], pairs["chosen"], pairs["rejected"], strict=True):
        i = int(prompt.split("post ")[1].split("\n")[0])
        better, worse = ("first", "second") if i % 2 == 0 else ("second", "first")
        assert (chosen, rejected) == (f"{better} {i}", f"{worse} {i}")
    news = TLDR.preferences(5, rng(), "test", shift="cnn-dailymail").to_dict()
    assert {p.split()[2] for p in news["prompt"]} == set("01234") and news["chosen"][0].startswith("second")
    with pytest.raises(UserError, match="5 different rows of use, not the 6 asked for"):
        TLDR.preferences(6, rng(), "test", shift="cnn-dailymail")


def test_instructions(folder: Path) -> None:
    rows = ALPACA.rows(25, rng(), "train")
    plain = f"{HEAD}. {TAIL}\n\n### Instruction:\ndo 3\n\n### Response:"
    more = f"{HEAD}, paired with an input that provides further context. {TAIL}"
    fed = f"{more}\n\n### Instruction:\ntake 3\n\n### Input:\nthis\n\n### Response:"
    assert {plain, fed} <= {row.prompt for row in rows} and rows[0].completion.startswith("out")
    for shift, word in {"in": "test", "alpaca-eval": "eval", "sequential": "first, then"}.items():
        assert f"### Instruction:\n{word} " in ALPACA.rows(9, rng(), "test", shift=shift)[0].prompt
    pairs = ALPACA.preferences(8, rng()).to_dict()
    for prompt, chosen in zip(pairs["prompt"], pairs["chosen"], strict=True):
        assert chosen == ("one" if int(prompt.split("ask ")[1].split()[0]) % 2 == 0 else "two")
    with pytest.raises(UserError, match="no prompts for train of alpaca-eval; there are train of in"):
        ALPACA.rows(1, rng(), "train", shift="alpaca-eval")


def test_dialogues(folder: Path) -> None:
    task = PUBLIC["public/hh"]
    rows = task.rows(20, rng(), "test")
    assert sum("helpful-base" in row.prompt for row in rows) == 10
    assert all(row.prompt.count("Human:") == 1 and row.prompt.endswith("\n\nAssistant:") for row in rows)
    assert all(row.completion.startswith("reply ") and "Human" not in row.completion for row in rows)
    pairs = task.preferences(6, rng()).to_dict()
    assert set(pairs["chosen"]) == {"good"} and set(pairs["rejected"]) == {"bad"}
    assert all(prompt.endswith("Human: more\n\nAssistant:") for prompt in pairs["prompt"])


def test_questions_have_the_better_answer_and_no_ties(folder: Path) -> None:
    pairs = PUBLIC["public/webgpt"].preferences(60, rng()).to_dict()
    for prompt, chosen in zip(pairs["prompt"], pairs["chosen"], strict=True):
        word, i = chosen.split()
        assert prompt == f"\n\nHuman: why {int(i) // 2}?\n\nAssistant:"
        assert word == {0: "because", 2: "since"}[int(i) % 3]


def test_superhf_mixes_five_files_in_equal_parts(folder: Path) -> None:
    rows = PUBLIC["public/superhf"].rows(50, rng())
    kinds = [row.prompt.split("Human: ")[1].split()[0] for row in rows]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == dict.fromkeys(
        ["helpful-base", "harmless-base", "why", "Task", "bad"], 10
    )
    assert kinds != sorted(kinds)  # mixed, not one file after the other
    done = [row for row in rows if "Task" in row.prompt]
    assert done[0].completion == "done " + done[0].prompt.split()[2] and "Output" not in done[0].prompt


def test_long_prompts_are_passed_over_by_superhf_alone(folder: Path) -> None:
    attempt = folder / "yizhongw/self_instruct/self_instruct/train.csv"
    long = [{"prompt": f"{i} " + "x" * 1020, "completion": "y"} for i in range(60)]
    write(attempt, [*long, *({"prompt": f"short {i}", "completion": "y"} for i in range(60))])
    assert max(len(row.prompt) for row in PUBLIC["public/superhf"].rows(90, rng())) <= 1024
    assert max(len(row.prompt) for row in PUBLIC["public/self-instruct"].rows(40, rng())) > 1024


@pytest.mark.parametrize("name", ["public/hh", "public/webgpt", "public/superhf", "public/self-instruct"])
def test_splits_that_were_cut_share_no_prompt(folder: Path, name: str) -> None:
    task = PUBLIC[name]
    splits = [
        {row.prompt for row in task.rows(10, rng(), split)} for split in ("train", "validation", "test")
    ]
    assert sum(map(len, splits)) == len(set().union(*splits)) == 30


def test_equal_seeds_give_equal_rows_and_test_rows_are_not_repeated(folder: Path) -> None:
    assert TLDR.rows(9, rng(), "test") == TLDR.rows(9, rng(), "test")
    assert TLDR.rows(9, rng(), "test") != TLDR.rows(9, np.random.default_rng(1), "test")
    with pytest.raises(UserError, match="split test: 12 different rows of use, not the 13 asked for"):
        TLDR.rows(13, rng(), "test")
    epochs = [row.prompt for row in TLDR.rows(90, rng())]
    assert set(map(epochs[:80].count, epochs[:80])) == {2}  # 40 rows


def test_a_problem_as_any_other(folder: Path) -> None:
    assert is_problem("public/tldr") and isinstance(get_problem("public/tldr"), Public)
    assert "public.py" in {path.name for path in problem_sources("public/tldr")}
    assert "public.py" not in {path.name for path in problem_sources("lengths/min-length")}
    shown = TLDR.demonstrations(3, rng()).to_dict()
    assert shown["prompt"] == TLDR.prompts(3, rng())["prompt"]
    assert all(text.startswith("short ") for text in shown["completion"])


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: TLDR.reward(["p"], ["c"]), "no gold reward; judge by a reward model or a chat model"),
        (lambda: TLDR.rows(4, rng(), evidence=0.5), "no spurious rule; evidence must be 0"),
        (lambda: TLDR.preferences(4, rng(), evidence=0.1), "no spurious rule; evidence must be 0"),
        (lambda: TLDR.follows(["p"], ["c"]), "no spurious rule"),
        (lambda: TLDR.entailment(["p"], ["c"]), "name an NLI model"),
        (lambda: TLDR.rows(1, rng(), shift="cnn-dm"), "unknown shift 'cnn-dm'; did you mean 'cnn-dailymail'"),
        (lambda: PUBLIC["public/self-instruct"].preferences(1, rng()), "there are none"),
    ],
)
def test_what_public_data_do_not_have(ask: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        ask()


def test_a_wrong_schema_is_told_in_one_line(folder: Path) -> None:
    place = folder / "UCL-DARK"
    write(place / "openai-tldr-filtered/train.jsonl", [{"post": "p", "title": "t", "text": "s"}])
    with pytest.raises(UserError, match="split train: no column 'subreddit'; it has post, title, text"):
        TLDR.rows(1, rng())
    pairs = place / "openai-tldr-summarisation-preferences/data/train-00000-of-00001.json"
    write(pairs, [compared(1, 1, subreddit="tifu", title="t", body="b")])
    with pytest.raises(UserError, match="no field 'post' in column 'info'; it has subreddit, title, body"):
        TLDR.preferences(1, rng())
    write(place / "openai-tldr-filtered/valid.jsonl", [posts("valid", 1)[0] | {"summary": None}])
    with pytest.raises(UserError, match="split validation: a row that cannot be read"):
        TLDR.rows(1, rng(), "validation")
    (place / "openai-tldr-filtered/test.jsonl").write_text("{not json")
    with pytest.raises(UserError, match="split test cannot be read: ") as told:
        TLDR.rows(1, rng(), "test")
    assert "\n" not in str(told.value)


def test_a_missing_file_or_folder_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "UCL-DARK/openai-tldr-filtered/test.jsonl").unlink()
    with pytest.raises(UserError, match=r"split test: no test.jsonl, .json, .csv or .parquet in"):
        TLDR.rows(1, rng(), "test")
    monkeypatch.setenv("PROCLIVITY_DATA", str(folder / "Anthropic"))
    with pytest.raises(UserError, match="PROCLIVITY_DATA: no folder UCL-DARK/openai-tldr-filtered in"):
        TLDR.rows(1, rng(), "test")


def test_without_the_hub_a_folder_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROCLIVITY_DATA", raising=False)
    with pytest.raises(UserError, match="name a folder that holds abisee/cnn_dailymail") as told:
        TLDR.rows(1, rng(), "test", shift="cnn-dailymail")
    assert "\n" not in str(told.value)
