"""What a prediction is judged on: rows of families, models and languages that its fit never saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pandas import DataFrame

from analysis.prediction.prediction import Form, Predicted, fit, predict

Rows = NDArray[np.bool_]
SYMBOLS = "symbolic"
FEWEST = 20
"""Rows that a fit needs at least; folds with fewer are left out."""
UNSEEN = "a family unseen in both roles", "both families unseen", "a model unseen", "language from symbols"


@dataclass(frozen=True)
class Fold:
    """Rows to fit on and rows to score."""

    fitted: Rows
    scored: Rows


def splits(rows: DataFrame) -> dict[str, list[Fold]]:
    """By what is unseen: the folds. No row is in both halves of a fold, and neither is what the name says.

    A family: no pair with it in either role is fitted on, and only those are scored, so that every row is
    scored twice, once for each of its families. Both: no pair with either of the two is fitted on. A model:
    its weights. Language: fitted on tasks of symbols alone. What cannot be asked of the rows is left out.
    """
    target, spurious = (rows[role].to_numpy(str) for role in ("target_family", "spurious_family"))
    has = {f: (target == f) | (spurious == f) for f in sorted({*target, *spurious})}
    couples = sorted({(min(pair), max(pair)) for pair in zip(target, spurious, strict=True)})
    weights, kind = rows["weights_hash"].to_numpy(str), rows["kind"].to_numpy(str)
    found = {
        UNSEEN[0]: [Fold(~mine, mine) for mine in has.values()],
        UNSEEN[1]: [Fold(~(has[a] | has[b]), has[a] & has[b]) for a, b in couples if a != b],
        UNSEEN[2]: [Fold(weights != one, weights == one) for one in sorted(set(weights))],
        **{
            f"{UNSEEN[3]}: {other}": [Fold(kind == SYMBOLS, kind == other)]
            for other in sorted(set(kind) - {SYMBOLS})
        },
    }
    usable = {name: [fold for fold in folds if fold.fitted.sum() >= FEWEST] for name, folds in found.items()}
    return {name: folds for name, folds in usable.items() if folds}


def held_out(
    rows: DataFrame, folds: list[Fold], form: Form, done: Callable[[], object] = lambda: None
) -> DataFrame:
    """The scored rows of all folds with what was predicted of them from the rest; `row` says which."""
    parts: dict[str, list[NDArray[np.float64]]] = {
        name: [] for name in ("U_expected", "above", "low", "high")
    }
    which, converged = [], True
    for seed, fold in enumerate(folds):
        fitted = fit(rows[fold.fitted], form)
        converged &= fitted.converged
        said: Predicted = predict(fitted, rows[fold.scored], seed=seed)
        for name, values in zip(parts, (said.U, said.above, said.low, said.high), strict=True):
            parts[name].append(values)
        which.append(np.flatnonzero(fold.scored))
        done()
    places = np.concatenate(which)
    told = rows.iloc[places].assign(**{name: np.concatenate(values) for name, values in parts.items()})
    return told.assign(row=places, converged=converged).reset_index(drop=True)
