"""The pages hold: links and anchors lead somewhere, paths exist, commands parse and name what there is."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from proclivity.cli import parser
from proclivity.study import list_studies
from rl_finetune import method_table
from tasks import get_task
from tasks.problems import is_problem

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")]
    + [*(ROOT / "docs").rglob("*.md")]
)
TOP = {path.name for path in ROOT.iterdir()} - {"out"}  # where studies are written to
OWN_METHOD = "right-only"
"""The method that a page shows how to write."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """A page without its blocks of code and its comments."""
    return re.sub(r"^    .*$|<!--.*?-->", "", FENCE.sub("", text), flags=re.MULTILINE)


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        again = found.get(slug, 0)
        found[slug] = again + 1
        names.add(f"{slug}-{again}" if again else slug)
    return names


def broken(page: Path, text: str) -> Iterator[str]:
    """Links of a page that lead nowhere."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if target.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path) if path else page
        if not to.exists():
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(text if to == page else to.read_text(encoding="utf-8")):
            yield f"{target}: no such heading"


def lost(text: str) -> Iterator[str]:
    """Paths in backticks that begin with a folder of the repository and do not exist."""
    for path in re.findall(r"`([\w.-]+/[\w./-]*)`", prose(text)):
        name = path.rstrip("/")
        placeholder = re.search(r"\b[A-Z]{1,}\b(?!\.)", name)
        if path.split("/")[0] in TOP and not placeholder and not (ROOT / name).exists():
            yield path


def commands(text: str) -> Iterator[list[str]]:
    """The command lines of `proclivity` in a page's blocks."""
    blocks = [code for language, code in FENCE.findall(text) if language in ("", "sh", "bash", "console")]
    blocks += re.findall(r"(?:^    .*\n)+", FENCE.sub("", text), re.MULTILINE)
    for line in re.sub(r"\\\n\s*", " ", "".join(blocks)).splitlines():
        words = shlex.split(line, comments=True) if line.split("#")[0].count("'") % 2 == 0 else line.split()
        place = next((i for i, word in enumerate(words) if word.endswith("proclivity")), None)
        if place == 0 or (place and words[place - 1] in ("-m", "$")):
            yield words[place + 1 :]


def unknown(words: list[str]) -> Iterator[str]:
    """What a command names that there is not."""
    named = vars(parser().parse_args(words))
    tasks = named.get("task") or []
    for task in [tasks] if isinstance(tasks, str) else tasks:
        if not task.startswith(("mine/", "tsv:")) and not is_problem(task):
            get_task(task)  # which says what is wrong with the name
    if named.get("method") not in (None, OWN_METHOD, *(row["name"] for row in method_table())):
        yield named["method"]
    if named.get("study", "x.yaml").rpartition(".")[2] != "yaml" and named["study"] not in list_studies():
        yield named["study"]
    if str(named.get("folder", "")).startswith("results/") and not (ROOT / named["folder"]).is_dir():
        yield named["folder"]


def leading() -> set[tuple[str, ...]]:
    """The words that commands begin with, each of their beginnings too."""

    def under(command: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for action in command._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, inner in action.choices.items():
                    yield from under(inner, (*words, name))

    return set(under(parser(), ()))


LEADING = leading()


def begins_as_a_command(words: list[str]) -> bool:
    """Whether words begin as some command does, to its last word if they go on; options may be left out."""
    for n in range(1, len(words) + 1):
        if tuple(words[:n]) not in LEADING:
            inner = [known for known in LEADING if len(known) == n and known[:-1] == tuple(words[: n - 1])]
            return n > 1 and not inner
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_holds(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [*broken(page, text)] == []
    assert [*lost(text)] == []
    assert [(words, what) for words in commands(text) for what in unknown(words)] == []
    inline = re.findall(r"`proclivity ([a-z][^`]*)`", prose(text))
    assert [words for words in inline if not begins_as_a_command(words.split())] == []


def test_no_page_is_out_of_reach() -> None:
    """From the README every page can be reached by links."""
    seen, found = set(), [ROOT / "README.md"]
    while found:
        page = found.pop()
        if page in seen:
            continue
        seen.add(page)
        text = prose(page.read_text(encoding="utf-8"))
        targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
        found += [(page.parent / t).resolve() for t in targets if t.endswith(".md") and "://" not in t]
    assert [str(page) for page in PAGES if page.resolve() not in {path.resolve() for path in seen}] == []


def test_the_pages_have_commands() -> None:
    least = {"README.md": 10, "docs/getting-started.md": 8, "docs/how-to/commands.md": 20}
    for name, n in least.items():
        assert len([*commands((ROOT / name).read_text(encoding="utf-8"))]) >= n


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a](nowhere.md)", "nowhere.md: no such file"),
        ("[a](docs/concepts.md#nothing)", "docs/concepts.md#nothing: no such heading"),
        ("# A b, c\n\n[a](#a-b-d)", "#a-b-d: no such heading"),
        ("![a](docs/none.png)", "docs/none.png: no such file"),
    ],
)
def test_a_broken_link_is_told(text: str, said: str) -> None:
    assert [*broken(ROOT / "README.md", text)] == [said]


def test_a_link_that_leads_somewhere_is_let_pass() -> None:
    text = "# A `b`, c's\n\n[a](#a-b-cs) [b](docs/concepts.md#the-words) ![c](docs/concepts.svg) [d](https://e.f)"
    assert [*broken(ROOT / "README.md", text)] == []


def test_a_lost_path_and_an_unknown_name_are_told() -> None:
    assert [*lost("`docs/none.md`, `docs/concepts.md`, `results/NAME`, `symbolic/none`, `tasks/`")] == [
        "docs/none.md"
    ]
    shell = (
        "    proclivity study run none   # why\n    python -m proclivity figures \\\n        results/none\n"
    )
    assert [what for words in commands(shell) for what in unknown(words)] == ["none", "results/none"]


def test_words_that_begin_no_command_are_told() -> None:
    told = [
        "study run FILE",
        "tasks new mine/a",
        "metrics",
        "probe --model M",
        "tasks frob",
        "frob",
        "cache ls D",
    ]
    assert [words for words in told if not begins_as_a_command(words.split())] == ["tasks frob", "frob"]
