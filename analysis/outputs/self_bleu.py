"""Self-BLEU: how much of each output the others of its set have too. Lower is more diverse."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from sacrebleu.metrics.bleu import BLEU, MAX_NGRAM_ORDER

from analysis.outputs.ngrams import Sets, Statistic, ngrams, of_longest


def self_bleu(texts: Sequence[str]) -> Statistic:
    """The mean of `sacrebleu.sentence_bleu` (0 to 100) of each text against all others of its set.

    Tokens, smoothing and brevity penalty are sacrebleu's defaults for sentences, and so is the result. Each
    text's n-grams are counted once: the most that any *other* text has of an n-gram is the set's largest
    count, or its second largest for the text that holds the largest.

    References:
        Zhu et al. (2018). Texygen. SIGIR. Post (2018). A call for clarity in reporting BLEU scores. WMT.
    """
    tokenizer = BLEU(effective_order=True).tokenizer
    tokens = [tokenizer(text.rstrip()).split() for text in texts]
    lengths = np.array([len(each) for each in tokens], np.int64)
    totals = np.stack([np.maximum(lengths - n, 0) for n in range(MAX_NGRAM_ORDER)], axis=1)
    text, gram, order, times = _counted(tokens)
    copies = np.array(
        [_bleu((*t,), (*t,), n, n) for t, n in zip(totals.tolist(), lengths.tolist(), strict=True)]
    )

    def of_sets(sets: Sets, count: int) -> NDArray[np.float64]:
        inside = sets[text] >= 0
        shared = _in_others(sets[text[inside]], gram[inside], times[inside])
        matched = np.zeros((len(texts), MAX_NGRAM_ORDER))
        np.add.at(matched, (text[inside], order[inside]), np.minimum(times[inside], shared))
        nearest = _nearest_lengths(lengths, sets, count)
        some = np.flatnonzero((sets >= 0) & (nearest >= 0))
        rows = zip(
            matched[some].astype(int).tolist(),
            totals[some].tolist(),
            lengths[some].tolist(),
            nearest[some].tolist(),
            strict=True,
        )
        scores = np.array([_bleu((*right,), (*all_,), own, other) for right, all_, own, other in rows])
        sizes = np.bincount(sets[some], minlength=count)
        with np.errstate(invalid="ignore"):
            value = np.bincount(sets[some], scores, minlength=count) / sizes
        nothing = _bleu((0,) * MAX_NGRAM_ORDER, (1,) * MAX_NGRAM_ORDER, 1, 1)
        return np.stack([value, of_longest(lengths, copies, sets, count), np.full(count, nothing)])

    return of_sets


@lru_cache(maxsize=2**16)
def _bleu(matched: tuple[int, ...], total: tuple[int, ...], length: int, reference: int) -> float:
    score = BLEU.compute_bleu(
        list(matched), list(total), length, reference, smooth_method="exp", effective_order=True
    )
    return float(score.score)


def _counted(
    tokens: Sequence[Sequence[str]],
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Each n-gram of each text once: its text, its number, its length less one, and how often it is there."""
    parts, shift = [], 0
    for n, each in ngrams(tokens, MAX_NGRAM_ORDER).items():
        kinds = int(each.gram.max(initial=0)) + 1
        found, times = np.unique(each.text * kinds + each.gram, return_counts=True)
        parts.append((found // kinds, found % kinds + shift, np.full(len(found), n - 1), times))
        shift += kinds
    text, gram, order, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    return text, gram, order, times


def _in_others(sets: Sets, gram: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each n-gram of each text, the most that another text of the set has of it."""
    by = np.lexsort((-times, gram, sets))
    same = (sets[by][1:] == sets[by][:-1]) & (gram[by][1:] == gram[by][:-1])
    first = np.r_[True, ~same] if len(by) else np.zeros(0, bool)
    at = np.flatnonzero(first)
    most = times[by][at][np.cumsum(first) - 1]
    second = np.zeros(len(by), times.dtype)
    held = np.flatnonzero(first & np.r_[same, False]) if len(by) else at
    second[held] = times[by][held + 1]
    others = np.empty(len(by), times.dtype)
    others[by] = np.where(first, second, most)
    return others


def _nearest_lengths(lengths: NDArray[np.int64], sets: Sets, count: int) -> NDArray[np.int64]:
    """Of each text, the nearest length of another text of its set, the smaller of two; -1 without another."""
    nearest = np.full(len(lengths), -1)
    inside = np.flatnonzero(sets >= 0)
    inside = inside[np.argsort(sets[inside], kind="stable")]
    ends = np.cumsum(np.bincount(sets[inside], minlength=count))[:-1]
    for members in np.split(inside, ends):
        if len(members) > 1:
            different, which, times = np.unique(lengths[members], return_inverse=True, return_counts=True)
            far = np.abs(different[:, None] - different)  # rising: the first of two is the smaller
            far[np.diag_indices(len(different))] = np.where(times > 1, 0, np.iinfo(far.dtype).max)
            nearest[members] = different[far.argmin(axis=1)][which]
    return nearest
