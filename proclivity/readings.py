"""The four readings of each source side by side, with the words that set them apart in colour."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Any

_STYLE = "bold magenta"


def shown_readings(rows: Sequence[Mapping[str, Any]]) -> str:
    """A block a source, a line a quadrant; coloured where standard output is a terminal that wants colour."""
    from rich.console import Console
    from rich.text import Text

    text = Text()
    for source, block in groupby(rows, key=lambda row: row["source"]):
        readings = {row["quadrant"]: row["prompt"].split() for row in block}
        text.append(f"source {source}\n")
        for quadrant in readings:
            text.append(f"  {quadrant:15}")
            for word, differs in _marked(readings[quadrant], readings["both"]):
                text.append(" ").append(word, style=_STYLE if differs else None)
            text.append("\n")
        text.append("\n")
    text.rstrip()
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text.plain
    console = Console(highlight=False)
    with console.capture() as captured:
        console.print(text, soft_wrap=True, end="")
    return captured.get()


def _marked(words: Sequence[str], both: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it differs from the reading in which both features hold."""
    for tag, start, end, _, _ in SequenceMatcher(None, words, both, autojunk=False).get_opcodes():
        for word in words[start:end]:
            yield word, tag != "equal"
