"""Seconds and memory of probing many features at all layers, beside a plain loop of scikit-learn.

    python -m benchmarks.probe_speed [--layers 12] [--width 768] [--compared 2] [--json]

A GPT-2 of random weights reads symbol rows; features of the catalogue, and shuffled controls of each, are
probed at the embedding and after every block. The loop fits the same features, controls, layers, blocks and
penalties one after the other; as it takes long it does only the first features, with their controls, of the
layers `--compared`, and is compared with the time of those layers, all features' share. Both must agree on
every column's bits within `--agree`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.machine import one_thread
from benchmarks.ratio import Ratio, alone, side_by_side
from models.corpus import Corpus
from models.embedded import tokenizer_of
from probes import STRENGTHS, Predictor, linear, prequential, representations, standardised
from tasks.symbols.catalogue import catalogue
from tasks.symbols.draw import draw
from tasks.symbols.pairs import symbol_words

FASTER = 20.0
"""Times faster than scikit-learn, at the least, at the size of the README."""
EXTRACTION = 1.2
"""Times the forward pass."""


def scikit_learn_loop(strengths: Sequence[float], tol: float) -> Predictor:
    """scikit-learn, one penalty and one column after the other."""

    def predict(
        X: NDArray[np.floating], Y: NDArray[np.int64], X_next: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        log_odds = np.zeros((len(strengths), len(X_next), Y.shape[1]))
        converged = np.ones(Y.shape[1], dtype=bool)
        for i, l2 in enumerate(strengths):
            for j, y in enumerate(Y.T):
                if y.min() < y.max():
                    fit = LogisticRegression(C=1 / l2, max_iter=10_000, tol=tol).fit(X, y)
                    log_odds[i, :, j] = fit.decision_function(X_next)
                    converged[j] &= fit.n_iter_[0] < 10_000
        return log_odds, converged

    return predict


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of both, their ratio, and the largest relative difference in a column's bits."""
    rng = np.random.default_rng(0)
    rows = draw([], args.n, rng, vocabulary=16, length=8)
    of_all = list(catalogue().values())
    features = [of_all[i] for i in np.linspace(0, len(of_all) - 1, args.features).astype(int)]
    truth = np.stack([feature.holds(rows) for feature in features], axis=1).astype(np.int64)
    orders = [rng.permutation(args.n) for _ in range(args.shuffles)]
    shuffled = np.stack([truth, *(truth[order] for order in orders)], axis=2)  # rows, features, 1 + shuffles
    labels = shuffled.reshape(args.n, -1)
    tokenizer = tokenizer_of(Corpus())
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=32, n_embd=args.width, n_layer=args.layers,
        n_head=args.width // 64, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    words = np.array(symbol_words(16))
    prompts = [" ".join(words[row]) + " ?" for row in rows]
    few = prompts[: args.timed]
    forward = _seconds(lambda: _forward(model, tokenizer, few))
    extract = _seconds(lambda: representations(model, tokenizer, few, "all"))
    peak = {layers: _peak(model, tokenizer, few, layers) for layers in ("last", "all")}
    states = {k: standardised(v) for k, v in representations(model, tokenizer, prompts, "all").items()}
    probe = {}
    bits = {}
    for layer, X in states.items():
        start = time.process_time()
        curves = prequential(X, labels, linear(STRENGTHS))
        probe[layer] = time.process_time() - start
        bits[layer] = np.array([curve.bits_unmixed for curve in curves])
    compared = [list(states)[i] for i in np.linspace(0, len(states) - 1, args.compared).astype(int)]
    some = args.first * (1 + args.shuffles)
    loop, apart = 0.0, 0.0
    for layer in compared:
        start = time.process_time()
        curves = prequential(states[layer], labels[:, :some], scikit_learn_loop(STRENGTHS, args.tol))
        loop += time.process_time() - start
        theirs = np.array([curve.bits_unmixed for curve in curves])
        apart = max(apart, float(np.abs(bits[layer][:some] / theirs - 1).max()))
    share = args.first / args.features
    return {
        "width": args.width,
        "layers": len(states),
        "features": args.features,
        "columns": labels.shape[1] * len(states),
        "n": args.n,
        "probe_all_layers_s": sum(probe.values()),
        "compared_layers": " ".join(map(str, compared)),
        "probe_of_these_s": sum(probe[layer] for layer in compared) * share,
        "scikit_learn_of_these_s": loop,
        "times_faster": loop / (sum(probe[layer] for layer in compared) * share),
        "largest_relative_difference_in_bits": apart,
        "timed_prompts": len(few),
        "forward_s": forward,
        "extract_all_layers_s": extract,
        "extract_by_forward": extract / forward,
        "peak_tensors_MB_last_layer": peak["last"],
        "peak_tensors_MB_all_layers": peak["all"],
    }


@torch.inference_mode()
def _forward(model: Any, tokenizer: Any, prompts: Sequence[str], batch_size: int = 256) -> None:
    """The bare forward pass over the same batches."""
    for start in range(0, len(prompts), batch_size):
        ids = tokenizer(prompts[start : start + batch_size], return_tensors="pt")["input_ids"]
        model.transformer(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)


def _seconds(work: Any, repeats: int = 3) -> float:
    """Best of a few."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def _peak(model: Any, tokenizer: Any, prompts: Sequence[str], layers: str) -> float:
    """Most megabytes of tensors alive at once while prompts are read, above what was before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        representations(model, tokenizer, prompts, layers)
    alive = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            alive += event.nbytes()
            most = max(most, alive)
    return most / 1e6


def ratios(*, quick: bool) -> list[Ratio]:
    """The probe beside scikit-learn, bits beside its bits, and extraction beside a forward pass."""
    sizes = "--width 128 --layers 2 --features 4 --n 500 --shuffles 3 --timed 100"
    args = arguments().parse_args(sizes.split() if quick else ["--compared", "3", "--timed", "100"])
    found = measure(args)
    apart = found["largest_relative_difference_in_bits"]
    theirs, ours = found["scikit_learn_of_these_s"], found["probe_of_these_s"]
    name = f"probes of {args.compared} layers of width {args.width}"
    read = found["extract_all_layers_s"], found["forward_s"]
    return [
        side_by_side(
            name, [ours], "scikit-learn", [theirs], None if quick else FASTER, "s", times_better=True
        ),
        alone("largest difference from its bits", [100 * apart], 100 * args.agree, "%"),
        side_by_side("extraction", [read[0]], "forward pass", [read[1]], EXTRACTION, "s"),
    ]


def arguments() -> argparse.ArgumentParser:
    """What one may ask for."""
    parser = argparse.ArgumentParser(description="probes of many features and layers, beside scikit-learn")
    parser.add_argument("--width", type=int, default=768, help="width of the representations")
    parser.add_argument("--layers", type=int, default=12, help="blocks; the embedding is probed too")
    parser.add_argument("--features", type=int, default=12, help="features probed")
    parser.add_argument("--n", type=int, default=2000, help="labels coded")
    parser.add_argument("--shuffles", type=int, default=9, help="shuffled controls per feature")
    parser.add_argument("--timed", type=int, default=200, help="prompts of the extraction that is timed")
    parser.add_argument("--compared", type=int, default=2, help="layers that scikit-learn does too")
    parser.add_argument("--first", type=int, default=2, help="features that it does there")
    parser.add_argument("--tol", type=float, default=1e-5, help="scikit-learn's tolerance")
    parser.add_argument("--agree", type=float, default=0.005, help="largest relative difference in bits")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main() -> None:
    """Print the measurement; fail if the two sides' bits differ by more than they may."""
    args = arguments().parse_args()
    one_thread()
    result = measure(args)
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:36s} {value:.4g}" if isinstance(value, float) else f"{name:36s} {value}")
    if result["largest_relative_difference_in_bits"] > args.agree:
        raise SystemExit(f"the two sides disagree on the bits by more than {100 * args.agree:g} %")


if __name__ == "__main__":
    main()
