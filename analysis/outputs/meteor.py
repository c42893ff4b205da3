"""METEOR between outputs to different inputs: high where a model says the same whatever it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from analysis.measured import Measured
from analysis.outputs.between_inputs import Places, pair_mean, pairs_between
from tasks.errors import UserError

PAIRS = 20_000
"""Pairs of outputs that are looked at, at most."""
SUPERHF = "superhf2023"
SUPERHF_PAIRS = 128
"""Pairs a data set, of the published charts the most."""
INDEX = "index.noun"
"""A file that every WordNet folder has."""

Report = Callable[[str, int, int], None]


def meteor_similarity(
    outputs: Sequence[Sequence[str]],
    *,
    wordnet: str | Path | None = None,
    pairs: int = PAIRS,
    compat: str = "",
    seed: int = 0,
    report: Report | None = None,
) -> Measured:
    """Mean METEOR of pairs of outputs to two different inputs, both directions averaged.

    Every pair of inputs counts alike, however many outputs they have. Empty outputs are left out and counted.
    All pairs are taken, or `pairs` drawn without replacement. The interval is a jackknife over inputs (see
    `pair_mean`). The floor is 0: no word in common; the ceiling is what outputs would have that repeat each
    other, which is a little less than 1 for short ones.

    compat="superhf2023": the first output of each input, 128 pairs drawn with replacement, and an empty
    output scores 0.

    Args:
        wordnet: folder with WordNet's files, or one of NLTK's data with it; without it there are no synonyms,
            and the measure says so in its name.

    References:
        A. Lavie, A. Agarwal (2007), METEOR: an automatic metric for MT evaluation.
        Mukobi et al. (2023), SuperHF: supervised iterative learning from human feedback, arXiv 2310.16763.
    """
    published = compat == SUPERHF
    rows = [
        (number, text)
        for number, texts in enumerate(outputs)
        for text in (texts[:1] if published else texts)
        if published or text.split()
    ]
    inputs = np.array([number for number, _ in rows], int)
    texts = [text for _, text in rows]
    rng = np.random.default_rng(seed)
    counts = np.bincount(inputs) if len(inputs) else inputs
    n = int((counts > 0).sum())
    if published and n > 1:
        left = rng.integers(n, size=SUPERHF_PAIRS)
        right = (left + rng.integers(1, n, size=SUPERHF_PAIRS)) % n
    else:
        left, right = pairs_between(inputs, pairs, rng)
    score, distinct = scorer(texts, wordnet)
    scores, most = np.empty(len(left)), np.empty(len(left))
    for i, (a, b) in enumerate(zip(distinct[left].tolist(), distinct[right].tolist(), strict=True)):
        scores[i], most[i] = score(a, b), (score(a, a) + score(b, b)) / 2
        if report is not None and (i % 500 == 0 or i + 1 == len(left)):
            report("METEOR", i + 1, len(left))
    weights = 1 / (counts[inputs[left]] * counts[inputs[right]])
    value, low, high = pair_mean(scores, weights, inputs[left], inputs[right])
    found = len(scores) > 0
    ceiling = float(np.average(most, weights=weights)) if found else None
    variants = ([] if wordnet else ["exact + stem"]) + ([SUPERHF] if published else [])
    return Measured(
        measure="METEOR" + (f" ({', '.join(variants)})" if variants else ""),
        scope="across inputs",
        value=value if found else None,
        low=None if np.isnan(low) else max(low, 0.0),
        high=None if ceiling is None or np.isnan(high) else min(high, ceiling),
        floor=0.0,
        ceiling=ceiling,
        n=n,
        outputs=len(texts),
        left_out=sum(len(several) for several in outputs) - len(texts),
    )


def scorer(
    texts: Sequence[str], wordnet: str | Path | None = None
) -> tuple[Callable[[int, int], float], Places]:
    """A function of the numbers of two distinct texts, and the number of each text.

    It is the mean of both directions of NLTK's METEOR. Each distinct text is taken apart once, each distinct
    word stemmed and looked up once, each pair of distinct texts scored once.
    """
    from nltk.stem.porter import PorterStemmer
    from nltk.translate.meteor_score import single_meteor_score

    known: dict[str, int] = {}
    numbers = [known.setdefault(text, len(known)) for text in texts]
    words = [text.lower().split() for text in known]
    # Words are in lower case already, as NLTK would make them.
    stemmer: Any = SimpleNamespace(stem=cache(PorterStemmer().stem))
    synonyms: Any = SimpleNamespace(synsets=cache(_reader(wordnet).synsets) if wordnet else lambda word: ())

    def one_way(a: int, b: int) -> float:
        found: float = single_meteor_score(
            words[a], words[b], preprocess=str, stemmer=stemmer, wordnet=synonyms
        )
        return found

    both_ways = cache(lambda a, b: (one_way(a, b) + one_way(b, a)) / 2)
    return lambda a, b: both_ways(min(a, b), max(a, b)), np.array(numbers, np.intp)


def _reader(folder: str | Path) -> Any:
    """NLTK's reader of the WordNet in a folder, or below one of NLTK's data."""
    import warnings

    import nltk
    from nltk.corpus.reader.wordnet import WordNetCorpusReader

    class OneLanguage(WordNetCorpusReader):  # type: ignore[misc]
        """A reader that looks for no second WordNet, which other languages would need."""

        def map_wn(self, version: str = "") -> None:
            return None

    places = [Path(folder), *(Path(folder) / below for below in ("wordnet", "corpora/wordnet"))]
    for place in places:
        if (place / INDEX).is_file():
            nltk.data.path.append(str(place.resolve()))  # it reads from no other folder
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it has no other languages
                return OneLanguage(str(place.resolve()), None)
    raise UserError(f"{folder}: no WordNet there; a folder with {INDEX}, or NLTK's data with corpora/wordnet")
