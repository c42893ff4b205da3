"""Milliseconds per batch of every method beside the passes that the method cannot avoid.

One process, one thread, an embedded model, the default batch. The passes are written out with nothing around
them: sampling (each prompt is read once), the forward pass of the policy that is gone back through (of the
answers that have a gradient), the reference's forward pass where the method needs it, the backward pass, the
optimiser. A method that reuses a batch has all but the sampling and the reference's pass once a step.

    python -m benchmarks.method_speed [--methods sft,ppo] [--answers constrained|free] [--beta 0.05]
        [--batches 20] [--turns 3] [--model embedded/symbols] [--clock wall|processor] [--json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import models
from benchmarks.loop import seconds_of_steps
from benchmarks.machine import one_thread
from benchmarks.ratio import Ratio, side_by_side
from models import LanguageModel, answer_ids, prompt_ids
from models.answers import left_pad, pad
from rl_finetune import METHODS, Method, Settings, get_method, warm_up
from rl_finetune.policy import FreePolicy
from tasks import Evidence, Task, get_task

LIMIT = 1.3
"""Times the unavoidable passes, for methods that sample from the policy."""
UNTIMED = 3
"""First batches of each turn: allocation, and lazy imports inside the first backward pass."""
TASK = "symbolic/first-last-vs-contains-2"
Ids = Sequence[Sequence[int]]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Setting:
    """What both are given."""

    lm: LanguageModel
    task: Task
    rows: dict[str, Any]
    settings: Settings
    clock: Callable[[], float]


def ours(method: Method, where: Setting) -> list[float]:
    """Seconds of each timed batch of our loop."""
    return seconds_of_steps(
        where.lm, where.task, where.rows, method, where.settings, clock=where.clock, untimed=UNTIMED
    )


def unavoidable(method: Method, where: Setting) -> list[float]:
    """Seconds of each timed batch of the passes alone."""
    settings, free = where.settings, where.settings.answers == "free"
    method = method.set(settings)
    policy = FreePolicy(where.lm, where.task) if free else None
    model, reference = models.load(where.lm.name).model, where.lm.model
    model.load_state_dict(reference.state_dict())
    optimiser = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, fused=True)
    said = [row[0] for row in answer_ids(where.lm, where.task.answers.words or ())]
    ids = prompt_ids(where.lm, where.rows["prompt"])
    generator = torch.Generator().manual_seed(0)
    given = {"demonstrations": 1, "pairs": 2}.get(method.samples)
    samples = given or settings.samples_per_prompt
    # Of a filtered prompt's answers one has a gradient, unless equal ones share it.
    kept = 1 if method.reward == "filter" else samples
    compared = method.kl.place == "log-ratios" or (method.beta and method.kl.place in ("reward", "loss"))
    needed = kept if method.kl.place == "loss" and method.kl.estimator == "exact" else samples

    def forward(network: Any, rows: Ids) -> torch.Tensor:
        """Log-probabilities of two answer words, or of what follows each prompt in the rows."""
        if not free:
            inputs = torch.tensor(rows)
            logits = network(input_ids=inputs, logits_to_keep=1, use_cache=False).logits[:, -1]
            return logits.log_softmax(-1)[:, said].log_softmax(-1)  # type: ignore[no-any-return]
        tokens, mask = pad(rows)
        logits = network(input_ids=tokens, attention_mask=mask, use_cache=False).logits[:, :-1]
        taken = logits.log_softmax(-1).gather(2, tokens[:, 1:, None]).squeeze(2)
        return (taken * mask[:, 1:])[:, -2:].sum(1)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def sampled(network: Any, prompts: Ids) -> list[list[int]]:
        """Whole rows [prompts x samples]; each prompt is read once."""
        tokens, mask, positions = left_pad(prompts)
        out = network(input_ids=tokens, attention_mask=mask, position_ids=positions, use_cache=True)
        cache, rows = out.past_key_values, []
        cache.batch_repeat_interleave(samples)
        logits = out.logits[:, -1].repeat_interleave(samples, dim=0)
        mask, positions = (t.repeat_interleave(samples, dim=0) for t in (mask, positions[:, -1:]))
        assert policy
        for place in range(policy.most):
            token = torch.multinomial(logits.softmax(-1), 1, generator=generator)
            rows.append(token)
            if place + 1 < policy.most:
                mask = torch.cat([mask, torch.ones_like(token)], dim=1)
                positions = positions + 1
                step = {"attention_mask": mask, "position_ids": positions, "past_key_values": cache}
                logits = network(input_ids=token, use_cache=True, **step).logits[:, -1]
        answers = torch.cat(rows, dim=1).tolist()
        return [[*prompts[i // samples], *answer] for i, answer in enumerate(answers)]

    def batch(prompts: Ids) -> None:
        rows: Ids = prompts
        if free and given:
            rows = [[*p, said[k % 2], policy.eos] for p in prompts for k in range(samples)]  # type: ignore[union-attr]
        elif free:
            rows = sampled(reference if method.samples == "reference" else model, prompts)
        elif method.samples == "reference":
            with torch.inference_mode():
                forward(reference, prompts)
        with torch.inference_mode():
            if compared:
                forward(reference, rows[: needed * len(prompts)] if free else rows)
            if method.mismatched:
                forward(reference, rows)
        for _ in range(method.reuse):
            with torch.inference_mode():
                if method.mismatched:
                    forward(model, rows)
            loss = forward(model, rows[: kept * len(prompts)] if free else rows).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    size, seconds = settings.batch_size, []
    for number in range(settings.steps):
        start = where.clock()
        batch(ids[number * size : (number + 1) * size])
        seconds.append(where.clock() - start)
    return seconds[UNTIMED:]


@dataclass(frozen=True)
class Row:
    """One line of the table, in milliseconds: the median of each turn's batches."""

    method: str
    answers: str
    ours: list[float]
    unavoidable: list[float]
    limit: float | None

    def ratio(self) -> Ratio:
        name = f"a batch of {self.method}, {self.answers}"
        return side_by_side(name, self.ours, "unavoidable passes", self.unavoidable, self.limit, "ms")


def measure(
    model: str, answers: str, methods: Sequence[str], beta: float, batches: int, turns: int, clock: Clock
) -> Iterator[Row]:
    """A row a method, as soon as it is measured."""
    task = get_task(TASK)
    settings = Settings(steps=UNTIMED + batches, answers=answers, beta=beta, log_points=0, learning_rate=1e-4)
    lm = models.load(model)
    if answers == "free":
        lm = warm_up(lm, task, Settings(answers="free"), 0)
    columns = task.mixture(Evidence(), settings.rows, np.random.default_rng(0)).to_dict()
    where = Setting(lm, task, columns, settings, clock)
    for name in methods:
        method = get_method(name)
        both: tuple[list[float], list[float]] = ([], [])
        for _ in range(turns):
            for held, contestant in zip(both, (ours, unavoidable), strict=True):
                held.append(1e3 * statistics.median(contestant(method, where)))
        yield Row(name, answers, *both, LIMIT if method.samples == "policy" else None)


def ratios(*, quick: bool) -> list[Ratio]:
    """Every method with both ways of answering; quickly, three of them with constrained answers."""
    ways = ("constrained",) if quick else ("constrained", "free")
    methods = ("sft", "rloo", "dpo") if quick else tuple(METHODS)
    batches, turns = (3, 1) if quick else (8, 3)
    clock = time.process_time
    return [
        row.ratio()
        for answers in ways
        for row in measure("embedded/symbols", answers, methods, 0.05, batches, turns, clock)
    ]


def main() -> None:
    """Print the table, or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", default=",".join(METHODS), help="names, separated by commas")
    parser.add_argument("--answers", choices=("constrained", "free"), help="default: both")
    parser.add_argument("--beta", type=float, default=0.05, help="weight of the KL; 0: the method's own")
    parser.add_argument("--batches", type=int, default=20, help="timed batches a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--model", default="embedded/symbols")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    one_thread()
    found = []
    clock = time.perf_counter if asked.clock == "wall" else time.process_time
    if not asked.json:
        print(f"{'method':40}{'ms':>8}{'unavoidable':>13}{'ratio':>8}")
    for answers in [asked.answers] if asked.answers else ["constrained", "free"]:
        methods = asked.methods.split(",")
        for row in measure(asked.model, answers, methods, asked.beta, asked.batches, asked.turns, clock):
            found.append(row.ratio())
            if not asked.json:
                print(told(found[-1]), flush=True)
    if asked.json:
        machine = f"{platform.system()} {platform.machine()}, one thread, {asked.clock} clock"
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in found]}, indent=2))


def told(row: Ratio) -> str:
    over = " over the limit" if row.within is False else ""
    return f"{row.name:40}{row.ours:8.2f}{row.peer or 0:13.2f}{row.ratio:8.2f}{over}"


if __name__ == "__main__":
    main()
