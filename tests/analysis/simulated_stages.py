"""Studies of stages in which what each policy is, on every shift, is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from analysis.primary import signed
from analysis.records import COLUMNS, LEARNABILITY, OF_STAGES, Study, frame
from analysis.stage_schema import ACROSS, PER_INPUT, Choice, Measurement, Output, StageRecord

SUMMARISE, INSTRUCT = "generation/summarise", "generation/instruct"
SHIFTS = {
    SUMMARISE: ("in", "topic-1", "topic-2", "longer-1", "longer-2", "format-1", "format-2"),
    INSTRUCT: ("in", "new-1", "new-2", "sequential-1", "sequential-2"),
}


@dataclass(frozen=True)
class Truth:
    """What a policy is, before noise."""

    method: str
    gold: float
    """Mean gold reward in distribution."""
    drop: float = 0.1
    """By how much it is lower on each level of a shift."""
    ead: float = 0.7
    """Diversity per input, on a scale of 0 to 1; other measures and the entropy follow it."""
    across: float = 0.85
    kl: float = 0.0
    use: float = 0.2
    """Share of answers to conflict prompts that keep to the spurious rule."""
    confidence: float = 0.6
    """Its probability of the answer that it gives in a multiple choice."""
    beta: float | None = None
    kl_place: str = ""
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further columns of the record."""


SFT = Truth("sft", 0.55)
POLICIES = {
    "best-of-n": Truth("best-of-n", 0.75, ead=0.5, kl=1.8),
    "ppo": Truth("ppo", 0.7, ead=0.2, kl=6.0, use=0.4, confidence=0.9),
    "rloo": Truth("rloo", 0.72, ead=0.25, kl=5.0, use=0.4, confidence=0.85),
    "dpo": Truth("dpo", 0.65, ead=0.4, kl=4.0, use=0.3),
    "superhf": Truth("superhf", 0.65, ead=0.5, kl=2.0, use=0.25),
}
K1, K2 = (f"reward, KL(policy || reference), {name}" for name in ("k1", "k2"))


def sweeps(betas: Sequence[float] = (0.01, 0.1, 1.0)) -> dict[str, list[Truth]]:
    """PPO by beta: with k1 diversity comes back as beta rises, with k2 it does not."""
    found = {}
    for name, place, back in (("ppo k1", K1, 0.45), ("ppo k2", K2, 0.0)):
        found[name] = [
            Truth(
                "ppo", 0.72 - 0.1 * i / 2, ead=0.2 + back * i / 2, kl=6.0 - 2.5 * i, beta=beta, kl_place=place
            )
            for i, beta in enumerate(betas)
        ]
    return found


def simulated(
    policies: Mapping[str, Truth | list[Truth]] = POLICIES,
    *,
    sft: Truth = SFT,
    tasks: Sequence[str] = (SUMMARISE,),
    evidence: Sequence[float] = (0.1,),
    seeds: int = 4,
    tunes: int = 1,
    inputs: int = 20,
    samples: int = 4,
    noise: float = 0.02,
    primary: Mapping[str, Any] | None = None,
    paper: str = "kirk2024",
) -> Study:
    """A study of stages. Runs of a data seed share inputs; `noise` is the spread between runs."""
    rng = np.random.default_rng(0)
    tables: dict[str, list[dict[str, Any]]] = {"stage": [], **{name: [] for name in OF_STAGES}}
    cells = [(task, rate, seed) for task in tasks for rate in evidence for seed in range(seeds)]
    for task, rate, seed in cells:
        draw = _Cell(task, rate, seed, inputs, samples, noise, rng, tables)
        made = draw.record("sft training", "sft", "sft", steps=5, seed_tune=seed)
        tables["stage"].append(made)
        draw.measure(made, 5, "in", "gold", 0.1)  # of other prompts: no part of any table
        first = draw.run("sft", sft, seed, sft)
        for name in ("reward", "held-out reward"):
            draw.reward(name)
        for name, given in policies.items():
            for truth in given if isinstance(given, list) else [given]:
                for tune in range(tunes):
                    draw.run(name, truth, tune, sft, first)
    told = {
        "task": tasks[0], "policy": "ppo", "against": "sft", "measure": "ead", "scope": PER_INPUT,
        "shift": "in", "statistic": "paired difference", "test": "t over seeds",
    }  # fmt: skip
    manifest = {"name": "toy", "paper": paper, "scale": "smoke", **signed(primary or told)}
    nothing = [frame([], columns) for columns in (COLUMNS["run"], COLUMNS["probe"], LEARNABILITY)]
    beside = [frame(tables[name], columns) for name, columns in OF_STAGES.items()]
    stages = frame(tables["stage"], COLUMNS["stage"])
    return Study("toy", manifest, *nothing, [], stages=stages, **dict(zip(OF_STAGES, beside, strict=True)))


def _row(value: Any) -> dict[str, Any]:
    return {k: math.nan if v is None else v for k, v in vars(value).items()}


@dataclass
class _Cell:
    """A task at a level of evidence with one data seed: its inputs, and the tables that runs are added to."""

    task: str
    rate: float
    seed: int
    inputs: int
    samples: int
    noise: float
    rng: Generator
    tables: dict[str, list[dict[str, Any]]]

    def __post_init__(self) -> None:
        self.hardness = {shift: self.rng.normal(scale=0.1, size=self.inputs) for shift in SHIFTS[self.task]}
        self.common = self.rng.normal(scale=0.05)
        self.elsewhere = self.rng.normal(scale=0.05)  # prompts on the way are others than those of the end

    def record(self, policy: str, stage: str, method: str, **more: Any) -> dict[str, Any]:
        key = f"{self.task} {self.rate} {self.seed} {policy} {' '.join(str(v) for v in more.values())}"
        told = StageRecord(key=key, stage=stage, policy=policy, method=method, model="embedded/english")
        told = dataclasses.replace(
            told, task=self.task, evidence_rate=self.rate, seed_data=self.seed, batch_size=8, **more
        )
        return _row(told)

    def reward(self, name: str) -> None:
        record = self.record(name, "reward", "bradley-terry", steps=4)
        self.tables["stage"].append(record)
        for measure, value in (("accuracy", 0.85), ("spurious preference", 0.4)):
            self.measure(record, 4, "in", measure, value + self.rng.normal(scale=self.noise))

    def run(
        self, policy: str, truth: Truth, tune: int, sft: Truth, first: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """A policy, or the SFT model as it is: a policy that took no step. So is best-of-n."""
        steps = 10 if first and truth.method != "best-of-n" else 0
        told = {"samples_per_prompt": self.samples, "completions": 640, **truth.more}
        told |= {"beta": truth.beta, "kl_place": truth.kl_place, "seed_tune": tune, "steps": steps}
        record = self.record(policy, "policy", truth.method, **told, sft=first["key"] if first else "")
        self.tables["stage"].append(record)
        off = {name: self.rng.normal(scale=self.noise) for name in ("gold", "ead", "use", "kl")}
        for shift in SHIFTS[self.task]:
            level = 0 if shift == "in" else int(shift[-1])
            self.end(record, truth, shift, level, off)
        for step in (0, steps // 2) if steps else ():
            values = _measures(truth, off, self.common + self.elsewhere, step / steps, sft)
            for measure, (scope, value) in values.items():
                self.measure(record, step, "in", measure, value, scope)
        return record

    def end(
        self, record: dict[str, Any], truth: Truth, shift: str, level: int, off: dict[str, float]
    ) -> None:
        """Outputs, choices and measures of a run at its end."""
        rng, n, k = self.rng, self.inputs, self.samples
        mean = truth.gold - truth.drop * level + self.common + off["gold"]
        gold = mean + self.hardness[shift][:, None] + rng.normal(scale=0.15, size=(n, k))
        gold = np.clip(np.round(gold * 20) / 20, 0, 1)
        conflict = np.arange(n) < max(2, n // 2)
        spurious = rng.random((n, k)) < truth.use + off["use"] + 0.05 * level
        learned = gold + 0.3 * truth.use + rng.normal(scale=0.05, size=(n, k))
        for i in range(n):
            for j in range(k):
                told = Output(
                    key=record["key"], shift=shift, input=i, sample=j, words=4,
                    completion=f"w{rng.integers(9)}",
                    rule="spurious" if conflict[i] and spurious[i, j] else "target", gold=float(gold[i, j]),
                    learned=float(learned[i, j]), held_out=float(gold[i, j]), log_prob=-truth.ead * 10,
                    reference_gold=0.6, reference_learned=0.6, conflict=int(conflict[i]),
                )  # fmt: skip
                self.tables["outputs"].append(_row(told))
            if truth.method == "best-of-n":
                continue
            right = rng.random() < truth.gold
            given = np.full(3, (1 - truth.confidence) / 2)
            given[0 if right else 1] = truth.confidence
            self.tables["choices"] += [
                _row(Choice(key=record["key"], shift=shift, input=i, choice=c, probability=float(p)))
                for c, p in enumerate(given)
            ]
        step = int(record["steps"])
        values = _measures(truth, off, self.common, 1.0, truth)
        values["gold"] = (PER_INPUT, float(gold.mean()))
        values["learned"] = (PER_INPUT, float(learned.mean()))
        values["held-out"] = (PER_INPUT, float(gold.mean()))
        values["use"] = (PER_INPUT, float(spurious[conflict].mean()))
        values["target use"] = (PER_INPUT, 1 - values["use"][1])
        probable = truth.method != "best-of-n"
        if not probable:
            del values["kl"], values["token entropy"]
            values["kl bound"] = (PER_INPUT, truth.kl)
        for measure, (scope, value) in values.items():
            self.measure(record, step, shift, measure, value, scope)
        ead, across = truth.ead + off["ead"], truth.across + off["ead"] / 2
        scale = {
            "ead": (1.0, 0.0), "ead (kirk2024)": (0.9, 0.0), "distinct-n": (0.9, 0.0),
            "self-bleu": (-100.0, 100.0), "cosine": (0.5, 0.0), "nli": (1.2, -1.0),
            "unique share": (1.0, 0.0),
        }  # fmt: skip
        for measure, (factor, shifted) in scale.items():
            for scope, value in ((PER_INPUT, ead), (ACROSS, across)):
                ends = {"floor": shifted + factor / 16, "ceiling": shifted + factor}
                self.measure(record, step, shift, measure, shifted + factor * value, scope, **ends)
        entropies = {"entropy": ead * 5, "marginal entropy": across * 9, "information": across * 9 - ead * 5}
        for measure, value in entropies.items() if probable else ():
            scope = PER_INPUT if measure == "entropy" else ACROSS
            self.measure(record, step, shift, measure, value, scope, floor=0.0)

    def measure(
        self, record: dict[str, Any], step: int, shift: str, measure: str, value: float,
        scope: str = PER_INPUT, **more: Any,
    ) -> None:  # fmt: skip
        told = Measurement(
            key=record["key"], step=step, shift=shift, measure=measure, scope=scope, value=value,
            low=value - 0.02, high=value + 0.02, n=self.inputs, outputs=self.inputs * self.samples, **more,
        )  # fmt: skip
        self.tables["measures"].append(_row(told))


def _measures(
    truth: Truth, off: Mapping[str, float], common: float, part: float, sft: Truth
) -> dict[str, tuple[str, float]]:
    """Measures of the job, a part of the way from the SFT model to the end."""
    gold = sft.gold + part * (truth.gold - sft.gold + off["gold"]) + common
    use = sft.use + part * (truth.use - sft.use + off["use"])
    ead = sft.ead + part * (truth.ead - sft.ead + off["ead"])
    values = {
        "gold": gold, "learned": gold + 0.3 * use, "held-out": gold, "use": use, "target use": 1 - use,
        "kl": part * abs(truth.kl + (off["kl"] if truth.kl else 0)), "token entropy": ead * 5,
        "length": 6.0, "empty share": 0.0, "modal share": 1 - 0.9 * ead,
        "meteor similarity": 0.6 - 0.3 * ead,
    }  # fmt: skip
    between = ("modal share", "meteor similarity")
    return {name: (ACROSS if name in between else PER_INPUT, value) for name, value in values.items()}
