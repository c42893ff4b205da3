"""How often tests of H1b over models reject, where models are checkpoints of one training and all drifts.

    python benchmarks/models_in_order.py [--studies 400] [--json]

Pairs and number of models of `pythia-revisions-gpu`; robust errors and a permutation of models, without
an effect and with a latent correlation of 0.7, at a nominal 5 %.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.pairs.power import PLANTED
from analysis.pairs.power_over_models import rejects, simulated
from analysis.pairs.within_pairs import Cells, _sharing, _slopes, within_slope
from analysis.statistics.dyadic_errors import family_codes
from analysis.use import wilson
from proclivity.expand import written_out
from proclivity.study import load_study
from tasks import get_task

PERMUTATIONS = 499


def permuted(cells: Cells, seed: int) -> bool:
    value = within_slope(cells.x, cells.y, cells.pair, np.ones((1, len(cells.y))))[0]
    drawn = _slopes(cells, _sharing(cells), PERMUTATIONS, seed)
    return bool((1 + (np.abs(drawn) >= abs(value)).sum()) / (1 + PERMUTATIONS) <= 0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=400)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    study: Any = load_study("pythia-revisions-gpu")[0]
    tasks = [get_task(name) for name in study.pairs.list]
    rows = [("english", task.target.family, task.spurious.family) for task in tasks]
    codes = family_codes(DataFrame(rows, columns=["kind", "target_family", "spurious_family"]))
    models = len(written_out(study.models))
    found = []
    for effect in (0.0, PLANTED):
        rng = np.random.default_rng(0)
        studies = [simulated(*codes, models, effect, rng) for _ in range(arguments.studies)]
        for name, hits in (
            ("dyadic-robust", sum(map(rejects, studies))),
            ("permuted", sum(permuted(cells, i) for i, cells in enumerate(studies))),
        ):
            low, high = wilson(hits, len(studies))
            found.append(
                {"test": name, "effect": effect, "rejected": hits / len(studies), "low": low, "high": high}
            )
    print(json.dumps(found) if arguments.json else DataFrame(found).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
