"""What Mukobi et al. 2023 claim of SuperHF, each as a comparison of runs of the same seeds.

A claim is that a value is above 0 (a ratio: above 1). Policies of a data seed share an SFT model, reward
models and prompts; intervals are over pairs of runs, so with several tuning seeds on one SFT model they are
about the tuning of that model. Against the SFT model and best-of-n, whose one draw of completions all pairs
share, they are over inputs too where the outputs have the measure (`analysis.stages.stage_inputs`).

The paper's Elo scores and benchmark scores are not drawn: they need a chat model as a judge and knowledge
that a small model has not. Of two of its headline claims, Elo and calibration, the published data say
otherwise when computed again; both are rows here, Elo with the gold reward as the judge.

References: Mukobi et al. 2023, SuperHF (https://arxiv.org/abs/2310.16763). Values of its figures are
computed again from the published data, or read by eye where that is said.
"""

from __future__ import annotations

import math
from typing import Any

from pandas import DataFrame

from analysis.papers.published import NOTHING, SUPERHF
from analysis.papers.superhf_claim import COMPARED, OTHERWISE, SMALLEST, Claim, claim_of
from analysis.papers.superhf_rivals import calibration, hacked, head_to_head, matched, seeds
from analysis.papers.superhf_settings import ends, kl_sweep, sizes
from analysis.primary import correct
from analysis.records import Study
from analysis.stages.calibrated import calibration_table
from analysis.stages.stage_inputs import OVER, primary_legs, scored
from analysis.stages.stage_pairs import end_table, mean_of, points_table, primary_differences
from analysis.stages.stage_runs import SETTING, policies_at_end
from analysis.statistics.decisions import UNKNOWN, status

LEGEND = f"""claim: the value is above 0 (of sd: above 1); 95 % intervals and p, paired by seeds
{OVER}
shares: runs counted as independent (Fisher), not paired
rewards in standard deviations of the SFT model's completions; calibration turned so that above 0 is better
n: pairs of runs (of shares: runs), on sft_models SFT models, about the tuning of which the intervals are
paper: what its data show, in its units; p_holm: all but the primary one"""


def superhf_claims(study: Study) -> list[dict[str, Any]]:
    """The primary comparison, and the paper's claims for every setting that has runs for them."""
    points, first, scores = points_table(study), study.manifest["primary"], calibration_table(study)
    outputs = scored(study.outputs)
    named = tuple(first.get(name) for name in ("policy", "against", "measure"))
    rows, where = [], dict[str, Any]()
    if first.get("test") == "t over seeds":
        primary, where = _primary(study, outputs)
        rows.append(_row(primary, where, primary=True))
    for names, own in points.groupby(SETTING):
        told = dict(zip(SETTING, names, strict=True))
        for claim in _claims(study, outputs, own, scores):
            if told != where or claim.compares != named:
                rows.append(_row(claim, told))
    return correct(study.manifest, rows)


def _row(claim: Claim, told: dict[str, Any], *, primary: bool = False) -> dict[str, Any]:
    value, low, high, p, n = claim.numbers
    smallest = SMALLEST.get(claim.unit or claim.measure, OTHERWISE)
    word = status(low, high, p, smallest=smallest) if n > 1 else UNKNOWN
    published = SUPERHF.get(claim.fact, NOTHING)
    if claim.ratio:
        value, low, high, smallest = (math.exp(x) for x in (value, low, high, smallest))
    return {
        "figure": claim.figure, "claim": claim.claim, "measure": claim.measure,
        "model": told["model"], "task": told["task"], "evidence": told["evidence_rate"],
        "value": value, "low": low, "high": high, "over": claim.over, "p": p, "p_holm": math.nan, "n": n,
        "sft_models": claim.of.index.get_level_values("seed_data").nunique() if len(claim.of) else 0,
        "smallest": smallest, "status": word, "paper": published.shown,
        "source": published.source, "fact": claim.fact, "note": claim.note, "primary": primary,
    }  # fmt: skip


def _primary(study: Study, outputs: DataFrame) -> tuple[Claim, dict[str, Any]]:
    """The comparison that the study named before it ran: of several settings of that task, their mean."""
    named, table = study.manifest["primary"], policies_at_end(study)
    found = primary_differences(table, named)
    complete = found.dropna()
    policy, against, measure = named["policy"], named["against"], named["measure"]
    where: dict[str, Any] = {"task": named["task"]}
    for i, (name, none) in enumerate((("evidence_rate", math.nan), ("model", ""))):
        known = {setting[i] for setting in found.columns}
        where[name] = known.pop() if len(known) == 1 else none
    claim = claim_of(
        "primary", f"{policy} over {against}", measure, complete.mean(axis=1),
        primary_legs(outputs, table, named, found), fact=COMPARED.get((policy, against, measure), ""),
        note=mean_of(found) if len(complete) else "the primary comparison has no runs",
    )  # fmt: skip
    return claim, where


def _claims(study: Study, outputs: DataFrame, points: DataFrame, scores: DataFrame) -> list[Claim]:
    """The claims of one setting that it has the runs for."""
    runs = end_table(points)
    found = [
        *ends(outputs, runs),
        *kl_sweep(points, runs),
        *sizes(runs),
        *seeds(study, runs),
        *matched(points, runs),
        *hacked(outputs, points, runs),
        *calibration(runs.merge(scores, on="key", how="left")),
        *head_to_head(outputs, runs),
    ]
    found = [claim for claim in found if claim.numbers[-1] or claim.note]
    order = list(dict.fromkeys(claim.figure for claim in found))
    return sorted(found, key=lambda claim: order.index(claim.figure))
