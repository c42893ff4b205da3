"""What one seed of a bandit run leaves behind: a flat row at its end, and one a measurement on the way."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.schema import SCHEMA, count, number, text


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What is measured of a bandit's policy."""

    seed: int = count("seed of the agent, its prompts and its samples")
    step: int = count("gradient steps taken")
    queries: int = count("rewards asked so far")
    reward: float | None = number("mean reward on held-out prompts")
    entropy: float | None = number("entropy of the policy, nats an answer")
    kl_reverse: float | None = number("KL(policy || reference), nats an answer")
    kl_forward: float | None = number("KL(reference || policy), nats an answer")
    mass_high: float | None = number("probability of arms or tokens 60 to 80")
    mass_low: float | None = number("probability of arms or tokens 10 to 30")
    mass_chosen: float | None = number(
        "probability of the arms that were the best sampled for a prompt of the fixed set; arms only"
    )
    mass_rejected: float | None = number("probability of the other arms sampled there; arms only")
    mass_never: float | None = number("probability of the arms never sampled there; arms only")
    chosen_fixed: float | None = number(
        "log-probability of the best answers of the fixed set (the first batch that a method is given), nats"
    )
    rejected_fixed: float | None = number("that of its other answers, nats")
    chosen_fresh: float | None = number(
        "log-probability of the best of the reference's answers to held-out prompts, nats"
    )
    rejected_fresh: float | None = number("that of its other answers to them, nats")


@dataclass(frozen=True, kw_only=True)
class BanditRecord(Measured):
    """One seed of one method on one bandit, as its last step left it."""

    schema: int = count("version of this schema", SCHEMA)
    kind: str = text("always 'bandit'", "bandit")
    key: str = text("hash of everything that can change the result; the name of the record's folder")
    study: str = text("name of the study")
    arm: str = text("the sweep that it was first part of")
    status: str = text("'ok' or 'failed'", "ok")
    error: str = text("why it failed, one line; empty when it did not")
    problem: str = text("arms/R1, arms/R2, sequence/R1 or sequence/R2")
    compat: str = text("the paper whose published definitions were used; empty for none")
    method: str = text("how it was tuned")
    negative_gradient: int = count("1 if the method can push answers down")
    samples_from: str = text("policy or reference: who gave the answers")
    beta: float | None = number("weight of the KL, or what a method has in its place")
    kl: str = text("where that KL entered, its direction and estimator")
    learning_rate: float | None = number("the rate chosen on the development seeds")
    rates: str = text("the rates that were tried, separated by spaces")
    development: str = text("mean reward of each on the development seeds, separated by spaces")
    development_seeds: int = count("how many seeds these are means of; none is a seed of the study")
    steps: int = count("gradient steps")
    batch_size: int = count("prompts a gradient step")
    samples_per_prompt: int = count("answers a prompt")
    batches: int = count("batches answered at once by one policy")
    reuse: int = count("times that each of them was gone through")
    contexts: int = count("different prompts")
    fit_steps: int = count("steps that the reference was fitted in")
    fit_kl: float | None = number("KL(reference || the distribution it was fitted to), nats an arm or token")
    config_hash: str = text("hash of the configuration")
    step_s: float | None = number("time of a gradient step of all seeds together, seconds")
    threads: int = count("threads of the run")
    wall_s: float | None = number("wall time of all seeds together, the trials of rates included, seconds")
    versions: str = text("library versions, one string")
    started: str = text("ISO time of the start")


@dataclass(frozen=True, kw_only=True)
class BanditPoint(Measured):
    """One measurement along a bandit run: a row of a long table."""

    key: str = text("key of the run")
