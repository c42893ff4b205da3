"""Judges: scores, a reward model, and a chat model behind a real server on this machine."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analysis.outputs.chat import TRIES, chat_judge, preference
from analysis.outputs.judge import Judge, Pair, gold_judge, judge_pairs, reward_judge, score_judge
from tasks import UserError
from tasks.problems import get_problem

GOOD, BAD = "a good answer", "a bad answer"


def longer(prompts: Any, completions: Any) -> list[float]:
    return [float(len(text)) for text in completions]


class Chat:
    """A server that answers by a rule, and remembers what it was asked."""

    def __init__(self, say: Callable[[str, int], tuple[int, Any]]) -> None:
        self.requests = list[dict[str, Any]]()
        self.say = say
        lock, chat = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    chat.requests.append(
                        body | {"path": self.path, "authorization": self.headers["Authorization"]}
                    )
                    number = len(chat.requests)
                code, said = chat.say(body["messages"][0]["content"], number)
                told = said if isinstance(said, bytes) else json.dumps(said).encode()
                self.send_response(code)
                if code == 302:
                    self.send_header("Location", f"{chat.url}/elsewhere")
                if code == 429:
                    self.send_header("Retry-After", "7")
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def says(word: str) -> tuple[int, Any]:
    return 200, {"choices": [{"message": {"content": word}}]}


def sensible(question: str, number: int) -> tuple[int, Any]:
    """Prefers the good answer; a tie where both are."""
    a, b = (question.partition(f"[Answer {x}]")[2].partition("\n\n")[0].strip() for x in "AB")
    return says("TIE" if a == b else "A" if a == GOOD else "B.")


@pytest.fixture
def server() -> Iterator[Callable[[Callable[[str, int], tuple[int, Any]]], Chat]]:
    made = list[Chat]()

    def start(say: Callable[[str, int], tuple[int, Any]]) -> Chat:
        made.append(Chat(say))
        return made[-1]

    yield start
    for chat in made:
        chat.close()


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


PAIRS = [Pair("q1", GOOD, BAD), Pair("q2", BAD, GOOD), Pair("q3", GOOD, GOOD)]


def test_scores_become_preferences() -> None:
    judge = score_judge("longer", longer)
    assert judge.prefer([Pair("p", "aa", "a"), Pair("p", "a", "aa"), Pair("p", "a", "b")]) == [1, 0, 0.5]
    lost = score_judge("lost", lambda prompts, completions: [math.nan] * len(completions))
    assert math.isnan(lost.prefer([Pair("p", "a", "b")])[0])
    assert score_judge("none", longer).prefer([]) == []


def test_the_gold_reward_judges() -> None:
    assert gold_judge(get_problem("lengths/min-length")).prefer([Pair("we", "saw", "saw it")]) == [1.0]


def test_a_reward_model_judges(tmp_path: Path) -> None:
    """As its scores are; before it has learnt anything all are 0, and nothing is preferred."""
    import torch

    from models import load, reward_model_of, save

    made = reward_model_of(load("embedded/symbols:width=16,layers=1,heads=2,steps=5,batch_size=8"))
    pairs = [Pair("a b ?", "c", "d d"), Pair("a b ?", "d d", "c"), Pair("a b ?", "c", "c")]
    save(made.model, made.tokenizer, tmp_path / "new")
    assert reward_judge(tmp_path / "new").prefer(pairs) == [0.5] * 3
    with torch.no_grad():
        made.model.score.weight.copy_(torch.linspace(-1, 1, 16)[None])
    save(made.model, made.tokenizer, tmp_path / "learnt")
    judge = reward_judge(tmp_path / "learnt")
    assert judge.scores is not None
    better, worse = judge.scores(["a b ?"] * 2, ["c", "d d"])
    assert better != worse
    assert judge.prefer(pairs) == [float(better > worse), float(better < worse), 0.5]


def test_inputs_weigh_alike_and_what_was_not_said_is_left_out() -> None:
    rows = [
        {"input": "x", "output": "long one", "reference": "short"},
        {"input": "x", "output": "s", "reference": "short"},
        {"input": "y", "output": "same!", "reference": "short"},
        {"input": "z", "output": "", "reference": "short"},
    ]
    by_length = score_judge("longer", longer).prefer
    judge = Judge("quiet", lambda ps: [v if p.first else math.nan for p, v in zip(ps, by_length(ps))])  # noqa: B905
    told, found = judge_pairs(rows, judge)
    assert found[:3] == [1.0, 0.0, 0.5] and math.isnan(found[3])
    assert (told.win_rate, told.ties, told.n_inputs, told.pairs, told.left_out) == (0.5, 1 / 3, 2, 3, 1)
    with pytest.raises(UserError, match="row 1: no reference; a row to judge has input, output, reference"):
        judge_pairs([{"input": "x", "output": "y"}], judge)
    nothing, _ = judge_pairs(rows[3:], judge)
    assert math.isnan(nothing.win_rate) and nothing.left_out == 1 and nothing.note == "nothing to estimate"


def test_a_chat_model_judges(server: Any) -> None:
    chat = server(sensible)
    assert chat_judge("m", chat.url, "secret").prefer(PAIRS) == [1.0, 0.0, 0.5]
    first = chat.requests[0]
    assert first["path"] == "/v1/chat/completions" and first["authorization"] == "Bearer secret"
    assert first["model"] == "m" and first["temperature"] == 0
    assert len(chat.requests) == 5  # both orders of three pairs, and the one of equal answers once
    assert chat_judge("m", chat.url + "/chat/completions").prefer(PAIRS[:1]) == [1.0]
    assert chat.requests[-1]["authorization"] is None


def test_the_address_and_the_key_may_stand_in_the_environment(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = server(sensible)
    monkeypatch.setenv("OPENAI_API_KEY", "from there")
    monkeypatch.setenv("OPENAI_BASE_URL", chat.url)
    assert chat_judge("m").prefer(PAIRS[:1]) == [1.0]
    assert chat.requests[0]["authorization"] == "Bearer from there"
    monkeypatch.delenv("OPENAI_BASE_URL")
    with pytest.raises(UserError, match=r"endpoint '': needs a URL such as .*OPENAI_BASE_URL"):
        chat_judge("m")


@pytest.mark.parametrize("place", ["A", "B"])
def test_a_liking_for_a_place_cancels(server: Any, place: str) -> None:
    assert chat_judge("m", server(lambda q, n: says(place)).url).prefer(PAIRS) == [0.5] * 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("A", 1.0),
        (" b\n", 0.0),
        ("**Tie**.", 0.5),
        ("Answer: B", 0.0),
        ("<think>A or B? B\nis so.</think>\n\nA", 1.0),
        ("", math.nan),
        ("Both are fine", math.nan),
        ("A and B", math.nan),
        ("As it is", math.nan),
    ],
)
def test_what_a_chat_model_may_say(text: str, value: float) -> None:
    assert preference(text) == value or (math.isnan(preference(text)) and math.isnan(value))


def test_unreadable_answers_are_left_out_and_counted(server: Any) -> None:
    chat = server(lambda q, n: says("Hard to say.") if "q2" in q else sensible(q, n))
    rows = [{"input": p.prompt, "output": p.first, "reference": p.second} for p in PAIRS]
    told, _ = judge_pairs(rows, chat_judge("m", chat.url))
    assert (told.win_rate, told.pairs, told.left_out, told.n_inputs) == (0.75, 2, 1, 2)


def test_a_busy_endpoint_is_asked_again(server: Any) -> None:
    waits = list[float]()
    busy = {1: (429, b"slow down"), 2: (500, b"oops"), 3: (200, b"<html>"), 4: (200, {"error": "full"})}
    chat = server(lambda q, n: busy.get(n) or sensible(q, n))
    judge = chat_judge("m", chat.url, workers=1, pause=waits.append)
    assert judge.prefer(PAIRS[:1]) == [1.0]
    assert len(chat.requests) == 2 + len(busy) and waits == [7.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("code", "said"), [(401, "refuses to answer: 401 no such key"), (302, "refuses to answer: 302")]
)
def test_a_refusal_is_told_at_once(server: Any, code: int, said: str) -> None:
    """A redirection too, which would take the key elsewhere."""
    chat = server(lambda q, n: (code, b"no such key"))
    with pytest.raises(UserError, match=said) as told:
        chat_judge("m", chat.url, "secret", workers=1).prefer(PAIRS[:1])
    assert "secret" not in str(told.value)
    assert {request["path"] for request in chat.requests} == {"/v1/chat/completions"}


def test_a_killed_run_goes_on(server: Any, tmp_path: Path) -> None:
    cache, waits = tmp_path / "new" / "answers.jsonl", list[float]()
    down = server(lambda q, n: sensible(q, n) if n <= 3 else (503, b"down"))
    with pytest.raises(UserError, match=f"gave no answer in {TRIES} tries: 503 down; the answers so far are"):
        chat_judge("m", down.url, cache=cache, workers=1, pause=waits.append).prefer(PAIRS)
    assert len(cache.read_text().splitlines()) == 3
    with cache.open("a") as file:
        file.write('{"id": "cut o')  # as a kill leaves it
    up = server(sensible)
    moved = chat_judge("m", up.url, cache=cache)
    assert moved.prefer(PAIRS) == [1.0, 0.0, 0.5] and len(up.requests) == 5  # another endpoint's answers
    down.say = sensible
    before = len(down.requests)
    again = chat_judge("m", down.url, cache=cache)
    assert again.prefer(PAIRS) == [1.0, 0.0, 0.5] and len(down.requests) == before + 2
    assert again.prefer(PAIRS) == [1.0, 0.0, 0.5] and len(down.requests) == before + 2
    assert chat_judge("n", down.url, cache=cache).prefer(PAIRS[2:]) == [0.5]  # nor another model's
    assert len(down.requests) == before + 3


def test_a_file_of_something_else_is_left_alone(server: Any, tmp_path: Path) -> None:
    other = tmp_path / "thesis.tex"
    other.write_text(r"\begin{document}")
    with pytest.raises(UserError, match="line 1 is no kept answer; name another file"):
        chat_judge("m", server(sensible).url, cache=other).prefer(PAIRS)
    assert other.read_text() == r"\begin{document}"
