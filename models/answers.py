"""What a model answers: the log-probabilities of candidate answers after a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from models.language_model import LanguageModel
from tasks.errors import UserError


def prompt_ids(lm: LanguageModel, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of each prompt, none of them unknown."""
    ids: list[list[int]] = lm.tokenizer(list(prompts))["input_ids"]
    if not all(ids):
        raise UserError(f"{lm.name}: an empty prompt has no last position")
    unknown = lm.tokenizer.unk_token_id
    if unknown not in (None, lm.tokenizer.bos_token_id, lm.tokenizer.eos_token_id):
        for prompt, tokens in zip(prompts, ids, strict=True):
            if unknown in tokens:
                raise UserError(f"{lm.name}: its tokenizer does not know every word of the prompt {prompt!r}")
    return ids


def answer_ids(lm: LanguageModel, answers: Sequence[str]) -> list[list[int]]:
    """Token ids of each answer as it follows a prompt. Two answers must differ; none may be unknown."""
    ids: list[list[int]] = lm.tokenizer([" " + a for a in answers], add_special_tokens=False)["input_ids"]
    unknown = lm.tokenizer.unk_token_id
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


def next_token_logits(model: Any, rows: Sequence[Sequence[int]]) -> Tensor:
    """Logits [rows, vocabulary] of the token after each row; one pass, the head at the last place alone."""
    if len({len(r) for r in rows}) == 1:
        inputs = {"input_ids": torch.tensor(rows, device=model.device)}
    else:
        ids, mask, positions = (t.to(model.device) for t in left_pad(rows))
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
    logits: Tensor = model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
    return logits


def completion_log_probs(
    model: Any, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token log-probabilities along each row, in nats, and where its completion is predicted.

    [rows, places, vocabulary]; those of the tokens that do follow, [rows, places]; a mask [rows, places].
    """
    rows = [list(p) + list(c) for p, c in zip(prompts, completions, strict=True)]
    ids, mask = (t.to(model.device) for t in pad(rows))
    log_probs = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].log_softmax(-1)
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
    return torch.cat([answer_log_probs(lm.model, part, candidates).cpu() for part in chunks(ids, batch_size)])


def chunks(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
