"""Rows of a prediction that never ran, from the regression itself or with a planted defect."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from analysis.prediction.prediction import strength

METHODS = {"sft": (-0.1, -0.2), "rloo": (0.1, 0.2)}
"""What a method adds to the slope on x, and to that on s."""
TRUE = {"x": 1.4, "x s": -0.15, "s": -0.9, "s squared": 0.02}
SPREAD = {"family": 0.7, "model": 0.3, "pair": 1.2}


def rows(
    *, families: int = 24, pairs: int = 120, models: int = 4, levels: tuple[float, ...] = (0.0, 0.05, 0.2),
    dispersion: float = 0.3, seed: int = 0,
) -> pd.DataFrame:  # fmt: skip
    """Rows whose U follows the regression with `TRUE` and `SPREAD`."""
    rng = np.random.default_rng(seed)
    cost, pull = 1.2 * rng.normal(size=families), SPREAD["family"] * rng.normal(size=families)
    of_model = SPREAD["model"] * rng.normal(size=models)
    every = [(t, s) for t in range(families) for s in range(families) if t != s]
    found = []
    for i in rng.permutation(len(every))[:pairs]:
        t, s = every[i]
        for m in rng.permutation(models)[:2]:
            x = cost[t] - cost[s] + 0.3 * rng.normal()
            own = of_model[m] + pull[s] - pull[t] + SPREAD["pair"] * rng.normal()
            for method, (by_x, by_s) in METHODS.items():
                for level in levels:
                    e = float(strength(level))
                    mean = x * (TRUE["x"] + TRUE["x s"] * e + by_x)
                    mean += e * (TRUE["s"] + TRUE["s squared"] * e + by_s) + own
                    size = 1 / dispersion - 1
                    U = rng.binomial(1000, rng.beta(expit(mean) * size, (1 - expit(mean)) * size)) / 1000
                    found.append(row(t, s, x, float(U), model=f"m{m}", method=method, evidence=level))
    return pd.DataFrame(found)


def row(target: int, spurious: int, x: float, U: float = np.nan, **more: object) -> dict[str, object]:
    """One row, of a model and method that need not be named."""
    model, kind = more.pop("model", "m0"), more.pop("kind", "symbolic")
    evidence = more.pop("evidence", 0.0)
    told = {"task": f"{kind}/f{target}-vs-f{spurious}", "kind": kind, "model": model, "weights_hash": model}
    told |= {"base": "embedded/symbols", "method": "rloo", "relative": x, "U": U, "n_runs": 1}
    told |= {"target_family": f"{kind}/f{target}", "spurious_family": f"{kind}/f{spurious}"}
    told |= {"evidence": evidence, "evidence_kind": "symmetric" if evidence else "none"}
    baselines = dict.fromkeys(("relative_untrained", "relative_raw", "relative_reach", "frozen"), np.nan)
    return told | baselines | {"frozen_U": np.nan} | more
