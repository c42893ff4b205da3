"""What every test runs under: no network, one thread, a cache of its own, the same examples each time."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

_CACHE = "PROCLIVITY_TEST_CACHE"
"""Where the tests cache pre-trained models and data: made by the first process, inherited by its workers."""

if _CACHE not in os.environ:
    os.environ[_CACHE] = tempfile.mkdtemp(prefix="proclivity-tests-")

# Set before any test module imports torch or a library of Hugging Face, and inherited by subprocesses.
os.environ.update(
    HF_HUB_OFFLINE="1",
    TRANSFORMERS_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HOME=str(Path(os.environ[_CACHE], "huggingface")),
    PROCLIVITY_CACHE=os.environ[_CACHE],
    MPLBACKEND="Agg",
    MPLCONFIGDIR=str(Path(os.environ[_CACHE], "matplotlib")),
    TOKENIZERS_PARALLELISM="false",
    OMP_NUM_THREADS="1",
    MKL_NUM_THREADS="1",
)

# Speed is no property, and a check that passes here should pass there.
settings.register_profile("repository", deadline=None, derandomize=True, database=None)
settings.load_profile("repository")


def pytest_unconfigure(config: pytest.Config) -> None:
    """The first process takes the cache away when its workers are done."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        shutil.rmtree(os.environ[_CACHE], ignore_errors=True)
