"""Any text classifier of Hugging Face, as a function from texts to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from models.answers import chunks, pad
from models.language_model import cannot_load, check_report, check_tokenizer, has_code
from tasks.errors import UserError, unknown


@dataclass(frozen=True)
class TextClassifier:
    """The probability of one label, of each text by itself; 0.5 where a text is empty."""

    model: Any
    tokenizer: Any
    name: str
    label: int
    batch_size: int

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[float]:
        rows = self.tokenizer(list(texts), truncation=True)["input_ids"] if texts else []
        some = [i for i, row in enumerate(rows) if row and texts[i].strip()]
        out = [0.5] * len(rows)
        for part in chunks(some, self.batch_size):
            ids, mask = (
                t.to(self.model.device) for t in pad([rows[i] for i in part], self.tokenizer.pad_token_id)
            )
            logits = self.model(input_ids=ids, attention_mask=mask).logits.float()
            for i, p in zip(part, logits.softmax(dim=-1)[:, self.label].tolist(), strict=True):
                out[i] = p
        return out


def sentiment_scores(
    name: str,
    label: str = "POSITIVE",
    *,
    revision: str | None = None,
    device: str = "cpu",
    batch_size: int = 64,
) -> TextClassifier:
    """What `SentimentAnswers(positive=...)` takes, of a classifier by its hub name or folder.

    `label` is the one that is rewarded for label 1, as the model's configuration names it: "POSITIVE",
    "nothate", "LABEL_1". Safetensors only. A task with it is one file, given as `--include`:

        @task("mine/dollar-vs-hash-imdb")
        def imdb():
            pair = get_task("reviews/dollar-vs-hash:answers=sentiment")
            answers = replace(pair.answers, positive=sentiment_scores("lvwerra/distilbert-imdb"))
            return replace(pair, name="mine/dollar-vs-hash-imdb", answers=answers)
    """
    model, tokenizer = read_classifier(name, revision)
    labels = {str(v).lower(): int(k) for k, v in model.config.id2label.items()}
    if len(labels) < 2:
        raise UserError(f"{name}: a classifier of two labels or more is needed; this one has {len(labels)}")
    if model.config.problem_type == "multi_label_classification":
        raise UserError(
            f"{name}: its labels do not exclude each other, so that none has a probability beside the rest"
        )
    if label.lower() not in labels:
        raise unknown(f"label of {name}", label, list(model.config.id2label.values()))
    return TextClassifier(model.to(device).eval(), tokenizer, name, labels[label.lower()], batch_size)


def read_classifier(name: str, revision: str | None = None) -> tuple[Any, Any]:
    """A text classifier and its tokenizer, which has a padding token, of a hub's name or a folder."""
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(name, **options)
        read: Any = AutoModelForSequenceClassification.from_pretrained
        model, report = read(name, use_safetensors=True, output_loading_info=True, **options)
        check_report(report)
        check_tokenizer(model, tokenizer)
    except (OSError, ValueError) as e:
        if has_code(e):
            raise UserError(f"{name} comes with code of its own, which is never run for a classifier") from e
        raise cannot_load(name, e) from e
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UserError(f"{name}: its tokenizer has neither a padding nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer
