"""SuperHF beside other methods, and what its own settings do: beta, superbatch, accumulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandas import DataFrame

from analysis.stage_inputs import legs
from analysis.stage_pairs import differences, way_table
from analysis.stage_runs import SEEDS, less
from analysis.superhf_claim import (
    BON,
    FIFTH,
    HELD,
    METEOR,
    METHOD,
    PAPER,
    RIVALS,
    SFT,
    SUPERBATCH,
    UNSAID,
    Claim,
    claim_of,
)
from analysis.sweeps import at, nearest, swept


def ends(outputs: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """Held-out reward and similarity of completions, by method."""
    for against in (SFT, BON, *RIVALS):
        for measure, figure in ((HELD, "held-out reward"), (METEOR, "METEOR similarity")):
            compared = (METHOD, against, measure)
            yield claim_of(
                figure, f"{METHOD} over {against}", measure, differences(runs, *compared),
                legs(outputs, runs, *compared),
                told=PAPER.get(compared, UNSAID), note=_completions(runs, against), compares=compared,
            )  # fmt: skip


def _completions(runs: DataFrame, against: str) -> str:
    """Words for unequal samples; none where they are equal, or where the other is not tuned."""
    mine, theirs = (
        sorted(set(runs.loc[runs["policy"] == name, "completions"])) for name in (METHOD, against)
    )
    if against in (SFT, BON) or mine == theirs or not mine or not theirs:
        return ""
    return f"tuned on {_listed(mine)} completions against {_listed(theirs)}"


def _listed(values: Sequence[int]) -> str:
    return " and ".join(f"{value:,}" for value in values)


def kl_sweep(points: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """What the KL term keeps, and when the reward is reached with it."""
    sweep = swept(runs, f"{METHOD} kl", METHOD, "beta")
    default = runs.loc[runs["policy"] == METHOD, "beta"].mean()
    if len(sweep) and default > 0:
        without = {name: at(sweep, "beta", 0, name) for name in (METEOR, HELD)}
        kept = {name: at(sweep, "beta", default, name) for name in (METEOR, HELD)}
        more = less(without[METEOR], kept[METEOR])
        told = ("about .6 (.55), 0 over 0.5", "KL sweep, by eye, Instruct (LLaMA)")
        yield claim_of(
            "KL sweep", f"answers are more alike: beta 0 over {default:g}", METEOR, more, told=told
        )
        cost = less(kept[HELD], without[HELD])
        told = ("about -1 (-1), 0.5 over 0; said to keep it at 0.35", "KL sweep, by eye, Instruct (LLaMA)")
        yield claim_of("KL sweep", f"reward is kept: beta {default:g} over 0", HELD, cost, told=told)
    yield from _progress(way_table(points[points["policy"] == METHOD]))


def _progress(way: DataFrame) -> Iterator[Claim]:
    """Whether the reward still rises between a fifth of the run and the last point on the way."""
    way = way.assign(share=way["step"] / way["steps"]).sort_values(["key", "step"])
    way = way[way["share"] >= FIFTH]
    early, late = way.drop_duplicates("key"), way.drop_duplicates("key", keep="last")
    if len(way) and early["share"].max() < late["share"].min():
        values = less(*(each.groupby(SEEDS)[HELD].mean() for each in (late, early)))
        name = f"reward rises from {early['share'].max():.0%} to {late['share'].min():.0%} of the run"
        told = ("about 0 after a fifth", "progress figure, by eye, LLaMA")
        yield claim_of("progress", name, HELD, values, told=told)


def sizes(runs: DataFrame) -> Iterator[Claim]:
    """Superbatch and accumulation, at equal completions."""
    sweep = swept(runs, f"{METHOD} superbatch", METHOD, "samples_per_prompt")
    if sweep["samples_per_prompt"].nunique() > 1:
        smallest, largest = sweep["samples_per_prompt"].min(), sweep["samples_per_prompt"].max()
        middle = nearest(sweep, "samples_per_prompt", SUPERBATCH)
        for size, other, told in (
            (middle, smallest, ".80 (16 over 1)"),
            (largest, middle, "-.10 (128 over 16)"),
        ):
            if size != other:
                both = (at(sweep, "samples_per_prompt", value, HELD) for value in (size, other))
                yield claim_of(
                    "superbatch", f"superbatch of {size:g} over {other:g}", HELD, less(*both),
                    told=(told, "superbatch figure, Alpaca"),
                )  # fmt: skip
    sweep = swept(runs, f"{METHOD} accumulation", METHOD, "batch_size")
    fewest, most = sweep["batch_size"].min(), sweep["batch_size"].max()
    for measure, told in (("learned", ".16 (1 over 128)"), (HELD, ".12 to .24 (others over 128; se .09)")):
        if fewest != most and len(sweep):
            both = (at(sweep, "batch_size", value, measure) for value in (fewest, most))
            yield claim_of(
                "accumulation", f"prompts a step: {fewest:g} over {most:g}", measure, less(*both),
                told=(told, "accumulation figure"),
            )  # fmt: skip
