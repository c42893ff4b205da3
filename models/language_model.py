"""Any language model by name: a hub name, a folder, or `embedded/<recipe>`.

Causal models (GPT-2, GPT-NeoX, Llama) and encoder-decoders (T5, BART) write words. An encoder (BERT, RoBERTa)
writes none: it gets an action head, its architecture's own classifier of two labels, and is as good as any
other policy whose answers are a closed list.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import (
    MODEL_FOR_MASKED_LM_MAPPING,
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from models.embedded import PREFIX, pretrained_folder, recipe_of
from models.memory import check_fits
from tasks.errors import UserError

Init = Literal["pretrained", "random"]
SHIFT, SCALE = "reward_shift", "reward_scale"
"""Keys of a reward model's configuration: its reward is (score - shift) / scale."""


@dataclass(frozen=True)
class LanguageModel:
    """A language model with its tokenizer, and what is needed to name it in a record."""

    model: Any
    """A Hugging Face model in evaluation mode."""
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

    A hub's model may be named `NAME@REVISION` in place of a `revision`. Safetensors only; remote code only
    with `trust_remote_code=True`. The action head of an encoder that comes without one gives every answer the
    same probability.
    """
    embedded = name.startswith(PREFIX)
    source, named = (str(pretrained_folder(recipe_of(name))), None) if embedded else split_revision(name)
    revision = revision or named
    options = {"revision": revision, "trust_remote_code": trust_remote_code}
    logging.disable_progress_bar()
    said = logging.get_verbosity()
    logging.set_verbosity_error()  # what is wrong with the weights is told below, in one line
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        if len(tokenizer) <= len(tokenizer.all_special_ids):  # what comes of a folder without one
            raise ValueError("it has no tokenizer")
        config = AutoConfig.from_pretrained(source, **options)
        kind = kind_of(config)
        if _judges(config, kind):
            raise ValueError(
                "it is a reward model, which gives scores and no answers; finetune --reward-model reads it"
            )
        if not embedded:
            check_fits(name, kind, config, dtype, device, trust_remote_code=trust_remote_code)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe_of(name).seed if embedded else 0)
            if init == "pretrained":
                read: Any = kind.from_pretrained  # its annotations know of no loading info
                model, report = read(
                    source,
                    config=config,
                    dtype=dtype,
                    use_safetensors=True,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                    **options,
                )
                base = model.base_model_prefix if kind is AutoModelForSequenceClassification else ""
                headless = check_report(report, base)
            else:
                model = kind.from_config(config, dtype=dtype, trust_remote_code=trust_remote_code)
                headless = True
        if headless and kind is AutoModelForSequenceClassification:
            _level(model)
    except (OSError, ValueError) as e:
        raise cannot_load(name, e) from e
    except Exception as e:  # safetensors raises a type of its own for a corrupt file
        if type(e).__module__.startswith(("safetensors", "builtins")) and "afetensor" in f"{type(e)}{e}":
            raise UserError(f"cannot load model {name!r}: its weights are corrupt ({e})") from e
        raise
    finally:
        logging.set_verbosity(said)
    model = model.to(device).eval()
    try:
        check_tokenizer(model, tokenizer)
        if kind is AutoModelForCausalLM:
            _check_causal(model)
        if kind is AutoModelForSeq2SeqLM and getattr(model.config, "decoder_start_token_id", None) is None:
            raise ValueError("config.json has no decoder_start_token_id, with which its answers begin")
    except ValueError as e:
        raise cannot_load(name, e) from e
    return LanguageModel(model, tokenizer, name, revision, init, weights_hash(model))


def configuration(name: str, *, trust_remote_code: bool = False) -> Any:
    """A model's configuration; of a hub's, the one file is fetched, and no weights."""
    source, revision = split_revision(name)
    said = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return AutoConfig.from_pretrained(source, revision=revision, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as e:
        raise cannot_load(name, e) from e
    finally:
        logging.set_verbosity(said)


def split_revision(name: str) -> tuple[str, str | None]:
    """A hub's name and its revision, of `NAME@REVISION`; a folder's name is its own."""
    base, at, revision = name.partition("@")
    if not at or Path(name).exists():
        return name, None
    if not base or not revision:
        raise UserError(f"model {name!r}: a revision is given as NAME@REVISION")
    return base, revision


ACTIONS = 2
"""Answers that an action head knows: those of label 0 and of label 1."""


def kind_of(config: Any) -> Any:
    """The class that reads a model of this configuration."""
    if config.is_encoder_decoder:
        return AutoModelForSeq2SeqLM
    if type(config) in MODEL_FOR_MASKED_LM_MAPPING and not getattr(config, "is_decoder", False):
        config.num_labels = ACTIONS
        return AutoModelForSequenceClassification
    return AutoModelForCausalLM


def _judges(config: Any, kind: Any) -> bool:
    """Whether a configuration is a reward model's: one of ours, or another's of a causal model."""
    score = any(name.endswith("ForSequenceClassification") for name in config.architectures or ())
    return hasattr(config, SHIFT) or (score and kind is AutoModelForCausalLM)


def writes(model: Any) -> bool:
    """Whether a model writes words; an encoder has an action head in their place."""
    return model.get_output_embeddings() is not None


def decoder_prefix(model: Any) -> list[int]:
    """The tokens that stand before every answer of an encoder-decoder: BART's begin with a second one."""
    forced = getattr(model.generation_config, "forced_bos_token_id", None)
    start = [model.config.decoder_start_token_id]
    return start if forced is None else [*start, forced]


def most_tokens(model: Any) -> int | None:
    """How many tokens a model can take; None for any number. RoBERTa counts on from its padding's number."""
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    embeddings = getattr(getattr(model.base_model, "embeddings", None), "position_embeddings", None)
    padding = getattr(embeddings, "padding_idx", None)
    return limit if limit is None or padding is None else int(limit - padding - 1)


def _level(model: Any) -> None:
    """Zeros in the last layer of an action head: every answer has the same probability."""
    last = [part for part in model.modules() if getattr(part, "out_features", None) == ACTIONS][-1]
    with torch.no_grad():
        last.weight.zero_()
        if last.bias is not None:
            last.bias.zero_()


def check_report(report: dict[str, Any], base: str = "") -> bool:
    """Every weight of the configuration was read, and every weight of the file has its place.

    With `base`, the name of an encoder's body, what lies outside of it may lack, be left over, or be of other
    sizes. It is a head, and the pooler a part of it. Returns whether there was none for two labels.
    """

    def matters(key: str) -> bool:
        return not base or (key.startswith(f"{base}.") and not key.startswith(f"{base}.pooler."))

    strange = [key for key in report["unexpected_keys"] if key.endswith("weight")]  # others are masks, bases
    wrong_size = [key for key, *_ in report["mismatched_keys"]]
    for keys, told in (
        (report["missing_keys"], "its weights lack"),
        (wrong_size, "config.json gives another size to"),
        (strange, "config.json has no place for"),
    ):
        if found := sorted(filter(matters, keys)):
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise ValueError(f"{told} {', '.join(found[:3])}{more}")
    return any(not key.startswith(f"{base}.") for key in (*report["missing_keys"], *wrong_size))


def check_tokenizer(model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    highest, rows = max(tokenizer.get_vocab().values()), model.get_input_embeddings().weight.shape[0]
    if highest >= rows:
        raise ValueError(f"its tokenizer has {highest + 1} tokens and its embedding only {rows}")


@torch.inference_mode()
def _check_causal(model: Any) -> None:
    """What follows a token must not move its logits: an encoder loads as a causal model and is none."""
    rows = torch.tensor([[0, 0, 0, 0], [0, 1, 1, 1]], device=model.device)
    one, other = (
        model(input_ids=row[None], attention_mask=torch.ones_like(row[None])).logits[0, 0].float()
        for row in rows
    )
    rounding = torch.finfo(model.dtype).eps ** 0.5 * float(one.abs().max())
    if float((one - other).abs().max()) > rounding:
        raise ValueError(f"{type(model).__name__} reads the words after a token too: it is no causal model")


FILES = ("*.safetensors", "*.json", "*.txt", "*.model")
"""Weights, configuration and tokenizer."""
CODE = ("*.py",)
"""A model's own code."""


def model_folder(name: str, *, code: bool = False) -> Path:
    """The folder of a model's files, and of its own code if asked for; a hub's are fetched first."""
    from huggingface_hub import snapshot_download

    if Path(name).is_dir():
        return Path(name)
    source, revision = split_revision(name)
    try:
        return Path(
            snapshot_download(source, revision=revision, allow_patterns=[*FILES, *(CODE if code else ())])
        )
    except (OSError, ValueError) as e:
        raise cannot_load(name, e) from e


def has_code(e: Exception) -> bool:
    """Whether a model was refused since it comes with code of its own."""
    return "trust_remote_code" in str(e)


def cannot_load(name: str, e: Exception) -> UserError:
    if has_code(e):
        return UserError(
            f"model {name!r} comes with code of its own, which runs only with --trust-remote-code "
            "(trust_remote_code: true in a study); read it first"
        )
    first_line = str(e).strip().splitlines()[0].removesuffix(".")
    hint = "" if Path(name).exists() else "; a name of a hub, a folder, or embedded/symbols is needed"
    return UserError(f"cannot load model {name!r}: {first_line}{hint}")


def weights_hash(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().to(torch.float32).cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
