"""SuperHF against PPO and RLOO: over seeds, at the same KL, past their peaks, calibrated and head to head."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pandas import DataFrame, Series, concat

from analysis.papers.superhf_claim import COMPARED, HELD, METHOD, RIVALS, SFT, SMALLEST, Claim, claim_of
from analysis.records import Study
from analysis.stages.calibrated import SCORES
from analysis.stages.drop_from_peak import drop_from_peak
from analysis.stages.matched_kl import matched_along, matched_swept
from analysis.stages.preferred import preferred
from analysis.stages.spread import fates, share_difference, spread_ratio
from analysis.stages.stage_inputs import BEYOND, HEAD, legs
from analysis.stages.stage_pairs import by_seeds, differences, gain_over_sft, with_failed
from analysis.stages.stage_runs import SEEDS, less


def seeds(study: Study, runs: DataFrame) -> Iterator[Claim]:
    """Spread over tuning seeds, and how many runs come to something."""
    fate = fates(with_failed(study, runs), HELD, SMALLEST[HELD])
    for rival in RIVALS:
        both = by_seeds(runs, rival, HELD), by_seeds(runs, METHOD, HELD)
        yield Claim(
            "seeds", f"varies less over seeds: sd of {rival} over sd of {METHOD}", HELD,
            spread_ratio(*both), less(*both), "seeds" if rival == "ppo" else "", unit="sd", ratio=True,
        )  # fmt: skip
        for all_settings in (False, True):
            sides = [fate[fate["method" if all_settings else "policy"] == name] for name in (METHOD, rival)]
            if not all(map(len, sides)):
                continue
            if all_settings and all(set(side["policy"]) <= {METHOD, rival} for side in sides):
                continue
            k, other_k = (int((side["fate"] == "improved").sum()) for side in sides)
            of = concat(sides).set_index(SEEDS)["gain"]
            name = f"more runs improve: {METHOD} over {rival}" + (", all settings" if all_settings else "")
            told = "stability" if rival == "ppo" else ""
            numbers = share_difference(k, len(sides[0]), other_k, len(sides[1]))
            note = f"{k} of {len(sides[0])} against {other_k} of {len(sides[1])}"
            yield Claim("stability", name, "share of runs", numbers, of, told, note)


def matched(points: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """Against PPO and RLOO at the same KL; see `analysis.stages.matched_kl`."""
    for rival in RIVALS:
        for measure in (HELD, "gold"):
            along = matched_along(points, METHOD, rival, measure)
            by_beta = matched_swept(points, METHOD, rival, f"{rival} kl", measure)
            for how, found in (("along the run", along), ("over beta", by_beta)):
                values = (found["mine"] - found["theirs"]).set_axis(found.set_index(SEEDS).index)
                name = f"at the same KL, {how}: {METHOD} over {rival}"
                yield claim_of("matched KL", name, measure, values.dropna(), note=_reached(found, values))


def _reached(found: DataFrame, values: Series) -> str:
    """Words for the KL of the pairs that have a value, and for those that have none."""
    known = values.notna().to_numpy()
    at = [f"at {found.loc[known, 'kl'].mean():.2f} nats"] if known.any() else []
    out = f"{(~known).sum()} of {len(known)} out of reach"
    if known.any():
        out += f": what remains is selected for low KL of {METHOD}"
    return "; ".join(at if known.all() else [*at, out])


def hacked(outputs: DataFrame, points: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """Over-optimisation: gold reward past its peak, and what the reward model sees that another does not."""
    for policy in (METHOD, *RIVALS):
        drop = drop_from_peak(points, policy)
        yield claim_of("over-optimisation", f"gold reward falls from its peak: {policy}", "gold", drop)
        mine = runs[(runs["policy"] == policy) | (runs["stage"] == SFT)]
        beyond = gain_over_sft(mine, "learned") - gain_over_sft(mine, HELD)
        values = beyond[mine["policy"] == policy].set_axis(
            mine[mine["policy"] == policy].set_index(SEEDS).index
        )
        name = f"the reward model rises by more than the held-out one: {policy}"
        by_input = legs(outputs, runs, policy, SFT, BEYOND)
        yield claim_of("over-optimisation", name, BEYOND, values.dropna(), by_input, unit=HELD)


def calibration(runs: DataFrame) -> Iterator[Claim]:
    """Scores of the multiple choice, for which less is better."""
    for against in (SFT, *RIVALS):
        for score in SCORES:
            values = differences(runs, against, METHOD, score)
            endless = int(np.isinf(values).sum())
            note = f"{endless} pairs left out: the right answer has probability 0" if endless else ""
            yield claim_of(
                "calibration", f"better calibrated: {METHOD} than {against}", score,
                values[~np.isinf(values)], fact=COMPARED.get((METHOD, against, score), ""), note=note,
            )  # fmt: skip


def head_to_head(outputs: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """In the place of the paper's Elo: how often the gold reward prefers it."""
    for against in (SFT, *RIVALS):
        values = preferred(outputs, runs, METHOD, against) - 0.5
        by_input = legs(outputs, runs, METHOD, against, "gold", statistic=HEAD)
        told = "elo" if against == SFT else ""
        name = f"preferred by the gold reward: {METHOD} over {against}, less .5"
        yield claim_of("Elo", name, "win rate", values, by_input, fact=told)
