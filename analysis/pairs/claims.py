"""What a study says: every claim with its estimate, its n, its status, and one primary test."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from pandas import DataFrame

from analysis.pairs.claim_row import SMALLEST_SLOPE, ClaimRow
from analysis.pairs.comparison import compares_methods, comparison_claims
from analysis.pairs.contrasts import dial_contrasts, needed_table
from analysis.pairs.dial_claims import dial_claims
from analysis.pairs.dials import DIALS, dialled_feature
from analysis.pairs.evidence_needed import FAIR
from analysis.pairs.inheritance import inheritance_claims, of_rewards
from analysis.pairs.lovering2021 import KIND, averaged, is_of_paper
from analysis.pairs.model_claims import compares_models, model_claims
from analysis.pairs.pairs import CONTROLS, exclusions, learnt_share, lowest, pairs_table
from analysis.primary import changed
from analysis.records import Study
from analysis.statistics.association import (
    NO_ASSOCIATION,
    Statistic,
    auc,
    mean,
    partial_spearman,
    slope,
    spearman,
)
from analysis.statistics.decisions import UNKNOWN, equivalence, holm, status
from analysis.statistics.estimate import Estimate, estimate
from analysis.statistics.permutation import PERMUTATIONS

__all__ = ["SMALLEST", "ClaimRow", "claims", "exclusions", "learnt_share", "pairs_table", "primary_claim"]

SMALLEST: dict[Statistic, float] = {spearman: 0.2, partial_spearman: 0.2, auc: 0.1, slope: SMALLEST_SLOPE}
"""Smallest effect of interest: a correlation, AUC's distance from 0.5, U per doubling of the bits' ratio."""
SETS = ("primary", "both-learnable", "target-learnable", "all")
"""Sets of pairs. `primary`: no rule of `analysis.pairs.pairs` applies. The others ask what their name says,
and that the pair has a U and an order: learnt, probed, not both features censored."""
COVARIATES: dict[str, list[str | tuple[str, str]]] = {
    "": [],
    "untrained bits": [("x_target_untrained", "x_spurious_untrained")],
    "raw bits": [("x_target_raw", "x_spurious_raw")],
    "another model's bits": [("x_target_other", "x_spurious_other")],
    "corpus frequency": [("x_target_frequency", "x_spurious_frequency")],
    "third feature": ["third_accuracy"],
}
"""What partial correlations are given, by the name that tables print."""
KIND_OF_TASK = "kind of task"
"""A covariate of every correlation where there are several: families are permuted within a kind, so that
what lies between symbols and English must be taken off the value too."""
COVARIATES["untrained and raw bits"] = COVARIATES["untrained bits"] + COVARIATES["raw bits"]
COVARIATES["untrained, raw and third"] = COVARIATES["untrained and raw bits"] + COVARIATES["third feature"]
X = {
    "bits": ("x_target", "x_spurious"),
    "untrained bits": ("x_target_untrained", "x_spurious_untrained"),
    "raw bits": ("x_target_raw", "x_spurious_raw"),
    "another model's bits": ("x_target_other", "x_spurious_other"),
    "corpus frequency": ("x_target_frequency", "x_spurious_frequency"),
}
"""What relative extractability is read from: the reference, the same model untrained, the tokens, models that
no run starts from; or by how many doublings the spurious feature is the more frequent one in the corpus."""
LATER = ("another model's bits", "corpus frequency")
"""Of these, what not every study knows: without it they have no line."""


def subset(table: DataFrame, which: str) -> DataFrame:
    """The rows of a table that belong to one of `SETS`."""
    if which == "primary":
        return table[table["excluded"] == ""]
    keep = table["target"] != ""
    if which in ("both-learnable", "target-learnable"):
        keep &= table["target_learnable"].astype(bool)
    if which == "both-learnable":
        keep &= table["spurious_learnable"].astype(bool)
    return table[keep]


Covariates = list[str | tuple[str, str]]


def within_kinds(table: DataFrame, covariates: Covariates) -> tuple[DataFrame, Statistic, Covariates]:
    """The table, the statistic and the covariates of a correlation within the kinds of task."""
    kinds = sorted(set(table["kind"]))[1:]
    dummies = {f"is {kind}": (table["kind"] == kind).astype(float) for kind in kinds}
    return table.assign(**dummies), partial_spearman, [*covariates, *dummies]


@dataclass(frozen=True)
class _Test:
    """What the rows of one arm and method share."""

    arm: str
    method: str
    permutations: int
    seed: int

    def row(
        self,
        claim: str,
        table: DataFrame,
        statistic: Statistic,
        about: str,
        *,
        pairs: str = "primary",
        y: str = "U",
        x: str = "bits",
        given: str = "",
    ) -> ClaimRow:
        run = partial(estimate, permutations=self.permutations, seed=self.seed)
        name = statistic.__name__.replace("_", " ")
        covariates = list(COVARIATES[given])
        if table["kind"].nunique() > 1:
            table, statistic, covariates = within_kinds(table, covariates)
            given = f"{given} and {KIND_OF_TASK}" if given else KIND_OF_TASK
        found = run(subset(table, pairs), statistic, y=y, x=X[x], covariates=covariates)
        smallest, null = SMALLEST[statistic], NO_ASSOCIATION.get(statistic, 0.0)
        word = status(found.low, found.high, found.p, smallest=smallest, null=null)
        return ClaimRow(claim, self.arm, self.method, pairs, name, x, given, about, found, word)


def _h1a(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    first = lowest(table)
    at = f"at evidence {first['evidence'].iloc[0]:g}"
    about = f"U {at} against relative extractability"
    row = partial(test.row, "H1a")
    for pairs in SETS:
        yield row(first, spearman, about, pairs=pairs)
    known = [name for name in LATER if first[[*X[name]]].notna().all(axis=1).any()]
    for given in filter(None, COVARIATES):
        if given not in LATER or given in known:
            yield row(first, partial_spearman, about, given=given)
    if first["kind"].nunique() == 1:  # what lies between kinds cannot be taken off these
        yield row(first, auc, about)
        yield row(first, slope, about)
    for x in ("untrained bits", "raw bits", *known):
        yield row(first, spearman, about, x=x)


def _h2(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    needed = needed_table(table)
    kinds = needed["censored_needed"].value_counts()
    about = (
        f"evidence needed against relative extractability ({table['evidence'].nunique()} levels; "
        f"{kinds.get('left', 0)} left-, {kinds.get('right', 0)} right-censored of {len(needed)} pairs)"
    )
    for pairs in SETS:
        yield test.row("H2", needed, spearman, about, pairs=pairs, y="y")
    yield test.row("H2", needed, partial_spearman, about, y="y", given="untrained and raw bits")


def _average(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    """What Lovering et al. 2021 correlate: a mean over the levels of evidence in place of U at the lowest."""
    about = (
        "error on both, neither and spurious_only, averaged over the levels of evidence and all finished "
        "runs, against relative extractability"
    )
    for pairs in ("primary", "all"):
        yield test.row("average", table, spearman, about, pairs=pairs, y="y")


def _h1b(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    for (first, second), difference in dial_contrasts(lowest(table)).items():
        about = f"change of U against change of relative extractability, dial {second} minus {first}"
        for pairs in ("primary", "all"):
            yield test.row("H1b", difference, spearman, about, pairs=pairs, y="y")
        if difference["kind"].nunique() == 1:
            yield test.row("H1b", difference, slope, about, y="y")


def _h1a_by_dial(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    """H1a among models of one dial setting: a pair's mean over opposite settings blurs both of its sides."""
    first = lowest(table)
    about = f"U at evidence {first['evidence'].iloc[0]:g} against relative extractability, one dial setting"
    for dial, part in first.groupby("dial"):
        for pairs in ("primary", "all"):
            row = test.row("H1a", part, spearman, about, pairs=pairs)
            yield replace(row, pairs=f"{pairs}, dial {dial}")


def _control(arm: str, method: str, table: DataFrame) -> Iterator[ClaimRow]:
    """A control has learnt nothing, so its U is read from all its finished runs.

    A policy that gives one answer to everything has U 0.5 by arithmetic: how many do is said, and
    probabilities, which go on differing where greedy answers do not, have a row of their own.
    """
    constant, finished = int(table["n_constant"].sum()), int(table["n_ok"].sum())
    told = f"{constant} of {finished} give one answer to everything"
    for read, y in (("greedy answers", "U_any"), ("probabilities", "U_any_probability")):
        found = estimate(table, mean, y=y, x=None, confidence=0.9)
        about = (
            f"mean U by {read} of all finished runs at evidence {table['evidence'].iloc[0]:g} ({told}), "
            f"90 % interval within {FAIR} +/- 0.1"
        )
        name = "mean" if y == "U_any" else "mean, probabilities"
        word = equivalence(found.low, found.high)
        yield ClaimRow("control", arm, method, "all", name, "", "", about, found, word)


def _one_level(test: _Test, table: DataFrame) -> Iterator[ClaimRow]:
    """H2 needs levels; with one there is only a sentence."""
    needed = needed_table(table)
    row = test.row("H2", needed, spearman, "evidence needed against relative extractability", y="y")
    note = f"cannot be told: one level of evidence ({table['evidence'].iloc[0]:g}), two are needed"
    blank = replace(row.estimate, value=math.nan, low=math.nan, high=math.nan, p=math.nan, note=note)
    yield replace(row, estimate=blank, status=UNKNOWN)


def primary_claim(study: Study) -> dict[str, str]:
    """The study's primary test: claim, arm, method, statistic, pairs; with defaults for what it leaves out.

    Its pairs `learnable` (or `primary`) are the primary set, from which the rules have taken the rest.
    """
    named = {k: str(v) for k, v in study.manifest.get("primary", {}).items() if isinstance(v, str)}
    methods = sorted(set(study.runs.loc[study.runs["arm"] == named.get("arm", "main"), "method"]))
    usual = "rloo" if "rloo" in methods else methods[0] if methods else ""
    named["statistic"] = named.get("statistic", "spearman").replace("_", " ")
    if named.get("pairs", "learnable") == "learnable":
        named["pairs"] = "primary"
    return {"claim": "H1a", "arm": "main", "method": usual} | named


def _repeats(table: DataFrame, main: DataFrame | None) -> bool:
    """Whether an arm begins where the main arm does: at no evidence all kinds of it are one."""
    if main is None or set(table["evidence_kind"]) & set(main["evidence_kind"]):
        return False
    return bool(table["evidence"].min() == main["evidence"].min() == 0)


def claims(study: Study, *, permutations: int = PERMUTATIONS, seed: int = 0) -> list[ClaimRow]:
    """All claims of a study, the primary test first.

    Per arm and method: H1a at the lowest level of evidence (once, where two arms share it), H2 over its
    levels, and H1b in the main arm where models differ in a dial; a control's arm has its equivalence tests.
    What policies that were tuned on reward models use, and those, is in the claims of `inheritance_claims`.
    A study whose models differ in the dials of one feature has the claims of `dial_claims` and no others.
    A study whose primary test is of methods has `comparison_claims` and the controls.
    A study whose primary test is of models within pairs has the lines of `model_claims` too.
    A study after Lovering et al. 2021 has their average over the levels beside them.
    """
    if dialled_feature(study):
        named = {"x": DIALS["useful"], **primary_claim(study)}
        return _judged(study, dial_claims(study, permutations=permutations, seed=seed), named)
    table = pairs_table(study)
    rows: list[ClaimRow] = []
    if compares_methods(study):
        rows += comparison_claims(study, permutations=permutations, seed=seed)
        table = table[table["arm"].isin(CONTROLS)]
    if len(table):
        by_dial = pairs_table(study, "dial")
        order = ["main", "random_init", "swapped", "one_sided"]
        rows += model_claims(study) if compares_models(study) else []
        rows += inheritance_claims(study, permutations=permutations, seed=seed)
        apart = of_rewards(study)
        groups = {key: part for key, part in table.groupby(["arm", "method"]) if key not in apart}
        for arm, method in sorted(groups, key=lambda k: (order.index(k[0]) if k[0] in order else 9, k)):
            cells = groups[arm, method]
            if arm in CONTROLS:
                rows += [row for _, part in cells.groupby("evidence") for row in _control(arm, method, part)]
                continue
            test = _Test(arm, method, permutations, seed)
            if not _repeats(cells, groups.get(("main", method))):
                rows += _h1a(test, cells)
            rows += (_h2 if cells["evidence"].nunique() > 1 else _one_level)(test, cells)
            if is_of_paper(study) and set(cells["evidence_kind"]) == {KIND}:
                rows += _average(test, averaged(study, cells))
            if arm == "main":
                dials = by_dial[(by_dial["arm"] == arm) & (by_dial["method"] == method)]
                if dials["dial"].nunique() > 1:
                    rows += [*_h1a_by_dial(test, dials), *_h1b(test, dials)]
    return _judged(study, rows, primary_claim(study))


def _judged(study: Study, rows: list[ClaimRow], named: dict[str, str]) -> list[ClaimRow]:
    """Flag the one primary test, if one was written down and this is it, and correct all the others."""
    if changed(study.manifest) or not study.manifest.get("primary"):
        corrected = holm([row.estimate.p for row in rows])
        return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]
    keys = ("claim", "arm", "method", "statistic", "pairs", "x")
    match = [i for i, row in enumerate(rows) if all(getattr(row, k) == named[k] for k in keys if k in named)]
    if match:
        first = replace(rows[match[0]], primary=True)
    else:
        note = "the study's primary test has no runs: " + ", ".join(named[k] for k in keys if k in named)
        nothing = Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0, 0, 0, 0, note)
        claim, arm, method, statistic, pairs, x = (named.get(k, "") for k in keys)
        first = ClaimRow(claim, arm, method, pairs, statistic, x, "", "", nothing, UNKNOWN, primary=True)
    rest = [row for i, row in enumerate(rows) if i not in match[:1]]
    corrected = holm([row.estimate.p for row in rest])
    return [first, *(replace(row, p_holm=p) for row, p in zip(rest, corrected, strict=True))]
