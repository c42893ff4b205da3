"""Tables as plain text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

from analysis.pairs.claims import ClaimRow
from analysis.pairs.comparison import EPISODES, RATE

LEGEND = """x: relative extractability, log2(bits target / bits spurious), above 0 if the spurious is easier
slope: U per unit of x; auc: does x tell U above 0.5 from below; H2: Spearman with ordinal scores
p: two-sided, families permuted within a kind of task, and within a role where none has both
intervals: what these permutations do not reject, 95 %; with several kinds what lies between them is taken off
of controls: 90 % by leaving families out
n: families/features/pairs/models/seeds"""

OF_DIALS = """trend: change from a dial's lowest level to its highest, by a line over the levels' ranks
slope: use per doubling by which the dialled feature is cheaper than the other one
p: two-sided, models permuted within seeds of pre-training; intervals over these seeds, 95 %
n: families/features/pairs/models/seeds of pre-training"""

OF_REWARDS = """inherits: U of the policy per U of its reward model, among reward models of a pair
p of inherits: two-sided, reward models permuted among the policies of a pair, model and seed
intervals over families, 95 %; n: families/features/pairs/models/seeds"""

OF_METHODS = """methods: use less that of sft on the same pairs; columns: what a column of methods ls adds
same direction: above 0, more use of the spurious feature or a steeper rise of it with x; opposite: below 0
p: of means by t over families, of slopes by permuting families; statuses go by p, p Holm is over all rows"""


def cell(value: object) -> str:
    """A value as a reader wants it: three decimals at most, a dash for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return "<.001" if 0 < value < 0.001 else f"{value:.3f}".rstrip("0").rstrip(".")
    return "yes" if value is True else "" if value is False else str(value)


def text_table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """Rows as aligned text, numbers to the right; a line that says so when there are none."""
    if not rows:
        return "(no rows)"
    names = list(columns or rows[0])
    cells = [[cell(row.get(name)) for name in names] for row in rows]
    numeric = [all(isinstance(row.get(name), int | float | None) for row in rows) for name in names]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]

    def line(values: Sequence[str]) -> str:
        padded = (
            v.rjust(w) if right else v.ljust(w) for v, w, right in zip(values, widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *map(line, cells)])


def n_of(row: ClaimRow) -> str:
    """n as families / features / pairs / models / seeds."""
    e = row.estimate
    return f"{e.n_families}/{e.n_features}/{e.n_pairs}/{e.n_models}/{e.n_seeds}"


def headline(row: ClaimRow) -> bool:
    """Whether a claim stands in the short table: the main arm's, and of the others what is set beside it."""
    if row.primary or row.claim in ("control", "bits", "inherits") or row.statistic == "trend":
        return True
    if row.arm != "main":
        return (
            row.claim == "H1a" and row.statistic == "spearman" and row.pairs == "primary" and row.x == "bits"
        )
    if row.claim in ("methods", "columns"):
        return row.pairs == "primary" and row.given in (EPISODES, RATE)
    if row.claim == "H1a":
        plain = row.statistic in ("spearman", "auc", "slope")
        return plain or row.given == "untrained and raw bits"
    return row.pairs == "primary" and not row.given


def claims_text(rows: Sequence[ClaimRow], width: int = 110, *, everything: bool = True) -> str:
    """The claims as text: a line each, grouped by arm and method, with notes on what cannot be estimated.

    Without `everything`, the primary test and one table of the claims that stand beside it.
    """
    shown = rows if everything else [row for row in rows if headline(row)]
    titles: dict[str, list[ClaimRow]] = {}
    for row in shown:
        rest = f"Secondary: {_title(row)}" if everything else "Secondary, beside it"
        titles.setdefault("Primary test" if row.primary else rest, []).append(row)
    blocks = [_block(title, block, width, everything) for title, block in titles.items()]
    hidden = len(rows) - len(shown)
    more = [f"{hidden} more claims with --all"] if hidden else []
    of_dials = any(row.statistic == "trend" for row in rows)
    legend = [OF_DIALS if of_dials else LEGEND]
    if any(row.claim == "methods" for row in rows):
        legend = [OF_METHODS, *legend]
    if any(row.claim == "inherits" for row in rows):
        legend = [OF_REWARDS, *legend] if len({row.claim for row in rows}) > 1 else [OF_REWARDS]
    return "\n\n".join([*blocks, *more, *legend])


def _block(title: str, block: Sequence[ClaimRow], width: int, everything: bool) -> str:
    notes: dict[str, int] = {}
    lines = []
    for row in block:
        e = row.estimate
        mark = f"[{notes.setdefault(e.note, len(notes) + 1)}]" if e.note else ""
        where = {} if everything else {"arm": row.arm, "method": row.method}
        lines.append(
            {"claim": row.claim, **where, "pairs": row.pairs, "statistic": row.statistic, "x": row.x}
            | {"given": row.given, "value": e.value, "low": e.low, "high": e.high, "p": e.p}
            | {"p Holm": row.p_holm, "n": n_of(row), "status": row.status, "note": mark}
        )
    parts = [title, text_table(lines)]
    abouts: dict[str, None] = dict.fromkeys(f"{row.claim}: {row.about}" for row in block if row.about)
    parts += [f"[{number}] {note}" for note, number in notes.items()]
    if everything or len(abouts) == 1:
        parts += ["\n".join(wrap(about, width, subsequent_indent="    ")) for about in abouts]
    return "\n".join(parts)


def _title(row: ClaimRow) -> str:
    return f"arm {row.arm}, method {row.method}" if row.arm else f"what the dials do to {row.claim}"
