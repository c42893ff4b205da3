"""Writing a model: a full disk is the system's error, whichever library meets it."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from models import save


class Writes:
    def __init__(self, message: str = "") -> None:
        self.message = message

    def save_pretrained(self, folder: Path) -> None:
        if self.message:
            raise Exception(self.message)


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"


@pytest.mark.parametrize("parts", [(Writes(FULL), Writes()), (Writes(), Writes(FULL))])
def test_a_full_disk_is_an_error_of_the_system(parts: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as error:
        save(*parts, tmp_path)
    assert (error.value.errno, error.value.filename) == (errno.ENOSPC, str(tmp_path))


def test_any_other_error_is_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"^a bug$"):
        save(Writes("a bug"), Writes(), tmp_path)
