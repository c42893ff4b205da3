"""Means, win rates and gaps over inputs and seeds: brute force, symmetries, known effects, coverage."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas import DataFrame

from analysis.stage_schema import Output, StageRecord
from analysis.stages.generalisation import (
    ANSWER,
    GAP,
    HEAD_TO_HEAD,
    LEVEL,
    LOSS,
    MEAN,
    MEAN_DIFFERENCE,
    WIN_RATE,
    WIN_RATE_DIFFERENCE,
    Performance,
    compare,
    performance,
    performance_table,
)
from analysis.stages.win_rates import win_rates
from analysis.statistics.two_level import two_level
from tasks import UserError
from tasks.generation.generation import Shift

SHIFTS = (
    Shift("longer-1", "longer", 1, ""),
    Shift("longer-2", "longer", 2, ""),
    Shift("format", "format", 1, ""),
)
LOSSES = {"in": 0.0, "longer-1": 0.1, "longer-2": 0.2, "format": 0.3}


def run(policy: str, seed: int, tune: int, **more: object) -> StageRecord:
    steps = 0 if policy in ("sft", "best-of-n") else 10
    key = f"{policy}-{more.get('beta')}-{seed}-{tune}"
    told = {"task": "generation/x", "evidence_rate": 0.1, "method": policy, "steps": steps} | more
    return StageRecord(key=key, stage="policy", policy=policy, seed_data=seed, seed_tune=tune, **told)  # type: ignore[arg-type]


def study(
    policies: dict[str, float],
    *,
    seeds: int = 3,
    tunes: int = 1,
    inputs: int = 12,
    outputs: int = 3,
    noise: float = 0.05,
    losses: dict[str, float] = LOSSES,
) -> tuple[DataFrame, DataFrame]:
    """Runs and outputs of policies whose gold reward in distribution is given; shifts cost `losses`."""
    rng = np.random.default_rng(5)
    runs, rows = list[StageRecord](), list[Output]()
    for seed in range(seeds):
        hard = {(shift, i): noise * rng.normal() for shift in losses for i in range(inputs)}
        for policy, level in policies.items():
            for tune in range(1 if policy == "sft" else tunes):
                runs.append(run(policy, seed, tune))
                for (shift, i), k in product(hard, range(outputs)):
                    gold = level - losses[shift] + hard[shift, i] + noise * rng.normal()
                    answer = {"reference_gold": 0.8, "reference_learned": 0.0}
                    rows.append(
                        Output(key=runs[-1].key, shift=shift, input=i, sample=k, gold=gold, **answer)  # type: ignore[arg-type]
                    )
    return DataFrame(runs), DataFrame(rows)


def one(rows: list[Performance], **wanted: object) -> Performance:
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, (wanted, len(found))
    return found[0]


scores = st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2).map(float)), max_size=12)


@given(scores, scores)
def test_pairs_are_counted_as_by_hand(mine: list[tuple[int, float]], theirs: list[tuple[int, float]]) -> None:
    sides = [(np.array([g for g, _ in s], int), np.array([x for _, x in s], float)) for s in (mine, theirs)]
    (group, score), (other_group, other_score) = sides
    value, ties = win_rates(group, score, other_group, other_score, 4)
    back, same = win_rates(other_group, other_score, group, score, 4)
    cubed, _ = win_rates(group, np.exp(score) - 9, other_group, np.exp(other_score) - 9, 4)
    for g in range(4):
        pairs = [(x, y) for (i, x), (j, y) in product(mine, theirs) if i == j == g]
        if not pairs:
            assert math.isnan(value[g]) and math.isnan(ties[g])
            continue
        assert value[g] == pytest.approx(np.mean([(x > y) + (x == y) / 2 for x, y in pairs]))
        assert ties[g] == same[g] == pytest.approx(np.mean([x == y for x, y in pairs]))
        assert value[g] + back[g] == pytest.approx(1.0)
        assert cubed[g] == value[g]


def test_a_policy_is_as_good_as_itself() -> None:
    runs, outputs = study({"ppo": 0.5, "sft": 0.3}, tunes=2)
    for row in compare(runs, outputs, "ppo", "ppo"):
        if row.statistic == HEAD_TO_HEAD and row.quantity == LEVEL:
            assert row.value == row.low == row.high == 0.5
            assert 0 < row.ties < 1  # each output with itself
        else:
            assert row.value == pytest.approx(0)


def test_known_levels_gaps_and_losses() -> None:
    runs, outputs = study({"ppo": 0.9, "sft": 0.7}, noise=0.0)
    rows = performance(runs, outputs, shifts=SHIFTS)
    for policy, level in {"ppo": 0.9, "sft": 0.7}.items():
        of = {"policy": policy, "statistic": MEAN}
        for shift, loss in LOSSES.items():
            assert one(rows, **of, quantity=LEVEL, shift=shift).value == pytest.approx(level - loss)
            if shift != "in":
                assert one(rows, **of, quantity=GAP, shift=shift).value == pytest.approx(loss)
        slope = one(rows, **of, quantity=LOSS)
        assert slope.axis == "longer" and slope.level == 2 and slope.value == pytest.approx(0.1)
    won = one(rows, policy="ppo", statistic=WIN_RATE, quantity=LEVEL, shift="in")
    assert won.value == 1.0 and won.against == ANSWER and won.ties == 0
    assert one(rows, policy="ppo", statistic=WIN_RATE, quantity=GAP, shift="format").value == 1.0
    table = performance_table(rows)
    assert len(table) == len(rows) and set(table["policy"]) == {"ppo", "sft"}


def test_gold_that_equals_the_answers_is_a_tie() -> None:
    runs, outputs = study({"ppo": 0.8}, noise=0.0, losses={"in": 0.0})
    won = one(performance(runs, outputs), statistic=WIN_RATE)
    assert won.value == 0.5 and won.ties == 1.0


def test_head_to_head_is_the_other_way_round_from_the_other_side() -> None:
    runs, outputs = study({"ppo": 0.55, "dpo": 0.5}, noise=0.2)
    there, back = compare(runs, outputs, "ppo", "dpo"), compare(runs, outputs, "dpo", "ppo")
    for row in there:
        other = one(back, statistic=row.statistic, quantity=row.quantity, shift=row.shift)
        if row.statistic == HEAD_TO_HEAD and row.quantity == LEVEL:
            assert row.value == pytest.approx(1 - other.value) and row.value > 0.5
        else:
            assert row.value == pytest.approx(-other.value)
        assert row.ties == other.ties or math.isnan(row.ties)


def test_only_the_order_of_scores_counts_for_win_rates() -> None:
    runs, outputs = study({"ppo": 0.55, "dpo": 0.5}, noise=0.2)
    bent = outputs.assign(**{name: np.exp(4 * outputs[name]) for name in ("gold", "reference_gold")})
    for statistic in (HEAD_TO_HEAD, WIN_RATE_DIFFERENCE):
        plain, other = (
            [(r.value, r.low, r.high) for r in compare(runs, o, "ppo", "dpo") if r.statistic == statistic]
            for o in (outputs, bent)
        )
        assert plain == other and len(plain) == 7


def test_comparing_is_paired_over_inputs() -> None:
    """Inputs differ ten times as much as the policies do, and the difference is seen."""
    runs, outputs = study({"ppo": 0.55, "dpo": 0.5}, noise=0.0, seeds=4)
    hard = np.random.default_rng(0).normal(size=(4, 12))
    seed = outputs["key"].str.split("-").str[2].astype(int)
    outputs["gold"] += hard[seed, outputs["input"]]
    alone = one(performance(runs, outputs), policy="ppo", statistic=MEAN, quantity=LEVEL, shift="in")
    apart = one(compare(runs, outputs, "ppo", "dpo"), statistic=MEAN_DIFFERENCE, quantity=LEVEL, shift="in")
    assert alone.high - alone.low > 0.5
    assert apart.value == pytest.approx(0.05) and apart.high - apart.low < 1e-9
    head = one(compare(runs, outputs, "ppo", "dpo"), statistic=HEAD_TO_HEAD, quantity=LEVEL, shift="in")
    assert head.value == 1.0


def test_a_difference_of_gaps() -> None:
    runs, outputs = study({"ppo": 0.9, "sft": 0.7}, noise=0.0)
    worse = outputs["key"].str.startswith("ppo") & (outputs["shift"] == "format")
    outputs.loc[worse, "gold"] -= 0.15
    rows = compare(runs, outputs, "ppo", "sft", shifts=SHIFTS)
    of = {"statistic": MEAN_DIFFERENCE, "quantity": GAP}
    assert one(rows, **of, shift="format").value == pytest.approx(0.15)
    assert one(rows, **of, shift="longer-1").value == pytest.approx(0.0)


def test_what_is_missing_is_counted() -> None:
    runs, outputs = study({"ppo": 0.9, "dpo": 0.7}, losses={"in": 0.0})
    of_dpo = outputs["key"].str.startswith("dpo")
    lost = of_dpo & (outputs["input"] == 3) & (outputs["key"] == "dpo-None-0-0")  # no row of an input
    outputs = outputs[~lost]
    unscored = (outputs["key"] == "ppo-None-1-0") & (outputs["input"] == 5)  # an input without a score
    outputs.loc[unscored, "gold"] = None
    outputs = outputs[outputs["key"] != "dpo-None-2-0"]  # a seed that one side lacks
    row = one(compare(runs, outputs, "ppo", "dpo"), statistic=HEAD_TO_HEAD)
    assert (row.n_inputs, row.n_seeds, row.inputs_left_out) == (22, 2, 2)
    assert (row.outputs_left_out, row.seeds_left_out, row.outputs) == (3, 1, 66)
    mean = one(performance(runs, outputs), policy="ppo", statistic=MEAN)
    assert (mean.n_inputs, mean.inputs_left_out, mean.outputs_left_out, mean.outputs) == (35, 1, 3, 105)


def test_a_policy_without_a_counterpart_has_a_row_that_says_so() -> None:
    runs, outputs = study({"ppo": 0.9, "dpo": 0.7, "sft": 0.5})
    elsewhere = runs.assign(
        evidence_rate=0.1 + 0.1 * (runs["policy"] != "ppo")
    )  # at another level of evidence
    later = runs.assign(seed_data=runs["seed_data"] + 9 * (runs["policy"] != "ppo"))
    for changed, against, seeds in ((elsewhere, "dpo", 3), (later, "dpo", 6), (later, "sft", 6)):
        rows = compare(changed, outputs, "ppo", against)
        assert len(rows) == 3 and {row.note for row in rows} == {"nothing to estimate"}
        assert {row.seeds_left_out for row in rows} == {seeds} and {row.n_seeds for row in rows} == {0}
        assert all(math.isnan(row.value) for row in rows)


def test_unequal_numbers_of_outputs() -> None:
    """Inputs weigh alike, however many outputs they have."""
    runs, outputs = study({"ppo": 0.9, "dpo": 0.5}, noise=0.0, losses={"in": 0.0}, seeds=1, inputs=2)
    own = outputs["key"].str.startswith("ppo")
    outputs = outputs[~own | (outputs["input"] == 0) | (outputs["sample"] == 0)]
    outputs.loc[own & (outputs["input"] == 1), "gold"] = 0.1
    assert one(compare(runs, outputs, "ppo", "dpo"), statistic=HEAD_TO_HEAD).value == 0.5
    assert one(performance(runs, outputs), policy="ppo", statistic=MEAN).value == pytest.approx(0.5)


def test_an_sft_model_is_compared_with_every_tuning_of_it() -> None:
    runs, outputs = study({"ppo": 0.9, "sft": 0.5, "best-of-n": 0.8}, tunes=3, seeds=2, losses={"in": 0.0})
    runs.loc[runs["policy"] == "sft", "seed_tune"] = 7  # that of the SFT, and of no tuning
    row = one(compare(runs, outputs, "ppo", "sft"), statistic=HEAD_TO_HEAD)
    assert row.n_seeds == 6 and row.n_inputs == 24 and row.seeds_left_out == 0
    assert "6 seeds share the data of 2" in row.note
    back = one(compare(runs, outputs, "sft", "ppo"), statistic=HEAD_TO_HEAD)
    assert back.n_seeds == 6 and back.value == pytest.approx(1 - row.value)
    chosen = one(compare(runs, outputs, "best-of-n", "sft"), statistic=HEAD_TO_HEAD)
    assert chosen.n_seeds == 6 and chosen.seeds_left_out == 0


def test_settings_of_a_sweep_stay_apart() -> None:
    runs, outputs = study({"sft": 0.5}, seeds=1, losses={"in": 0.0})
    swept = [run("ppo", 0, 0, beta=beta) for beta in (0.1, 0.2)]
    more = [Output(key=r.key, shift="in", input=i, gold=r.beta) for r in swept for i in range(12)]
    runs, outputs = (
        DataFrame([*old.to_dict("records"), *map(vars, new)]) for old, new in ((runs, swept), (outputs, more))
    )
    rows = performance(runs, outputs)
    assert one(rows, policy="ppo", beta=0.2, statistic=MEAN).value == pytest.approx(0.2)
    assert {r.beta for r in compare(runs, outputs, "ppo", "sft")} == {0.1, 0.2}
    with pytest.raises(UserError, match="ppo: 2 settings of it"):
        compare(runs, outputs, "sft", "ppo")
    with pytest.raises(UserError, match="unknown policy 'pp'; did you mean 'ppo'"):
        compare(runs, outputs, "pp", "sft")
    again = DataFrame([*runs.to_dict("records"), vars(run("ppo", 0, 0, beta=0.1)) | {"key": "other"}])
    told = DataFrame([*outputs.to_dict("records"), vars(Output(key="other", shift="in", gold=0.1))])
    with pytest.raises(UserError, match="ppo: two runs of seed_data 0 and seed_tune 0"):
        performance(again, told)


def test_one_seed_and_one_input_say_so() -> None:
    runs, outputs = study({"ppo": 0.9}, seeds=1, losses={"in": 0.0})
    row = one(performance(runs, outputs), statistic=MEAN)
    assert row.note == "one seed: the interval is over inputs alone" and row.low < row.value < row.high
    row = one(performance(runs, outputs[outputs["input"] == 0]), statistic=MEAN)
    assert row.note == "no interval: one input" and math.isnan(row.low)
    row = one(performance(runs, outputs.assign(gold=None)), statistic=MEAN)
    assert row.note == "nothing to estimate" and math.isnan(row.value) and row.inputs_left_out == 12


def test_outputs_without_the_answers_score_have_no_win_rate() -> None:
    runs, outputs = study({"ppo": 0.9}, losses={"in": 0.0})
    rows = performance(runs, outputs.assign(held_out=outputs["gold"]), score="held_out")
    assert {row.statistic for row in rows} == {MEAN}
    with pytest.raises(UserError, match="unknown score 'golden'; did you mean 'gold'"):
        performance(runs, outputs, score="golden")


@pytest.mark.parametrize(
    ("data", "tunes", "between", "least"),
    [(1, 1, 0.0, 0.91), (3, 1, 0.0, 0.94), (3, 1, 1.0, 0.92), (5, 1, 1.0, 0.92), (1, 5, 0.3, 0.92)],
)
def test_intervals_cover(data: int, tunes: int, between: float, least: float) -> None:
    """Of 300 simulated studies, with a spread of seeds between none and five times that of means of inputs.

    The last shares its inputs between seeds: their spread is not seen between seeds.
    """
    rng, trials, covered = np.random.default_rng(1), 300, 0
    inputs, index = 25, [(d, t, i) for d in range(data) for t in range(tunes) for i in range(25)]
    frame = DataFrame(index, columns=["seed_data", "seed_tune", "input"])
    for _ in range(trials):
        hard = np.repeat(rng.normal(size=(data, 1, inputs)), tunes, axis=1)
        value = hard + between * rng.normal(size=(data, tunes, 1)) + 0.3 * rng.normal(size=hard.shape)
        found = two_level([(1.0, frame.assign(value=value.ravel()))], resamples=400)
        covered += found.low <= 0 <= found.high
    assert least <= covered / trials
