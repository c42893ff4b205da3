"""Any causal language model by name: a hub name, a folder, or `embedded/<recipe>`."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from models.embedded import PREFIX, pretrained_folder, recipe_of
from tasks.errors import UserError

Init = Literal["pretrained", "random"]


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model with its tokenizer, and what is needed to name it in a record."""

    model: Any
    """A Hugging Face causal LM in evaluation mode."""
    tokenizer: PreTrainedTokenizerBase
    name: str
    revision: str | None
    init: Init
    weights_hash: str
    """First 16 hex digits of the SHA-256 of the weights."""


def load(
    name: str,
    revision: str | None = None,
    init: Init = "pretrained",
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    trust_remote_code: bool = False,
) -> LanguageModel:
    """Load a model. `init="random"` keeps architecture and tokenizer and draws fresh weights.

    Safetensors only; remote code only with `trust_remote_code=True`.
    """
    embedded = name.startswith(PREFIX)
    source = str(pretrained_folder(recipe_of(name))) if embedded else name
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    logging.disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # what comes of a folder without one
            raise ValueError("it has no tokenizer")
        if init == "pretrained":
            read: Any = AutoModelForCausalLM.from_pretrained  # its annotations know of no loading info
            model, report = read(
                source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
            if report["missing_keys"]:
                raise ValueError(f"its weights lack {', '.join(sorted(report['missing_keys'])[:3])}")
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(recipe_of(name).seed if embedded else 0)
                model = AutoModelForCausalLM.from_config(
                    AutoConfig.from_pretrained(source, **options), dtype=dtype
                )
    except (OSError, ValueError) as e:
        raise _cannot_load(name, e) from e
    except Exception as e:  # safetensors raises a type of its own for a corrupt file
        if type(e).__module__.startswith(("safetensors", "builtins")) and "afetensor" in f"{type(e)}{e}":
            raise UserError(f"cannot load model {name!r}: its weights are corrupt ({e})") from e
        raise
    model = model.to(device).eval()
    return LanguageModel(model, tokenizer, name, revision, init, weights_hash(model))


FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Weights, configuration and tokenizer."""


def model_folder(name: str) -> Path:
    """The folder of a model's files; a hub's are fetched first."""
    from huggingface_hub import snapshot_download

    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (OSError, ValueError) as e:
        raise _cannot_load(name, e) from e


def _cannot_load(name: str, e: Exception) -> UserError:
    first_line = str(e).strip().splitlines()[0]
    hint = "" if Path(name).exists() else "; a name of a hub, a folder, or embedded/symbols is needed"
    return UserError(f"cannot load model {name!r}: {first_line}{hint}")


def weights_hash(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().to(torch.float32).cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
