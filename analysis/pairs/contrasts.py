"""Tables behind H1b and H2: the same pair under two dials, and the evidence each pair needs."""

from __future__ import annotations

from itertools import combinations

from pandas import DataFrame

from analysis.pairs.evidence_needed import evidence_needed, ordinal_scores
from analysis.pairs.pairs import PAIR


def dial_contrasts(table: DataFrame) -> dict[tuple[str, str], DataFrame]:
    """H1b: for every two dials, one row per pair with the second's values minus the first's.

    Unit: the pair, which is its own control (whatever belongs to the pair cancels). Takes a table by dial at
    one level of evidence; the differences are called y, x_target and x_spurious. They are tested like any
    other pairs, by permuting which family's extractability changed by how much. A dial moves whole
    families, so that is the randomisation that the corpus design stands for.
    """
    found: dict[tuple[str, str], DataFrame] = {}
    columns = {"y": "U", "x_target": "x_target", "x_spurious": "x_spurious"}
    for first, second in combinations(sorted(set(table["dial"])), 2):
        left, right = (table[table["dial"] == dial].set_index(PAIR) for dial in (first, second))
        common = left.index.intersection(right.index)
        if not len(common):
            continue
        left, right = left.loc[common], right.loc[common]
        difference = DataFrame({name: right[c] - left[c] for name, c in columns.items()})
        for name in ("models", "seeds"):
            difference[name] = [tuple(sorted({*a, *b})) for a, b in zip(left[name], right[name], strict=True)]
        for name in ("target_learnable", "spurious_learnable"):
            difference[name] = left[name] & right[name]
        difference["kind"] = left["kind"]
        difference["excluded"] = left["excluded"].where(left["excluded"] != "", right["excluded"])
        found[first, second] = difference.reset_index()
    return found


def needed_table(table: DataFrame) -> DataFrame:
    """H2: one row per pair with the interval of evidence in which U falls to 0.5, and its ordinal score y.

    Takes the rows of one arm and method at all levels of evidence. Features' bits are those at the lowest
    level at which they are known.
    """
    rows = []
    for pair, cells in table.sort_values("evidence", kind="stable").groupby(PAIR):
        need = evidence_needed(cells["evidence"], cells["U"], cells["n_learnt"].clip(lower=1))
        known = cells[cells["relative"].notna()]
        best = (known if len(known) else cells).iloc[0]
        rows.append(
            dict(zip(PAIR, pair, strict=True))
            | {"low": need.low, "high": need.high, "censored_needed": need.censored}
            | {name: best[name] for name in best.index if name not in PAIR}
            | {
                name: tuple(sorted({i for items in cells[name] for i in items}))
                for name in ("models", "seeds")
            }
        )
    needed = DataFrame(rows)
    if len(needed):
        needed["y"] = ordinal_scores(needed["low"], needed["high"])
    return needed
