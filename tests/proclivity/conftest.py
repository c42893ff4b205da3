"""A small study, and the command line with fake jobs behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def study_value(**changes: Any) -> dict[str, Any]:
    """A study of 3 pairs, 9 probes and 6 runs, with changes."""
    study: dict[str, Any] = {
        "name": "small",
        "paper": "cruz2023",
        "question": "Does it run?",
        "scale": "smoke",
        "primary": {
            "claim": "H1a",
            "arm": "main",
            "method": "rloo",
            "statistic": "spearman",
            "test": "family_permutation",
            "pairs": "all",
        },
        "models": ["embedded/symbols"],
        "pairs": {"draw": 3, "seed": 1, "from": "symbolic"},
        "arms": {"main": {"methods": ["rloo"], "evidence": {"rates": [0, 0.2]}}},
    }
    return {**study, **changes}


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., str]:
    """Write the small study, with changes, to a file."""

    def write(name: str = "small.yaml", **changes: Any) -> str:
        path = tmp_path / name
        path.write_text(yaml.safe_dump(study_value(**changes), sort_keys=False))
        return str(path)

    return write


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a command runs under, with a ledger of what the fake jobs did."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "FAKE_LEDGER": str(tmp_path / "ledger")}


@pytest.fixture
def start(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start the command line in a process of its own."""

    def start(*arguments: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(HERE / "driver.py"), *arguments],
            env={**environment, **changes},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    return start


@pytest.fixture
def real_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; (exit status, standard output, standard error)."""
    from proclivity import cli

    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = cli.main(arguments)
        except SystemExit as e:
            status = int(e.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, real_call: Callable[..., tuple[int, str, str]]
) -> Callable[..., Any]:
    """The same with fake jobs."""
    from proclivity import composition

    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.setattr(composition, "JOBS", "fake_jobs")
    monkeypatch.setenv("FAKE_LEDGER", str(tmp_path / "ledger"))
    return real_call
