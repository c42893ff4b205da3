"""Seconds of measuring diversity and METEOR, beside all pairs one by one, as it is often written.

    python -m benchmarks.diversity_speed [--inputs 500] [--outputs 16] [--json]

The naive way asks sacrebleu for each text against all others of its set, and encodes both texts of each pair.
It gives the values alone, ours the intervals, floors and ceilings too; the values must agree. METEOR is of
20,000 pairs drawn, the same ones both ways; the naive way calls NLTK with both texts of each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import sacrebleu
from nltk.translate.meteor_score import meteor_score

from analysis.measured import Measured
from analysis.outputs.between_inputs import pairs_between
from analysis.outputs.diversity import diversity
from analysis.outputs.embedding import Encode, hashed_ngrams
from analysis.outputs.meteor import PAIRS, meteor_similarity
from benchmarks.ratio import Ratio, alone, side_by_side

WORDS = 200
LIMIT = 60.0
"""Seconds of all that need no model, of 8,000 texts."""


def written(inputs: int, outputs: int) -> list[list[str]]:
    """Texts of 8 to 16 words, of which every input favours some."""
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(WORDS)])
    found = []
    for _ in range(inputs):
        likely = rng.dirichlet(np.full(WORDS, 0.2))
        found.append([" ".join(rng.choice(words, rng.integers(8, 17), p=likely)) for _ in range(outputs)])
    return found


def naive_self_bleu(texts: list[str]) -> float:
    scores = [
        sacrebleu.sentence_bleu(text, [*texts[:i], *texts[i + 1 :]]).score for i, text in enumerate(texts)
    ]
    return float(np.mean(scores))


def naive_cosine(texts: list[str]) -> float:
    cosines = []
    for a, b in combinations(texts, 2):
        one, other = hashed_ngrams([a])[0].astype(float), hashed_ngrams([b])[0].astype(float)
        cosines.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    return 1 - float(np.mean(cosines))


def measure(inputs: int, outputs: int) -> list[dict[str, Any]]:
    texts = written(inputs, outputs)
    rows = [
        beside(texts, "self-bleu", naive_self_bleu, None),
        beside(texts, "cosine", naive_cosine, hashed_ngrams),
    ]
    every = seconds(lambda: diversity(texts, encode=hashed_ngrams, compat="kirk2024"))
    rows.append(meteor(texts))
    return [*rows, {"measure": "all that need no model", "ours, s": every}]


def beside(
    texts: list[list[str]], name: str, naive: Callable[[list[str]], float], encode: Encode | None
) -> dict[str, Any]:
    """Seconds of one measure both ways, which must agree."""
    found: list[Measured] = []
    told: list[float] = []
    ours = seconds(lambda: found.extend(diversity(texts, measures=[name], encode=encode)))
    firsts = [each[0] for each in texts]
    theirs = seconds(lambda: told.extend([float(np.mean([*map(naive, texts)])), naive(firsts)]))
    difference = max(abs((m.value or 0) - v) for m, v in zip(found, told, strict=True))
    if difference > 1e-5:
        raise SystemExit(f"{name}: ours and the naive way differ by {difference}")
    return {"measure": name, "ours, s": ours, "naive, s": theirs, "naive / ours": theirs / ours}


def meteor(texts: list[list[str]]) -> dict[str, Any]:
    """Seconds of METEOR between inputs both ways, which must agree."""
    flat = [text for each in texts for text in each]
    inputs = np.repeat(np.arange(len(texts)), [len(each) for each in texts])
    no_synonyms = SimpleNamespace(synsets=lambda word: [])
    found: list[Measured] = []
    told: list[float] = []

    def naive() -> None:
        scores = []
        for i, j in zip(*pairs_between(inputs, PAIRS, np.random.default_rng(0)), strict=True):
            for a, b in ((i, j), (j, i)):
                scores.append(meteor_score([flat[a].split()], flat[b].split(), wordnet=no_synonyms))
        told.append(float(np.mean(scores)))

    ours, theirs = seconds(lambda: found.append(meteor_similarity(texts))), seconds(naive)
    if abs((found[0].value or 0) - told[0]) > 1e-9:
        raise SystemExit(f"METEOR: ours is {found[0].value}, the naive way's {told[0]}")
    return {"measure": found[0].measure, "ours, s": ours, "naive, s": theirs, "naive / ours": theirs / ours}


def seconds(do: Callable[[], object]) -> float:
    started = time.process_time()
    do()
    return time.process_time() - started


def ratios(*, quick: bool) -> list[Ratio]:
    """Each measure beside the naive way; all of them at the size for which there is a limit."""
    found = []
    for row in measure(*(40, 8) if quick else (500, 16)):
        if "naive, s" in row:
            ours, naive = [row["ours, s"]], [row["naive, s"]]
            found.append(
                side_by_side(row["measure"], ours, "pair by pair", naive, None, "s", times_better=True)
            )
        else:
            found.append(alone(row["measure"], [row["ours, s"]], LIMIT, "s"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--outputs", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.inputs, arguments.outputs)
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        print("  ".join(f"{k}: {v:.3g}" if isinstance(v, float) else f"{k}: {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
