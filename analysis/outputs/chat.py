"""A chat model as a judge, through any endpoint that speaks OpenAI's protocol.

Every pair is asked in both orders at temperature 0, so that a liking for the first place cancels. Answers are
kept in a file as they come: a run that was killed goes on where it stopped.

References: Zheng et al. 2023 (https://arxiv.org/abs/2306.05685), section 3.4, on position bias.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import math
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from analysis.outputs.judge import Judge, Pair
from tasks.errors import UserError

KEY, BASE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
QUESTION = """Two answers to the same request are below. Decide which of them serves the request better: \
which is more accurate, leaves out nothing that matters and adds nothing that does not.

[Request]
{prompt}

[Answer A]
{first}

[Answer B]
{second}

Reply with one word and nothing else: A, B, or TIE if neither is better."""
_START = b'{"id": "'
"""Of a line in the file."""
SAID = {"a": 1.0, "b": 0.0, "tie": 0.5}
TRIES = 6
"""How often a request is sent; between tries it waits 1, 2, 4, 8 and 16 seconds, or as long as it is told."""
LONGEST_PAUSE = 120.0
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_ANSWER = re.compile(r"\W*(?:answer\W+)?(a|b|tie)\W*", re.IGNORECASE)


@dataclass(frozen=True)
class Endpoint:
    """Where a chat model is asked, and where its answers are kept."""

    url: str
    """`http://localhost:8000/v1`, or with `/chat/completions` after it."""
    model: str
    key: str | None = field(default=None, repr=False)
    cache: Path | None = None
    """A file of one JSON object a line."""
    workers: int = 4
    """Requests at a time."""
    timeout: float = 120.0
    """Seconds."""
    pause: Callable[[float], None] = time.sleep
    report: Callable[[int, int], None] | None = None
    """Told how many of the questions without a kept answer are answered."""


def chat_judge(
    model: str,
    url: str | None = None,
    key: str | None = None,
    cache: str | Path | None = None,
    *,
    workers: int = 4,
    timeout: float = 120.0,
    pause: Callable[[float], None] = time.sleep,
    report: Callable[[int, int], None] | None = None,
) -> Judge:
    """A judge that is a chat model. URL and key are OPENAI_BASE_URL and OPENAI_API_KEY where not given."""
    url = url or os.environ.get(BASE, "")
    if not url.startswith(("http://", "https://")):
        raise UserError(f"endpoint {url!r}: needs a URL such as http://localhost:8000/v1, or set {BASE}")
    url = url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
    kept = Path(cache) if cache else None
    where = Endpoint(url, model, key or os.environ.get(KEY) or None, kept, workers, timeout, pause, report)

    def prefer(pairs: Sequence[Pair]) -> list[float]:
        asked = [question for pair in pairs for question in both_orders(pair)]
        read = [preference(text) for text in answers(asked, where)]
        return [(first + 1 - second) / 2 for first, second in zip(read[::2], read[1::2], strict=True)]

    return Judge(model, prefer)


def both_orders(pair: Pair) -> tuple[str, str]:
    """The question with the first answer as A, and as B."""
    there = QUESTION.format(prompt=pair.prompt, first=pair.first, second=pair.second)
    return there, QUESTION.format(prompt=pair.prompt, first=pair.second, second=pair.first)


def preference(text: str) -> float:
    """1 for A, 0 for B, 0.5 for a tie; NaN for anything else. What stands in <think> tags is no answer."""
    found = _ANSWER.fullmatch(_THOUGHT.sub("", text))
    return SAID[found[1].lower()] if found else math.nan


def answers(questions: Sequence[str], where: Endpoint) -> list[str]:
    """What the model says to each question. Equal questions are asked once."""
    found = _kept(where.cache)
    different = {_name(question, where): question for question in questions}
    missing = [(name, question) for name, question in different.items() if name not in found]
    lock = Lock()

    def one(name: str, question: str) -> None:
        text = ask(question, where)
        with lock:
            found[name] = text
            if where.cache:
                with where.cache.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"id": name, "model": where.model, "answer": text}) + "\n")

    with ThreadPoolExecutor(where.workers) as pool:
        try:
            for number, done in enumerate([pool.submit(one, *each) for each in missing], 1):
                done.result()
                if where.report:
                    where.report(number, len(missing))
        finally:
            pool.shutdown(cancel_futures=True)
    return [found[_name(question, where)] for question in questions]


def ask(question: str, where: Endpoint) -> str:
    """One question, sent again where the endpoint is busy or away."""
    body = {"model": where.model, "messages": [{"role": "user", "content": question}], "temperature": 0}
    headers = {"Content-Type": "application/json"}
    if where.key:
        headers["Authorization"] = f"Bearer {where.key}"
    request = urllib.request.Request(where.url, json.dumps(body).encode(), headers)
    said, wait = "", 0.0
    for tried in range(TRIES):
        if tried:
            where.pause(max(wait, 2.0 ** (tried - 1)))
        try:
            with _OPENER.open(request, timeout=where.timeout) as response:
                return _content(response.read())
        except urllib.error.HTTPError as e:
            said, wait = f"{e.code} {_short(e.read())}", _told_to_wait(e)
            if e.code not in (408, 409, 429) and e.code < 500:
                raise UserError(f"{where.url} refuses to answer: {said}") from None
        except (OSError, ValueError, http.client.HTTPException) as e:  # no connection, half an answer, ...
            said, wait = " ".join(str(e).split()) or type(e).__name__, 0.0
    kept = f"; the answers so far are in {where.cache}, and are not asked again" if where.cache else ""
    raise UserError(f"{where.url} gave no answer in {TRIES} tries: {said}{kept}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection is an error: it would take the key to another host."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _content(body: bytes) -> str:
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError, json.JSONDecodeError):
        raise ValueError(f"no chat completion: {_short(body)}") from None
    return text if isinstance(text, str) else ""


def _short(body: bytes) -> str:
    return " ".join(body.decode(errors="replace").split())[:200]


def _told_to_wait(error: urllib.error.HTTPError) -> float:
    told = str(error.headers.get("Retry-After", ""))
    return min(float(told), LONGEST_PAUSE) if told.isdecimal() else 0.0


def _name(question: str, where: Endpoint) -> str:
    told = json.dumps([where.url, where.model, question])
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _kept(cache: Path | None) -> dict[str, str]:
    """Answers in a file. A line that was cut off when a run was killed is passed over, and asked again."""
    if cache is None:
        return {}
    found = dict[str, str]()
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        lines = cache.read_bytes().split(b"\n") if cache.exists() else []
        for number, line in enumerate(lines, 1):
            if line and not line.startswith(_START[: len(line)]):
                raise UserError(f"{cache}: line {number} is no kept answer; name another file")
        if lines and lines[-1]:
            with cache.open("ab") as file:
                file.write(b"\n")
    except OSError as e:
        raise UserError(f"{cache}: cannot keep answers there: {e.strerror}") from None
    for line in lines:
        try:
            row = json.loads(line)
            found[row["id"]] = row["answer"]
        except (ValueError, KeyError):
            continue
    return found
