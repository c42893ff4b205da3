"""What a stage of tuning on a text-out task leaves behind: a record and three tables beside it.

    record     one row a run: which stage, which method, from which models, and what it cost
    measures   one row a measurement: a number with its interval, floor and ceiling, by step and shift
    outputs    one row a completion that the policy wrote at its end
    choices    one row an answer of a multiple choice, with the policy's probability of it

Everything that a number of a table or a figure stands on is in these; `measures` is what only the job could
compute, since it needs the model or the texts.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.schema import Identity, count, later, number, text

STAGES = ("sft", "reward", "policy")
IN = "in"
"""The shift that is none: the distribution that tuning has."""
PER_INPUT, ACROSS = "per input", "across inputs"
"""Scopes: of the outputs of one input, averaged over inputs; of one output of every input."""


@dataclass(frozen=True, kw_only=True)
class StageRecord(Identity):
    """A stage of tuning; `task` names the text-out task, whose rules are its target and spurious features."""

    kind: str = text("always 'stage'", "stage")
    arm: str = text("always 'main'", "main")
    stage: str = text("sft (from demonstrations), reward (a reward model) or policy (tuned or chosen by one)")
    policy: str = text("name of the study's entry: sft, reward, held-out reward, ppo, ...")
    method: str = text("how it was tuned: sft, bradley-terry, ppo, best-of-n, ...")
    samples_from: str = text("policy, reference, demonstrations or pairs: who gave the answers")
    beta: float | None = number("weight of the KL to the reference, or what is in its place")
    kl_place: str = text("where that KL entered, its direction and estimator")
    learning_rate: float | None = number("peak learning rate")
    batch_size: int = count("prompts per batch")
    samples_per_prompt: int = count("completions per prompt")
    reuse: int = count("optimiser steps per batch", 1)
    evidence_rate: float | None = number("share of prompts on which the two rules disagree, as asked for")
    evidence_k: int = count("tuning prompts on which the two rules disagree")
    evidence_n: int = count("tuning prompts")
    seed_tune: int = count("seed of the tuning")
    sft: str = text("key of the SFT model that it starts from; empty for one that starts from the model")
    reward_model: str = text("key of the reward model that it was tuned on or chosen by")
    held_out_reward: str = text("key of the reward model trained on the other half of the prompts")
    steps: int = count("optimiser steps of the whole run")
    completions: int = count("completions that it was tuned on")
    step_s: float | None = number("seconds an optimiser step, measuring left out")
    threads: int = count("threads of the run")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number. Names are those of `MEASURES` and of the diversity measures."""

    key: str = text("key of the run")
    step: int = count("optimiser steps taken; 0 for the reference")
    shift: str = text("'in', or the name of a shift of the task")
    measure: str = text("what is measured")
    scope: str = text("'per input' or 'across inputs'")
    value: float | None = number("the number")
    low: float | None = number("lower end of its 95 % interval over inputs")
    high: float | None = number("upper end")
    floor: float | None = number("what identical outputs would have")
    ceiling: float | None = number("what outputs that share nothing would have")
    n: int = count("inputs")
    outputs: int = count("outputs that it is of")
    left_out: int = count("inputs or outputs that it cannot be of, such as empty ones")


@dataclass(frozen=True, kw_only=True)
class Output:
    """One completion of the policy at its end, at temperature 1."""

    key: str = text("key of the run")
    shift: str = text("'in', or the name of a shift of the task")
    input: int = count("number of the input within its shift; the same prompt in all runs of a data seed")
    sample: int = count("number of the completion")
    prompt: str = later(text("the input; empty in a compact study"), "")
    completion: str = text("what it wrote; empty in a compact study")
    reference: str = later(text("the task's reference answer to the input; empty in a compact study"), "")
    words: int = count("its words")
    rule: str = text("both, target, spurious or neither: whose answer it is")
    gold: float | None = number("gold reward, 0 to 1")
    learned: float | None = number("reward by the reward model that policies are tuned on")
    held_out: float | None = number("reward by the reward model trained on the other half")
    log_prob: float | None = number("log-probability of the completion given its input, nats")
    reference_gold: float | None = number("gold reward of the task's reference answer to the input")
    reference_learned: float | None = number("that answer's reward by the reward model")
    conflict: int = count("1 where the two rules disagree on the input")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One answer of a multiple choice that a text-out task makes of an input."""

    key: str = text("key of the run")
    shift: str = text("'in', or the name of a shift of the task")
    input: int = count("number of the input within its shift")
    choice: int = count("number of the answer; 0 is the right one")
    probability: float | None = number("the policy's, renormalised over the answers of the input")


MEASURES = {
    "gold": "mean gold reward of sampled completions",
    "learned": "mean reward by the reward model that policies are tuned on",
    "held-out": "mean reward by the reward model trained on the other half of the prompts",
    "kl": "KL(policy || SFT), nats a completion, exact at each token",
    "kl bound": "of best-of-n, which has no probabilities: the most that its KL can be, nats",
    "token entropy": "entropy, nats a completion, exact at each token",
    "use": "share of completions to conflict prompts that keep to the spurious rule",
    "target use": "share of them that keep to the target rule",
    "length": "words of a completion",
    "empty share": "share of completions without a word",
    "modal share": "share of the commonest completion",
    "meteor similarity": "METEOR (exact + stem) between completions to different inputs",
    "accuracy": "of a reward model: share of held-out pairs that it orders as the gold reward does",
    "spurious preference": "of a reward model: share of conflict prompts whose spurious answer it prefers",
}
"""What the job itself measures, beside the diversity measures of `analysis.outputs.diversity`."""
