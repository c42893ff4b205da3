"""The bare training loop: schedule, stops, and what the clock counts."""

from __future__ import annotations

import itertools
import time
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from models import Diverged, Optimisation, train


def weight(value: float = 1.0) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_the_rate_rises_linearly_to_its_peak() -> None:
    optimisation = Optimisation(0.3, warmup=0.1, schedule="constant")
    rates = [optimisation.rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.03 * k for k in range(1, 11)])
    assert rates[10:] == [0.3] * 90


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_falls_from_its_peak_to_a_tenth(schedule: Literal["linear", "cosine"]) -> None:
    optimisation = Optimisation(0.3, warmup=0.1, schedule=schedule)
    rates = [optimisation.rate(step, 1000) for step in range(1000)]
    assert max(rates) == rates[99] == rates[100] == 0.3
    assert all(b < a for a, b in itertools.pairwise(rates[100:]))
    assert rates[-1] == pytest.approx(0.03, rel=0.02)
    assert rates[550] == pytest.approx(0.55 * 0.3)  # half of both decays is half of the way
    quarter = 1 - 0.9 * (0.25 if schedule == "linear" else (1 - 0.5**0.5) / 2)
    assert rates[325] == pytest.approx(0.3 * quarter)


def test_every_step_runs_at_its_rate() -> None:
    # Adam moves a weight under a constant gradient by exactly the learning rate.
    model, seen = weight(), [1.0]
    optimisation = Optimisation(0.01, warmup=0.2, schedule="linear")
    train(
        model,
        itertools.repeat(None),
        lambda _, step: model.weight.sum(),
        steps=20,
        optimisation=optimisation,
        observe=lambda step, value: seen.append(model.weight.item()),
    )
    moves = [a - b for a, b in itertools.pairwise(seen)]
    assert moves == pytest.approx([optimisation.rate(k, 20) for k in range(20)], rel=1e-3)


def test_a_quadratic_is_minimised() -> None:
    model = weight(5.0)
    train(
        model,
        itertools.repeat(2.0),
        lambda goal, step: (model.weight - goal).square().sum(),
        steps=300,
        optimisation=Optimisation(0.1),
    )
    assert model.weight.item() == pytest.approx(2.0, abs=1e-2)


def test_frozen_parameters_stay() -> None:
    frozen, free = weight(), weight()
    frozen.requires_grad_(False)
    model = nn.Sequential(frozen, free)
    train(
        model,
        itertools.repeat(torch.ones(1)),
        lambda x, _: model(x).sum(),
        steps=2,
        optimisation=Optimisation(),
    )
    assert frozen.weight.item() == 1.0
    assert free.weight.item() != 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_at_its_step(bad: float) -> None:
    model, taken = weight(), []

    def loss(_: None, step: int) -> Tensor:
        return model.weight.sum() * (bad if step == 3 else 1.0)

    with pytest.raises(Diverged, match="step 3 of 7"):
        train(
            model,
            itertools.repeat(None),
            loss,
            steps=7,
            optimisation=Optimisation(),
            observe=lambda step, value: taken.append(step),
        )
    assert taken == [1, 2]
    assert model.weight.isfinite().all()  # the weights are those of before


def test_a_gradient_that_is_no_number_stops_though_the_loss_is_finite() -> None:
    model = weight(0.0)
    with pytest.raises(Diverged, match="step 1 of 1"):
        train(
            model,
            itertools.repeat(None),
            lambda _, step: model.weight.square().sum().sqrt(),  # 0 with the slope 0/0
            steps=1,
            optimisation=Optimisation(),
        )


def test_batches_that_end_early_are_an_error() -> None:
    model = weight()
    with pytest.raises(ValueError, match="5 steps were asked for and batches end after 3"):
        train(model, range(3), lambda _, step: model.weight.sum(), steps=5, optimisation=Optimisation())


def test_no_batch_is_drawn_beyond_the_last_step() -> None:
    model, batches = weight(), iter(range(5))
    train(model, batches, lambda _, step: model.weight.sum(), steps=3, optimisation=Optimisation())
    assert list(batches) == [3, 4]


def test_observers_and_batches_are_no_part_of_the_time_but_the_loss_is() -> None:
    model = weight()

    def slow_loss(_: None, step: int) -> Tensor:
        time.sleep(0.02)
        return model.weight.sum()

    seconds = train(
        model,
        itertools.repeat(None),
        slow_loss,
        steps=3,
        optimisation=Optimisation(),
        observe=lambda step, value: time.sleep(0.3),
    )
    assert 0.02 <= seconds < 0.3


def test_no_gradient_is_left_behind() -> None:
    model = weight()
    train(model, range(2), lambda _, step: model.weight.sum(), steps=2, optimisation=Optimisation())
    assert model.weight.grad is None
