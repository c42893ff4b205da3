"""How far the codes agree on which features are easy: Spearman's rank correlation of their bits.

    OMP_NUM_THREADS=1 python benchmarks/code_agreement.py [--n 400] [--codes linear,mlp,variational] [--json]

Every feature is probed once, on the rows of a pair of symbolic features. Beside the kinds of probe stand the
published definitions, coded by the linear probe; they take half of the rows.
"""

from __future__ import annotations

import argparse
import json

from pandas import DataFrame

from proclivity.jobs import execute
from tasks import get_task, list_tasks

KINDS = "linear,mlp,variational,lovering2021,cruz2023,finetune"


def measure(model: str, n: int, codes: list[str]) -> DataFrame:
    """One row a feature, one column a code: bits per label, or the published MDL."""
    found: dict[str, dict[str, float]] = {}
    for task in pairs():
        for code in codes:
            published = code in ("lovering2021", "cruz2023")
            config = {
                "job": "probe",
                "model": model,
                "init": "pretrained",
                "task": task,
                "input": "model",
                "layers": "last",
                "probe": "linear" if published else code,
                "n": n,
                "shuffles": 1,
                "seed_probe": 0,
                "seed_data": 0,
                **({"compat": code} if published else {}),
            }
            for record in execute(config).records:
                bits = record["compat_mdl" if published else "bits_per_label"]
                found.setdefault(record["feature"], {})[code] = bits
    return DataFrame.from_dict(found, orient="index")


def pairs() -> list[str]:
    """Symbolic pairs as they come, no feature in two of them."""
    chosen, seen = [], set[str]()
    for name in list_tasks():
        if name.startswith("symbolic/"):
            features = {feature.name for feature in get_task(name).roles.values()}
            if not features & seen:
                chosen.append(name)
                seen |= features
    return chosen


def main() -> None:
    """Print the correlations, and the bits that they are of."""
    parser = argparse.ArgumentParser(description="how far the codes agree on which features are easy")
    parser.add_argument("--model", default="embedded/symbols", help="any model")
    parser.add_argument("--n", type=int, default=400, help="labels coded")
    parser.add_argument("--codes", default=KINDS, help=f"of {KINDS}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    bits = measure(args.model, args.n, args.codes.split(","))
    rank = bits.corr(method="spearman")
    if args.json:
        print(json.dumps({"bits": bits.to_dict(), "spearman": rank.to_dict()}))
    else:
        print(f"{len(bits)} features\n\n{rank.round(2)}\n\n{bits.round(3)}")


if __name__ == "__main__":
    main()
