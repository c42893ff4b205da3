"""Whether runs in mixed precision, and runs stacked with others, come to what plain runs come to.

    OMP_NUM_THREADS=1 python -m benchmarks.precision_agreement [--json]

4 learnable pairs x 2 levels of evidence x 3 seeds, RLOO and SFT, each run three times: one by one in float32,
one by one with `bf16: true`, and in float32 stacked with the others of its method, which rounds otherwise and
so shows what rounding alone does. The rule, written down before it was first run: over runs paired by pair,
evidence and seed, the 90 % interval (Student's t) of the mean difference to plain runs lies within 0.1 of 0
for U (of runs learnt both ways) and within 0.05 for the reward on both and neither: "equivalent"; beyond it
on one side as a whole: "different"; else "cannot be told". Labels are counted beside it, not judged.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from proclivity.job import Config
from proclivity.jobs import prepare, validate_settings
from proclivity.replicas_job import run_together
from proclivity.run_job import run_tuning

MODEL = "embedded/symbols:steps=300"
PAIRS = ("first-class-vs-last-class", "last-class-vs-contains-1", "contains-1-vs-majority-class",
         "first-class-vs-contains-1")  # fmt: skip
EVIDENCE = (0.0, 0.2)
SEEDS = (0, 1, 2)
METHODS = ("rloo", "sft")
WITHIN = {"U": 0.1, "reward_both_neither": 0.05}
SETTINGS = {"steps": 100, "eval_n": 100, "log_points": 0, "counterfactual_n": 0}


def configs(**settings: Any) -> list[Config]:
    told = validate_settings({**SETTINGS, **settings}, "settings")
    return [
        {
            "job": "run",
            "study": "precision",
            "arm": "main",
            "model": MODEL,
            "init": "pretrained",
            "task": f"symbolic/{pair}",
            **dict.fromkeys(("seed_data", "seed_tune", "seed_warmup"), seed),
            "evidence_kind": "symmetric",
            "evidence_rate": rate,
            "method": method,
            "control": "",
            "settings": told,
        }
        for method, pair, rate, seed in product(METHODS, PAIRS, EVIDENCE, SEEDS)
    ]


def agreement(plain: Sequence[Any], other: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """A row a measure of records paired by their places."""
    for measure, most in WITHIN.items():
        pairs = [(a[measure], b[measure]) for a, b in zip(plain, other, strict=True)]
        gaps = np.array([b - a for a, b in pairs if a is not None and b is not None])
        half = stats.t.ppf(0.95, len(gaps) - 1) * gaps.std(ddof=1) / math.sqrt(len(gaps))
        low, high = gaps.mean() - half, gaps.mean() + half
        inside, outside = -most <= low and high <= most, low > most or high < -most
        yield {
            "measure": measure,
            "n": len(gaps),
            "mean": gaps.mean(),
            "low": low,
            "high": high,
            "largest": np.abs(gaps).max(),
            "within": most,
            "verdict": "equivalent" if inside else "different" if outside else "cannot be told",
            "equal_labels": f"{sum(a['label'] == b['label'] for a, b in zip(plain, other, strict=True))}"
            f" of {len(plain)}",
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    runs = configs()
    prepare(runs, None)
    stacks = [r for method in METHODS for r in run_together([c for c in runs if c["method"] == method])]
    assert all(not isinstance(result, Exception) for result in stacks)
    done = {
        "float32": [run_tuning(config).records[0] for config in runs],
        "bf16": [run_tuning(config).records[0] for config in configs(bf16=True)],
        "stacked": [result.records[0] for result in stacks if not isinstance(result, Exception)],
    }
    rows = [
        {"runs": name, "method": method, **row}
        for name in ("bf16", "stacked")
        for method in METHODS
        for row in agreement(*([r for r in done[n] if r["method"] == method] for n in ("float32", name)))
    ]
    if arguments.json:
        print(json.dumps(rows))
        return
    for row in rows:
        numbers = (
            f"{row['mean']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f}), largest {row['largest']:.3f}"
        )
        print(f"{row['runs']:8} {row['method']:5} {row['measure']:20} n={row['n']:2} {numbers}, ", end="")
        print(f"within {row['within']}: {row['verdict']}; labels equal {row['equal_labels']}")


if __name__ == "__main__":
    main()
