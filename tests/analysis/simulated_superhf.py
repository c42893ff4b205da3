"""Studies of SuperHF and its rivals in which what every setting leads to is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pandas import DataFrame

from analysis.primary import signed
from analysis.records import COLUMNS, OF_STAGES, Study, frame
from analysis.stage_schema import Choice, Measurement, Output, StageRecord
from analysis.stages.stage_pairs import BETWEEN

TASK, MODEL = "generation/summarise", "embedded/english"
STEPS = 50
ELSEWHERE = 0.3
"""By how much the held-out reward is higher on the prompts of the way than on those of the end."""


@dataclass(frozen=True)
class Truth:
    """Where a policy goes: held-out reward rises to `gain` above the SFT model's, KL to `kl`."""

    method: str
    gain: float
    kl: float = 4.0
    alike: float = 0.1
    """METEOR similarity at the end; the SFT model's is 0.08."""
    hacked: float = 0.3
    """What the reward model that it is tuned on sees beyond the held-out one."""
    falls: float = 0.0
    """What gold reward loses between the middle of the run, where it peaks, and the end."""
    spread: float = 0.1
    """Standard deviation of the gain over runs."""
    confidence: float = 0.6
    """Its probability of the answer that it gives."""
    modal: float = 0.1
    record: Mapping[str, Any] = field(default_factory=dict)


def _superhf(gain: float, alike: float = 0.1, **record: Any) -> Truth:
    told = {"beta": 0.35, "samples_per_prompt": 16, "batch_size": 2, **record}
    return Truth("superhf", gain, 2.0 + 4 * alike, alike, record=told)


BETAS = {0.0: (1.4, 0.6), 0.1: (1.1, 0.5), 0.2: (0.9, 0.16), 0.35: (0.8, 0.1), 0.5: (0.7, 0.1)}
"""Gain and similarity of SuperHF: the knee is at 0.2."""
SUPERBATCH = {1: 0.1, 4: 0.5, 16: 0.8, 32: 0.8, 64: 0.75}
POLICIES: dict[str, list[Truth]] = {
    "best-of-n": [Truth("best-of-n", 0.5, kl=1.8)],
    "ppo": [Truth("ppo", 0.6, 6.0, 0.14, 0.9, 0.15, 0.1, 0.9, record={"beta": 0.05})],
    "rloo": [Truth("rloo", 0.7, 5.0, 0.12, 0.6, 0.1, 0.1, 0.8, record={"beta": 0.05})],
    "superhf": [_superhf(0.8)],
    "superhf kl": [_superhf(*of, beta=beta) for beta, of in BETAS.items() if beta != 0.35],
    "superhf superbatch": [
        _superhf(gain, samples_per_prompt=size, steps=STEPS * 16 // size)
        for size, gain in SUPERBATCH.items()
        if size != 16
    ],
    "superhf accumulation": [_superhf(0.8 - 0.02 * size, batch_size=size) for size in (1, 8, 16)],
    "ppo kl": [Truth("ppo", 0.6 - beta, 6.0 - 10 * beta, record={"beta": beta}) for beta in (0.1, 0.2, 0.4)],
    "rloo kl": [
        Truth("rloo", 0.7 - beta, 5.0 - 10 * beta, record={"beta": beta}) for beta in (0.1, 0.2, 0.4)
    ],
}
PRIMARY = {
    "task": TASK, "policy": "superhf", "against": "ppo", "measure": "held-out", "scope": "per input",
    "shift": "in", "statistic": "paired difference", "test": "t over seeds",
}  # fmt: skip


def simulated(
    policies: Mapping[str, list[Truth]] = POLICIES,
    *,
    tasks: tuple[str, ...] = (TASK,),
    evidence: tuple[float, ...] = (0.1,),
    models: tuple[str, ...] = (MODEL,),
    seeds: int = 1,
    tunes: int = 10,
    inputs: int = 40,
    noise: float = 1.0,
    primary: Mapping[str, Any] = PRIMARY,
) -> Study:
    """Every policy with every seed. `noise` scales what differs from run to run."""
    rng = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {"stage": [], **{name: [] for name in OF_STAGES}}
    for task in tasks:
        for model in models:
            for rate in evidence:
                for seed in range(seeds):
                    told = {"task": task, "model": model, "evidence_rate": rate, "seed_data": seed}
                    _training(tables, told)
                    start = rng.normal(scale=0.3) + 0.4 * models.index(model)
                    _run(tables, rng, told, "sft", Truth("sft", 0.0, 0.0, hacked=0.0), start, inputs, noise)
                    for policy, given in policies.items():
                        for truth in given:
                            for tune in range(tunes):
                                _run(
                                    *(tables, rng, told | {"seed_tune": tune}, policy),
                                    *(truth, start, inputs, noise),
                                )
    manifest = {"name": "toy", "paper": "superhf2023", "scale": "quick", **signed(primary)}
    beside = {name: frame(tables[name], columns) for name, columns in OF_STAGES.items()}
    empty = DataFrame()
    stages = frame(tables["stage"], COLUMNS["stage"])
    return Study("toy", manifest, empty, empty, empty, [], stages=stages, **beside)


def _training(tables: dict[str, list[dict[str, Any]]], told: dict[str, Any]) -> None:
    """How the SFT model was made, and a measure of that: no part of anything."""
    key = f"training {told}"
    made = StageRecord(key=key, stage="sft", policy="sft training", method="sft", steps=5, **told)
    tables["stage"].append(_row(made))
    decoy = Measurement(key=key, step=5, shift="in", measure="held-out", scope="per input", value=99.0)
    tables["measures"].append(_row(decoy))


def _row(value: Any) -> dict[str, Any]:
    return {k: math.nan if v is None else v for k, v in dataclasses.asdict(value).items()}


def _run(
    tables: dict[str, list[dict[str, Any]]], rng: np.random.Generator, told: dict[str, Any], policy: str,
    truth: Truth, start: float, inputs: int, noise: float,
) -> None:  # fmt: skip
    """A run's record, measures along it, outputs and choices."""
    steps = STEPS if truth.method not in ("sft", "best-of-n") else 0  # an SFT model is a policy of no step
    record: dict[str, Any] = {"steps": steps, "completions": 1600, "samples_per_prompt": 4, "batch_size": 8}
    record |= {**told, **truth.record}
    if not steps:
        record["completions"] = 0
    if policy == "sft":
        record["seed_tune"] = record["seed_data"]
    key = " ".join(str(v) for v in (policy, *record.values()))
    tables["stage"].append(
        _row(StageRecord(key=key, stage="policy", policy=policy, method=truth.method, **record))
    )
    steps = record["steps"]
    off = rng.normal(scale=noise * truth.spread) if policy != "sft" else 0.0
    many = [0, steps // 10, steps // 4, steps // 2, 3 * steps // 4, steps] if steps else [0]
    for step in many:
        part = math.sqrt(step / steps) if steps else 1.0
        elsewhere = ELSEWHERE if step < steps else 0.0
        jitter = rng.normal(scale=noise * 0.02 * (step > 0 or not steps), size=4)  # all begin alike
        held = start + part * (truth.gain + off)
        fallen = truth.falls * max(0.0, 2 * step / steps - 1) if steps else 0.0
        alike = 0.08 + (part * (truth.alike - 0.08) if policy != "sft" else 0)
        values = {
            "held-out": held + jitter[0] + elsewhere,
            "learned": held + part * truth.hacked + jitter[1] - elsewhere,
            "gold": 0.5 + 0.1 * start + part * 0.2 * truth.gain - fallen + 0.5 * jitter[2] + elsewhere / 10,
            "kl": part * truth.kl if truth.method != "best-of-n" else math.nan,
            "meteor similarity": alike + 0.1 * jitter[3] + elsewhere / 100,
            "modal share": 0.02 + part * (truth.modal - 0.02),
            "empty share": 0.0,
            "length": 6.0,
        }  # fmt: skip
        tables["measures"] += [
            _row(
                Measurement(
                    key=key, step=step, shift="in", measure=measure, value=float(value),
                    scope="across inputs" if measure in BETWEEN else "per input",
                    low=float(value) - 0.05, high=float(value) + 0.05, n=inputs, outputs=inputs * 4,
                )
            )
            for measure, value in values.items()
        ]  # fmt: skip
    decoy = Measurement(key=key, step=steps, shift="in", measure="modal share", scope="per input", value=0.99)
    tables["measures"].append(_row(decoy))  # of one input it may be high
    gold = 0.5 + 0.2 * (truth.gain + off) + rng.normal(scale=0.15, size=(inputs, 2))
    seen = {name: gold - gold.mean() + values[name] for name in ("learned", "held-out")}
    tables["outputs"] += [
        _row(
            Output(
                key=key, shift="in", input=i, sample=j, gold=float(gold[i, j]),
                learned=float(seen["learned"][i, j]), held_out=float(seen["held-out"][i, j]),
            )
        )
        for i in range(inputs)
        for j in range(2)
    ]  # fmt: skip
    for i in range(inputs if truth.method != "best-of-n" else 0):  # which has no probabilities
        p = np.full(3, (1 - truth.confidence) / 2)
        p[0 if rng.random() < 0.6 else 1] = truth.confidence
        tables["choices"] += [
            _row(Choice(key=key, shift="in", input=i, choice=c, probability=float(v)))
            for c, v in enumerate(p)
        ]
