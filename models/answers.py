"""What a model answers: the log-probabilities of candidate answers after a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from models.language_model import ACTIONS, LanguageModel, decoder_prefix, most_tokens, writes
from tasks.errors import UserError


def prompt_ids(lm: LanguageModel, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of each prompt, none of them unknown."""
    return readable_ids(lm.model, lm.tokenizer, prompts, lm.name)


def cut_ids(model: Any, tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of any texts: cut to what the model can take, unknown words as the tokenizer has them."""
    limit = most_tokens(model)
    options = {} if limit is None else {"truncation": True, "max_length": limit}
    return _ids(tokenizer, texts, model.name_or_path or type(model).__name__, **options)


def readable_ids(model: Any, tokenizer: Any, prompts: Sequence[str], name: str = "") -> list[list[int]]:
    """Token ids of each prompt: at least one, none of them unknown, no more than the model can take."""
    name = name or model.name_or_path or type(model).__name__
    ids = _ids(tokenizer, prompts, name)
    lengths = [len(row) for row in ids]
    if not all(lengths):
        raise UserError(f"{name}: prompt {lengths.index(0)} is an empty prompt, which has no last position")
    limit = most_tokens(model)
    if limit is not None and lengths and max(lengths) > limit:
        longest = lengths.index(max(lengths))
        raise UserError(
            f"{name}: prompt {longest} has {max(lengths)} tokens; the model takes at most {limit}"
        )
    unknown = _unknown(tokenizer)
    if unknown not in (None, tokenizer.bos_token_id, tokenizer.eos_token_id):
        for prompt, tokens in zip(prompts, ids, strict=True):
            if unknown in tokens:
                raise UserError(f"{name}: its tokenizer does not know every word of the prompt {prompt!r}")
    return ids


def _unknown(tokenizer: Any) -> int | None:
    """The token of words that a tokenizer does not know, also where only its core says which it is."""
    core = getattr(getattr(tokenizer, "backend_tokenizer", None), "model", None)
    token = tokenizer.unk_token or getattr(core, "unk_token", None)
    found: int | None = tokenizer.get_vocab().get(token)
    return found


def _ids(tokenizer: Any, texts: Sequence[str], name: str, **options: Any) -> list[list[int]]:
    try:
        ids: list[list[int]] = tokenizer(list(texts), **options)["input_ids"]
    except Exception as e:
        if type(e) is not Exception:  # the type that tokenizers raises for a word it has no token for
            raise
        raise UserError(f"{name}: its tokenizer cannot read {' or '.join(map(repr, texts[:2]))}: {e}") from e
    return ids


def answer_ids(lm: LanguageModel, answers: Sequence[str]) -> list[list[int]]:
    """Token ids of each answer as it follows a prompt. Two answers must differ; none may be unknown.

    To an encoder an answer is an action, by its number.
    """
    if not writes(lm.model):
        if len(answers) != ACTIONS:
            raise UserError(f"{lm.name} writes no words, and its action head knows {ACTIONS} answers")
        return [[i] for i in range(ACTIONS)]
    ids = _ids(lm.tokenizer, [" " + a for a in answers], lm.name, add_special_tokens=False)
    unknown = _unknown(lm.tokenizer)
    for answer, tokens in zip(answers, ids, strict=True):
        if not tokens or (unknown is not None and unknown in tokens):
            raise UserError(f"{lm.name}: its tokenizer does not know the answer word {answer!r}")
    if len({tuple(t) for t in ids}) < len(ids):
        raise UserError(f"{lm.name}: its tokenizer cannot tell the answers {', '.join(answers)} apart")
    return ids


def pad(rows: Sequence[Sequence[int]], value: int = 0) -> tuple[Tensor, Tensor]:
    """Right-padded token ids and attention mask."""
    width = max(len(r) for r in rows)
    ids = torch.full((len(rows), width), value)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def left_pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Left-padded token ids, attention mask and position ids."""
    ids, mask = (t.flip(1) for t in pad([list(reversed(r)) for r in rows]))
    return ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0)


def prompted(model: Any, rows: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """Inputs of an encoder, padded on the right; an encoder-decoder's decoder stands before its answer."""
    padding = model.config.pad_token_id or 0  # RoBERTa tells positions from it
    ids, mask = (t.to(model.device) for t in pad(rows, padding))
    inputs = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids.new_tensor([decoder_prefix(model)]).repeat(len(rows), 1)
    return inputs


def next_token_logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Logits [rows, vocabulary] of the token after each row; one pass, the head at the last place alone.

    Of an encoder, the logits of its actions. In float32, whatever the model's type.
    """
    if not writes(model):
        actions: Tensor = model(**prompted(model, rows)).logits.float()
        return actions
    if model.config.is_encoder_decoder:
        first: Tensor = model(**prompted(model, rows), use_cache=False).logits[:, -1].float()
        return first
    if len({len(r) for r in rows}) == 1:
        inputs = {"input_ids": torch.tensor(rows, device=model.device)}
    else:
        ids, mask, positions = (t.to(model.device) for t in left_pad(rows))
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    logits: Tensor = model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1].float()
    return logits


def completion_log_probs(
    model: Any, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token log-probabilities along each row, in nats, and where its completion is predicted.

    [rows, places, vocabulary]; those of the tokens that do follow, [rows, places]; a mask [rows, places].
    """
    if model.config.is_encoder_decoder:
        inputs = prompted(model, prompts)
        ids, mask = (t.to(model.device) for t in pad(completions))
        inputs["decoder_input_ids"] = torch.cat([inputs["decoder_input_ids"], ids[:, :-1]], dim=1)
        said = model(**inputs, use_cache=False).logits[:, -ids.shape[1] :].float().log_softmax(-1)
        return said, said.gather(2, ids[:, :, None]).squeeze(2), mask.bool()
    rows = [list(p) + list(c) for p, c in zip(prompts, completions, strict=True)]
    ids, mask = (t.to(model.device) for t in pad(rows))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1]
    log_probs = logits.float().log_softmax(-1)
    taken = log_probs.gather(2, ids[:, 1:, None]).squeeze(2)
    start = torch.tensor([len(p) for p in prompts], device=ids.device)[:, None] - 1
    place = torch.arange(taken.shape[1], device=ids.device)[None]
    return log_probs, taken, (place >= start) & mask[:, 1:].bool()


def sequence_log_probs(
    model: Any, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> Tensor:
    """Log-probability [rows] of each completion after its prompt, summed over its tokens, in nats."""
    _, taken, inside = completion_log_probs(model, prompts, completions)
    return (taken * inside).sum(dim=1)


def answer_log_probs(
    model: Any, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
) -> Tensor:
    """Log-probability [rows, answers] of each answer after each prompt, in nats, not renormalised."""
    if all(len(a) == 1 for a in answers):
        log_probs: Tensor = next_token_logits(model, prompts).log_softmax(-1)
        return log_probs[:, [a[0] for a in answers]]
    each = [sequence_log_probs(model, prompts, [a] * len(prompts)) for a in answers]
    return torch.stack(each, dim=1)


@torch.inference_mode()
def score_answers(
    lm: LanguageModel, prompts: Sequence[str], answers: Sequence[str], batch_size: int = 512
) -> Tensor:
    """Scores of candidate answers [prompts, answers]: the one function that measures any model."""
    ids, candidates = prompt_ids(lm, prompts), answer_ids(lm, answers)
    scores = [answer_log_probs(lm.model, part, candidates).cpu() for part in chunks(ids, batch_size)]
    return measured(lm, torch.cat(scores))


def measured(lm: LanguageModel, scores: Tensor) -> Tensor:
    """Scores of a model as they are; NaNs, which would be counted as answers, are refused."""
    if scores.isnan().any():
        raise UserError(f"{lm.name}: its answers' scores are NaN; check the model's weights and dtype")
    return scores


def chunks(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
