"""The files that the how-tos show are files that the command line takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.proclivity.conftest import ROOT


@pytest.mark.parametrize(
    ("page", "command", "said"),
    [
        (
            "own-task.md",
            ("tasks", "show", "mine/ends-low-vs-contains-2"),
            "the last symbol is one of the first four",
        ),
        ("own-method.md", ("methods", "ls"), "right-only"),
    ],
)
def test_a_shown_file_works(tmp_path: Path, page: str, command: tuple[str, ...], said: str) -> None:
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "mine.py"
    path.write_text(code)
    words = [sys.executable, "-m", "proclivity", *command, "--json", "--include", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert said in found.stdout and json.loads(found.stdout)
