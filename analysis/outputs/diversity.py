"""How varied outputs are: those of one input (as pi(y|x) is), and one of every input (as the marginal is).

An input may have any number of outputs; its value, floor and ceiling are those of its own number, and a mean
over inputs weighs inputs alike. But floors fall with that number, so compare policies at one number.

Counted and left out, never 0: outputs without a word (they have no n-grams and no meaning; as outputs they do
count for `unique share` and for the entropies), and inputs that have fewer than two outputs left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.measured import Measured
from analysis.outputs.embedding import Encode, cosine_diversity
from analysis.outputs.entropies import entropies
from analysis.outputs.ngrams import ORDERS, Sets, Statistic, lengths_found, ngram_diversity, ngrams
from analysis.outputs.nli import Nli, nli_diversity
from analysis.outputs.self_bleu import self_bleu
from analysis.stage_schema import ACROSS, PER_INPUT
from analysis.statistics.resampling import bootstrap, finite, jackknife
from tasks.errors import UserError, seed_or_error, unknown

DIVERSITY = {
    "ead": "different n-grams over those expected of as many drawn uniformly; mean over n = 1 to 5",
    "distinct-n": "different n-grams over all n-grams; mean over n = 1 to 5",
    **{f"distinct-{n}": f"different n-grams over all, n = {n}" for n in ORDERS},
    "n-gram lengths": "n of 1 to 5 that an output is long enough for; `ead`, `distinct-n` are of those",
    "self-bleu": "sacrebleu of each output against the others, 0 to 100; LOWER is more diverse",
    "unique share": "different outputs over all outputs",
    "cosine": "1 - mean cosine of two outputs' encodings",
    "nli": "contradiction less entailment of two outputs, both ways, -2 to 2",
    "entropy": "entropy given the input, nats: -mean log-probability of outputs",
    "marginal entropy": "entropy over inputs, nats: -mean log of the probability averaged over inputs",
    "information": "nats that an output tells of its input: the difference of these two",
    "ead (kirk2024)": "as published: 50,257 words whatever the text, 0 for a length without n-grams",
}  # fmt: skip
"""Measures and what they are."""
BY_LENGTH = {f"distinct-{n}": n for n in ORDERS}
FROM_PROBABILITIES = {
    "entropy": "log_probs",
    "marginal entropy": "mixture",
    "information": "log_probs` and `mixture",
}
KIRK = "ead (kirk2024)"
KIRK_VOCABULARY = 50_257
"""That of GPT-2, though what is counted are words: Kirk et al. (2024), published code."""


@dataclass(frozen=True)
class _Outputs:
    """All outputs of all inputs."""

    texts: list[str]
    input: Sets
    first: NDArray[np.bool_]
    """[texts]: whether it is its input's first."""
    wordless: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    """[inputs]: outputs of each."""


def diversity(
    outputs: Sequence[Sequence[str]],
    *,
    measures: Sequence[str] | None = None,
    vocabulary: int | None = None,
    encode: Encode | None = None,
    nli: Nli | None = None,
    log_probs: Sequence[Sequence[float]] | None = None,
    mixture: Sequence[float] | None = None,
    compat: str = "",
    seed: int = 0,
    resamples: int = 1000,
) -> list[Measured]:
    """Measures of `DIVERSITY`, each per input and across inputs, with intervals over inputs.

    `outputs[i]` are those of input i. Across inputs is of the first output of each. Without `measures`, all
    that need no more than is given. Words are what whitespace parts, n-grams cross no output.

    `vocabulary`: the words that there could be, V, of which n in a row can be V^n; without it the different
    words of all outputs given, which differ from policy to policy: to compare policies give one for all.
    `encode`, `nli`: see `analysis.outputs.encoders`. `log_probs[i][k]` is that of output k given input i, in
    nats; `mixture[i]` the log of the probability of input i's first output, averaged over all inputs as
    given. `compat="kirk2024"` adds that paper's variants.

    Intervals: per input, bootstrap of inputs; across inputs a jackknife, in which no input stands twice.
    Floor and ceiling: what identical outputs would have, and outputs of the same lengths that share nothing;
    of self-BLEU the floor is the larger number. `outputs` and `left_out` add up to the outputs given, with
    one for each input that has none.

    References:
        Kirk et al. (2024). Understanding the effects of RLHF on LLM generalisation and diversity. ICLR.
    """
    if resamples < 1:
        raise UserError(f"resamples: must be 1 or more, not {resamples}")
    given = _read(outputs)
    known = entropies(given.sizes.tolist(), log_probs, mixture, seed_or_error(seed), resamples)
    missing = {
        **({} if encode else {"cosine": "an encoder, `encode`"}),
        **({} if nli else {"nli": "an NLI model, `nli`"}),
        **{name: f"`{what}`" for name, what in FROM_PROBABILITIES.items() if name not in known},
    }
    if compat not in ("", "kirk2024"):
        raise unknown("compat", compat, ["kirk2024"])
    if measures is None:
        measures = [name for name in DIVERSITY if name not in (*missing, *BY_LENGTH, KIRK)]
    found = []
    for name in dict.fromkeys([*measures, *([KIRK] if compat else [])]):
        if name not in DIVERSITY:
            raise unknown("measure of diversity", name, DIVERSITY)
        if name in missing:
            raise UserError(f"measure {name!r} needs {missing[name]}")
        if name in known:
            found += known[name]
            continue
        of_scope = {scope: _sets(given, scope, name) for scope in (PER_INPUT, ACROSS)}
        if name == "cosine" and encode:
            statistic = cosine_diversity(given.texts, encode)
        elif name == "nli" and nli:
            statistic = nli_diversity(given.texts, nli, list(of_scope.values()), seed)
        else:
            statistic = _counting(name, given.texts, vocabulary)
        found += [
            _measured(name, scope, statistic, sets, given, seed, resamples)
            for scope, sets in of_scope.items()
        ]
    return found


def vocabulary_of(*outputs: Sequence[Sequence[str]]) -> int:
    """Different words of the outputs of some policies, as one vocabulary for all of them."""
    return len({word for each in outputs for texts in each for text in texts for word in text.split()})


def _read(outputs: Sequence[Sequence[str]]) -> _Outputs:
    for i, each in enumerate(outputs):
        if isinstance(each, str):
            raise UserError(f"outputs of input {i} are one string; a list of strings is needed")
    texts = [text for each in outputs for text in each]
    if not texts:
        raise UserError("there are no outputs; give at least one")
    sizes = np.array([len(each) for each in outputs])
    return _Outputs(
        texts,
        np.repeat(np.arange(len(outputs)), sizes),
        np.concatenate([np.arange(size) == 0 for size in sizes]),
        np.array([not text.split() for text in texts]),
        sizes,
    )


def _sets(given: _Outputs, scope: str, name: str) -> Sets:
    """The set that a scope puts each output into: -1 for those that a measure leaves out."""
    sets = given.input if scope == PER_INPUT else np.where(given.first, 0, -1)
    if name == KIRK:
        return sets
    if name != "unique share":
        sets = np.where(given.wordless, -1, sets)
    sizes = np.bincount(sets[sets >= 0], minlength=len(given.sizes))
    return np.where((sets >= 0) & (sizes[sets] >= 2), sets, -1)


def _counting(name: str, texts: Sequence[str], vocabulary: int | None) -> Statistic:
    """A measure that needs no more than texts."""
    if name == "self-bleu":
        return self_bleu(texts)
    if name == "unique share":
        return ngram_diversity(ngrams([[text] for text in texts], 1), {1: math.inf})
    if name == KIRK:
        words = [text.replace(".", "").replace("\n", "").split() for text in texts]
        return ngram_diversity(ngrams(words), dict.fromkeys(ORDERS, KIRK_VOCABULARY), absent=0.0)
    orders = ngrams([text.split() for text in texts])
    if name == "n-gram lengths":
        return lengths_found(orders)
    if name == "ead":
        seen = max(1, vocabulary_of([texts]))
        if vocabulary is not None and vocabulary < seen:
            raise UserError(f"vocabulary: {vocabulary} is too small; the outputs have {seen} different words")
        return ngram_diversity(orders, {n: float(vocabulary or seen) ** n for n in ORDERS})
    asked = [BY_LENGTH[name]] if name in BY_LENGTH else ORDERS
    return ngram_diversity(orders, dict.fromkeys(asked, math.inf))


def _measured(
    name: str, scope: str, statistic: Statistic, sets: Sets, given: _Outputs, seed: int, resamples: int
) -> Measured:
    count = len(given.sizes) if scope == PER_INPUT else 1
    table = statistic(sets, count)
    there = np.isfinite(table[0]) & (np.bincount(sets[sets >= 0], minlength=count) > 0)
    kept = np.flatnonzero((sets >= 0) & there[sets])
    if scope == PER_INPUT:
        low, high = bootstrap(table[0, there], resamples, seed)
    else:

        def of(some: NDArray[np.bool_]) -> float:
            part = np.full_like(sets, -1)
            part[kept[some]] = 0
            return float(statistic(part, 1)[0, 0])

        low, high = jackknife(of, len(kept), seed)
    asked = len(given.texts) if scope == PER_INPUT else int(given.first.sum())
    value, floor, ceiling = (float(row[there].mean()) if there.any() else math.nan for row in table)
    return Measured(
        measure=name,
        scope=scope,
        value=finite(value),
        low=finite(low),
        high=finite(high),
        floor=finite(floor),
        ceiling=finite(ceiling),
        n=int(there.sum()) if scope == PER_INPUT else len(kept),
        outputs=len(kept),
        left_out=asked - len(kept) + int((given.sizes == 0).sum()),
    )
