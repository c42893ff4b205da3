"""How rows of public data become prompts with reference answers, or preference pairs, in the papers' formats.

Each function reads one row; None for a row that is of no use. A completion has no space before it: the space
after a prompt is written wherever prompts are answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.generation.generation import Row

Fields = Mapping[str, Any]
Pair = tuple[str, str, str]
"""Prompt, chosen and rejected answer."""
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_BELOW = "Below is an instruction that describes a task"
_WRITE = "Write a response that appropriately completes the request."


def _row(prompt: str, answer: str) -> Row | None:
    answer = answer.strip()
    return Row(prompt, answer, answer) if answer else None


def _pair(prompt: str, first: str, second: str, first_is_better: float) -> Pair | None:
    """A pair by how much better the first is: above 0, below 0, or equally good."""
    first, second = first.strip(), second.strip()
    if not first_is_better or first == second:
        return None
    return (prompt, first, second) if first_is_better > 0 else (prompt, second, first)


def post(fields: Fields) -> str:
    return f"SUBREDDIT: r/{fields['subreddit']}\nTITLE: {fields['title']}\nPOST: {fields['post']}\nTL;DR:"


def article(text: str) -> str:
    return f"ARTICLE: {text}\nTL;DR:"


def tldr(row: Fields) -> Row | None:
    return _row(post(row), row["summary"])


def news(row: Fields) -> Row | None:
    return _row(article(row["article"]), row["highlights"])


def tldr_pair(row: Fields) -> Pair | None:
    return _summaries(post(row["info"]), row)


def news_pair(row: Fields) -> Pair | None:
    """A comparison of summaries of news; the others of the data set are of posts."""
    return _summaries(article(row["info"]["article"]), row) if "cnndm" in row["batch"] else None


def _summaries(prompt: str, row: Fields) -> Pair | None:
    first, second = (summary["text"] for summary in row["summaries"])
    return _pair(prompt, first, second, 1 - 2 * row["choice"])


def instruction(row: Fields) -> str:
    """Alpaca's format, with an input or without."""
    told = f"### Instruction:\n{row['instruction']}\n\n"
    if not row.get("input"):
        return f"{_BELOW}. {_WRITE}\n\n{told}### Response:"
    more = ", paired with an input that provides further context."
    return f"{_BELOW}{more} {_WRITE}\n\n{told}### Input:\n{row['input']}\n\n### Response:"


def alpaca(row: Fields) -> Row | None:
    return _row(instruction(row), row["output"])


def alpaca_pair(row: Fields) -> Pair | None:
    """`preference` is 1 or 2."""
    return _pair(instruction(row), row["output_1"], row["output_2"], 3 - 2 * row["preference"])


def first_turn(dialogue: str) -> Row | None:
    """What was asked first, and what was replied to it."""
    asked, found, rest = dialogue.partition(ASSISTANT)
    return _row(asked + ASSISTANT, rest.partition(HUMAN)[0]) if found else None


def dialogue(row: Fields) -> Row | None:
    return first_turn(row["chosen"])


def attempt(row: Fields) -> Row | None:
    """A red-team attempt. The reply is what the attacked model gave, and no good one."""
    return first_turn(row["transcript"])


def dialogue_pair(row: Fields) -> Pair | None:
    """The two last replies, to all that was said before; dialogues that part earlier are passed over."""
    before, found, chosen = row["chosen"].rpartition(ASSISTANT)
    prompt = before + ASSISTANT
    rejected = row["rejected"]
    if not found or not rejected.startswith(prompt) or HUMAN in rejected[len(prompt) :]:
        return None
    return _pair(prompt, chosen, rejected[len(prompt) :], 1)


def _asked(text: str) -> str:
    return f"{HUMAN} {text.strip()}{ASSISTANT}"


def question(row: Fields) -> Row | None:
    """A question, and the answer that people prefer to another."""
    pair = question_pair(row)
    return _row(pair[0], pair[1]) if pair else None


def question_pair(row: Fields) -> Pair | None:
    """The prompts are those of policies; SuperHF's reward models read another format than its policies."""
    scores = row["score_0"] - row["score_1"]
    return _pair(_asked(row["question"]["full_text"]), row["answer_0"], row["answer_1"], scores)


def self_instruct(row: Fields) -> Row | None:
    """The prompt up to `Output:`, as SuperHF has it."""
    return _row(_asked(row["prompt"].partition("Output:")[0]), row["completion"].replace("<|endoftext|>", ""))
