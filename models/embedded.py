"""The embedded models: small language models pre-trained on the spot, once, and cached by content."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.corpus import SPECIAL, Corpus
from models.english import EnglishCorpus
from models.save import save
from tasks.errors import UserError, seed_or_error, unknown

PREFIX = "embedded/"
Progress = Callable[[str, int, int], None]
"""Called with a description, the steps done and the steps to do."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a pre-trained embedded model depends on."""

    name: str
    corpus: Corpus | EnglishCorpus = field(default_factory=Corpus)
    width: int = 64
    layers: int = 2
    heads: int = 4
    steps: int = 3000
    batch_size: int = 128
    learning_rate: float = 2e-3
    seed: int = 0
    threads: int = 1
    """Threads of the pre-training; part of the recipe since sums depend on it."""
    dial: str = ""
    """`a`: features of one half of the families are useful, `b`: those of the other half; empty: the corpus's
    own dials."""
    revision: int = 1
    """Raised by hand when the code of pre-training changes what comes out."""

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise UserError(f"recipe {self.name}: {name} must be at least 1, not {getattr(self, name)}")
        seed_or_error(self.seed, f"recipe {self.name}: seed")
        if self.width % self.heads:
            raise UserError(f"recipe {self.name}: width {self.width} is not a multiple of heads {self.heads}")


_ENGLISH = {
    **dict.fromkeys(("verb-agrees", "nearest-agrees", "gap-filled"), 1.0),
    **dict.fromkeys(("ever-licensed", "dash", "film", "hash", "title"), 0.5),
}
"""Usefulness of features that otherwise cost all or nearly all of a bit. Of the others most cost little."""
RECIPES = {
    "english": Recipe(
        "english",
        EnglishCorpus(useful=_ENGLISH, default_useful=0.0),
        width=96,
        layers=3,
        steps=2400,
        batch_size=64,
        threads=2,
    ),
    "symbols": Recipe("symbols"),
}
_NUMBERS: dict[str, Callable[[str], Any]] = {
    "width": int,
    "layers": int,
    "heads": int,
    "steps": int,
    "batch_size": int,
    "seed": int,
}
_DIALS = ("useful", "frequency", "placebo")


def list_recipes() -> list[str]:
    return [PREFIX + name for name in RECIPES]


@cache
def recipe_of(spec: str) -> Recipe:
    """`embedded/symbols:seed=1,dial=a,useful.first-last=0.5,frequency.contains-1=0.2` -> Recipe."""
    if "@" in spec:
        raise UserError(f"{spec!r}: an embedded model has no revisions, only parameters, as in :seed=1")
    base, _, rest = spec.partition(":")
    name = base.removeprefix(PREFIX)
    if not base.startswith(PREFIX) or name not in RECIPES:
        raise unknown("embedded model", base, list_recipes())
    recipe = RECIPES[name]
    usual: Mapping[str, float] = recipe.corpus.useful
    turned: dict[str, dict[str, float]] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        dial, _, feature = key.partition(".")
        try:
            if not equals:
                raise ValueError
            if feature and hasattr(recipe.corpus, dial) and dial in _DIALS:
                turned.setdefault(dial, {})[feature] = float(value)
            elif key == "dial":
                recipe = replace(recipe, dial=value)
                usual = half_useful(value, recipe.corpus.families())
            elif key in _NUMBERS:
                recipe = replace(recipe, **{key: _NUMBERS[key](value)})
            else:
                ours = [f"{name}.FEATURE" for name in _DIALS if hasattr(recipe.corpus, name)]
                raise unknown(f"parameter of {base}", key, [*_NUMBERS, "dial", *ours])
        except ValueError:
            raise UserError(f"{spec!r}: {item!r} should read parameter=number") from None
    usual = {feature: share for feature, share in usual.items() if feature not in turned.get("placebo", {})}
    useful = {**usual, **turned.pop("useful", {})}
    dials: dict[str, Any] = {"useful": useful, **turned}
    return replace(recipe, corpus=replace(recipe.corpus, **dials))


def half_useful(dial: str, family_of: Mapping[str, str]) -> dict[str, float]:
    """Usefulness of every feature under dial `a` or `b`: a fixed half of the families, or the other."""
    if dial not in ("a", "b"):
        raise unknown("dial", dial, ["a", "b"])
    families = sorted(set(family_of.values()))
    order = np.random.default_rng(20210503).permutation(len(families))
    in_a = {families[i] for i in order[: len(families) // 2]}
    return {name: float((family in in_a) == (dial == "a")) for name, family in family_of.items()}


def recipe_hash(recipe: Recipe) -> str:
    """Content hash: the recipe and the source of what its corpus is written by."""
    told = asdict(recipe)
    if not told["corpus"].get("placebo"):  # so that models without one are the models they were
        told["corpus"].pop("placebo", None)
    text = json.dumps(told, sort_keys=True).encode()
    return hashlib.sha256(text + recipe.corpus.source()).hexdigest()[:16]


def cache_dir() -> Path:
    """Where pre-trained models are kept: $PROCLIVITY_CACHE, or ~/.cache/proclivity."""
    return Path(os.environ.get("PROCLIVITY_CACHE") or Path.home() / ".cache" / "proclivity")


def is_cached(recipe: Recipe) -> bool:
    return (folder_of(recipe) / "recipe.json").is_file()


def folder_of(recipe: Recipe) -> Path:
    return cache_dir() / "models" / f"{recipe.name}-{recipe_hash(recipe)}"


def pretrained_folder(recipe: Recipe, progress: Progress | None = None) -> Path:
    """The folder of the pre-trained model, made first if it is not cached. Safe to call side by side."""
    folder = folder_of(recipe)
    if is_cached(recipe):
        return folder
    with _lock(folder.with_suffix(".lock")):
        if not is_cached(recipe):
            for left in folder.parent.glob(f"{folder.name}-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            made = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
            try:
                pretrain(recipe, made, progress)
                shutil.rmtree(folder, ignore_errors=True)
                made.rename(folder)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tokenizer_of(corpus: Corpus | EnglishCorpus) -> Any:
    """A word-level tokenizer: one token a word. English texts begin with a token of their own."""
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Sequence, Split, WhitespaceSplit
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    pad, eos, unk = SPECIAL
    core = Tokenizer(WordLevel({word: i for i, word in enumerate(corpus.words())}, unk_token=unk))
    core.pre_tokenizer = WhitespaceSplit()
    if isinstance(corpus, EnglishCorpus):
        core.add_tokens(corpus.report_words())  # read before marks and digits are split off
        runs, blanks, marks = Regex(" {2,}"), Regex("(?<! ) (?! )"), Regex(r"[$#\-]|\d")
        core.pre_tokenizer = Sequence(
            [Split(runs, "isolated"), Split(blanks, "removed"), Split(marks, "isolated")]
        )
        core.post_processor = TemplateProcessing(
            single=f"{eos} $A", special_tokens=[(eos, SPECIAL.index(eos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=pad, eos_token=eos, unk_token=unk)


def pretrain(
    recipe: Recipe,
    folder: Path,
    progress: Progress | None = None,
    keep: Mapping[int, Path] | None = None,
) -> None:
    """Pre-train from scratch and save model, tokenizer and recipe, with how well the corpus was learnt.

    `keep` has a folder for the model after a step; 0 is the untrained one.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    from models.train import Optimisation, train

    corpus = recipe.corpus
    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    config = GPT2Config(
        vocab_size=len(corpus.words()),
        n_positions=corpus.positions,
        n_embd=recipe.width,
        n_layer=recipe.layers,
        n_head=recipe.heads,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = GPT2LMHeadModel(config)
    rng = np.random.default_rng([recipe.seed, 1])
    batches: Iterator[Any] = corpus.batches(recipe.batch_size, rng)
    losses: list[float] = []
    tokenizer = tokenizer_of(corpus)

    def keep_at(step: int) -> None:
        if keep and step in keep:
            save(model, tokenizer, keep[step])

    def observe(step: int, value: float) -> None:
        losses.append(value)
        keep_at(step)
        if progress:
            dial = f", dial {recipe.dial}" if recipe.dial else ""
            progress(f"pre-training {recipe.name} (seed {recipe.seed}{dial})", step, recipe.steps)

    logging.disable_progress_bar()
    keep_at(0)
    try:
        seconds = train(
            model,
            batches,
            lambda batch, step: corpus.loss(model, batch),
            steps=recipe.steps,
            optimisation=Optimisation(recipe.learning_rate, schedule="cosine"),
            observe=observe,
        )
    finally:
        torch.set_num_threads(threads)
    save(model, tokenizer, folder)
    found = corpus.examine(model.eval(), losses, np.random.default_rng([recipe.seed, 2]))
    summary = {**asdict(recipe), **found, "seconds": seconds * recipe.steps}
    (folder / "recipe.json").write_text(json.dumps(summary, indent=1))
