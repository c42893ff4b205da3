"""`metrics preference` through the command line, with a chat model behind a real server on this machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analysis.outputs import chat
from tests.proclivity.conftest import ROOT

Call = Callable[..., tuple[int, str, str]]
Say = Callable[[str], tuple[int, bytes]]


class Endpoint(ThreadingHTTPServer):
    """Answers by a rule, and remembers the questions and keys."""

    def __init__(self, say: Say) -> None:
        self.say, self.asked, self.keys = say, list[str](), set[str | None]()
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
        self.server.asked.append(question)
        self.server.keys.add(self.headers["Authorization"])
        code, said = self.server.say(question)
        self.send_response(code)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Say], Endpoint]]:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(chat, "TRIES", 1)  # between tries it waits for seconds
    made = list[Endpoint]()

    def start(say: Say) -> Endpoint:
        made.append(Endpoint(say))
        threading.Thread(target=made[-1].serve_forever, kwargs={"poll_interval": 0.02}).start()
        return made[-1]

    yield start
    for each in made:
        each.shutdown()
        each.server_close()


def says(word: str) -> tuple[int, bytes]:
    return 200, json.dumps({"choices": [{"message": {"content": word}}]}).encode()


def longer(question: str) -> tuple[int, bytes]:
    """Prefers the longer answer; of a question with `odd` it has no view that could be read."""
    if "odd" in question:
        return says("Well, it depends.")
    a, b = (question.partition(f"[Answer {x}]\n")[2].partition("\n\n")[0] for x in "AB")
    return says("TIE" if len(a) == len(b) else "A" if len(a) > len(b) else "B")


ROWS = [
    {"method": "ppo", "input": "q1", "output": "longest", "reference": "short"},  # wins
    {"method": "ppo", "input": "q1", "output": "a", "reference": "short"},  # loses
    {"method": "ppo", "input": "q2", "output": "equal", "reference": "short"},  # ties
    {"method": "ppo", "input": "odd", "output": "longest", "reference": "short"},  # nobody can tell
    {"method": "sft", "input": "q1", "output": "", "reference": "short"},
    {"method": "sft", "input": "q2", "output": "longer still", "reference": "short"},
    {"method": "sft", "input": "q3", "output": "longer still", "reference": "short"},
    {"method": "sft", "input": "q4", "output": "longer still", "reference": "short"},
]


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def rows_of(out: str) -> dict[str, dict[str, Any]]:
    groups = json.loads(out)["groups"]
    return {name: {row["measure"]: row for row in group["measures"]} for name, group in groups.items()}


def test_a_chat_model_judges_and_what_it_said_is_kept(tmp_path: Path, real_call: Call, endpoint: Any) -> None:
    server, file, out = endpoint(longer), written(tmp_path / "rows.jsonl", ROWS), tmp_path / "out"
    command = ("metrics", "preference", file, "--endpoint", server.url, "--model", "m", "--out", str(out))
    status, told, error = real_call(*command, "--json")
    assert status == 0, error
    ppo, sft = (rows_of(told)[name] for name in ("ppo", "sft"))
    # By hand: q1 is half won, q2 tied, the odd one left out; inputs weigh alike.
    assert (ppo["win rate"]["value"], ppo["ties"]["value"]) == (0.5, 1 / 3)
    assert [ppo["win rate"][name] for name in ("n", "outputs", "left_out")] == [2, 3, 1]
    assert (sft["win rate"]["value"], sft["ties"]["value"], sft["win rate"]["left_out"]) == (0.75, 0, 0)
    assert 0 <= sft["win rate"]["low"] < 0.75 < sft["win rate"]["high"] <= 1
    notes = json.loads(told)["groups"]["ppo"]["notes"]
    assert notes[0] == "judge: m" and "1 of 4 outputs left out: no preference could be read" in notes
    assert {Path(f).name for f in json.loads(told)["files"]} >= {"preference.csv", "preference.png"}
    assert server.keys == {"Bearer secret"} and "secret" not in (out / "answers.jsonl").read_text()

    # A killed run goes on: what half of the file answers is not asked again.
    asked, kept = len(server.asked), (out / "answers.jsonl").read_text().splitlines(keepends=True)
    assert asked == len(kept) == 2 * len(ROWS)
    cache = tmp_path / "kept.jsonl"
    cache.write_text("".join(kept[:7]) + '{"id": "cut')
    again = real_call(*command[:-2], "--cache", str(cache), "--json")
    assert rows_of(again[1]) == rows_of(told) and len(server.asked) == asked + 2 * len(ROWS) - 7
    server.say = lambda question: (500, b"gone")
    assert real_call(*command, "--json")[1] == told
    status, text, _ = real_call(*command)
    assert status == 0 and "judge: m" in text and "win rate" in text


def test_scores_that_are_there_need_no_model(tmp_path: Path, real_call: Call) -> None:
    scored = [
        {"input": 7, "outputs": ["a", "b"], "score": [2, 0], "reference_score": 1},
        {"input": 8, "output": "c", "score": -1, "reference_score": -1},
        {"input": 9, "output": "d", "score": 5.5, "reference_score": 5},
    ]
    status, out, error = real_call(
        "metrics", "preference", written(tmp_path / "scored.jsonl", scored), "--json"
    )
    assert status == 0, error
    found = rows_of(out)[""]
    assert found["win rate"]["value"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert (found["ties"]["value"], found["win rate"]["n"], found["win rate"]["outputs"]) == (0.25, 3, 4)
    # Who wins against everybody loses where the two sides change places.
    turned = [row | {"score": row["reference_score"], "reference_score": row["score"]} for row in scored[1:]]
    out = real_call("metrics", "preference", written(tmp_path / "turned.jsonl", turned), "--json")[1]
    assert rows_of(out)[""]["win rate"]["value"] == 1 - (0.5 + 1) / 2


def test_a_reward_model_judges(tmp_path: Path, real_call: Call) -> None:
    import torch

    from models import load, reward_model_of, save
    from models.reward_model import learned_rewards

    made = reward_model_of(load("embedded/symbols:width=16,layers=1,heads=2,steps=5,batch_size=8"))
    with torch.no_grad():
        made.model.score.weight.copy_(torch.linspace(-1, 1, 16)[None])
    save(made.model, made.tokenizer, tmp_path / "judge")
    better, worse = learned_rewards(made, ["a b ?"] * 2, ["c", "d d"])
    rows = [{"input": "a b ?", "output": "c", "reference": text} for text in ("d d", "c")]
    file = written(tmp_path / "rows.jsonl", rows)
    status, out, error = real_call(
        "metrics", "preference", file, "--reward-model", str(tmp_path / "judge"), "--json"
    )
    assert status == 0, error
    assert rows_of(out)[""]["win rate"]["value"] == (float(better > worse) + 0.5) / 2


SCORED = {"input": "q", "output": "a", "reference": "b", "score": 1, "reference_score": 0}
ASKED = ["--endpoint", "URL", "--model", "m"]


@pytest.mark.parametrize(
    ("lacks", "options", "says"),
    [
        (["score", "reference_score"], [], "nobody judges: give --endpoint URL and --model M, or --reward-m"),
        (["reference_score"], [], "line 1: no column 'reference_score'"),
        (["reference"], ASKED, "line 1: no column 'reference'; is it 'reference_score'?"),
        (["output"], ASKED, "line 1: no column 'output'"),
        ([], ["--endpoint", "URL"], "--endpoint needs --model"),
        ([], ["--model", "m"], "needs a URL such as"),
        ([], ["--reward-model", "nowhere"], "nowhere"),
        ([], [*ASKED, "--reward-model", "nowhere"], "one of them judges"),
        ([], ["--cache", "kept"], "--cache keeps the answers of a chat model"),
    ],
)
def test_what_cannot_be_judged_is_one_line_and_asks_nobody(
    tmp_path: Path, real_call: Call, endpoint: Any, lacks: list[str], options: list[str], says: str
) -> None:
    server = endpoint(longer)
    row = {name: value for name, value in SCORED.items() if name not in lacks}
    options = [server.url if option == "URL" else option for option in options]
    status, out, error = real_call("metrics", "preference", written(tmp_path / "f.jsonl", [row]), *options)
    assert (status, out) == (2, "") and says in error and error.count("\n") <= 2, error
    assert error.count("error:") == 1 and not server.asked


@pytest.mark.parametrize(
    ("code", "said", "told"),
    [
        (500, b"out of memory", "gave no answer in 1 tries: 500 out of memory"),
        (200, b"<html>hello</html>", "gave no answer in 1 tries: no chat completion: <html>"),
        (401, b"no such key", "refuses to answer: 401 no such key"),
    ],
)
def test_an_endpoint_that_fails_is_one_line(
    tmp_path: Path, real_call: Call, endpoint: Any, code: int, said: bytes, told: str
) -> None:
    server = endpoint(lambda question: (code, said))
    file = written(tmp_path / "rows.jsonl", ROWS[:1])
    status, out, error = real_call("metrics", "preference", file, "--endpoint", server.url, "--model", "m")
    assert (status, out) == (2, "") and told in error and error.count("\n") == 1
    assert "secret" not in error


def test_an_input_that_is_no_prompt_cannot_be_judged(tmp_path: Path, real_call: Call, endpoint: Any) -> None:
    file = written(tmp_path / "rows.jsonl", [{"input": 17, "output": "a", "reference": "b"}])
    status, _, error = real_call(
        "metrics", "preference", file, "--endpoint", endpoint(longer).url, "--model", "m"
    )
    assert status == 2 and "line 1: input is a text to be judged, not 17" in error


def test_the_docs_name_every_measure_and_column(tmp_path: Path, real_call: Call) -> None:
    docs = (ROOT / "docs/metrics.md").read_text()
    out = real_call("metrics", "preference", written(tmp_path / "f.jsonl", [SCORED]), "--json")[1]
    assert all(f"| {measure} |" in docs for measure in rows_of(out)[""])
    assert all(f"`{column}`" in docs for column in SCORED)
