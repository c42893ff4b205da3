"""Whether predictions beat what is simpler, on rows that neither has seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas import DataFrame

from analysis.prediction.prediction import Form
from analysis.prediction.rows import SIGNALS
from analysis.prediction.scores import SCORES, Scored, score, share
from analysis.prediction.splits import FEWEST, UNSEEN, Fold, held_out, splits
from tasks.errors import UserError

Array = NDArray[np.float64]
OURS = "bits, evidence, method"
NO_BITS = "evidence and method alone"
CHEAPER, FROZEN = "always the cheaper feature", "what a frozen probe picks"
FITTED = {
    NO_BITS: "",
    **{f"{name} in place of the bits": column for name, column in SIGNALS.items() if name != "bits"},
}
"""Baselines that are fitted as the prediction is, on the same rows, and the column that they go by."""
LEVELS = "no evidence", "all levels"


@dataclass(frozen=True)
class Judged:
    """Tables of scores, and the predictions behind them."""

    scores: DataFrame
    """One row a split, level and predictor."""
    differences: DataFrame
    """One row a split, level, baseline and score: the prediction's less the baseline's, on the same rows."""
    held_out: DataFrame
    """The prediction's held-out rows of every split."""
    unmeasured: list[str]
    """Baselines that no study measured."""


def judge(rows: DataFrame, progress: Callable[[int, int], None] = lambda done, of: None) -> Judged:
    """Score the prediction and every baseline on held-out rows; see `splits`.

    A baseline that was measured on some rows alone is compared on those, the prediction fitted anew on them.
    """
    todo = {name: (column, _has(rows, column)) for name, column in FITTED.items()}
    unmeasured = [name for name, (_, known) in todo.items() if not known.any()]
    if not _has(rows, "frozen_U").any():
        unmeasured.append(FROZEN)
    folds = splits(rows)
    if not folds:
        raise UserError(
            f"--judge: {len(rows)} rows are too few: {FEWEST} must remain when a family is left out"
        )
    measured = {name: found for name, found in todo.items() if name not in unmeasured}
    total = sum(len(f) * (1 + sum(1 + (not k.all()) for _, k in measured.values())) for f in folds.values())
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    scores: list[dict[str, object]] = []
    differences: list[dict[str, object]] = []
    kept = []
    for split, several in folds.items():
        ours = held_out(rows, several, Form(), tick)
        kept.append(ours.assign(split=split))
        said = ours["U_expected"].to_numpy(float)
        scores += _scored(split, OURS, ours, said)
        for name, p in _rules(ours).items():
            known = ~np.isnan(p)
            scores += _scored(split, name, ours[known], p[known])
            differences += _compared(split, name, ours[known], said[known], p[known])
        for name, (column, known) in measured.items():
            part = rows[known]
            usable = [_within(fold, known) for fold in several]
            usable = [fold for fold in usable if fold.fitted.sum() >= FEWEST and fold.scored.any()]
            if not usable:
                continue
            mine = ours if known.all() else held_out(part, usable, Form(), tick)
            theirs = held_out(part, usable, Form(column), tick)
            p = theirs["U_expected"].to_numpy(float)
            scores += _scored(split, name, theirs, p)
            differences += _compared(split, name, mine, mine["U_expected"].to_numpy(float), p)
    progress(total, total)
    return Judged(DataFrame(scores), DataFrame(differences), pd.concat(kept, ignore_index=True), unmeasured)


def _has(rows: DataFrame, column: str) -> NDArray[np.bool_]:
    return np.asarray(rows[column].notna(), bool) if column else np.ones(len(rows), dtype=bool)


def _within(fold: Fold, known: NDArray[np.bool_]) -> Fold:
    return Fold(fold.fitted[known], fold.scored[known])


def _rules(rows: DataFrame) -> dict[str, Array]:
    """Chances by the rules that are not fitted; NaN where they were not measured."""
    x = rows["relative"].to_numpy(float)
    return {CHEAPER: np.where(x == 0, 0.5, x > 0).astype(float), FROZEN: rows["frozen_U"].to_numpy(float)}


def _levels(rows: DataFrame) -> dict[str, NDArray[np.bool_]]:
    return {LEVELS[0]: (rows["evidence"] == 0).to_numpy(bool), LEVELS[1]: np.ones(len(rows), dtype=bool)}


def _scored(split: str, predictor: str, rows: DataFrame, p: Array) -> list[dict[str, object]]:
    found = []
    for level, at in _levels(rows).items():
        if not at.any():
            continue
        part = rows[at]
        told = {name: score(part, of, p[at]) for name, of in SCORES.items()}
        if predictor == OURS:
            inside = ((part["U"] >= part["low"]) & (part["U"] <= part["high"])).to_numpy(float)
            told["covered"] = score(part, share, inside)
        found.append({"split": split, "level": level, "predictor": predictor, **_flat(told), **counts(part)})
    return found


def _compared(
    split: str, against: str, rows: DataFrame, ours: Array, other: Array
) -> list[dict[str, object]]:
    found = []
    for level, at in _levels(rows).items():
        for name in ("AUC", "Brier") if at.any() else ():
            part = rows[at]
            by = score(part, SCORES[name], ours[at], other[at])
            told = {"split": split, "level": level, "against": against, "score": name}
            ends = {"difference": by.value, "low": by.low, "high": by.high, "said": verdict(name, by)}
            found.append({**told, **ends, **counts(part)})
    return found


def verdict(name: str, difference: Scored) -> str:
    """Whether a difference of scores says better or worse; of Brier's, less is better."""
    low, high = (difference.low, difference.high) if name == "AUC" else (-difference.high, -difference.low)
    return "better" if low > 0 else "worse" if high < 0 else "cannot be told"


def _flat(told: dict[str, Scored]) -> dict[str, float]:
    """Values and ends as columns; a share's ends are cut off at 0 and 1."""
    out: dict[str, float] = {}
    for name, found in told.items():
        ends = (found.low, found.high) if name == "slope" else np.clip((found.low, found.high), 0, 1)
        out |= {name: found.value, f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}
    return out


def counts(rows: DataFrame) -> dict[str, int]:
    """What scores stand on."""
    return {
        "families": len({*rows["target_family"], *rows["spurious_family"]}),
        "pairs": rows["task"].nunique(),
        "models": rows["weights_hash"].nunique(),
        "rows": rows["row"].nunique(),
    }


def beaten(judged: Judged, split: str = UNSEEN[0]) -> dict[str, dict[str, str]]:
    """By baseline, then by level and score: better, worse, or cannot be told."""
    found: dict[str, dict[str, str]] = {}
    for row in judged.differences.to_dict("records"):
        if row["split"] != split:
            continue
        found.setdefault(row["against"], {})[f"{row['score']}, {row['level']}"] = row["said"]
    return found
