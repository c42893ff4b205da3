"""docs/reference says what the code says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from proclivity.cli import parser
from proclivity.reference_docs import PAGES, _commands, documented, in_words, main
from tests.proclivity.conftest import ROOT

FOLDER = ROOT / "docs" / "reference"


def test_the_committed_pages_are_what_the_code_says_now(tmp_path: Path) -> None:
    main(str(tmp_path))
    assert {path.name for path in FOLDER.iterdir()} == {*PAGES}
    for name in PAGES:
        same = (tmp_path / name).read_bytes() == (FOLDER / name).read_bytes()
        assert same, f"docs/reference/{name} is not what the code says: run `make docs` and commit it"


def test_every_option_is_on_the_page_of_commands() -> None:
    sections = (FOLDER / "command-line.md").read_text(encoding="utf-8").split("\n## ")
    told = {section.partition("\n")[0]: section for section in sections[1:]}
    names = dict(_commands(parser()))
    assert {*told} == {*names} and "proclivity finetune" in names
    for name, command in names.items():
        for option in set(command._option_string_actions) - {"-h", "--help", "--json", "--include"}:
            assert option in told[name], (name, option)
    assert "--learning-rate" in told["proclivity finetune"]  # which is found out late


@pytest.mark.parametrize(
    "name", ["cruz2023-quick", "tajwar2024-quick", "kirk2024-quick", "tajwar2024-lengths-quick"]
)
def test_every_key_of_the_shipped_studies_is_on_the_page(name: str) -> None:
    page = (FOLDER / "study-files.md").read_text(encoding="utf-8")
    study = yaml.safe_load((ROOT / "proclivity" / "studies" / f"{name}.yaml").read_text())
    for key, value in study.items():
        assert f"| `{key}` |" in page
        for inner in value if isinstance(value, dict) and key not in ("arms", "models", "settings") else ():
            assert f"| `{inner}` |" in page


def test_no_key_setting_or_column_is_without_words() -> None:
    for name in ("study-files.md", "settings.md", "records.md"):
        rows = [
            line
            for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()
            if line.startswith("| `")
        ]
        assert len(rows) > 30 or name == "settings.md"
        silent = [row for row in rows if row.rstrip("| ").count(" | ") < 2 and "learnability" not in row]
        assert all(row.count("|") == 3 for row in silent), silent  # the list of learnability has types alone
        assert not [row for row in rows if row.endswith("|  |")]


def test_words_of_fields_and_types() -> None:
    @dataclass
    class Inner:
        a: int = 1
        """The
        first."""
        b: str = ""

    assert documented(Inner) == {"a": "The first."}
    assert in_words(dict[str, tuple[float, ...]] | None) == "mapping of text to list of number or null"
    assert in_words(Literal["x", ""]) == '`x`, `""`'
    assert (in_words(Inner), in_words(Any)) == ("section", "any value")
