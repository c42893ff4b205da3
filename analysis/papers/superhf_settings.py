"""SuperHF beside other methods, and what its own settings do: beta, superbatch, accumulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pandas import DataFrame

from analysis.papers.superhf_claim import (
    BON,
    COMPARED,
    FIFTH,
    HELD,
    METEOR,
    METHOD,
    RIVALS,
    SFT,
    SUPERBATCH,
    Claim,
    claim_of,
)
from analysis.stages.stage_inputs import legs
from analysis.stages.stage_pairs import differences, way_table
from analysis.stages.stage_runs import SEEDS, less
from analysis.stages.sweeps import at, nearest, swept


def ends(outputs: DataFrame, runs: DataFrame) -> Iterator[Claim]:
    """Held-out reward and similarity of completions, by method."""
    for against in (SFT, BON, *RIVALS):
        for measure, figure in ((HELD, "held-out reward"), (METEOR, "METEOR similarity")):
            compared = (METHOD, against, measure)
            yield claim_of(
                figure, f"{METHOD} over {against}", measure, differences(runs, *compared),
                legs(outputs, runs, *compared),
                fact=COMPARED.get(compared, ""), note=_completions(runs, against), compares=compared,
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
        name = f"answers are more alike: beta 0 over {default:g}"
        yield claim_of("KL sweep", name, METEOR, more, fact="kl and alike")
        cost = less(kept[HELD], without[HELD])
        name = f"reward is kept: beta {default:g} over 0"
        yield claim_of("KL sweep", name, HELD, cost, fact="kl and reward")
    yield from _progress(way_table(points[points["policy"] == METHOD]))


def _progress(way: DataFrame) -> Iterator[Claim]:
    """Whether the reward still rises between a fifth of the run and the last point on the way."""
    way = way.assign(share=way["step"] / way["steps"]).sort_values(["key", "step"])
    way = way[way["share"] >= FIFTH]
    early, late = way.drop_duplicates("key"), way.drop_duplicates("key", keep="last")
    if len(way) and early["share"].max() < late["share"].min():
        values = less(*(each.groupby(SEEDS)[HELD].mean() for each in (late, early)))
        name = f"reward rises from {early['share'].max():.0%} to {late['share'].min():.0%} of the run"
        yield claim_of("progress", name, HELD, values, fact="progress")


def sizes(runs: DataFrame) -> Iterator[Claim]:
    """Superbatch and accumulation, at equal completions."""
    sweep = swept(runs, f"{METHOD} superbatch", METHOD, "samples_per_prompt")
    if sweep["samples_per_prompt"].nunique() > 1:
        smallest, largest = sweep["samples_per_prompt"].min(), sweep["samples_per_prompt"].max()
        middle = nearest(sweep, "samples_per_prompt", SUPERBATCH)
        for size, other, told in (
            (middle, smallest, "superbatch"),
            (largest, middle, "superbatch, larger"),
        ):
            if size != other:
                both = (at(sweep, "samples_per_prompt", value, HELD) for value in (size, other))
                yield claim_of(
                    "superbatch", f"superbatch of {size:g} over {other:g}", HELD, less(*both),
                    fact=told,
                )  # fmt: skip
    sweep = swept(runs, f"{METHOD} accumulation", METHOD, "batch_size")
    fewest, most = sweep["batch_size"].min(), sweep["batch_size"].max()
    for measure, told in (("learned", "accumulation, learned"), (HELD, "accumulation")):
        if fewest != most and len(sweep):
            both = (at(sweep, "batch_size", value, measure) for value in (fewest, most))
            yield claim_of(
                "accumulation", f"prompts a step: {fewest:g} over {most:g}", measure, less(*both),
                fact=told,
            )  # fmt: skip
