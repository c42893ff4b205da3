"""Seconds per gradient step of a bandit: seeds side by side, against a loop over seeds, samples and pairs."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from benchmarks.machine import one_thread
from benchmarks.ratio import Ratio, alone, side_by_side
from rl_finetune.bandit_methods import set_method
from rl_finetune.bandit_problems import ARMS, CONTEXT, problem_of
from rl_finetune.bandit_settings import BanditSettings
from rl_finetune.bandits import fitted, tune

SETTINGS = BanditSettings(steps=20, log_steps=(), eval_n=1)
BETA = 0.05


def loop(method: str, seeds: Sequence[int], steps: int) -> None:
    """The one-step bandit with one forward pass a sample and, for DPO, one loss a pair; one seed at a time.

    The same network, samples a step, losses and optimiser as ours; no evaluation.
    """
    bump = problem_of("arms/R1").bump()
    for seed in seeds:
        torch.manual_seed(seed)
        agent, reference = _agent(), _agent()
        optimiser = torch.optim.Adam(agent.parameters(), lr=1e-3)
        contexts = torch.rand(SETTINGS.contexts, CONTEXT)
        for _ in range(steps):
            total = torch.zeros(())
            for context in contexts:
                arms = [_sample(agent, context) for _ in range(SETTINGS.samples_per_prompt)]
                rewards = [float(bump[arm]) for arm in arms]
                total = total + (_best if method == "online-bon-distillation" else _dpo)(
                    agent, reference, context, arms, rewards
                )
            optimiser.zero_grad()
            (total / len(contexts)).backward()
            optimiser.step()


def _agent() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(CONTEXT, 50), nn.LayerNorm(50), nn.ReLU(), nn.Linear(50, 256), nn.ReLU(),
        nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, ARMS),
    )  # fmt: skip


def _sample(agent: nn.Module, context: Tensor) -> int:
    with torch.no_grad():
        return int(torch.distributions.Categorical(logits=agent(context)).sample())


def _log_prob(agent: nn.Module, context: Tensor, arm: int) -> Tensor:
    log_probs: Tensor = agent(context).log_softmax(-1)
    return log_probs[arm]


def _best(
    agent: nn.Module, reference: nn.Module, context: Tensor, arms: list[int], rewards: list[float]
) -> Tensor:
    return -_log_prob(agent, context, arms[rewards.index(max(rewards))])


def _dpo(
    agent: nn.Module, reference: nn.Module, context: Tensor, arms: list[int], rewards: list[float]
) -> Tensor:
    total, pairs = torch.zeros(()), 0
    for i in range(len(arms)):
        for j in range(i):
            won, lost = (i, j) if rewards[i] > rewards[j] else (j, i)
            with torch.no_grad():
                before = _log_prob(reference, context, arms[won]) - _log_prob(reference, context, arms[lost])
            now = _log_prob(agent, context, arms[won]) - _log_prob(agent, context, arms[lost])
            total, pairs = total - logsigmoid(BETA * (now - before)), pairs + 1
    return total / pairs


def seconds(do: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    do()
    return clock() - started


def measure(seeds: Sequence[int], loop_steps: int, turns: int) -> list[dict[str, Any]]:
    """Milliseconds a step of both, of each turn; sequences have no loop to compare with."""
    clock, rows = time.process_time, []
    for method in ("online-bon-distillation", "online-dpo"):
        for problem, sizes in (("arms/R1", (10, 10)), ("sequence/R1", (5, 8))):
            settings = replace(SETTINGS, batch_size=sizes[0], samples_per_prompt=sizes[1], beta=BETA)
            fitted(problem.partition("/")[0], tuple(seeds), settings.fit_steps)
            row = set_method(method, settings)
            told: dict[str, Any] = {"method": method, "problem": problem, "ours": [], "loop": []}
            tuned = partial(tune, problem_of(problem), row, settings, rate=1e-3, seeds=tuple(seeds))
            for _ in range(turns):
                told["ours"].append(1e3 * seconds(tuned, clock) / settings.steps / len(seeds))
                if problem == "arms/R1":
                    looped = seconds(partial(loop, method, (0,), loop_steps), clock)
                    told["loop"].append(1e3 * looped / loop_steps)
            rows.append(told)
    return rows


def ratios(*, quick: bool) -> list[Ratio]:
    """Seeds side by side beside a loop."""
    found = []
    for row in measure(range(4 if quick else 20), 1 if quick else 2, 1 if quick else 3):
        name = f"{row['method']} on {row['problem']}, a step and seed"
        if row["loop"]:
            found.append(side_by_side(name, row["ours"], "loop", row["loop"], None, "ms", times_better=True))
        else:
            found.append(alone(name, row["ours"], None, "ms"))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="replicas side by side")
    parser.add_argument("--loop-steps", type=int, default=2, help="steps of one seed of the loop")
    parser.add_argument("--turns", type=int, default=3, help="the fastest of so many turns is told")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    one_thread()
    rows = []
    for told in measure(range(arguments.seeds), arguments.loop_steps, arguments.turns):
        ours, looped = min(told["ours"]), min(told["loop"], default=None)
        rows.append(
            {
                "method": told["method"],
                "problem": told["problem"],
                "seeds": arguments.seeds,
                "ms a step of all seeds": arguments.seeds * ours,
                "ms a step and seed": ours,
                "ms a step and seed, loop": looped,
                "loop / ours": looped / ours if looped else None,
            }
        )
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return
    for line in rows:
        told = {k: f"{v:.3g}" if isinstance(v, float) else v for k, v in line.items() if v is not None}
        print("  ".join(f"{k}: {v}" for k, v in told.items()))


if __name__ == "__main__":
    main()
