"""Writing a model to a folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Write weights, configuration and tokenizer, as any library reads them.

    A full disk is an OSError, as it is everywhere else: safetensors and tokenizers raise types of their own.
    """
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as e:
        number = re.search(r"\(os error (\d+)\)", str(e))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(folder)) from e
